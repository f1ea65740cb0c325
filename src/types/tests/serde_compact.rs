//! Values by serde in the compact format.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::*;
use crate::base::property::cases;
use crate::{Error, Result};

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct User {
    born: u32,
    tags: Vec<String>,
    parent: Option<Box<User>>,
}

/// The text of the error that putting `value` is.
fn refusal<T: Serialize + DeserializeOwned>(value: T) -> String {
    match EncodeValue::<Serde<T>>::encode_value(&Serde(value)) {
        Err(error @ Error::Encode { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(bytes) => panic!("it is stored as {bytes:x?}"),
    }
}

fn come_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
    let bytes = value_bytes::<Serde<T>>(Serde(&value));
    assert_eq!(Serde::<T>::decode(&bytes).unwrap(), value);
}

#[test]
fn values_come_back() -> Result<()> {
    let ada = User { born: 1815, tags: vec!["mathematician".into()], parent: None };
    let user = User { born: 1843, tags: vec![], parent: Some(Box::new(ada)) };
    let bytes = value_bytes::<Serde<User>>(Serde(&user));
    assert_eq!(bytes, value_bytes::<Serde<User>>(Serde(user.clone())));
    assert_eq!(Serde::<User>::decode(&bytes)?, user);

    type Pair = (Serde<User>, u8);
    let bytes = value_bytes::<Pair>((Serde(&user), 7));
    assert_eq!(<Pair as Value>::decode(&bytes)?, (user, 7));
    Ok(())
}

#[test]
fn the_encoding_and_the_name_are_fixed() {
    let user = User { born: 300, tags: vec!["a".into()], parent: None };
    assert_eq!(value_bytes::<Serde<User>>(Serde(&user)), [0xac, 0x02, 1, 1, b'a', 0]);
    assert_eq!(Serde::<User>::type_name(), "serde");
}

#[test]
fn what_has_no_order_of_its_own_comes_back() {
    // Each map and set is read back with another seed, and so in another order.
    come_back((0..100).map(|number| (number, vec![number; 3])).collect::<HashMap<u32, Vec<u32>>>());
    come_back((0..100u64).map(|number| number.to_string()).collect::<HashSet<String>>());
    come_back(Some(Some(None::<()>)));
    come_back((Some(()), None::<()>, f32::MAX, i128::MIN, u128::MAX, 'ß'));
    come_back(BTreeMap::from([((1u8, -1i64), "a".to_owned()), ((2, 0), String::new())]));
}

#[test]
fn keys_that_came_back_are_text_and_bytes() {
    come_back((KeyStr::from("a"), KeyBytes::from(b"\0\xff")));
    assert_eq!(value_bytes::<Serde<KeyStr>>(Serde(KeyStr::from("ada"))), b"\x03ada");
    let keys = (KeyStr::from("é"), KeyBytes::from(b"\0\xff"));
    let json = serde_json::to_string(&keys).unwrap();
    assert_eq!(json, r#"["é",[0,255]]"#);
    assert_eq!(serde_json::from_str::<(KeyStr, KeyBytes)>(&json).unwrap(), keys);
}

#[test]
fn a_value_that_cannot_be_encoded_is_an_error() {
    #[derive(Deserialize)]
    struct Refuses;

    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    let error = refusal(Refuses);
    assert!(error.contains("Refuses") && error.ends_with("no"), "{error}");
}

mod faults {
    //! What the format cannot hold, each of which was stored before, and could not be read, or was read as another
    //! value.

    use super::*;

    /// The text names the cause, and what to use instead.
    #[track_caller]
    fn blames(text: &str, causes: &[&str]) {
        for cause in causes {
            assert!(text.contains(cause), "not {cause}: {text}");
        }
    }

    fn three() -> u8 {
        3
    }

    fn is_zero(number: &u8) -> bool {
        *number == 0
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Job {
        #[serde(default = "three", skip_serializing_if = "is_zero")]
        retries: u8,
        payload: Vec<u8>,
    }

    #[test]
    fn skip_serializing_if() {
        // It would be read back as { 3, [9, 9] }.
        let error = refusal(Job { retries: 0, payload: vec![2, 9, 9] });
        blames(&error, &["skip_serializing_if", "`retries` of `Job`", "MessagePack"]);
        come_back(Job { retries: 1, payload: vec![2, 9, 9] });

        #[derive(Serialize, Deserialize)]
        enum Step {
            Run {
                #[serde(default, skip_serializing_if = "is_zero")]
                times: u8,
            },
        }
        blames(&refusal(Step::Run { times: 0 }), &["skip_serializing_if", "`times` of `Run`"]);

        // serde does not say of fields without names that it leaves one out.
        #[derive(Serialize, Deserialize)]
        struct Pair(
            #[serde(default = "three", skip_serializing_if = "is_zero")] u8,
            #[serde(default)] Vec<u8>,
        );
        blames(&refusal(Pair(0, vec![2, 9, 9])), &["reads back as another value", "left out"]);
    }

    #[test]
    fn skipped_in_one_direction() {
        #[derive(Serialize, Deserialize)]
        struct Written {
            #[serde(skip_deserializing)]
            cache: u8,
            payload: Vec<u8>,
        }
        refusal(Written { cache: 1, payload: vec![7] });
        // Read back as [9], with a byte left.
        refusal(Written { cache: 0, payload: vec![] });

        #[derive(Serialize, Deserialize)]
        struct Read {
            #[serde(skip_serializing)]
            #[expect(dead_code)]
            cache: u8,
            payload: Vec<u8>,
        }
        blames(&refusal(Read { cache: 0, payload: vec![1, 5] }), &["another value", "skip_serializing"]);

        // serde counts all variants when it writes, and those that are not skipped when it reads.
        #[derive(Serialize, Deserialize)]
        enum Shifted {
            #[serde(skip)]
            #[expect(dead_code)]
            Internal,
            First,
            Second,
        }
        refusal(Shifted::First);
        refusal(Shifted::Second);
    }

    #[test]
    fn flatten() {
        #[derive(Serialize, Deserialize)]
        struct Inner {
            width: u8,
        }
        #[derive(Serialize, Deserialize)]
        struct Outer {
            id: u32,
            #[serde(flatten)]
            inner: Inner,
        }
        blames(&refusal(Outer { id: 1, inner: Inner { width: 2 } }), &["flatten", "MessagePack"]);
    }

    #[test]
    fn tag() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        #[serde(tag = "kind")]
        enum Event {
            Login { user: String },
            Logout,
        }
        blames(&refusal(Event::Login { user: "ada".into() }), &["tag", "`Event`", "MessagePack"]);
        blames(&refusal(vec![Some(Event::Logout)]), &["tag", "`Event`"]);

        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        #[serde(tag = "kind", content = "of")]
        enum Adjacent {
            Login { user: String },
            Logout,
        }
        blames(&refusal(Adjacent::Login { user: "ada".into() }), &["tag = .., content = ..", "MessagePack"]);
        refusal(Adjacent::Logout);
    }

    #[test]
    fn untagged() {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Id {
            Number(u64),
            Name(String),
        }
        blames(&refusal(Id::Number(7)), &["untagged", "MessagePack"]);
        blames(&refusal((1u8, Id::Name("ada".into()))), &["untagged"]);
    }

    #[test]
    fn json_values() {
        #[derive(Serialize, Deserialize)]
        struct Document {
            body: serde_json::Value,
        }
        let body = serde_json::json!({ "a": [1, null] });
        blames(&refusal(Document { body: body.clone() }), &["serde_json::Value", "MessagePack"]);
        blames(&refusal(body), &["serde_json::Value"]);
    }

    #[test]
    fn lengths_that_are_not_known() {
        #[derive(Deserialize)]
        struct Odd(#[expect(dead_code)] Vec<u32>);

        impl Serialize for Odd {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.collect_seq((0..10).filter(|number| number % 2 == 1))
            }
        }
        blames(&refusal(Odd(vec![])), &["length"]);
    }

    #[test]
    fn elements_without_bytes() {
        blames(&refusal(vec![(); 3]), &["elements that take no bytes"]);
        come_back(Vec::<()>::new());
    }

    #[test]
    fn what_is_written_in_another_way_than_it_is_read() {
        mod seconds {
            use serde::{Deserialize, Deserializer, Serializer};

            pub(super) fn serialize<S: Serializer>(number: &u8, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u8(number + 1)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
                u8::deserialize(deserializer)
            }
        }
        #[derive(Serialize, Deserialize)]
        struct Clock(#[serde(with = "seconds")] u8);
        blames(&refusal(Clock(1)), &["another value", "serialize_with"]);

        #[derive(Serialize, Deserialize)]
        struct Even(#[serde(deserialize_with = "even")] u8);

        fn even<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<u8, D::Error> {
            let number = u8::deserialize(deserializer)?;
            match number % 2 {
                0 => Ok(number),
                _ => Err(serde::de::Error::custom("it is odd")),
            }
        }
        // The type is the same, and the shape: it depends on the value alone.
        EncodeValue::<Serde<Even>>::encode_value(&Serde(Even(4))).unwrap();
        blames(&refusal(Even(5)), &["cannot read what", "it is odd"]);
    }
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
enum Node {
    Unit,
    Number(i64),
    Pair(u16, i16),
    Fields { small: (u8, i8), wide: (u128, i128), name: char },
    Inside(Box<Node>),
    Many(Vec<Node>),
    Map(BTreeMap<i32, Option<String>>),
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Node::Unit),
        samples::i64().prop_map(Node::Number),
        (samples::u16(), samples::i16()).prop_map(|(a, b)| Node::Pair(a, b)),
        ((samples::u8(), samples::i8()), (samples::u128(), samples::i128()), any::<char>())
            .prop_map(|(small, wide, name)| Node::Fields { small, wide, name }),
        prop::collection::btree_map(samples::i32(), prop::option::of(samples::text()), 0..4)
            .prop_map(Node::Map),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|node| Node::Inside(Box::new(node))),
            prop::collection::vec(inner, 0..4).prop_map(Node::Many),
        ]
    })
}

proptest! {
    #![proptest_config(cases(256))]

    /// The bytes are postcard's, in both directions.
    #[test]
    fn the_format_is_that_of_postcard(node in node()) {
        let bytes = value_bytes::<Serde<Node>>(Serde(&node));
        prop_assert_eq!(&postcard::to_stdvec(&node).unwrap(), &bytes);
        prop_assert_eq!(&postcard::from_bytes::<Node>(&bytes).unwrap(), &node);
        prop_assert_eq!(Serde::<Node>::decode(&bytes).unwrap(), node);
    }

    /// What decodes at all is what postcard makes of the same bytes.
    #[test]
    fn hostile_bytes_are_a_value_or_an_error(bytes in samples::noise()) {
        match Serde::<Node>::decode(&bytes) {
            Ok(node) => {
                prop_assert_eq!(&postcard::from_bytes::<Node>(&bytes).unwrap(), &node);
                prop_assert_eq!(value_bytes::<Serde<Node>>(Serde(node)), bytes);
            }
            Err(Error::Decode { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn hostile_floats_and_flags(bytes in samples::noise()) {
        match Serde::<(bool, f32, f64, Option<bool>)>::decode(&bytes) {
            Ok(_) | Err(Error::Decode { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}

#[test]
fn numbers_that_are_too_large_or_too_long() {
    for bytes in
        [&[0x80, 0x80, 0x04][..], &[0xff, 0xff, 0x07], &[0x80, 0x80, 0x80, 0x01], &[0x80, 0x00], &[0x80]]
    {
        assert!(Serde::<u16>::decode(bytes).is_err(), "{bytes:x?}");
    }
    assert_eq!(Serde::<u16>::decode(&[0xff, 0xff, 0x03]).unwrap(), u16::MAX);
    let mut most = [0xff; 19];
    most[18] = 0x03;
    assert_eq!(Serde::<u128>::decode(&most).unwrap(), u128::MAX);
    most[18] = 0x04;
    assert!(Serde::<u128>::decode(&most).is_err());
}

/// Before, a few hundred kilobytes of these ended the process: its stack was used up.
#[test]
fn values_deep_in_each_other() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Chain(Option<Box<Chain>>);

    fn chain(length: usize) -> Chain {
        (0..length).fold(Chain(None), |rest, _| Chain(Some(Box::new(rest))))
    }

    let mut bytes = vec![1; 1_000_000];
    bytes.push(0);
    let error = Serde::<Chain>::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("more than 256 values in each other"), "{error}");
    come_back(chain(100));
    assert!(refusal(chain(300)).contains("more than 256 values in each other"));
}

/// A length that the bytes cannot have is an error before anything is made of it.
#[test]
fn lengths_beyond_the_end() {
    let bytes = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    assert!(Serde::<Vec<()>>::decode(&bytes).is_err());
    assert!(Serde::<Vec<u64>>::decode(&bytes).is_err());
    assert!(Serde::<String>::decode(&bytes).is_err());
    assert!(Serde::<BTreeMap<(), ()>>::decode(&bytes).is_err());
}
