//! The shapes of calls that have to compile without a turbofish, on a stand-in for a table.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "calls with and without the borrow have to compile"
)]

use std::borrow::Cow;
use std::cmp::Reverse;
use std::marker::PhantomData;
use std::ops::Bound;
use std::sync::Arc;

use super::super::*;
use crate::Result;

/// Has the methods of a table, and answers with bytes.
struct Probe<K: ?Sized, V: ?Sized>(PhantomData<fn(&K, &V)>);

impl<K: Key + ?Sized, V: Value + ?Sized> Probe<K, V> {
    fn new(_definition: &Table<K, V>) -> Probe<K, V> {
        Probe(PhantomData)
    }

    fn get(&self, key: impl EncodeKey<K>) -> Vec<u8> {
        key.encode_key().to_vec()
    }

    fn get_many<Q: EncodeKey<K>>(&self, keys: impl IntoIterator<Item = Q>) -> usize {
        keys.into_iter().map(|key| key.encode_key().len()).sum()
    }

    fn insert(&self, key: impl EncodeKey<K>, value: impl EncodeValue<V>) -> Result<(Vec<u8>, Vec<u8>)> {
        Ok((key.encode_key().to_vec(), value.encode_value()?.to_vec()))
    }

    fn range(&self, range: impl KeyRange<K>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let (start, end) = range.encode_range();
        (start.map(|bytes| bytes.to_vec()), end.map(|bytes| bytes.to_vec()))
    }

    fn prefix(&self, prefix: impl KeyPrefix<K>) -> Vec<u8> {
        prefix.encode_prefix().to_vec()
    }
}

const USERS: Table<str, [u8]> = Table::new("users");
static HITS: Table<u64, u64> = Table::new("hits");
const WORDS: Table<(String, u64, u64), (u32, String)> = Table::new("words");
const BLOBS: Table<[u8], Option<String>> = Table::new("blobs");

#[test]
fn text_keys_take_any_text() -> Result<()> {
    let users = Probe::new(&USERS);
    let ada = String::from("ada");
    assert_eq!(users.get("ada"), b"ada");
    assert_eq!(users.get(&ada), b"ada");
    assert_eq!(users.get(ada.clone()), b"ada");
    assert_eq!(users.get(KeyStr::from("ada")), b"ada");
    assert_eq!(users.get_many(["ada", "bob"]), 6);
    let names = vec![ada.clone(), ada.clone()];
    assert_eq!(users.get_many(names.iter()), 6);
    assert_eq!(users.get_many(&names), 6);
    assert_eq!(users.get_many(names), 6);
    assert_eq!(users.insert("ada", b"1815")?.1, b"1815");
    assert_eq!(users.insert(&ada, &[1, 2, 3][..])?.1, [1, 2, 3]);
    assert_eq!(users.insert(&ada, vec![1, 2])?.1, [1, 2]);
    assert_eq!(users.insert("ada", [1, 2])?.1, [1, 2]);
    assert!(users.insert("ada", &[])?.1.is_empty());

    let strings: Table<String, str> = Table::new("strings");
    let strings = Probe::new(&strings);
    assert_eq!(strings.get("ada"), b"ada");
    assert_eq!(strings.get(&ada), b"ada");
    assert_eq!(strings.insert("k", "text")?.1, b"text");
    assert_eq!(strings.insert("k", &ada)?.1, b"ada");
    Ok(())
}

#[test]
fn number_keys_take_literals() -> Result<()> {
    let hits = Probe::new(&HITS);
    assert_eq!(hits.get(&7), [0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(hits.get(7), hits.get(7u64));
    assert_eq!(hits.get_many([1, 2, 3]), 24);
    assert_eq!(hits.get_many(0..10), 80);
    assert_eq!(hits.insert(&7, &1)?.1, [1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(hits.insert(7, 1)?.1, [1, 0, 0, 0, 0, 0, 0, 0]);
    let degrees: Table<f64, f32> = Table::new("degrees");
    assert_eq!(Probe::new(&degrees).insert(1.5, &2.5)?.0.len(), 8);
    Ok(())
}

#[test]
fn byte_keys_take_any_bytes() -> Result<()> {
    let blobs = Probe::new(&BLOBS);
    assert_eq!(blobs.insert(b"x", Some("text"))?, (b"x".to_vec(), b"\x01text".to_vec()));
    assert_eq!(blobs.get(&[1, 2][..]), [1, 2]);
    assert_eq!(blobs.get(vec![1, 2]), [1, 2]);
    assert_eq!(blobs.get([1, 2]), [1, 2]);
    assert!(blobs.get(&[]).is_empty());
    let vectors: Table<Vec<u8>, ()> = Table::new("vectors");
    assert_eq!(Probe::new(&vectors).insert(b"x", ())?, (b"x".to_vec(), vec![]));
    let hashes: Table<[u8; 4], [u8; 2]> = Table::new("hashes");
    assert_eq!(Probe::new(&hashes).insert(b"hash", b"ab")?, (b"hash".to_vec(), b"ab".to_vec()));
    assert_eq!(Probe::new(&hashes).prefix(b"ha"), b"ha");
    assert_eq!(Probe::new(&hashes).range([0; 4]..).0, Bound::Included(vec![0; 4]));
    Ok(())
}

#[test]
fn tuples_take_what_their_elements_take() -> Result<()> {
    let words = Probe::new(&WORDS);
    let word = String::from("word");
    assert_eq!(words.get(("word", 5, 6)), words.get((word.clone(), 5u64, 6u64)));
    assert_eq!(words.get(&(&word, &5, 6)), words.get(("word", 5, 6)));
    assert_eq!(words.insert(("word", 5, 6), (1815, "Ada"))?.1, b"\x17\x07\0\0Ada");
    assert_eq!(words.insert(("word", 5, 6), &(1815, &word))?.1, b"\x17\x07\0\0word");
    Ok(())
}

#[test]
fn keys_in_other_orders_take_what_stands_for_them() {
    let names: Table<NoCase, ()> = Table::new("names");
    let names = Probe::new(&names);
    assert_eq!(names.get("Ada"), b"ada");
    assert_eq!(names.get(String::from("ADA")), names.get(NoCase::new("ada")));
    assert_eq!(names.range("A".."B").0, Bound::Included(b"a".to_vec()));
    assert_eq!(names.prefix(&String::from("AD")), b"ad");
    let hosts: Table<BytesFromEnd, ()> = Table::new("hosts");
    let hosts = Probe::new(&hosts);
    assert_eq!(hosts.get(b"org"), b"gro");
    assert_eq!(hosts.get(vec![1, 2]), hosts.get(BytesFromEnd::from(&[1, 2])));
    assert_eq!(hosts.prefix(&b"org"[..]), b"gro");
    let newest: Table<(String, Reverse<u64>, Reverse<String>), ()> = Table::new("newest");
    let newest = Probe::new(&newest);
    assert_eq!(
        newest.get(("a", Reverse(1), Reverse("b"))),
        newest.get(("a", Reverse(1u64), Reverse(String::from("b"))))
    );
    assert_eq!(newest.prefix(("a", Reverse(0))), b"a\0\0\xff\xff\xff\xff\xff\xff\xff\xff");
}

#[test]
fn pointers_stand_for_what_they_point_to() -> Result<()> {
    let users = Probe::new(&USERS);
    let shared: Arc<str> = "ada".into();
    assert_eq!(users.get(&shared), b"ada");
    assert_eq!(users.get(shared.clone()), b"ada");
    assert_eq!(users.get(Box::<str>::from("ada")), b"ada");
    assert_eq!(users.get(Cow::Borrowed("ada")), b"ada");
    assert_eq!(users.prefix(&shared), b"ada");
    assert_eq!(users.insert("ada", Arc::<[u8]>::from([1, 2]))?.1, [1, 2]);
    assert_eq!(users.insert("ada", Cow::Borrowed(&[1, 2][..]))?.1, [1, 2]);
    let names: Table<Arc<str>, Box<[u8]>> = Table::new("names");
    let names = Probe::new(&names);
    assert_eq!(names.get("ada"), b"ada");
    assert_eq!(names.insert(&shared, vec![1, 2])?.1, [1, 2]);
    assert_eq!(Probe::new(&HITS).get(Box::new(7)), Probe::new(&HITS).get(7));
    Ok(())
}

#[test]
fn vectors_and_arrays_take_what_their_elements_take() -> Result<()> {
    let bytes: Table<Vec<u8>, Vec<u8>> = Table::new("bytes");
    let bytes = Probe::new(&bytes);
    assert_eq!(bytes.insert(vec![1, 2], vec![1, 2])?, (vec![1, 2], vec![1, 2]));
    assert_eq!(bytes.insert([1, 2], &[1, 2][..])?, (vec![1, 2], vec![1, 2]));
    let vectors: Table<Vec<u16>, Vec<f32>> = Table::new("vectors");
    let vectors = Probe::new(&vectors);
    assert_eq!(vectors.insert([1, 2], [0.5, 0.5])?, vectors.insert(vec![1, 2], vec![0.5, 0.5])?);
    assert_eq!(vectors.insert(&[1, 2], &[0.5])?, vectors.insert(&[1, 2][..], &[0.5][..])?);
    assert_eq!(vectors.insert([0; 0], [0.0; 0])?, (vec![], vec![]));
    assert!(vectors.get([1, 2, 3]).starts_with(&vectors.prefix([1, 2])));
    assert!(!vectors.get([12]).starts_with(&vectors.prefix([1])));
    let texts: Table<[String; 2], Vec<String>> = Table::new("texts");
    let texts = Probe::new(&texts);
    assert_eq!(texts.insert(["a", "b"], ["c"])?, (b"a\0\0b".to_vec(), b"\x01c".to_vec()));
    assert_eq!(
        texts.insert([String::from("a"), String::from("b")], vec![&"c"])?,
        texts.insert(["a", "b"], ["c"])?
    );
    Ok(())
}

#[test]
fn ranges_of_every_notation() {
    let (a, c) = (b"a".to_vec(), b"c".to_vec());
    let users = Probe::new(&USERS);
    assert_eq!(users.range("a".."c"), (Bound::Included(a.clone()), Bound::Excluded(c.clone())));
    assert_eq!(users.range("a"..="c"), (Bound::Included(a.clone()), Bound::Included(c.clone())));
    assert_eq!(users.range(.."c"), (Bound::Unbounded, Bound::Excluded(c.clone())));
    assert_eq!(users.range(..="c"), (Bound::Unbounded, Bound::Included(c.clone())));
    assert_eq!(users.range("a"..), (Bound::Included(a.clone()), Bound::Unbounded));
    assert_eq!(users.range(..), (Bound::Unbounded, Bound::Unbounded));
    assert_eq!(users.range(String::from("a")..String::from("c")), users.range("a".."c"));
    assert_eq!(users.range(&String::from("a")..&String::from("c")), users.range("a".."c"));
    assert_eq!(users.range(&("a".."c")), users.range("a".."c"));
    let bounds = (Bound::Excluded("a"), Bound::Unbounded);
    assert_eq!(users.range(bounds), (Bound::Excluded(a), Bound::Unbounded));

    let hits = Probe::new(&HITS);
    assert_eq!(hits.range(1..5), hits.range(&1..&5));
    assert_eq!(hits.range(1..5), hits.range(1u64..5u64));

    let words = Probe::new(&WORDS);
    let (start, end) = words.range(("word", 0, 0)..("word", 9, 0));
    assert_eq!(start, Bound::Included(words.get(("word", 0, 0))));
    assert_eq!(end, Bound::Excluded(words.get(("word", 9, 0))));
}

#[test]
fn prefixes_of_text_bytes_and_tuples() {
    let users = Probe::new(&USERS);
    assert_eq!(users.prefix("ad"), b"ad");
    assert_eq!(users.prefix(&String::from("ad")), b"ad");
    assert_eq!(Probe::new(&BLOBS).prefix(b"ad"), b"ad");

    let words = Probe::new(&WORDS);
    assert_eq!(words.prefix(("word",)), b"word\0\0");
    assert_eq!(words.prefix(&("word",)), b"word\0\0");
    assert_eq!(words.prefix(("word", 7)), b"word\0\0\0\0\0\0\0\0\0\x07");
    assert!(words.get(("word", 7, 9)).starts_with(&words.prefix(("word", 7))));
    assert!(!words.get(("words", 7, 9)).starts_with(&words.prefix(("word",))));
}

#[test]
fn a_table_definition_needs_nothing_of_its_types() {
    fn check<T: Clone + std::fmt::Debug + Send + Sync>(_: &T) {}
    struct Neither(PhantomData<*const u8>);
    let table: Table<Neither, Neither> = Table::new("t");
    check(&table);
    assert_eq!(format!("{:?}", table.clone()), r#"Table("t")"#);
}
