//! Values by serde with the names of their fields, as MessagePack.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;
use crate::Error;
use crate::base::property::cases;

#[track_caller]
fn come_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
    let bytes = value_bytes::<MessagePack<T>>(MessagePack(&value));
    assert_eq!(MessagePack::<T>::decode(&bytes).unwrap(), value);
}

/// The text of the error that putting `value` is.
#[track_caller]
fn refusal<T: Serialize + DeserializeOwned>(value: T) -> String {
    match EncodeValue::<MessagePack<T>>::encode_value(&MessagePack(value)) {
        Err(error @ Error::Encode { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(bytes) => panic!("it is stored as {bytes:x?}"),
    }
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct User {
    born: u16,
    name: String,
}

#[test]
fn the_encoding_and_the_name_are_fixed() {
    let user = User { born: 1815, name: "ada".into() };
    let bytes = value_bytes::<MessagePack<User>>(MessagePack(&user));
    assert_eq!(bytes, b"\x82\xa4born\xcd\x07\x17\xa4name\xa3ada");
    assert_eq!(MessagePack::<User>::type_name(), "messagepack");
    type Pair = (MessagePack<User>, u8);
    let bytes = value_bytes::<Pair>((MessagePack(&user), 7));
    assert_eq!(<Pair as Value>::decode(&bytes).unwrap(), (user, 7));
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

fn three() -> u8 {
    3
}

#[test]
fn the_attributes_of_serde() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Job {
        #[serde(default, skip_serializing_if = "is_zero")]
        retries: u8,
        payload: Vec<u8>,
        #[serde(skip)]
        cache: u8,
        #[serde(rename = "type")]
        kind: char,
    }
    come_back(Job { retries: 0, payload: vec![2, 9, 9], cache: 0, kind: 'ß' });
    come_back(Job { retries: 1, payload: vec![], cache: 0, kind: 'a' });

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Outer {
        id: u32,
        #[serde(flatten)]
        user: User,
        #[serde(flatten)]
        rest: HashMap<String, serde_json::Value>,
    }
    let rest = (0..20).map(|number| (format!("extra {number}"), json!({ "n": [number, null] }))).collect();
    come_back(Outer { id: 7, user: User { born: 1, name: "a".into() }, rest });

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "kind")]
    enum Event {
        Login { user: String, from: IpAddr },
        Moved(User),
        Logout,
    }
    // An address has two forms, and what serde collects beside a tag always takes the readable one.
    come_back(Event::Login { user: "ada".into(), from: "10.0.0.1".parse().unwrap() });
    come_back(Event::Moved(User { born: 3, name: "b".into() }));
    come_back(vec![Some(Event::Logout)]);

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(tag = "kind", content = "of")]
    enum Adjacent {
        Login { user: String },
        Pair(u8, f32),
        Logout,
    }
    come_back(vec![Adjacent::Login { user: "ada".into() }, Adjacent::Pair(1, 0.1), Adjacent::Logout]);

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Id {
        Number(u64),
        Float(f64),
        Name(String),
        Address { ip: IpAddr, port: u16 },
    }
    come_back(vec![Id::Number(u64::MAX), Id::Float(-0.5), Id::Name("7".into())]);
    come_back(Id::Address { ip: "::1".parse().unwrap(), port: 80 });

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    enum Plain {
        Unit,
        New(Box<Plain>),
        Tuple(u8, i128),
        Struct { a: u128 },
    }
    come_back(vec![
        Plain::Unit,
        Plain::New(Box::new(Plain::Tuple(1, i128::MIN))),
        Plain::Struct { a: u128::MAX },
    ]);
}

#[test]
fn the_types_of_serde() {
    come_back(json!({ "a": [1, -1, 0.5, true, null, "text", {}], "b": u64::MAX }));
    come_back((0..100).map(|number| (number, vec![number; 3])).collect::<HashMap<u32, Vec<u32>>>());
    come_back((0..100).map(|number| (number, number)).collect::<HashSet<(u64, u64)>>());
    come_back(BTreeMap::from([((1u8, -1i64), "a".to_owned()), ((2, 0), String::new())]));
    come_back((Some(1u8), None::<u8>, (), 'ß', i64::MIN, [1.5f32, f32::MAX, f32::MIN_POSITIVE]));
    come_back(vec![(); 3]);
    come_back((Duration::new(1, 2), SystemTime::UNIX_EPOCH + Duration::new(3, 4), Some(Vec::<u8>::new())));
    // No number is equal to itself here.
    let bytes = value_bytes::<MessagePack<(f32, f64)>>(MessagePack((f32::NAN, -f64::NAN)));
    let (small, large) = MessagePack::<(f32, f64)>::decode(&bytes).unwrap();
    assert_eq!((small.to_bits(), large.to_bits()), (f32::NAN.to_bits(), (-f64::NAN).to_bits()));
}

#[test]
fn what_messagepack_cannot_tell_apart() {
    for text in [refusal(Some(None::<u8>)), refusal(vec![Some(())])] {
        assert!(text.contains("another value") && text.contains("`Some(None)`"), "{text}");
    }

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Job {
        #[serde(default = "three", skip_serializing_if = "is_zero")]
        retries: u8,
    }
    come_back(Job { retries: 1 });
    let text = refusal(Job { retries: 0 });
    assert!(text.contains("another value") && text.contains("skip_serializing_if"), "{text}");

    #[derive(Serialize, Deserialize)]
    struct Needed {
        #[serde(skip_serializing_if = "is_zero")]
        retries: u8,
    }
    let text = refusal(Needed { retries: 0 });
    assert!(text.contains("cannot read what") && text.contains("missing field `retries`"), "{text}");

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Wide {
        Number(u128),
    }
    assert!(refusal(Wide::Number(1)).contains("cannot read what"));
}

/// As in the compact format.
#[test]
fn values_deep_in_each_other() {
    let bytes = vec![0x91; 1_000_000];
    let error = MessagePack::<serde_json::Value>::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("depth limit"), "{error}");
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(tag = "t")]
enum Noise {
    A { b: Vec<Option<u8>>, c: HashMap<String, f32> },
    B,
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn hostile_bytes_are_a_value_or_an_error(mut bytes in samples::noise(), prefix in 0..21usize, flip in any::<u8>()) {
        let value = Noise::A { b: vec![None, Some(200)], c: HashMap::from([("x".into(), 1.0)]) };
        let good = value_bytes::<MessagePack<Noise>>(MessagePack(&value));
        let mut damaged = good.clone();
        damaged[prefix] ^= flip;
        bytes.splice(0..0, good[..prefix].iter().copied());
        for bytes in [bytes, damaged] {
            let typed = MessagePack::<Noise>::decode(&bytes).map(drop);
            let any = MessagePack::<serde_json::Value>::decode(&bytes).map(drop);
            for outcome in [typed, any] {
                prop_assert!(matches!(outcome, Ok(()) | Err(Error::Decode { .. })), "{outcome:?}");
            }
        }
    }
}
