//! One address in a header of a proxy, called a node in RFC 7239.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the address of a node (RFC 7239, section 6) or of an entry of `X-Forwarded-For`.
///
/// Accepts `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:4711`,
/// and an IPv6 address with a zone (`fe80::1%eth0`). Returns `None` for `unknown`, for an
/// obfuscated identifier and for everything else.
///
/// Port and zone must be well-formed. They are not part of the result.
pub(super) fn address(node: &[u8]) -> Option<IpAddr> {
    let node = std::str::from_utf8(node).ok()?;
    if let Some(rest) = node.strip_prefix('[') {
        let (address, after) = rest.split_once(']')?;
        let is_complete = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return if is_complete { v6(address) } else { None };
    }
    match node.split_once(':') {
        None => v4(node),
        Some((address, port)) if !port.contains(':') => {
            if is_port(port) {
                v4(address)
            } else {
                None
            }
        }
        Some(_) => v6(node),
    }
}

fn v4(text: &str) -> Option<IpAddr> {
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// Parses an IPv6 address, with or without a zone (RFC 4007, section 11). The `%25` of RFC 6874
/// counts as part of the zone's name.
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        None => text,
        Some((address, zone)) if is_name(zone) => address,
        Some(_) => return None,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// Returns whether this is a port, or an obfuscated port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => is_name(name),
        None => {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn address_is_parsed_in_every_notation() {
        for (node, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("192.0.2.1:_port", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:DB8::1]:4711", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("[fe80::1%25]", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ] {
            assert_eq!(address(node.as_bytes()), Some(expected.parse().unwrap()), "{node}");
        }
    }

    #[test]
    fn text_that_is_not_an_address_is_none() {
        for node in [
            "",
            "unknown",
            "_hidden",
            "_SEVKISEK",
            "localhost",
            "127.1",
            "010.0.0.1",
            "0x7f.0.0.1",
            "1.2.3.4.5",
            "1.2.3",
            "192.0.2.1:",
            "192.0.2.1:65536",
            "192.0.2.1:+80",
            "192.0.2.1:x",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "[]",
            "[::1%]",
            "fe80::1%",
            "::1%eth 0",
            "192.0.2.1 ",
            "\"192.0.2.1\"",
            "::1,::2",
        ] {
            assert_eq!(address(node.as_bytes()), None, "{node}");
        }
        assert_eq!(address(b"192.0.2.1\xff"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = address(&bytes);
        }

        #[test]
        fn every_formatted_address_parses_back(ip: IpAddr, port: u16) {
            prop_assert_eq!(address(ip.to_string().as_bytes()), Some(ip.to_canonical()));
            prop_assert_eq!(address(SocketAddr::new(ip, port).to_string().as_bytes()), Some(ip.to_canonical()));
        }
    }
}
