//! The header `Forwarded` (RFC 7239), read from the right.

use std::net::IpAddr;

use super::forwarded_node;

/// Returns the address in `for` of each element of a line, the rightmost first. `None` for an
/// element without one.
///
/// The line is parsed from its right end, quotes included, because the nearest proxy wrote the
/// right end. A quote that the client left open further left cannot swallow it.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    split_from_the_right(line, b',').map(client_of)
}

/// Returns the address in `for` of an element. `None` if there is none, or more than one `for`.
fn client_of(element: &[u8]) -> Option<IpAddr> {
    let mut client = None;
    for pair in split_from_the_right(element, b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        if name.eq_ignore_ascii_case(b"for") && client.replace(value).is_some() {
            return None;
        }
    }
    let value = client?;
    forwarded_node::address(match value {
        // An address contains no escapes, so a quoted string with escapes fails to parse below.
        [b'"', quoted @ .., b'"'] => quoted,
        plain => plain,
    })
}

/// Splits at separators outside of quotes, and returns the rightmost piece first.
fn split_from_the_right(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut is_quoted = false;
        for (position, byte) in text.iter().enumerate().rev() {
            if *byte == b'"' && !is_escaped(&text[..position]) {
                is_quoted = !is_quoted;
            } else if *byte == separator && !is_quoted {
                rest = Some(&text[..position]);
                return Some(&text[position + 1..]);
            }
        }
        rest = None;
        Some(text)
    })
}

/// Returns whether the character after this text is escaped.
fn is_escaped(preceding: &[u8]) -> bool {
    preceding.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(line: &str) -> Vec<Option<String>> {
        from_the_right(line.as_bytes()).map(|address| address.map(|address| address.to_string())).collect()
    }

    #[test]
    fn elements_are_returned_from_the_right() {
        let found =
            read("for=192.0.2.43, for=\"[2001:db8:cafe::17]:4711\";proto=https, FOR=198.51.100.17 ; by=_x");
        assert_eq!(
            found,
            ["198.51.100.17", "2001:db8:cafe::17", "192.0.2.43"].map(|text| Some(text.to_owned()))
        );
    }

    #[test]
    fn separators_within_quotes_do_not_split() {
        let found = read(r#"for=192.0.2.1;host="a, for=203.0.113.9; for=203.0.113.8", for="192.0.2.2""#);
        assert_eq!(found, ["192.0.2.2", "192.0.2.1"].map(|text| Some(text.to_owned())));
        let found = read(r#"for=192.0.2.1;host="a\", for=\"203.0.113.9""#);
        assert_eq!(found, [Some("192.0.2.1".to_owned())]);
    }

    #[test]
    fn open_quote_on_the_left_does_not_swallow_the_right() {
        for forged in ["for=\"203.0.113.9", "for=\"", "\"", "for=203.0.113.9;host=\"x\\", "a=\"b\";c=\"d"] {
            assert_eq!(
                read(&format!("{forged}, for=192.0.2.1"))[0].as_deref(),
                Some("192.0.2.1"),
                "{forged}"
            );
            assert_eq!(
                read(&format!("{forged}, for=\"[2001:db8::1]:80\";proto=http"))[0].as_deref(),
                Some("2001:db8::1"),
                "{forged}"
            );
        }
    }

    #[test]
    fn element_without_exactly_one_address_is_none() {
        for element in [
            "",
            "for",
            "for=",
            "by=192.0.2.1",
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:80\"",
            "for=\"192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;host",
            "for=\"192.0.2\\.1\"",
            "for= 192.0.2.1",
            "for=\"",
        ] {
            assert_eq!(read(element), [None], "{element}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = from_the_right(&bytes).count();
        }

        #[test]
        fn element_of_the_proxy_is_read_after_any_text_of_the_client(forged in r#"[for="\\,; 192._:\[\]]{0,24}"#, address: IpAddr) {
            let line = format!("{forged}, for=\"[{}]\"", match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            });
            prop_assert_eq!(from_the_right(line.as_bytes()).next(), Some(Some(address.to_canonical())));
        }
    }
}
