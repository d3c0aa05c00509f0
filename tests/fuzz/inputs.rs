//! Strategies for inputs: words that a parser knows, in any order, and some that it does not know.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use proptest::prelude::*;

/// Texts of these words, and sometimes of any characters.
pub(crate) fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        12 => prop::sample::select(words).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

/// Values of a header of these words, and sometimes of any bytes that a header may contain.
pub(crate) fn header_value(words: &'static [&'static str]) -> impl Strategy<Value = HeaderValue> {
    let piece = prop_oneof![
        12 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| sanitized(pieces.concat()))
}

/// Returns the bytes as the value of a header. A control character becomes a space.
pub(crate) fn sanitized(mut bytes: Vec<u8>) -> HeaderValue {
    for byte in &mut bytes {
        if byte.is_ascii_control() && *byte != b'\t' {
            *byte = b' ';
        }
    }
    HeaderValue::from_bytes(&bytes).unwrap()
}

/// Writes a quoted string (RFC 9110, section 5.6.4). A Structured Fields String looks the same
/// (RFC 9651, section 3.3.3).
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Addresses that no proxy of the tests has.
pub(crate) fn client_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u16>().prop_map(|host| Ipv4Addr::from_bits(0xcb00_0000 | u32::from(host)).into()),
        any::<u64>().prop_map(|host| Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) | u128::from(host)).into()),
    ]
}

/// Addresses in `10.0.0.0/8` and `fd00::/8`.
pub(crate) fn proxy_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|host| Ipv4Addr::from_bits((10 << 24) | (host & 0xff_ffff)).into()),
        any::<u128>().prop_map(|host| Ipv6Addr::from_bits((0xfd << 120) | (host >> 8)).into()),
    ]
}
