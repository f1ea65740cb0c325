//! The order of encoded keys is the order of the keys, and they come back as they were.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::fmt::Debug;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::bound::prefix_upper_bound;
use super::*;
use crate::base::property::cases;

/// Checks pairs of keys, and triples with something between them.
fn check_by<K>(strategy: impl Strategy<Value = K> + Clone, compare: fn(&K, &K) -> Ordering)
where
    K: Key<Owned = K> + EncodeKey<K> + Debug + Clone,
{
    let mut runner = TestRunner::new(cases(256));
    let outcome = runner.run(&(strategy.clone(), strategy), |(left, right)| {
        let (left_bytes, right_bytes) = (key_bytes::<K>(&left), key_bytes::<K>(&right));
        prop_assert_eq!(left_bytes.cmp(&right_bytes), compare(&left, &right));
        for (key, bytes) in [(&left, left_bytes), (&right, right_bytes)] {
            let back =
                K::decode(KeyBytes::from(bytes)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(compare(&back, key), Ordering::Equal);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("keys of type {}: {error}", K::type_name());
    }
}

/// A key alone, inside tuples (before and after others) and inside `Option`.
pub(super) fn check<K>(strategy: impl Strategy<Value = K> + Clone)
where
    K: Key<Owned = K> + EncodeKey<K> + Ord + Debug + Clone,
{
    check_by(strategy.clone(), Ord::cmp);
    check_by((strategy.clone(), strategy.clone()), Ord::cmp);
    check_by(option::of(strategy.clone()), Ord::cmp);
    check_by((option::of(strategy.clone()), samples::text(), (strategy.clone(),)), Ord::cmp);
    let reversed = strategy.prop_map(Reverse);
    check_by(reversed.clone(), Ord::cmp);
    check_by((reversed.clone(), reversed), Ord::cmp);
}

#[test]
fn numbers() {
    check(samples::u8());
    check(samples::u16());
    check(samples::u32());
    check(samples::u64());
    check(samples::u128());
    check(samples::i8());
    check(samples::i16());
    check(samples::i32());
    check(samples::i64());
    check(samples::i128());
}

#[test]
fn floats_by_total_order() {
    check_by(samples::f64(), f64::total_cmp);
    check_by(samples::f32(), f32::total_cmp);
    check_by((samples::f64(), samples::f32()), |left, right| {
        left.0.total_cmp(&right.0).then(left.1.total_cmp(&right.1))
    });
}

#[test]
fn other_scalars() {
    check(any::<bool>());
    check(any::<char>());
    check(prop_oneof![Just('\0'), Just('\u{d7ff}'), Just('\u{e000}'), Just('\u{10ffff}')]);
    check(Just(()));
}

#[test]
fn text_and_bytes() {
    check(samples::text());
    check(samples::bytes());
    check(samples::any_length());
    check(prop::array::uniform3(samples::byte()));
}

#[test]
fn pointers_to_text_and_bytes() {
    check(samples::text().prop_map(Box::<str>::from));
    check(samples::text().prop_map(Arc::<str>::from));
    check(samples::text().prop_map(Cow::<'static, str>::from));
    check(samples::bytes().prop_map(Box::<[u8]>::from));
    check(samples::bytes().prop_map(Arc::<[u8]>::from));
    check(samples::any_length().prop_map(Cow::<'static, [u8]>::from));
}

#[test]
fn numbers_as_text() {
    check(samples::usize());
    check(samples::isize());
    check(samples::non_zero());
    check(samples::duration());
    check(samples::time());
}

#[test]
fn addresses() {
    check(samples::ip());
    check(samples::socket());
    check(samples::u32().prop_map(Ipv4Addr::from_bits));
    check(samples::u128().prop_map(Ipv6Addr::from_bits));
}

#[test]
fn vectors_and_arrays() {
    use prop::array::{uniform2, uniform3};
    use prop::collection::vec;
    use samples::{bytes, i8, text, u16};
    check(vec(i8(), 0..5));
    check(vec(text(), 0..4));
    check(vec(vec(bytes(), 0..3), 0..3));
    check(vec(option::of(u16()), 0..4));
    check(vec((Just(()), text()), 0..3));
    check(vec(Just(()), 0..5));
    check(uniform3(i8()));
    check(uniform2(text()));
    check(uniform2(vec(uniform2(bytes()), 0..3)));
    check(vec(i8(), 0..1).prop_map(|_| [(); 0].map(|()| String::new())));
}

#[test]
fn descending_keys() {
    use prop::collection::vec;
    use samples::{bytes, i8, text};
    check(text().prop_map(Reverse));
    check((text().prop_map(Reverse), i8()));
    check((i8(), bytes().prop_map(Reverse), (text(), i8().prop_map(Reverse))));
    check((text(), bytes()).prop_map(Reverse));
    check(vec(bytes().prop_map(Reverse), 0..4));
    check(option::of((bytes(), i8()).prop_map(|(bytes, number)| Reverse((Reverse(bytes), number)))));
    check((text().prop_map(|text| Reverse(Reverse(text))), text()));
    check_by((samples::f64().prop_map(Reverse), i8()), |left, right| {
        right.0.0.total_cmp(&left.0.0).then(left.1.cmp(&right.1))
    });
}

#[test]
fn text_without_case() {
    check(samples::cased().prop_map(|text| NoCase::new(&text)));
    check((samples::cased().prop_map(|text| NoCase::new(&text)), samples::cased()));
}

#[test]
fn bytes_from_their_end() {
    check(samples::any_length().prop_map(BytesFromEnd::from));
    check((samples::bytes().prop_map(BytesFromEnd::from), samples::bytes()));
}

#[test]
fn twelve_elements() {
    use samples::{bytes, i8, text, u8};
    check_by(
        (u8(), text(), u8(), bytes(), i8(), u8(), u8(), i8(), u8(), any::<bool>(), text(), bytes()),
        Ord::cmp,
    );
}

#[test]
fn nested_tuples_and_options() {
    use samples::{bytes, i8, text, u64};
    check((text(), i8()));
    check((bytes(), bytes(), bytes()));
    check((option::of((bytes(), i8())), text()));
    check(((text(), text()), (option::of(text()), bytes())));
    check(option::of(option::of(bytes())));
    check((text(), option::of((u64(), option::of((bytes(),)))), (Just(()), any::<bool>(), any::<char>())));
    check((i8(), i8(), i8(), i8(), i8(), i8(), bytes(), bytes()));
}

proptest! {
    #![proptest_config(cases(256))]

    /// `str` and `[u8]` keys are their own bytes, and come back in buffers of their own.
    #[test]
    fn unsized_keys(text in samples::text(), bytes in samples::any_length()) {
        prop_assert_eq!(key_bytes::<str>(&text), text.as_bytes());
        prop_assert_eq!(&<str as Key>::decode(KeyBytes::from(text.as_bytes())).unwrap(), &text);
        prop_assert_eq!(&key_bytes::<[u8]>(&bytes), &bytes);
        prop_assert_eq!(&<[u8] as Key>::decode(KeyBytes::from(bytes.clone())).unwrap(), &bytes);
    }

    /// A prefix holds the keys whose leading elements are those of the prefix, and no others.
    #[test]
    fn prefixes(
        key in (samples::bytes(), samples::i8(), samples::bytes()),
        word in samples::bytes(),
        number in samples::i8(),
    ) {
        type Keys = (Vec<u8>, i8, Vec<u8>);
        let encoded = key_bytes::<Keys>(&key);
        let one = KeyPrefix::<Keys>::encode_prefix(&(&word,)).to_vec();
        prop_assert_eq!(encoded.starts_with(&one), key.0 == word);
        let two = KeyPrefix::<Keys>::encode_prefix(&(&word, number)).to_vec();
        prop_assert_eq!(encoded.starts_with(&two), key.0 == word && key.1 == number);
        let list = vec![key.0.clone(), key.2.clone()];
        let begin = KeyPrefix::<Vec<Vec<u8>>>::encode_prefix(&[&word]).to_vec();
        prop_assert_eq!(key_bytes::<Vec<Vec<u8>>>(&list).starts_with(&begin), key.0 == word);
        let own = KeyPrefix::<Keys>::encode_prefix(&(&key.0, key.1)).to_vec();
        prop_assert!(encoded.starts_with(&own));
    }

    /// Text without case is equal if it is equal in lower case, also to other text that stands for it.
    #[test]
    fn case_is_no_difference(left in samples::cased(), right in samples::cased()) {
        let is_equal = left.eq_ignore_ascii_case(&right);
        prop_assert_eq!(key_bytes::<NoCase>(&left) == key_bytes::<NoCase>(NoCase::new(&right)), is_equal);
        let inner = |text: &str| key_bytes::<(NoCase, u8)>((text, 7));
        prop_assert_eq!(inner(&left) == inner(&right), is_equal);
        let begins = left.to_ascii_lowercase().starts_with(&right.to_ascii_lowercase());
        let prefix = KeyPrefix::<NoCase>::encode_prefix(&right).to_vec();
        prop_assert_eq!(key_bytes::<NoCase>(&left).starts_with(&prefix), begins);
    }

    /// A prefix of keys that are compared from their end is an end of them.
    #[test]
    fn ends_of_bytes(key in samples::bytes(), end in samples::bytes()) {
        let prefix = KeyPrefix::<BytesFromEnd>::encode_prefix(&end).to_vec();
        prop_assert_eq!(key_bytes::<BytesFromEnd>(&key).starts_with(&prefix), key.ends_with(&end));
    }

    /// Between a prefix and its upper bound lies what begins with it, and nothing else.
    #[test]
    fn upper_bounds(prefix in samples::bytes(), other in samples::bytes(), tail in samples::bytes()) {
        let inside = |key: &[u8]| {
            let below = prefix_upper_bound(&prefix).is_none_or(|bound| key < &bound[..]);
            key >= &prefix[..] && below
        };
        prop_assert_eq!(inside(&other), other.starts_with(&prefix));
        prop_assert!(inside(&[&prefix[..], &tail[..]].concat()));
    }
}
