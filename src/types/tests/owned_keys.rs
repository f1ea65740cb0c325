//! `KeyStr`, `KeyBytes` and the encoder: alike on both sides of the inline length.

use std::collections::HashMap;

use super::*;

#[test]
fn text_keys_behave_as_text() {
    let texts: Vec<String> = (0..80).map(|len| "é".repeat(len / 2) + &"a".repeat(len % 2)).collect();
    for text in &texts {
        let key = KeyStr::from(text.as_str());
        assert_eq!(key.as_str(), text);
        assert_eq!(&*key, text.as_str());
        assert_eq!(key, *text);
        assert_eq!(*text, key);
        assert_eq!(key, text.as_str());
        assert_eq!(text.as_str(), key);
        assert_eq!((key.to_string(), format!("{key:?}")), (text.clone(), format!("{text:?}")));
        assert_eq!(String::from(key.clone()), *text);
        assert_eq!(HashMap::from([(key.clone(), 1)]).get(text.as_str()), Some(&1));
        assert_eq!(key, KeyStr::from(text.clone()));
        for other in &texts {
            assert_eq!(key.cmp(&KeyStr::from(other.as_str())), text.cmp(other));
            assert_eq!(key < *other, text < other);
        }
    }
}

#[test]
fn byte_keys_behave_as_bytes() {
    let samples: Vec<Vec<u8>> = (0..80).map(|len| (0..len).rev().collect()).collect();
    for bytes in &samples {
        let key = KeyBytes::from(&bytes[..]);
        assert_eq!(key, *bytes);
        assert_eq!(*bytes, key);
        assert_eq!(key, bytes[..]);
        assert_eq!(key, &bytes[..]);
        assert_eq!(format!("{key:?}"), format!("{bytes:?}"));
        assert_eq!(Vec::from(key.clone()), *bytes);
        assert_eq!(HashMap::from([(key.clone(), 1)]).get(&bytes[..]), Some(&1));
        assert_eq!(key, KeyBytes::from(bytes.clone()));
        for other in &samples {
            assert_eq!(key.cmp(&KeyBytes::from(&other[..])), bytes.cmp(other));
            assert_eq!(key < *other, bytes < other);
        }
    }
}

#[test]
fn the_encoder_keeps_what_it_is_given() {
    for step in 0..50usize {
        let mut encoder = Encoder::new();
        let mut expected = Vec::new();
        for round in 0..6 {
            let piece = vec![round; step];
            encoder.push(&piece);
            expected.extend_from_slice(&piece);
        }
        let encoded = encoder.finish();
        assert_eq!(*encoded, *expected);
    }
}

#[test]
fn text_and_bytes_are_not_copied() {
    let text = String::from("ada");
    let encoded = EncodeKey::<str>::encode_key(&text);
    assert_eq!(encoded.as_ptr(), text.as_ptr());
    let encoded = EncodeValue::<[u8]>::encode_value(text.as_bytes()).unwrap();
    assert_eq!(encoded.as_ptr(), text.as_ptr());
}
