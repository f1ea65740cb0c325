//! The type that a macro is applied to, as the macros need it; and what they refuse.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Generics, Ident, LitInt, LitStr, Member, Result, Type};

/// Variants are distinguished by one byte.
const MAX_VARIANTS: usize = 256;

pub(crate) struct Model {
    pub(crate) ident: Ident,
    /// The type's name in a file, without its shape.
    pub(crate) name: String,
    pub(crate) generics: Generics,
    pub(crate) shape: Shape,
}

pub(crate) enum Shape {
    Struct(Fields),
    Enum(Vec<Variant>),
}

pub(crate) struct Variant {
    pub(crate) ident: Ident,
    pub(crate) tag: u8,
    pub(crate) fields: Fields,
}

pub(crate) struct Fields {
    pub(crate) kind: Kind,
    /// Those that are stored.
    pub(crate) stored: Vec<Field>,
    /// Those of type `PhantomData`.
    pub(crate) phantom: Vec<Member>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Named,
    Tuple,
    Unit,
}

pub(crate) struct Field {
    pub(crate) member: Member,
    /// A variable for it.
    pub(crate) variable: Ident,
    pub(crate) type_: Type,
}

impl Model {
    pub(crate) fn read(input: DeriveInput) -> Result<Model> {
        let DeriveInput { attrs, ident, generics, data, .. } = input;
        if let Some(lifetime) = generics.lifetimes().next() {
            let problem = format!(
                "`{ident}` has a lifetime: a key or value is read into a type that owns what it contains, such as \
                 `String` instead of `&str` (tuples of `String` and `Vec<u8>` are read in place)"
            );
            return Err(Error::new(lifetime.span(), problem));
        }
        let shape = match data {
            Data::Struct(data) => Shape::Struct(Fields::read(&data.fields)?),
            Data::Enum(data) => Shape::Enum(read_variants(&ident, data)?),
            Data::Union(data) => {
                let problem =
                    "a union cannot be a key or a value: it does not know which of its fields is valid";
                return Err(Error::new(data.union_token.span(), problem));
            }
        };
        let model = Model { name: name_of(&attrs, &ident)?, ident, generics, shape };
        model.refuse_recursion()?;
        Ok(model)
    }

    fn all_fields(&self) -> impl Iterator<Item = &Field> {
        let fields: Vec<&Fields> = match &self.shape {
            Shape::Struct(fields) => vec![fields],
            Shape::Enum(variants) => variants.iter().map(|variant| &variant.fields).collect(),
        };
        fields.into_iter().flat_map(|fields| &fields.stored)
    }

    fn refuse_recursion(&self) -> Result<()> {
        for field in self.all_fields() {
            let names = |word: &str| mentions(field.type_.to_token_stream(), word);
            if names(&self.ident.to_string()) || names("Self") {
                let problem = format!(
                    "`{}` contains itself: a file could nest it deeper than the stack is; store the parts as entries \
                     of their own, or the whole as `Serde` or `MessagePack`",
                    self.ident
                );
                return Err(Error::new(field.type_.span(), problem));
            }
        }
        Ok(())
    }

    /// The types of fields that depend on the type's parameters, whose implementations are conditions of its own.
    pub(crate) fn dependent_types(&self) -> Vec<&Type> {
        let parameters: Vec<String> =
            self.generics.type_params().map(|parameter| parameter.ident.to_string()).collect();
        let constants: Vec<String> =
            self.generics.const_params().map(|parameter| parameter.ident.to_string()).collect();
        let depends = |field: &&Field| {
            let mut words = parameters.iter().chain(&constants);
            words.any(|word| mentions(field.type_.to_token_stream(), word))
        };
        self.all_fields().filter(depends).map(|field| &field.type_).collect()
    }

    /// A copy of the generics with a condition for each of the [`dependent_types`](Model::dependent_types).
    pub(crate) fn generics_where(&self, condition: impl Fn(&Type) -> syn::WherePredicate) -> Generics {
        let mut generics = self.generics.clone();
        let conditions = self.dependent_types().into_iter().map(condition).collect::<Vec<_>>();
        if !conditions.is_empty() {
            generics.make_where_clause().predicates.extend(conditions);
        }
        generics
    }
}

impl Fields {
    fn read(fields: &syn::Fields) -> Result<Fields> {
        let kind = match fields {
            syn::Fields::Named(_) => Kind::Named,
            syn::Fields::Unnamed(_) => Kind::Tuple,
            syn::Fields::Unit => Kind::Unit,
        };
        let (mut stored, mut phantom) = (Vec::new(), Vec::new());
        for (member, field) in fields.members().zip(fields) {
            if let Some(attribute) = field.attrs.iter().find(|attribute| attribute.path().is_ident("mapleaf"))
            {
                return Err(Error::new(attribute.span(), "mapleaf has no attributes of fields"));
            }
            if let Some(instead) = owned_instead(&field.ty) {
                let problem = format!("a field of a key or value owns what it contains: {instead}");
                return Err(Error::new(field.ty.span(), problem));
            }
            match is_phantom(&field.ty) {
                true => phantom.push(member),
                false => {
                    let variable = format_ident!("field_{}", stored.len());
                    stored.push(Field { member, variable, type_: field.ty.clone() });
                }
            }
        }
        Ok(Fields { kind, stored, phantom })
    }
}

fn read_variants(ident: &Ident, data: syn::DataEnum) -> Result<Vec<Variant>> {
    if data.variants.is_empty() {
        return Err(Error::new(
            ident.span(),
            format!("`{ident}` has no variants, and so no values to store"),
        ));
    }
    if data.variants.len() > MAX_VARIANTS {
        let problem =
            format!("`{ident}` has {} variants: at most {MAX_VARIANTS} are stored", data.variants.len());
        return Err(Error::new(ident.span(), problem));
    }
    let mut variants: Vec<Variant> = Vec::new();
    let mut next: u16 = 0;
    for variant in &data.variants {
        if let Some(tag) = tag_of(&variant.attrs)? {
            next = tag.into();
        }
        let Ok(tag) = u8::try_from(next) else {
            return Err(Error::new(
                variant.span(),
                "the tag of the variant before is 255, the last: give this one another",
            ));
        };
        if let Some(other) = variants.iter().find(|other| other.tag == tag) {
            let problem = format!("`{}` and `{}` both have the tag {tag}", other.ident, variant.ident);
            return Err(Error::new(variant.span(), problem));
        }
        next += 1;
        variants.push(Variant { ident: variant.ident.clone(), tag, fields: Fields::read(&variant.fields)? });
    }
    Ok(variants)
}

/// The name that the attribute `#[mapleaf(name = "..")]` gives, or the type's own.
fn name_of(attributes: &[Attribute], ident: &Ident) -> Result<String> {
    let mut name = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("mapleaf")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("the attribute of a type is `#[mapleaf(name = \"..\")]`"));
            }
            let text: LitStr = meta.value()?.parse()?;
            let is_name = |character: char| character.is_alphanumeric() || "_-.".contains(character);
            let given = text.value();
            if !given.starts_with(char::is_alphabetic) || !given.chars().all(is_name) {
                return Err(Error::new(
                    text.span(),
                    "a name is a letter, and then letters, digits, `_`, `-` and `.`",
                ));
            }
            name = Some(given);
            Ok(())
        })?;
    }
    Ok(name.unwrap_or_else(|| plain(ident)))
}

/// The tag that the attribute `#[mapleaf(tag = ..)]` gives.
fn tag_of(attributes: &[Attribute]) -> Result<Option<u8>> {
    let mut tag = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("mapleaf")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("tag") {
                return Err(meta.error("the attribute of a variant is `#[mapleaf(tag = ..)]`"));
            }
            let number: LitInt = meta.value()?.parse()?;
            let value = number.base10_parse::<u8>();
            tag = Some(value.map_err(|_| Error::new(number.span(), "a tag is a number from 0 to 255"))?);
            Ok(())
        })?;
    }
    Ok(tag)
}

/// The name without `r#`.
pub(crate) fn plain(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn is_phantom(type_: &Type) -> bool {
    match type_ {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "PhantomData"),
        _ => false,
    }
}

/// What a field can be instead of a borrow, or of text or bytes without a size.
fn owned_instead(type_: &Type) -> Option<&'static str> {
    match type_ {
        Type::Reference(_) => Some("`String` instead of `&str`, `Vec<u8>` instead of `&[u8]`"),
        Type::Path(path) if path.path.is_ident("str") => Some("`String` instead of `str`"),
        Type::Slice(_) => Some("`Vec<u8>` instead of `[u8]`"),
        _ => None,
    }
}

fn mentions(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == word,
        TokenTree::Group(group) => mentions(group.stream(), word),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syn::parse_quote;

    fn refusal(input: DeriveInput) -> String {
        Model::read(input).err().map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn refusals_say_why() {
        assert!(
            refusal(parse_quote! { union Both { a: u32, b: f32 } }).contains("which of its fields is valid")
        );
        let borrowed = refusal(parse_quote! { struct Named<'a> { name: &'a str } });
        assert!(
            borrowed.contains("`Named` has a lifetime") && borrowed.contains("`String` instead of `&str`")
        );
        let borrowed = refusal(parse_quote! { struct Named { name: &'static str } });
        assert!(borrowed.contains("`String` instead of `&str`"), "{borrowed}");
        assert!(refusal(parse_quote! { struct Named { name: str } }).contains("`String` instead of `str`"));
        assert!(refusal(parse_quote! { struct Blob([u8]); }).contains("`Vec<u8>` instead of `[u8]`"));
        let tree = refusal(parse_quote! { struct Tree { children: Vec<Tree> } });
        assert!(tree.contains("`Tree` contains itself") && tree.contains("entries of their own"));
        assert!(
            refusal(parse_quote! { enum List { End, Next(u8, Option<Self>) } }).contains("contains itself")
        );
        assert!(refusal(parse_quote! { enum Never {} }).contains("no values to store"));
        let same = refusal(parse_quote! { enum E { A, #[mapleaf(tag = 0)] B } });
        assert_eq!(same, "`A` and `B` both have the tag 0");
        let next = refusal(parse_quote! { enum E { #[mapleaf(tag = 255)] A, B } });
        assert!(next.contains("255"), "{next}");
        let large = refusal(parse_quote! { enum E { #[mapleaf(tag = 256)] A } });
        assert_eq!(large, "a tag is a number from 0 to 255");
        let variants: Vec<Ident> = (0..257).map(|number| format_ident!("V{number}")).collect();
        assert!(refusal(parse_quote! { enum Many { #(#variants),* } }).contains("257 variants: at most 256"));
        assert!(refusal(parse_quote! { #[mapleaf(nam = "x")] struct S; }).contains("name = "));
        assert!(refusal(parse_quote! { #[mapleaf(name = "a b")] struct S; }).contains("a letter, and then"));
        assert!(refusal(parse_quote! { #[mapleaf(name = "")] struct S; }).contains("a letter, and then"));
        assert!(
            refusal(parse_quote! { struct S { #[mapleaf(skip)] a: u8 } }).contains("no attributes of fields")
        );
        assert!(refusal(parse_quote! { enum E { #[mapleaf(name = "x")] A } }).contains("tag = "));
    }

    #[test]
    fn tags_count_on_from_one_that_is_given() {
        let input = parse_quote! { enum E { A, #[mapleaf(tag = 7)] B, C, #[mapleaf(tag = 1)] D } };
        let Shape::Enum(variants) = Model::read(input).unwrap().shape else { panic!("it is an enum") };
        assert_eq!(variants.iter().map(|variant| variant.tag).collect::<Vec<_>>(), [0, 7, 8, 1]);
    }

    #[test]
    fn phantom_fields_are_not_stored() {
        let input = parse_quote! { struct Id<T>(u64, std::marker::PhantomData<fn() -> T>); };
        let model = Model::read(input).unwrap();
        assert!(model.dependent_types().is_empty());
        let Shape::Struct(fields) = &model.shape else { panic!("it is a struct") };
        assert_eq!((fields.stored.len(), fields.phantom.len()), (1, 1));
    }
}
