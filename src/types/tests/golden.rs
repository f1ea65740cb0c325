//! The encodings and the type names, fixed: a change here is a change of the file format.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn check_key<K: Key + ?Sized>(key: impl EncodeKey<K>, expected: &str) {
    assert_eq!(hex(&key_bytes(key)), expected, "key of type {}", K::type_name());
}

pub(super) fn check_value<V: Value + ?Sized>(value: impl EncodeValue<V>, expected: &str) {
    assert_eq!(hex(&value_bytes(value)), expected, "value of type {}", V::type_name());
}

#[test]
fn scalar_keys() {
    check_key::<u8>(0x12, "12");
    check_key::<u16>(0x1234, "1234");
    check_key::<u32>(0x1234_5678, "12345678");
    check_key::<u64>(7, "0000000000000007");
    check_key::<u128>(7, "00000000000000000000000000000007");
    check_key::<i8>(-1, "7f");
    check_key::<i16>(0, "8000");
    check_key::<i32>(i32::MIN, "00000000");
    check_key::<i64>(1, "8000000000000001");
    check_key::<i128>(-1, "7fffffffffffffffffffffffffffffff");
    check_key::<f32>(1.0, "bf800000");
    check_key::<f32>(-1.0, "407fffff");
    check_key::<f64>(0.0, "8000000000000000");
    check_key::<f64>(-0.0, "7fffffffffffffff");
    check_key::<bool>(false, "00");
    check_key::<bool>(true, "01");
    check_key::<char>('é', "000000e9");
    check_key::<()>((), "");
    check_key::<Option<u8>>(None::<u8>, "00");
    check_key::<Option<u8>>(Some(9), "0109");
}

#[test]
fn text_keys() {
    check_key::<str>("a\0b", "610062");
    check_key::<String>("é", "c3a9");
    check_key::<[u8]>(b"\x00\xff", "00ff");
    check_key::<Vec<u8>>(b"", "");
    check_key::<[u8; 2]>([0, 7], "0007");
    check_key::<Option<String>>(Some("a\0"), "016100");
}

#[test]
fn tuple_keys() {
    check_key::<(String,)>(("a\0",), "6100");
    check_key::<(String, String)>(("a\0b", "c\0"), "6100ff6200006300");
    check_key::<(String, u16)>(("", 1), "00000001");
    check_key::<(u16, String)>((1, "a"), "000161");
    check_key::<([u8; 2], u8)>(([0, 0], 1), "000001");
    check_key::<(Option<String>, u8)>((Some("a"), 1), "0161000001");
    check_key::<(Option<String>, u8)>((None::<&str>, 1), "0001");
    check_key::<((String, String), String)>((("a", "b"), "c"), "61000062000063");
    check_key::<(String, (String, String))>(("a", ("b", "c")), "61000062000063");
    check_key::<(u8, u8, u8, u8, u8, u8, u8, u8)>((1, 2, 3, 4, 5, 6, 7, 8), "0102030405060708");
}

#[test]
fn keys_as_text() {
    check_key::<usize>(7, "0000000000000007");
    check_key::<isize>(-1, "7fffffffffffffff");
    check_key::<NonZero<u16>>(NonZero::new(0x1234u16).unwrap(), "1234");
    check_key::<NonZero<i8>>(NonZero::new(-1i8).unwrap(), "7f");
    check_key::<Duration>(Duration::new(1, 2), "000000000000000100000002");
    // Windows has a time for each 100 ns only.
    check_key::<SystemTime>(UNIX_EPOCH + Duration::new(1, 200), "8000000000000001000000c8");
    check_key::<SystemTime>(UNIX_EPOCH - Duration::new(1, 200), "7ffffffffffffffe3b9ac938");
    if cfg!(unix) {
        check_key::<SystemTime>(UNIX_EPOCH + Duration::new(1, 2), "800000000000000100000002");
        check_key::<SystemTime>(UNIX_EPOCH - Duration::new(1, 2), "7ffffffffffffffe3b9ac9fe");
    }
    check_key::<Ipv4Addr>(Ipv4Addr::new(10, 0, 0, 1), "0a000001");
    check_key::<Ipv6Addr>(Ipv6Addr::LOCALHOST, "00000000000000000000000000000001");
    check_key::<IpAddr>(IpAddr::from([10, 0, 0, 1]), "040a000001");
    check_key::<IpAddr>(IpAddr::from(Ipv6Addr::LOCALHOST), "0600000000000000000000000000000001");
    check_key::<SocketAddr>(SocketAddr::from(([10, 0, 0, 1], 80)), "040a0000010050");
    let address = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 3, 4);
    check_key::<SocketAddrV6>(address, "0000000000000000000000000000000100500000000300000004");
    check_key::<Arc<str>>(Arc::<str>::from("a"), "61");
    check_key::<(Cow<'_, [u8]>, Box<str>)>((Cow::Borrowed(&b"\0"[..]), "a"), "00ff000061");
}

#[test]
fn vector_and_array_keys() {
    check_key::<Vec<u16>>([1, 2], "010001010002");
    check_key::<Vec<u16>>(vec![1; 0], "");
    check_key::<(Vec<u16>, u8)>(([1, 2], 3), "0100010100020003");
    check_key::<Vec<String>>(["a", "b\0"], "01610000016200ff0000");
    check_key::<[u16; 2]>([1, 2], "00010002");
    check_key::<[String; 2]>(["a", "b"], "61000062");
    check_key::<([String; 2], u8)>((["a", "b"], 1), "61000062000001");
    type Twelve = (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8);
    check_key::<Twelve>((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), "0102030405060708090a0b0c");
}

#[test]
fn keys_in_other_orders() {
    check_key::<Reverse<u16>>(Reverse(0x1234), "edcb");
    check_key::<Reverse<i8>>(Reverse(-1), "80");
    check_key::<Reverse<String>>(Reverse("a"), "9effff");
    check_key::<Reverse<String>>(Reverse("a\0"), "9eff00ffff");
    check_key::<Reverse<Vec<u16>>>(Reverse([1]), "fefffeff");
    check_key::<(Reverse<String>, u8)>((Reverse(""), 7), "ffff07");
    check_key::<Reverse<(Reverse<u8>, Option<u8>)>>(Reverse((Reverse(7), None::<u8>)), "07ff");
    check_key::<NoCase>("aB[É\0", "61625bc38900");
    check_key::<(NoCase, u8)>(("A\0B", 7), "6100ff62000007");
    check_key::<Reverse<NoCase>>(Reverse("A"), "9effff");
    check_key::<BytesFromEnd>(b"ab\0", "006261");
    check_key::<(BytesFromEnd, u8)>((b"ab\0", 7), "00ff6261000007");
    check_value::<Reverse<u16>>(Reverse(0x1234), "3412");
}

#[test]
fn values_as_text() {
    check_value::<usize>(7, "0700000000000000");
    check_value::<isize>(-1, "ffffffffffffffff");
    check_value::<NonZero<u16>>(NonZero::new(0x1234u16).unwrap(), "3412");
    check_value::<Duration>(Duration::new(1, 2), "010000000000000002000000");
    check_value::<SystemTime>(UNIX_EPOCH - Duration::new(1, 200), "feffffffffffffff38c99a3b");
    if cfg!(unix) {
        check_value::<SystemTime>(UNIX_EPOCH - Duration::new(1, 2), "fefffffffffffffffec99a3b");
    }
    check_value::<Ipv4Addr>(Ipv4Addr::new(10, 0, 0, 1), "0100000a");
    check_value::<Ipv6Addr>(Ipv6Addr::LOCALHOST, "01000000000000000000000000000000");
    check_value::<IpAddr>(IpAddr::from([10, 0, 0, 1]), "040100000a");
    check_value::<SocketAddr>(SocketAddr::from(([10, 0, 0, 1], 80)), "040100000a5000");
    check_value::<(Arc<str>, Cow<'_, [u8]>)>(("a", b"b"), "016162");
}

#[test]
fn vector_and_array_values() {
    check_value::<Vec<u16>>([1, 2], "01000200");
    check_value::<Vec<u16>>(vec![1; 0], "");
    check_value::<(Vec<u16>, u8)>(([1, 2], 3), "040100020003");
    check_value::<Vec<String>>(["a", "bc"], "0161026263");
    check_value::<[u16; 2]>([1, 2], "01000200");
    check_value::<[String; 2]>(["a", "bc"], "01616263");
    check_value::<([u16; 2], [String; 0])>(([1, 2], [""; 0]), "01000200");
}

#[test]
fn scalar_values() {
    check_value::<u8>(0x12, "12");
    check_value::<u16>(0x1234, "3412");
    check_value::<u32>(0x1234_5678, "78563412");
    check_value::<u64>(7, "0700000000000000");
    check_value::<u128>(7, "07000000000000000000000000000000");
    check_value::<i8>(-1, "ff");
    check_value::<i16>(-2, "feff");
    check_value::<i32>(i32::MIN, "00000080");
    check_value::<i64>(1, "0100000000000000");
    check_value::<i128>(-1, "ffffffffffffffffffffffffffffffff");
    check_value::<f32>(1.0, "0000803f");
    check_value::<f64>(-0.0, "0000000000000080");
    check_value::<bool>(true, "01");
    check_value::<char>('é', "e9000000");
    check_value::<()>((), "");
    check_value::<Option<u16>>(None::<u16>, "00");
    check_value::<Option<u16>>(Some(9), "010900");
}

#[test]
fn text_values() {
    check_value::<str>("a\0b", "610062");
    check_value::<String>("é", "c3a9");
    check_value::<[u8]>(b"\x00\xff", "00ff");
    check_value::<Vec<u8>>(b"", "");
    check_value::<[u8; 2]>([0, 7], "0007");
    check_value::<Option<String>>(Some("a"), "0161");
}

#[test]
fn tuple_values() {
    check_value::<(String,)>(("a",), "61");
    check_value::<(String, String)>(("ab", "c"), "02616263");
    check_value::<(u16, String)>((1, "a"), "010061");
    check_value::<(String, u16)>(("a", 1), "01610100");
    check_value::<([u8; 2], Option<u8>, u8)>(([1, 2], Some(3), 4), "010202010304");
    check_value::<((u8, bool), (u8, String), ())>(((1, true), (2, "a"), ()), "0101020261");
    check_value::<(Vec<u8>, ())>((vec![0; 128], ()), &format!("8001{}", "00".repeat(128)));
    check_value::<(u8, u8, u8, u8, u8, u8, u8, u8)>((1, 2, 3, 4, 5, 6, 7, 8), "0102030405060708");
}

#[test]
fn type_names() {
    fn check<T: Key + Value + ?Sized>(name: &str) {
        assert_eq!((&*<T as Key>::type_name(), &*<T as Value>::type_name()), (name, name));
    }
    check::<u8>("u8");
    check::<u16>("u16");
    check::<u32>("u32");
    check::<u64>("u64");
    check::<u128>("u128");
    check::<i8>("i8");
    check::<i16>("i16");
    check::<i32>("i32");
    check::<i64>("i64");
    check::<i128>("i128");
    check::<f32>("f32");
    check::<f64>("f64");
    check::<bool>("bool");
    check::<char>("char");
    check::<()>("()");
    check::<str>("str");
    check::<String>("str");
    check::<[u8]>("bytes");
    check::<Vec<u8>>("bytes");
    check::<[u8; 16]>("[u8;16]");
    check::<Option<u64>>("option<u64>");
    check::<Box<str>>("str");
    check::<Arc<str>>("str");
    check::<Cow<'_, str>>("str");
    check::<Box<[u8]>>("bytes");
    check::<Arc<[u8]>>("bytes");
    check::<Cow<'_, [u8]>>("bytes");
    check::<usize>("u64");
    check::<isize>("i64");
    check::<NonZero<u8>>("nonzero<u8>");
    check::<NonZero<i128>>("nonzero<i128>");
    check::<NonZero<usize>>("nonzero<u64>");
    check::<Duration>("duration");
    check::<SystemTime>("systemtime");
    check::<Ipv4Addr>("ipv4addr");
    check::<Ipv6Addr>("ipv6addr");
    check::<IpAddr>("ipaddr");
    check::<SocketAddrV4>("socketaddrv4");
    check::<SocketAddrV6>("socketaddrv6");
    check::<SocketAddr>("socketaddr");
    check::<Vec<u64>>("vec<u64>");
    check::<[Vec<String>; 3]>("[vec<str>;3]");
    check::<Reverse<u64>>("reverse<u64>");
    check::<(Reverse<String>, u8)>("(reverse<str>,u8)");
    assert_eq!((&*NoCase::type_name(), &*BytesFromEnd::type_name()), ("nocase", "bytes_from_end"));
    check::<(u64,)>("(u64)");
    check::<(String, u64)>("(str,u64)");
    check::<(Option<(Vec<u8>, bool)>, [u8; 2])>("(option<(bytes,bool)>,[u8;2])");
}
