//! Values by serde.

use proptest::prelude::*;
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
fn a_value_that_cannot_be_encoded_is_an_error() {
    #[derive(Deserialize)]
    struct Refuses;

    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, _serializer: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }

    let error = EncodeValue::<Serde<Refuses>>::encode_value(&Serde(Refuses)).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    assert!(error.to_string().contains("Refuses"), "{error}");
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn hostile_bytes_are_a_value_or_an_error(bytes in samples::noise()) {
        match Serde::<User>::decode(&bytes) {
            Ok(_) | Err(Error::Decode { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
