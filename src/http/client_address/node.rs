//! One hop, as proxies write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a node (RFC 7239, section 6), and of what is found in `X-Forwarded-For`:
/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`, each IPv6 address with a zone
/// (`fe80::1%eth0`) or without. `None` for `unknown`, for an obfuscated identifier, and for everything else.
///
/// The port and the zone have to be well-formed, and are left out.
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

/// An IPv6 address, with or without a zone (RFC 4007, section 11; the `%25` of RFC 6874 is part of the zone's name here).
fn v6(text: &str) -> Option<IpAddr> {
    let address = match text.split_once('%') {
        None => text,
        Some((address, zone)) if is_name(zone) => address,
        Some(_) => return None,
    };
    address.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// A port, or an obfuscated one.
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
    fn an_address_is_found_however_it_is_written() {
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
    fn what_is_no_address_is_none() {
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
        fn any_bytes_are_an_address_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = address(&bytes);
        }

        #[test]
        fn every_address_is_read_as_it_is_written(ip: IpAddr, port: u16) {
            prop_assert_eq!(address(ip.to_string().as_bytes()), Some(ip.to_canonical()));
            prop_assert_eq!(address(SocketAddr::new(ip, port).to_string().as_bytes()), Some(ip.to_canonical()));
        }
    }
}
