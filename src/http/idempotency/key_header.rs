//! The header `Idempotency-Key`.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Item, Parser};

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The maximum number of characters in a key.
const MAX_KEY_LENGTH: usize = 255;

/// Why the header contains no valid key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyHeaderError {
    #[error(
        "this operation requires the header `Idempotency-Key` with a key such as a UUID, \
         new for each request and the same for its retries"
    )]
    Missing,
    /// The client must not choose which of the values counts.
    #[error("the header `Idempotency-Key` was sent more than once; send it once")]
    Repeated,
    #[error("the header `Idempotency-Key` must be a Structured Fields String, in double quotes, or a token")]
    Malformed,
    #[error("the key in `Idempotency-Key` is empty; use a key such as a UUID")]
    Empty,
    #[error("the key in `Idempotency-Key` exceeds {MAX_KEY_LENGTH} characters")]
    TooLong,
}

/// Returns the key: a Structured Fields String (`"8e03978e-40d5-43e8-bc93-6894a57f9324"`), or the
/// same without quotes.
pub(super) fn key(headers: &HeaderMap) -> Result<String, KeyHeaderError> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter();
    let line = lines.next().ok_or(KeyHeaderError::Missing)?;
    if lines.next().is_some() {
        return Err(KeyHeaderError::Repeated);
    }
    let key = value(line.as_bytes().trim_ascii())?;
    match key.len() {
        0 => Err(KeyHeaderError::Empty),
        1..=MAX_KEY_LENGTH => Ok(key),
        _ => Err(KeyHeaderError::TooLong),
    }
}

fn value(line: &[u8]) -> Result<String, KeyHeaderError> {
    match line.first() {
        None => Err(KeyHeaderError::Empty),
        Some(b'"') => match Parser::new(line).parse::<Item>() {
            Ok(Item { bare_item: BareItem::String(key), .. }) => Ok(key.into()),
            _ => Err(KeyHeaderError::Malformed),
        },
        // Many clients send a UUID without quotes. It may start with a digit, so it is not always a
        // Structured Fields Token.
        Some(_) if line.iter().copied().all(is_token_byte) => {
            str::from_utf8(line).map(str::to_owned).map_err(|_| KeyHeaderError::Malformed)
        }
        Some(_) => Err(KeyHeaderError::Malformed),
    }
}

/// Returns whether a Structured Fields Token may contain this byte (RFC 9651, section 3.3.4).
const fn is_token_byte(byte: u8) -> bool {
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

    fn read(lines: &[&[u8]]) -> Result<String, KeyHeaderError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(line).unwrap());
        }
        key(&headers)
    }

    #[test]
    fn key_is_accepted_with_and_without_quotes() {
        let uuid = "8e03978e-40d5-43e8-bc93-6894a57f9324";
        assert_eq!(read(&[format!("\"{uuid}\"").as_bytes()]).as_deref(), Ok(uuid));
        assert_eq!(read(&[uuid.as_bytes()]).as_deref(), Ok(uuid));
        assert_eq!(read(&[b"  \"a \\\"b\\\" \\\\c\";version=2 "]).as_deref(), Ok("a \"b\" \\c"));
        assert_eq!(read(&[b"order:981/2"]).as_deref(), Ok("order:981/2"));
        assert_eq!(read(&[format!("\"{}\"", "x".repeat(255)).as_bytes()]).unwrap().len(), 255);
    }

    #[test]
    fn invalid_keys_are_distinguished() {
        for (line, error) in [
            (&b""[..], KeyHeaderError::Empty),
            (b"  ", KeyHeaderError::Empty),
            (b"\"\"", KeyHeaderError::Empty),
            (b"\"open", KeyHeaderError::Malformed),
            (b"\"a\" b", KeyHeaderError::Malformed),
            (b"\"a\", \"b\"", KeyHeaderError::Malformed),
            (b"a b", KeyHeaderError::Malformed),
            (b"a,b", KeyHeaderError::Malformed),
            (b"(a)", KeyHeaderError::Malformed),
            (b"\"\xc3\xa9\"", KeyHeaderError::Malformed),
            (b"\xff", KeyHeaderError::Malformed),
            (b"a\"b\"", KeyHeaderError::Malformed),
        ] {
            assert_eq!(read(&[line]), Err(error), "{}", line.escape_ascii());
        }
        assert_eq!(read(&[]), Err(KeyHeaderError::Missing));
        assert_eq!(read(&[b"a", b"a"]), Err(KeyHeaderError::Repeated));
        assert_eq!(read(&["x".repeat(256).as_bytes()]), Err(KeyHeaderError::TooLong));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = value(&bytes);
            if let Ok(line) = HeaderValue::from_bytes(&bytes) {
                let headers = HeaderMap::from_iter([(IDEMPOTENCY_KEY, line)]);
                let _ = key(&headers);
            }
        }

        #[test]
        fn serialized_string_parses_back(text in "[ -~]{1,255}") {
            let written = sfv::ItemSerializer::new().bare_item(sfv::StringRef::from_str(&text).unwrap()).finish();
            prop_assert_eq!(value(written.as_bytes()), Ok(text));
        }
    }
}
