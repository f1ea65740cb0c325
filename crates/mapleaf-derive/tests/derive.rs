//! What the macros generate: order, round trips, names, bytes that are no encoding, and what stands for a key.

use std::cmp::Reverse;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::thread::ThreadId;
use std::time::Duration;

use mapleaf::{
    Db, Element, EncodeKey, EncodeValue, Error, Key, KeyBytes, MultimapTable, NoCase, Table, Value,
};

#[derive(Key, Value, Element, Clone, PartialEq, PartialOrd, Debug)]
struct Visit {
    page: String,
    day: u32,
}

#[derive(Key, Value, Clone, Copy, PartialEq, PartialOrd, Debug)]
struct UserId(u64);

#[derive(Key, Value, Clone, Copy, PartialEq, PartialOrd, Debug)]
struct Marker;

#[derive(Key, Value, Clone, PartialEq, PartialOrd, Debug)]
enum Event {
    Login { user: String, from: [u8; 2] },
    Paid(i32, Option<String>),
    Text(String),
    Logout,
}

#[derive(Key, Value, Clone, Copy, PartialEq, Debug)]
enum Level {
    Low,
    #[mapleaf(tag = 9)]
    High,
    Higher,
    #[mapleaf(tag = 1)]
    Middle,
}

#[derive(Key, Value, Clone, PartialEq, PartialOrd, Debug)]
#[mapleaf(name = "pair-2")]
struct Pair<A, B>
where
    A: Clone,
{
    r#type: A,
    more: Vec<B>,
}

#[derive(Key, Value, Clone, Copy, PartialEq, PartialOrd, Debug)]
struct Id<T, const N: usize>([u16; N], PhantomData<T>);

mod elsewhere {
    #[derive(mapleaf::Key, mapleaf::Value, Clone, PartialEq, PartialOrd, Debug)]
    pub(super) struct Visit {
        pub(super) page: String,
        pub(super) day: u32,
    }
}

/// In ascending order.
fn events() -> Vec<Event> {
    let login = |user: &str, from| Event::Login { user: user.into(), from };
    vec![
        login("", [0, 0]),
        login("a", [0, 1]),
        login("a", [1, 0]),
        login("a\0", [0, 0]),
        login("ab", [0, 0]),
        Event::Paid(-1, Some("x".into())),
        Event::Paid(0, None),
        Event::Paid(0, Some(String::new())),
        Event::Text(String::new()),
        Event::Text("z".into()),
        Event::Logout,
    ]
}

fn key_bytes<K: Key + EncodeKey<K>>(key: &K) -> Vec<u8> {
    key.encode_key().to_vec()
}

/// Keys sort as their values do, alone and before something else, and come back.
#[track_caller]
fn keys_ascend<K>(keys: &[K])
where
    K: Key<Owned = K> + EncodeKey<K> + Clone + PartialEq + Debug,
{
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(K::decode(KeyBytes::from(&key_bytes(key)[..])).unwrap(), *key);
        for other in &keys[index + 1..] {
            assert!(key_bytes(key) < key_bytes(other), "{key:?} {other:?}");
            let inner = |key: &K, number: u8| key_bytes(&(key.clone(), number));
            assert!(inner(key, 255) < inner(other, 0), "{key:?} {other:?}");
            let reversed = |key: &K| key_bytes(&Reverse(key.clone()));
            assert!(reversed(key) > reversed(other), "{key:?} {other:?}");
        }
    }
}

#[track_caller]
fn values_come_back<V>(values: &[V])
where
    V: Value<Owned = V> + EncodeValue<V> + Clone + PartialEq + Debug,
{
    for value in values {
        let bytes = value.encode_value().unwrap().to_vec();
        assert!(V::FIXED_SIZE.is_none_or(|size| size == bytes.len()), "{value:?}");
        assert_eq!(V::into_owned(V::decode(&bytes).unwrap()), *value);
        let pair = (value.clone(), value.clone());
        let bytes = EncodeValue::<(V, V)>::encode_value(&pair).unwrap().to_vec();
        assert_eq!(<(V, V)>::into_owned(<(V, V)>::decode(&bytes).unwrap()), pair);
    }
}

fn visit(page: &str, day: u32) -> Visit {
    Visit { page: page.into(), day }
}

#[test]
fn keys_are_ordered_by_their_fields() {
    keys_ascend(&[visit("", 7), visit("a", 1), visit("a", 2), visit("a\0", 0), visit("ab", 0)]);
    keys_ascend(&[UserId(0), UserId(7), UserId(u64::MAX)]);
    keys_ascend(&events());
    keys_ascend(&[Level::Low, Level::Middle, Level::High, Level::Higher]);
    let pair = |kind: i8, more: &[&str]| Pair {
        r#type: kind,
        more: more.iter().map(|text| text.to_string()).collect(),
    };
    keys_ascend(&[pair(-1, &["z"]), pair(0, &[]), pair(0, &["a"]), pair(0, &["a", "a"]), pair(0, &["b"])]);
    keys_ascend(&[Id::<ThreadId, 2>([0, 1], PhantomData), Id([0, 2], PhantomData), Id([1, 0], PhantomData)]);
}

#[test]
fn values_are_read_back() {
    values_come_back(&[visit("", 7), visit("home", 1)]);
    values_come_back(&[UserId(7)]);
    values_come_back(&[Marker]);
    values_come_back(&events());
    values_come_back(&[Level::Low, Level::Higher]);
    values_come_back(&[Pair { r#type: "x".to_owned(), more: vec![1.5f32, 2.5] }]);
    values_come_back(&[Id::<ThreadId, 2>([0, 1], PhantomData)]);
    let sizes =
        [UserId::FIXED_SIZE, Marker::FIXED_SIZE, Level::FIXED_SIZE, Visit::FIXED_SIZE, Event::FIXED_SIZE];
    assert_eq!(sizes, [Some(8), Some(0), Some(1), None, None]);
}

/// A derived value is encoded as the tuple of its fields; so are keys.
#[test]
fn encodings_are_those_of_tuples() {
    let bytes = EncodeValue::<Visit>::encode_value(&visit("ab", 7)).unwrap().to_vec();
    assert_eq!(bytes, b"\x02ab\x07\0\0\0");
    assert_eq!(key_bytes(&visit("a\0b", 7)), b"a\0\xffb\0\0\0\0\0\x07");
    assert_eq!(key_bytes(&Event::Paid(1, Some("x".into()))), b"\x01\x80\0\0\x01\x01x");
    let paid = Event::Paid(1, Some("x".into())).encode_value().unwrap().to_vec();
    assert_eq!(paid, b"\x01\x01\0\0\0\x01x");
    assert_eq!(key_bytes(&Level::Middle), [1]);
    assert!(key_bytes(&Marker).is_empty());
    // A struct of one field is not copied if its field is not.
    #[derive(Key, Value, Clone, PartialEq, Debug)]
    struct Name(String);
    let name = Name("a\0b".into());
    assert_eq!(name.encode_key().as_ptr(), name.0.as_ptr());
    assert_eq!(name.encode_value().unwrap().as_ptr(), name.0.as_ptr());
    keys_ascend(&[name.clone(), Name("b".into())]);
    values_come_back(&[name]);
}

#[test]
fn names_are_the_type_s_own_and_its_shape() {
    fn check<T: Key + Value>(name: &str) {
        assert_eq!((&*<T as Key>::type_name(), &*<T as Value>::type_name()), (name, name));
    }
    check::<Visit>("Visit{page:str,day:u32}");
    check::<elsewhere::Visit>("Visit{page:str,day:u32}");
    check::<UserId>("UserId(u64)");
    check::<Marker>("Marker()");
    check::<Event>("Event[0:Login{user:str,from:[u8;2]},1:Paid(i32,option<str>),2:Text(str),3:Logout]");
    check::<Level>("Level[0:Low,1:Middle,9:High,10:Higher]");
    check::<Pair<u8, Visit>>("pair-2{type:u8,more:vec<Visit{page:str,day:u32}>}");
    check::<Id<String, 2>>("Id([u16;2])");
    check::<(UserId, Vec<Visit>)>("(UserId(u64),vec<Visit{page:str,day:u32}>)");
}

#[test]
fn bytes_that_no_value_has() {
    let key_error = |bytes: &[u8]| <Event as Key>::decode(KeyBytes::from(bytes)).unwrap_err();
    let value_error = |bytes: &[u8]| <Event as Value>::decode(bytes).unwrap_err();
    for bytes in [&[4][..], &[255, 0]] {
        let tag = format!("no variant with the tag {}", bytes[0]);
        for error in [key_error(bytes), value_error(bytes)] {
            assert!(matches!(error, Error::Decode { .. }) && error.to_string().contains(&tag), "{error}");
            assert!(error.to_string().contains("Event["), "{error}");
        }
    }
    for bytes in [&[][..], &[3, 0], &[0], &[1, 0, 0], &[2, 0xff]] {
        assert!(matches!(key_error(bytes), Error::Decode { .. }), "{bytes:?}");
        assert!(matches!(value_error(bytes), Error::Decode { .. }), "{bytes:?}");
    }
    assert!(
        <Marker as Value>::decode(&[0]).is_err() && <Marker as Key>::decode(KeyBytes::from(&[0])).is_err()
    );
    assert!(<Level as Value>::decode(&[2]).is_err() && <Level as Value>::decode(&[1, 1]).is_err());
    // No byte sequence makes it panic, and what can be decoded has no other encoding.
    for seed in 0..20_000u32 {
        let bytes: Vec<u8> =
            (0..seed % 9).map(|at| [0, 1, 2, 3, b'a', 0xff][(seed >> (2 * at)) as usize % 6]).collect();
        if let Ok(event) = <Event as Key>::decode(KeyBytes::from(&bytes[..])) {
            assert_eq!(key_bytes(&event), bytes);
        }
        if let Ok(event) = <Event as Value>::decode(&bytes) {
            assert_eq!(*event.encode_value().unwrap(), bytes);
        }
    }
}

const VISITS: Table<Visit, Event> = Table::new("visits");

#[test]
fn tuples_stand_for_fields() -> mapleaf::Result<()> {
    const PAIRS: Table<Pair<u8, String>, ()> = Table::new("pairs");
    const USERS: Table<UserId, Visit> = Table::new("users");
    const SAMPLES: Table<u64, Pair<String, f32>> = Table::new("samples");
    let db = Db::in_memory()?;
    db.update(|tx| {
        let mut visits = tx.table(&VISITS)?;
        for (page, day) in [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)] {
            visits.insert((page, day), Event::Logout)?;
        }
        visits.insert(visit("b", 3), Event::Text("x".into()))?;
        tx.table(&PAIRS)?.insert((1, ["x", "y"]), ())?;
        tx.table(&USERS)?.insert((7,), visit("a", 1))?;
        tx.table(&USERS)?.insert(UserId(8), ("b", 2))?;
        tx.table(&SAMPLES)?.insert(1, (String::from("x"), [0.5, 1.5])).map(drop)
    })?;
    let rx = db.read()?;
    let visits = rx.table(&VISITS)?;
    assert_eq!(visits.get(visit("b", 3))?, Some(Event::Text("x".into())));
    assert_eq!(visits.get(("b", 3))?, visits.get(visit("b", 3))?);
    assert_eq!(visits.prefix(("b",)).count(), 3);
    assert_eq!(visits.range(("b",)..).count(), 4);
    assert_eq!(visits.range(..=("b",)).count(), 5);
    assert_eq!(visits.range(("a", 2)..("b", 2)).count(), 2);
    assert_eq!(visits.range(visit("a", 2)..visit("b", 2)).count(), 2);
    assert_eq!(rx.table(&PAIRS)?.prefix((1,)).count(), 1);
    assert_eq!(rx.table(&USERS)?.get(UserId(7))?, Some(visit("a", 1)));
    assert_eq!(rx.table(&USERS)?.get((8,))?, Some(visit("b", 2)));
    assert_eq!(rx.table(&SAMPLES)?.get(1)?, Some(Pair { r#type: "x".to_owned(), more: vec![0.5, 1.5] }));
    Ok(())
}

#[test]
fn keys_and_values_of_multimap_tables() -> mapleaf::Result<()> {
    const VISITORS: MultimapTable<Visit, Event> = MultimapTable::new("visitors");
    let db = Db::in_memory()?;
    db.update(|tx| {
        let mut visitors = tx.multimap(&VISITORS)?;
        for event in events().into_iter().rev() {
            visitors.insert(("a", 1), &event)?;
            visitors.insert(visit("b", 2), event)?;
        }
        Ok(())
    })?;
    let rx = db.read()?;
    let visitors = rx.multimap(&VISITORS)?;
    assert_eq!(visitors.get(("a", 1)).collect::<mapleaf::Result<Vec<_>>>()?, events());
    assert_eq!(visitors.range(("b",)..).count(), events().len());
    assert_eq!(visitors.keys().collect::<mapleaf::Result<Vec<_>>>()?, [visit("a", 1), visit("b", 2)]);
    Ok(())
}

/// A type that moved opens its table; one that has changed, or was renamed, does not, until the table was given its
/// name.
#[test]
fn changed_types_are_refused() -> mapleaf::Result<()> {
    const MOVED: Table<elsewhere::Visit, Event> = Table::new("visits");
    mod later {
        #[derive(mapleaf::Key, Debug, PartialEq)]
        pub(super) struct Visit {
            pub(super) page: String,
            pub(super) date: u32,
        }

        #[derive(mapleaf::Key)]
        pub(super) struct Hit {
            pub(super) page: String,
            pub(super) day: u32,
        }

        #[derive(mapleaf::Key)]
        #[mapleaf(name = "Visit")]
        pub(super) struct Renamed {
            pub(super) page: String,
            pub(super) day: u32,
        }
    }
    const CHANGED: Table<later::Visit, Event> = Table::new("visits");
    const UNNAMED: Table<later::Hit, Event> = Table::new("visits");
    const NAMED: Table<later::Renamed, Event> = Table::new("visits");
    let db = Db::in_memory()?;
    db.update(|tx| tx.table(&VISITS)?.insert(visit("a", 1), Event::Logout))?;
    let rx = db.read()?;
    let (moved, _) = rx.table(&MOVED)?.first()?.unwrap();
    assert_eq!((&moved.page[..], moved.day), ("a", 1));
    let (named, _) = rx.table(&NAMED)?.first()?.unwrap();
    assert_eq!((&named.page[..], named.day), ("a", 1));
    assert!(matches!(rx.table(&UNNAMED), Err(Error::TableTypeMismatch { .. })));
    let error = rx.table(&CHANGED).unwrap_err();
    assert!(error.to_string().contains("Visit{page:str,date:u32}"), "{error}");
    drop(rx);
    let names = (<Visit as Key>::type_name(), <Event as Value>::type_name());
    assert!(db.update(|tx| tx.retype_table(&CHANGED, (&names.0, &names.1)))?);
    let (changed, _) = db.read()?.table(&CHANGED)?.first()?.unwrap();
    assert_eq!(changed, later::Visit { page: "a".into(), date: 1 });
    Ok(())
}

/// Each kind of field that the library knows, and more fields than a tuple has.
#[test]
fn many_fields() {
    #[derive(Key, Value, Clone, PartialEq, Debug)]
    struct Wide {
        a: u8,
        b: i128,
        c: f64,
        d: char,
        e: (bool, String),
        f: [String; 2],
        g: Duration,
        h: Option<UserId>,
        i: std::net::IpAddr,
        j: Vec<Level2>,
        k: Box<str>,
        l: usize,
        m: (),
        n: Reverse<String>,
    }
    #[derive(Key, Value, Element, Clone, PartialEq, Debug)]
    enum Level2 {
        Low,
        High(u8),
    }
    #[derive(Key, Clone, PartialEq, Debug)]
    struct WithoutCase(NoCase, u8);

    let wide = Wide {
        a: 1,
        b: -2,
        c: 0.5,
        d: 'ß',
        e: (true, "e".into()),
        f: ["f".into(), String::new()],
        g: Duration::new(7, 8),
        h: Some(UserId(9)),
        i: [10, 0, 0, 1].into(),
        j: vec![Level2::Low, Level2::High(3)],
        k: "k".into(),
        l: 12,
        m: (),
        n: Reverse("n".into()),
    };
    values_come_back(std::slice::from_ref(&wide));
    keys_ascend(&[wide.clone(), Wide { n: Reverse("m".into()), ..wide }]);
    keys_ascend(&[WithoutCase("A".into(), 1), WithoutCase("a".into(), 2), WithoutCase("b".into(), 0)]);
}
