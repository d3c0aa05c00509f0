//! The header `Forwarded` (RFC 7239), read from the right.

use std::borrow::Cow;
use std::net::IpAddr;

use super::forwarded_node;

/// Returns the address in `for` of each element of a line, the rightmost first. `None` for an
/// element without one. Empty elements are skipped (RFC 9110, section 5.6.1.2).
///
/// The line is parsed from its right end, quotes included, because the nearest proxy wrote the
/// right end. A quote that the client left open further left cannot swallow it.
pub(super) fn from_the_right(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    split_from_the_right(line, b',').filter(|element| !element.trim_ascii().is_empty()).map(client_of)
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
    match client? {
        [b'"', quoted @ .., b'"'] => forwarded_node::address(&unescape(quoted)?),
        plain => forwarded_node::address(plain),
    }
}

/// Returns the text of a quoted string, without its quotes and its escapes (quoted pairs, RFC 9110,
/// section 5.6.4). `None` if it ends with an escape: then its closing quote is escaped.
fn unescape(quoted: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !quoted.contains(&b'\\') {
        return Some(quoted.into());
    }
    let mut text = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        text.push(*if *byte == b'\\' { bytes.next()? } else { byte });
    }
    Some(text.into())
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
    fn escaped_characters_of_a_quoted_address_are_read() {
        for (element, address) in [
            (r#"for="192.0.2\.43""#, "192.0.2.43"),
            (r#"for="\1\9\2\.\0\.\2\.\4\3""#, "192.0.2.43"),
            (r#"for="\[2001:db8\:\:17\]\:4711";proto=https"#, "2001:db8::17"),
            (r#"host="\"";for="192.0.2\.43""#, "192.0.2.43"),
        ] {
            assert_eq!(read(element), [Some(address.to_owned())], "{element}");
        }
    }

    #[test]
    fn empty_elements_are_skipped() {
        for line in [
            "for=192.0.2.1,",
            "for=192.0.2.1, ,\t,",
            ",for=192.0.2.1",
            " , for=192.0.2.1 ,, ",
            "for=192.0.2.1;,",
        ] {
            assert_eq!(read(line), [Some("192.0.2.1".to_owned())], "{line}");
        }
        assert_eq!(read("for=192.0.2.1,,for=192.0.2.2").len(), 2);
        for empty in ["", " ", ",", " ,\t, "] {
            assert_eq!(read(empty), [], "{empty}");
        }
        // This element is not empty: it is an element without any pair.
        assert_eq!(read("for=192.0.2.1, ;"), [None, Some("192.0.2.1".to_owned())]);
    }

    #[test]
    fn element_without_exactly_one_address_is_none() {
        for element in [
            ";",
            "for",
            "for=",
            "by=192.0.2.1",
            "for=unknown",
            "for=_hidden",
            "for=\"_hidden:80\"",
            "for=\"192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1;host",
            "for=192.0.2\\.1",
            "for=\"192.0.2.1\\\"",
            "for=\"192.0.2\\\\.1\"",
            "for=\"192.0.2.1\\\\\"",
            "for=\"\\\"192.0.2.1\\\"\"",
            "for=\"\\\"",
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

        #[test]
        fn address_is_read_however_it_is_escaped(address: IpAddr, escaped: u64) {
            let text = match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]:4711"),
            };
            let mut line = "for=203.0.113.9, for=\"".to_owned();
            for (position, character) in text.chars().enumerate() {
                if escaped >> position & 1 == 1 {
                    line.push('\\');
                }
                line.push(character);
            }
            line.push_str("\", ,");
            prop_assert_eq!(from_the_right(line.as_bytes()).next(), Some(Some(address.to_canonical())));
        }
    }
}
