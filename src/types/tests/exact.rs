//! Values come back as they were, and hostile bytes are a value with exactly that encoding, or an error.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::Error;
use crate::base::property::cases;

fn run<T: Debug>(
    type_name: &str,
    strategy: impl Strategy<Value = T>,
    test: impl Fn(T) -> Result<(), TestCaseError>,
) {
    if let Err(error) = TestRunner::new(cases(256)).run(&strategy, test) {
        panic!("type {type_name}: {error}");
    }
}

fn assert_decode_error<T: Debug>(result: crate::Result<T>) -> Result<(), TestCaseError> {
    prop_assert!(matches!(result, Err(Error::Decode { .. })), "{result:?}");
    Ok(())
}

pub(super) fn hostile_key<K: Key>()
where
    K::Owned: EncodeKey<K> + Debug,
{
    run(&K::type_name(), samples::noise(), |bytes| match K::decode(KeyBytes::from(&bytes[..])) {
        Ok(key) => {
            prop_assert_eq!(key_bytes::<K>(&key), bytes);
            Ok(())
        }
        error => assert_decode_error(error),
    });
}

#[test]
fn hostile_keys() {
    hostile_key::<u8>();
    hostile_key::<i32>();
    hostile_key::<u128>();
    hostile_key::<f64>();
    hostile_key::<bool>();
    hostile_key::<char>();
    hostile_key::<()>();
    hostile_key::<String>();
    hostile_key::<Vec<u8>>();
    hostile_key::<[u8; 3]>();
    hostile_key::<Option<u8>>();
    hostile_key::<(String,)>();
    hostile_key::<(String, String)>();
    hostile_key::<(Vec<u8>, Option<Vec<u8>>, (bool, Vec<u8>))>();
    hostile_key::<(Option<(Vec<u8>, u8)>, Option<Option<String>>, Vec<u8>)>();
    hostile_key::<(Box<str>, Arc<[u8]>, Cow<'static, str>)>();
    hostile_key::<(usize, isize)>();
    hostile_key::<(NonZero<u8>, NonZero<u8>, NonZero<i16>)>();
    hostile_key::<Duration>();
    hostile_key::<SystemTime>();
    hostile_key::<(Ipv4Addr, IpAddr)>();
    hostile_key::<(u8, SocketAddr)>();
    hostile_key::<Ipv6Addr>();
    hostile_key::<Vec<i16>>();
    hostile_key::<Vec<()>>();
    hostile_key::<(Vec<String>, Vec<Option<bool>>)>();
    hostile_key::<([u16; 2], [String; 2])>();
    hostile_key::<[Vec<bool>; 3]>();
    hostile_key::<[String; 0]>();
    hostile_key::<Reverse<String>>();
    hostile_key::<(Reverse<Vec<u8>>, Reverse<(Option<i8>, Reverse<String>)>, bool)>();
    hostile_key::<(Vec<Reverse<bool>>, Reverse<[u8; 2]>, Reverse<Vec<IpAddr>>)>();
    hostile_key::<(NoCase, NoCase)>();
    hostile_key::<Reverse<NoCase>>();
    hostile_key::<(BytesFromEnd, BytesFromEnd)>();
}

#[test]
fn hostile_text_keys() {
    run("str", samples::noise(), |bytes| match <str as Key>::decode(KeyBytes::from(&bytes[..])) {
        Ok(key) => {
            prop_assert_eq!(key.as_bytes(), bytes);
            Ok(())
        }
        error => assert_decode_error(error),
    });
}

pub(super) fn hostile_value<V: Value>()
where
    for<'a> V::Ref<'a>: EncodeValue<V> + Debug,
{
    run(&V::type_name(), samples::noise(), |bytes| match V::decode(&bytes) {
        Ok(value) => {
            prop_assert_eq!(value_bytes::<V>(&value), bytes.clone());
            Ok(())
        }
        error => assert_decode_error(error),
    });
}

#[test]
fn hostile_values() {
    hostile_value::<u8>();
    hostile_value::<i32>();
    hostile_value::<u128>();
    hostile_value::<f64>();
    hostile_value::<bool>();
    hostile_value::<char>();
    hostile_value::<()>();
    hostile_value::<String>();
    hostile_value::<Vec<u8>>();
    hostile_value::<[u8; 3]>();
    hostile_value::<Option<u8>>();
    hostile_value::<(String,)>();
    hostile_value::<(String, String)>();
    hostile_value::<(Vec<u8>, Option<Vec<u8>>, (bool, Vec<u8>))>();
    hostile_value::<(Option<(Vec<u8>, u8)>, (u8, bool), Vec<u8>)>();
    hostile_value::<(Box<str>, Arc<[u8]>, Cow<'static, str>)>();
    hostile_value::<(usize, isize)>();
    hostile_value::<(NonZero<u8>, NonZero<u8>, NonZero<i16>)>();
    hostile_value::<Duration>();
    hostile_value::<SystemTime>();
    hostile_value::<(Ipv4Addr, IpAddr)>();
    hostile_value::<(u8, SocketAddr)>();
    hostile_value::<Ipv6Addr>();
    hostile_value::<Vec<i16>>();
    hostile_value::<(Vec<String>, Vec<Option<bool>>)>();
    hostile_value::<([u16; 2], [String; 2])>();
    hostile_value::<[Vec<bool>; 3]>();
    hostile_value::<[String; 0]>();
    hostile_value::<(Reverse<String>, Reverse<u16>)>();
}

/// Round trip of a value whose owned form is the value itself.
pub(super) fn round_trip<V>(strategy: impl Strategy<Value = V>)
where
    V: Value<Owned = V> + EncodeValue<V> + Debug,
{
    // By the text of `Debug`, in which a NaN equals itself.
    run(&V::type_name(), strategy, |value| {
        let bytes = value_bytes::<V>(&value);
        let back = V::decode(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(format!("{:?}", V::into_owned(back)), format!("{:?}", value));
        prop_assert!(V::FIXED_SIZE.is_none_or(|size| size == bytes.len()));
        Ok(())
    });
}

#[test]
fn values_come_back() {
    use samples::{any_length, bytes, text};
    round_trip(samples::u8());
    round_trip(samples::i16());
    round_trip(samples::u32());
    round_trip(samples::i64());
    round_trip(samples::u128());
    round_trip(samples::f32());
    round_trip(samples::f64());
    round_trip(any::<bool>());
    round_trip(any::<char>());
    round_trip(Just(()));
    round_trip(text());
    round_trip(any_length());
    round_trip(prop::array::uniform4(samples::byte()));
    round_trip(option::of(option::of(bytes())));
    round_trip((any_length(), any_length(), samples::i64()));
    round_trip((option::of(text()), (samples::i16(), any::<bool>()), ((text(), bytes()), text())));
    round_trip((bytes(), bytes(), bytes(), bytes(), bytes(), bytes(), bytes(), bytes()));
}

#[test]
fn values_as_text_come_back() {
    use prop::array::uniform3;
    use prop::collection::vec;
    use samples::{any_length, text};
    round_trip((text().prop_map(Box::<str>::from), text().prop_map(Arc::<str>::from)));
    round_trip((
        text().prop_map(Cow::<'static, str>::from),
        any_length().prop_map(Cow::<'static, [u8]>::from),
    ));
    round_trip((any_length().prop_map(Box::<[u8]>::from), any_length().prop_map(Arc::<[u8]>::from)));
    round_trip((samples::usize(), samples::isize(), samples::non_zero()));
    round_trip((samples::duration(), samples::time()));
    round_trip((samples::ip(), samples::socket()));
    round_trip((text().prop_map(Reverse), samples::i16().prop_map(Reverse)));
    round_trip(vec(samples::f32(), 0..20));
    round_trip(vec(text(), 0..4));
    round_trip(vec(vec(option::of(samples::u16()), 0..3), 0..3));
    round_trip(uniform3(samples::i64()));
    round_trip((uniform3(text()), uniform3(vec(any::<char>(), 0..3))));
    round_trip((
        (samples::u8(), text(), samples::u8(), any_length(), any::<bool>(), text()),
        (text(), text(), text(), text(), text(), text(), text(), text(), text(), text(), text(), text()),
    ));
}

#[test]
fn what_no_system_has() {
    assert!(<NonZero<u32> as Value>::decode(&[0; 4]).is_err());
    assert!(<NonZero<i32> as Key>::decode(KeyBytes::from(&[0x80, 0, 0, 0])).is_err());
    let second = 1_000_000_000u32;
    for nanos in [second, u32::MAX] {
        let bytes = value_bytes::<(u64, u32)>((7, nanos));
        assert!(<Duration as Value>::decode(&bytes).is_err());
        assert!(<SystemTime as Value>::decode(&bytes).is_err());
        let bytes = key_bytes::<(i64, u32)>((-7, nanos));
        assert!(<SystemTime as Key>::decode(KeyBytes::from(bytes)).is_err());
    }
    assert!(<Duration as Value>::decode(&value_bytes::<(u64, u32)>((7, second - 1))).is_ok());
    assert!(<IpAddr as Value>::decode(&[5, 0, 0, 0, 0]).is_err());
}

/// A key that only another spelling would have is damage.
#[test]
fn upper_case_in_a_key_without_case() {
    let error = <NoCase as Key>::decode(KeyBytes::from(b"aB")).unwrap_err().to_string();
    assert!(error.contains("nocase") && error.contains("upper case"), "{error}");
}

#[test]
fn long_elements_have_long_lengths() {
    for length in [0, 1, 127, 128, 16383, 16384, 100_000] {
        let value = (vec![7u8; length], 5u8);
        let bytes = value_bytes::<(Vec<u8>, u8)>(&value);
        let (element, last) = <(Vec<u8>, u8) as Value>::decode(&bytes).unwrap();
        assert_eq!((element, last), (&value.0[..], 5));
        assert!(<(Vec<u8>, u8) as Value>::decode(&bytes[..bytes.len() - 1]).is_err());
    }
}

#[test]
fn lengths_that_no_element_has() {
    type Pair = (Vec<u8>, Vec<u8>);
    let malformed: [&[u8]; 6] =
        [b"", b"\x80", b"\x01", b"\x80\0", &[0xff; 8], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"];
    for bytes in malformed {
        let error = <Pair as Value>::decode(bytes).unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{bytes:x?}: {error}");
    }
}

#[test]
fn errors_name_the_type_and_the_fault() {
    let error = <u32 as Value>::decode(&[1]).unwrap_err().to_string();
    assert!(error.contains("u32") && error.contains("expected 4 bytes, found 1"), "{error}");
    let error = <u32 as Key>::decode(KeyBytes::from(&[0; 5])).unwrap_err().to_string();
    assert!(error.contains("u32") && error.contains("1 bytes too many"), "{error}");
}
