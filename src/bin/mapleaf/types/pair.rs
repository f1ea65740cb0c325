//! Keys of multimap tables: alone, as `Type` encodes keys, and before a value in a pair, where they mark their end.

use mapleaf::EncodeKey;

use super::role::Role;
use super::stored_type::Type;

impl Type {
    /// Splits a stored pair into its key, as it is alone, and its value. `None` if it does not begin with a key of
    /// this type.
    pub(crate) fn split_pair<'a>(&self, pair: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let (mut rest, mut key) = (pair, Vec::new());
        self.take_alone(&mut rest, &mut key)?;
        Some((key, rest))
    }

    /// Takes a key off the front of `rest`, and appends it as it is alone.
    fn take_alone(&self, rest: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
        let start = *rest;
        match self {
            Type::Str | Type::Bytes | Type::NoCase | Type::FromEnd => {
                out.extend(super::to_json::take_delimited(rest)?);
            }
            Type::Option(inner) => {
                let (first, after) = rest.split_first()?;
                *rest = after;
                out.push(*first);
                match first {
                    0 => {}
                    1 => inner.take_alone(rest, out)?,
                    _ => return None,
                }
            }
            Type::Tuple(elements) => {
                let (last, others) = elements.split_last()?;
                others.iter().try_for_each(|element| element.read(rest, Role::Key, false).map(drop))?;
                out.extend_from_slice(&start[..start.len() - rest.len()]);
                last.take_alone(rest, out)?;
            }
            Type::Repeated(element, length) => {
                (1..*length).try_for_each(|_| element.read(rest, Role::Key, false).map(drop))?;
                out.extend_from_slice(&start[..start.len() - rest.len()]);
                if *length > 0 {
                    element.take_alone(rest, out)?;
                }
            }
            _ => {
                self.read(rest, Role::Key, false)?;
                let end = usize::from(matches!(self, Type::Vec(_))); // the mark of a vector's end
                out.extend_from_slice(&start[..start.len() - rest.len() - end]);
            }
        }
        Some(())
    }

    /// A key as it stands before a value. `None` if it is not a key of this type.
    pub(crate) fn before_value(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut rest = key;
        self.read(&mut rest, Role::Key, true).filter(|_| rest.is_empty())?;
        let mut out = Vec::with_capacity(key.len() + 2);
        let end = self.push_open(key, &mut out);
        out.extend_from_slice(end);
        Some(out)
    }

    /// An end of a range of keys, or a prefix of them, as the pairs of these keys begin.
    pub(crate) fn bound_before_value(&self, bound: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bound.len() + 2);
        self.push_open(bound, &mut out);
        out
    }

    /// Appends a key, or the beginning of one, as it stands before a value. Returns the mark of its end.
    fn push_open(&self, key: &[u8], out: &mut Vec<u8>) -> &'static [u8] {
        match (self, key) {
            (Type::Str | Type::Bytes | Type::NoCase | Type::FromEnd, _) => {
                let pair = (key, ());
                let delimited = EncodeKey::<(Vec<u8>, ())>::encode_key(&pair);
                out.extend_from_slice(&delimited[..delimited.len() - 2]);
                &[0, 0]
            }
            (Type::Vec(_), _) => {
                out.extend_from_slice(key);
                &[0]
            }
            (Type::Option(inner), [1, rest @ ..]) => {
                out.push(1);
                inner.push_open(rest, out)
            }
            (Type::Tuple(elements), _) => match elements.split_last() {
                Some((last, others)) => push_elements(others.iter(), last, key, out),
                None => &[],
            },
            (Type::Repeated(element, length), _) if *length > 0 => {
                push_elements(std::iter::repeat_n(&**element, length - 1), element, key, out)
            }
            _ => {
                out.extend_from_slice(key);
                &[]
            }
        }
    }
}

/// Appends elements of which all but the last mark their ends already.
fn push_elements<'a>(
    mut others: impl Iterator<Item = &'a Type>,
    last: &Type,
    key: &[u8],
    out: &mut Vec<u8>,
) -> &'static [u8] {
    let mut rest = key;
    if others.any(|element| element.read(&mut rest, Role::Key, false).is_none()) {
        out.extend_from_slice(key); // first elements only
        return &[];
    }
    out.extend_from_slice(&key[..key.len() - rest.len()]);
    last.push_open(rest, out)
}

#[cfg(test)]
mod tests {
    use mapleaf::{EncodeKey, Key, NoCase};

    use super::*;

    /// What the library stores for a pair is what this program makes of its parts, in both directions.
    #[track_caller]
    fn agrees<K: Key + EncodeKey<K>>(key: K) {
        let key_type = Type::of_name(&K::type_name());
        let alone = key.encode_key().to_vec();
        let pair = EncodeKey::<(K, u8)>::encode_key(&(key, 7)).to_vec();
        assert_eq!(key_type.split_pair(&pair), Some((alone.clone(), &[7][..])));
        let before = key_type.before_value(&alone).unwrap();
        assert_eq!([&before[..], &[7]].concat(), pair);
        assert!(before.starts_with(&key_type.bound_before_value(&alone)));
    }

    #[test]
    fn keys_of_pairs_are_those_of_the_library() {
        agrees(7u64);
        agrees(());
        agrees(String::new());
        agrees("a\0b".to_owned());
        agrees(vec![0u8, 0xff, 0]);
        agrees(NoCase::from("Ada"));
        agrees([1u8, 0]);
        agrees(Some("x\0".to_owned()));
        agrees(None::<String>);
        agrees(("a\0".to_owned(), 7u32));
        agrees((7u32, ("b".to_owned(), vec![1u8, 0])));
        agrees(vec!["a".to_owned(), "\0".to_owned()]);
        agrees(Vec::<u32>::new());
        agrees(["a".to_owned(), "b\0".to_owned()]);
        agrees(std::cmp::Reverse("a\0".to_owned()));
        agrees((1u8, std::cmp::Reverse(vec![1u16])));
        agrees(std::net::IpAddr::from([10, 0, 0, 1]));
        agrees(std::time::Duration::from_millis(1500));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert_eq!(Type::of_name("u64").before_value(&[7]), None);
        assert_eq!(Type::of_name("u64").split_pair(&[7]), None);
        assert_eq!(Type::of_name("str").split_pair(b"no end"), None);
        assert_eq!(Type::of_name("of an application").before_value(b"a"), None);
        assert_eq!(Type::of_name("of an application").split_pair(b"a"), None);
        let tuple = Type::of_name("(str,str)");
        assert_eq!(tuple.bound_before_value(b"a\0\0"), b"a\0\0");
        assert_eq!(tuple.bound_before_value(b"a\0\0b\0"), b"a\0\0b\0\xff");
    }
}
