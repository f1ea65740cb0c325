//! `Uuid`: order, fixed bytes.

use proptest::prelude::*;
use uuid::Uuid;

use super::exact::{hostile_key, hostile_value, round_trip};
use super::golden::{check_key, check_value};
use super::order::check;
use super::*;

fn uuids() -> impl Strategy<Value = Uuid> + Clone {
    samples::u128().prop_map(Uuid::from_u128)
}

#[test]
fn order_and_bytes() {
    check(uuids());
    round_trip((uuids(), uuids()));
    hostile_key::<(Uuid, bool)>();
    hostile_value::<(u8, Uuid)>();
    let uuid = Uuid::from_u128(0x0192_3456_789a_7bcd_8ef0_1234_5678_9abc);
    check_key::<Uuid>(uuid, "01923456789a7bcd8ef0123456789abc");
    check_value::<Uuid>(uuid, "01923456789a7bcd8ef0123456789abc");
    assert_eq!((&*<Uuid as Key>::type_name(), &*<Uuid as Value>::type_name()), ("uuid", "uuid"));
}
