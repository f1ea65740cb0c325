//! Structs and enums of an application, known by the shape that their name has: `Visit{page:str,day:u32}`. Their
//! encodings are those of tuples; an enum has a byte before it, the tag of the variant.
//!
//! In JSON a struct is an object, a struct of one unnamed field is that field, one of several an array, and one without
//! fields `null`. A variant is its name, or an object whose only field has its name: `"Logout"`, `{"Login": "ada"}`.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::stored_type::{Type, split_at_commas};

/// The fields of a struct or of a variant.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Fields {
    /// One for each type, if the fields have names.
    names: Option<Vec<String>>,
    pub(super) types: Vec<Type>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Variant {
    pub(super) tag: u8,
    name: String,
    /// Whether the name of the type shows fields, be they none.
    has_fields: bool,
    pub(super) fields: Fields,
}

/// Takes a name apart that is an identifier and a shape.
pub(super) fn parse(name: &str) -> Option<Type> {
    let (ident, shape) = name.split_at(name.find(['(', '{', '['])?);
    if !is_identifier(ident) {
        return None;
    }
    match shape.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(variants) => {
            let variants = split_at_commas(variants).into_iter().map(Variant::parse);
            Some(Type::Enum(ident.to_owned(), variants.collect::<Option<_>>()?))
        }
        None => Some(Type::Struct(ident.to_owned(), Fields::parse(shape)?)),
    }
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(char::is_alphabetic)
        && text.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
}

/// The names between commas, which may be none.
fn parts(names: &str) -> Vec<&str> {
    if names.is_empty() { Vec::new() } else { split_at_commas(names) }
}

impl Fields {
    fn parse(shape: &str) -> Option<Fields> {
        let inner = |open, close| shape.strip_prefix(open)?.strip_suffix(close);
        if let Some(types) = inner('(', ')') {
            return Some(Fields {
                names: None,
                types: parts(types).into_iter().map(Type::of_name).collect(),
            });
        }
        let fields = parts(inner('{', '}')?).into_iter().map(|field| field.split_once(':'));
        let (names, types): (Vec<_>, Vec<_>) = fields.collect::<Option<Vec<_>>>()?.into_iter().unzip();
        let names = names.into_iter().map(str::to_owned).collect();
        Some(Fields { names: Some(names), types: types.into_iter().map(Type::of_name).collect() })
    }

    pub(super) fn is_known(&self) -> bool {
        self.types.iter().all(Type::is_known)
    }

    /// The type of the only field, if that has no name.
    pub(super) fn only_type(&self) -> Option<&Type> {
        match (&self.names, &self.types[..]) {
            (None, [only]) => Some(only),
            _ => None,
        }
    }

    /// The values of the fields as one value.
    pub(super) fn to_json(&self, mut values: Vec<Json>) -> Json {
        match &self.names {
            Some(names) => Json::Object(Map::from_iter(names.iter().cloned().zip(values))),
            None if values.is_empty() => Json::Null,
            None if values.len() == 1 => values.remove(0),
            None => Json::Array(values),
        }
    }

    /// The values of the fields, each by itself.
    pub(super) fn values<'a>(&self, value: &'a Json) -> Result<Vec<&'a Json>, String> {
        let values = match (&self.names, &self.types[..]) {
            (Some(names), _) => {
                let object = value.as_object().filter(|object| object.len() == names.len());
                object.and_then(|object| names.iter().map(|name| object.get(name)).collect())
            }
            (None, []) => value.is_null().then(Vec::new),
            (None, [_]) => Some(vec![value]),
            (None, types) => value
                .as_array()
                .filter(|values| values.len() == types.len())
                .map(|values| values.iter().collect()),
        };
        values.ok_or_else(|| match &self.names {
            Some(names) => format!("expected an object of the fields {}", names.join(", ")),
            None if self.types.is_empty() => "expected null".to_owned(),
            None => format!("expected an array of {} elements", self.types.len()),
        })
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let types = self.types.iter().map(Type::to_string);
        match &self.names {
            None => write!(f, "({})", types.collect::<Vec<_>>().join(",")),
            Some(names) => {
                let fields: Vec<String> =
                    names.iter().zip(types).map(|(name, type_)| format!("{name}:{type_}")).collect();
                write!(f, "{{{}}}", fields.join(","))
            }
        }
    }
}

impl Variant {
    fn parse(text: &str) -> Option<Variant> {
        let (tag, rest) = text.split_once(':')?;
        let (name, shape) = rest.split_at(rest.find(['(', '{']).unwrap_or(rest.len()));
        let fields = if shape.is_empty() { Fields::parse("()")? } else { Fields::parse(shape)? };
        let variant =
            Variant { tag: tag.parse().ok()?, name: name.to_owned(), has_fields: !shape.is_empty(), fields };
        is_identifier(name).then_some(variant)
    }

    pub(super) fn to_json(&self, values: Vec<Json>) -> Json {
        match self.has_fields {
            false => Json::String(self.name.clone()),
            true => Json::Object(Map::from_iter([(self.name.clone(), self.fields.to_json(values))])),
        }
    }

    /// The one of `variants` that `value` is, and the values of its fields.
    pub(super) fn of<'a, 'v>(
        variants: &'v [Variant],
        value: &'a Json,
    ) -> Result<(&'v Variant, Vec<&'a Json>), String> {
        let named = match value {
            Json::String(name) => Some((name, &Json::Null)),
            Json::Object(object) if object.len() == 1 => object.iter().next(),
            _ => None,
        };
        let expected = "expected a variant: its name, or an object of one field";
        let (name, fields) = named.ok_or(expected)?;
        let variant = variants.iter().find(|variant| variant.name == *name);
        let variant = variant.ok_or_else(|| format!("there is no variant {name:?}"))?;
        Ok((variant, variant.fields.values(fields)?))
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tag, self.name)?;
        if self.has_fields { self.fields.fmt(f) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use mapleaf::{EncodeKey, EncodeValue};
    use serde_json::json;

    use super::*;
    use crate::types::Role;

    /// What JSON means is what is stored for a tuple of the same fields.
    #[track_caller]
    fn agrees(name: &str, value: Json, key: &[u8], stored: &[u8]) {
        let type_ = Type::of_name(name);
        assert!(type_.is_known() && type_.to_string() == name, "{name}: {type_}");
        for (bytes, role) in [(key, Role::Key), (stored, Role::Value)] {
            assert_eq!(type_.to_json(bytes, role), value, "{name}");
            assert_eq!(type_.encode(&value, role).as_deref(), Ok(bytes), "{name}");
        }
    }

    #[test]
    fn structs_are_tuples_with_names() {
        let fields = ("a\0", 7u32, "b");
        let key = EncodeKey::<(String, u32, String)>::encode_key(&fields).to_vec();
        let stored = EncodeValue::<(String, u32, String)>::encode_value(&fields).unwrap().to_vec();
        agrees(
            "Visit{page:str,day:u32,by:str}",
            json!({ "page": "a\0", "day": 7, "by": "b" }),
            &key,
            &stored,
        );
        agrees("Visit(str,u32,str)", json!(["a\0", 7, "b"]), &key, &stored);
        let nested = json!({ "outer": { "page": "a\0", "day": 7, "by": "b" } });
        agrees("Outer{outer:Visit{page:str,day:u32,by:str}}", nested, &key, &stored);
        agrees("user-2.Id(u16)", json!(7), &[0, 7], &[7, 0]);
        agrees("Marker()", json!(null), &[], &[]);
        agrees("Nothing{}", json!({}), &[], &[]);
        agrees("([u8;2],Id(u8))", json!(["ab", 7]), b"ab\x07", b"ab\x07");
        let list = ("x", vec![(1u8, "y")]);
        let key = EncodeKey::<(String, Vec<(u8, String)>)>::encode_key(&list).to_vec();
        let stored = EncodeValue::<(String, Vec<(u8, String)>)>::encode_value(&list).unwrap().to_vec();
        agrees("(str,vec<Item{n:u8,s:str}>)", json!(["x", [{ "n": 1, "s": "y" }]]), &key, &stored);
        let name = Type::of_name("Name(str)");
        assert_eq!(
            (name.encode_word(b"7", Role::Key), name.to_text(b"a\n", Role::Key)),
            (Ok(b"7".to_vec()), "a\\n".into())
        );
        assert_eq!(name.encode_prefix(b"7"), Ok(b"7".to_vec()));
        assert_eq!(Type::of_name("Visit{page:str,day:u32}").encode_prefix(b"[\"a\"]"), Ok(b"a\0\0".to_vec()));
    }

    #[test]
    fn enums_have_a_tag_first() {
        let event = "Event[0:Login{user:str},7:Paid(i8,str),3:Id(u8),4:Logout,5:Empty()]";
        agrees(event, json!({ "Login": { "user": "ada" } }), b"\0ada", b"\0ada");
        agrees(event, json!({ "Paid": [-1, "x"] }), b"\x07\x7fx", b"\x07\xffx");
        agrees(event, json!({ "Id": 9 }), &[3, 9], &[3, 9]);
        agrees(event, json!("Logout"), &[4], &[4]);
        agrees(event, json!({ "Empty": null }), &[5], &[5]);
        agrees(
            &format!("({event},u8)"),
            json!([{ "Login": { "user": "a" } }, 1]),
            b"\0a\0\0\x01",
            b"\x02\0a\x01",
        );
        agrees("(Level[0:Low,9:High],u8)", json!(["High", 1]), &[9, 1], &[9, 1]);
        let type_ = Type::of_name(event);
        assert_eq!(type_.to_json(&[6], Role::Key), json!({ "encoded": "06" }));
        assert_eq!(type_.to_json(&[], Role::Value), json!({ "encoded": "" }));
        for wrong in [json!("Login"), json!({ "Login": {} }), json!("None"), json!(7), json!({ "Paid": [1] })]
        {
            assert!(type_.encode(&wrong, Role::Key).is_err(), "{wrong}");
        }
    }

    #[test]
    fn other_names_are_not_known() {
        for name in [
            "Visit{page}",
            "a b(u8)",
            "(u8",
            "E[x:A]",
            "E[0:]",
            "E[]",
            "E[300:A]",
            "S(",
            "S{a:serde}",
            "-(u8)",
        ] {
            assert!(!Type::of_name(name).is_known(), "{name}");
        }
    }
}
