//! Addresses of either version.
//!
//! Encoding: a byte 4 or 6, and the address of that version. So those of version 4 come first, as in std.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{EncodeKey, EncodeValue, Encoder, Key, KeyPosition, KeyReader, Value, decode_error};
use crate::Result;

const PROBLEM: &str = "expected a byte 4 or 6 first";

macro_rules! of_either_version {
    ($($address:ident $name:literal $v4:ident $v6:ident;)*) => {$(
        impl Key for $address {
            type Owned = $address;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn read(reader: &mut KeyReader<'_>, place: KeyPosition) -> Result<$address> {
                match u8::read(reader, KeyPosition::Inner)? {
                    4 => $v4::read(reader, place).map($address::V4),
                    6 => $v6::read(reader, place).map($address::V6),
                    _ => Err(decode_error($name, PROBLEM)),
                }
            }
        }

        impl EncodeKey<$address> for $address {
            fn encode_key_into(&self, encoder: &mut Encoder, place: KeyPosition) {
                match self {
                    $address::V4(address) => {
                        encoder.push(&[4]);
                        address.encode_key_into(encoder, place);
                    }
                    $address::V6(address) => {
                        encoder.push(&[6]);
                        address.encode_key_into(encoder, place);
                    }
                }
            }
        }

        impl Value for $address {
            type Ref<'a> = $address;
            type Owned = $address;

            fn type_name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }

            fn decode(bytes: &[u8]) -> Result<$address> {
                match bytes {
                    [4, rest @ ..] => <$v4 as Value>::decode(rest).map($address::V4),
                    [6, rest @ ..] => <$v6 as Value>::decode(rest).map($address::V6),
                    _ => Err(decode_error($name, PROBLEM)),
                }
            }

            fn into_owned(value: $address) -> $address {
                value
            }
        }

        impl EncodeValue<$address> for $address {
            fn encode_value_into(&self, encoder: &mut Encoder) -> Result<()> {
                match self {
                    $address::V4(address) => {
                        encoder.push(&[4]);
                        address.encode_value_into(encoder)
                    }
                    $address::V6(address) => {
                        encoder.push(&[6]);
                        address.encode_value_into(encoder)
                    }
                }
            }
        }
    )*};
}

of_either_version! {
    IpAddr "ipaddr" Ipv4Addr Ipv6Addr;
    SocketAddr "socketaddr" SocketAddrV4 SocketAddrV6;
}
