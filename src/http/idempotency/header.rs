//! The header `Idempotency-Key`.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Item, Parser};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The most characters that a key may have.
pub(super) const LONGEST: usize = 255;

/// Why a request has no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    Missing,
    /// Sent more than once: which one counts is not for the client to choose.
    Repeated,
    /// Neither a String of Structured Fields nor a bare token.
    Malformed,
    Empty,
    TooLong,
}

/// The key: a String of Structured Fields (`"8e03978e-40d5-43e8-bc93-6894a57f9324"`), or the same without quotes.
pub(super) fn key(headers: &HeaderMap) -> Result<String, Unusable> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let line = lines.next().ok_or(Unusable::Missing)?;
    if lines.next().is_some() {
        return Err(Unusable::Repeated);
    }
    let key = value(line.as_bytes().trim_ascii())?;
    match key.len() {
        0 => Err(Unusable::Empty),
        1..=LONGEST => Ok(key),
        _ => Err(Unusable::TooLong),
    }
}

fn value(line: &[u8]) -> Result<String, Unusable> {
    match line.first() {
        None => Err(Unusable::Empty),
        Some(b'"') => match Parser::new(line).parse::<Item>() {
            Ok(Item { bare_item: BareItem::String(key), .. }) => Ok(key.into()),
            _ => Err(Unusable::Malformed),
        },
        // What has a digit in front, as every other UUID has, is no Token of Structured Fields, and is sent all the same.
        Some(_) if line.iter().copied().all(is_bare) => {
            str::from_utf8(line).map(str::to_owned).map_err(|_| Unusable::Malformed)
        }
        Some(_) => Err(Unusable::Malformed),
    }
}

/// What a Token of Structured Fields may consist of (RFC 9651, section 3.3.4).
const fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'/' | b':' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(lines: &[&[u8]]) -> Result<String, Unusable> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(line).unwrap());
        }
        key(&headers)
    }

    #[test]
    fn a_key_is_read_with_quotes_and_without() {
        let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
        assert_eq!(read(&[format!("\"{uuid}\"").as_bytes()]).as_deref(), Ok(uuid));
        assert_eq!(read(&[uuid.as_bytes()]).as_deref(), Ok(uuid));
        assert_eq!(read(&[b"  \"a \\\"b\\\" \\\\c\";version=2 "]).as_deref(), Ok("a \"b\" \\c"));
        assert_eq!(read(&[b"order:981/2"]).as_deref(), Ok("order:981/2"));
        assert_eq!(read(&[format!("\"{}\"", "x".repeat(255)).as_bytes()]).unwrap().len(), 255);
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        for (line, why) in [
            (&b""[..], Unusable::Empty),
            (b"  ", Unusable::Empty),
            (b"\"\"", Unusable::Empty),
            (b"\"open", Unusable::Malformed),
            (b"\"a\" b", Unusable::Malformed),
            (b"\"a\", \"b\"", Unusable::Malformed),
            (b"a b", Unusable::Malformed),
            (b"a,b", Unusable::Malformed),
            (b"(a)", Unusable::Malformed),
            (b"\"\xc3\xa9\"", Unusable::Malformed),
            (b"\xff", Unusable::Malformed),
            (b"a\"b\"", Unusable::Malformed),
        ] {
            assert_eq!(read(&[line]), Err(why), "{}", line.escape_ascii());
        }
        assert_eq!(read(&[]), Err(Unusable::Missing));
        assert_eq!(read(&[b"a", b"a"]), Err(Unusable::Repeated));
        assert_eq!(read(&["x".repeat(256).as_bytes()]), Err(Unusable::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = value(&bytes);
            if let Ok(line) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, line)]);
                let _ = key(&headers);
            }
        }

        #[test]
        fn what_structured_fields_write_is_read_back(text in "[ -~]{1,255}") {
            let written = sfv::ItemSerializer::new().bare_item(sfv::StringRef::from_str(&text).unwrap()).finish();
            prop_assert_eq!(value(written.as_bytes()), Ok(text));
        }
    }
}
