//! The form of a body in which it is compared.

use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::idempotency::canonical_json;

/// The deepest JSON that is compared by value. `serde_json` reads no deeper by default.
const MAX_DEPTH: usize = 128;

/// How the body of a retry is compared with that of the first request.
///
/// A client may serialize its request again before it retries. Then the order of JSON members or
/// the boundary of a multipart form may differ, and the retry is a different request byte by byte.
///
/// Each variant concerns bodies of one content type. Others, and bodies that are malformed, are
/// compared byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyComparison {
    /// Byte by byte, whatever the content type.
    #[default]
    Bytes,
    /// By value, if the content type is `application/json` or ends in `+json`. Space, escapes, the
    /// order of members and the notation of numbers make no difference. Numbers are compared with
    /// all of their digits. Nesting deeper than 128 is compared byte by byte.
    CanonicalJson,
    /// Without the boundary, if the content type is `multipart/…` (RFC 2046). The order of the
    /// parts, and their headers, make a difference.
    Multipart,
    /// As [`CanonicalJson`](Self::CanonicalJson) or [`Multipart`](Self::Multipart), by content
    /// type.
    ByContentType,
}

limited_core::named_setting!(BodyComparison, "comparison of request bodies" {
    Bytes => "bytes",
    CanonicalJson => "canonical-json",
    Multipart => "multipart",
    ByContentType => "by-content-type",
});

/// A body in the form in which it is compared.
#[derive(Debug, PartialEq)]
pub(super) enum ComparedBody<'a> {
    Bytes(&'a [u8]),
    Json(String),
    Multipart {
        /// What stands between the boundaries.
        segments: Vec<&'a [u8]>,
        /// The content type without the boundary.
        content_type: Vec<u8>,
    },
    Custom(Vec<u8>),
}

impl BodyComparison {
    /// Returns the compared form of a body.
    pub(super) fn of<'a>(self, parts: &Parts, body: &'a [u8]) -> ComparedBody<'a> {
        let json = || matches!(self, Self::CanonicalJson | Self::ByContentType).then(|| json(parts, body))?;
        let multipart =
            || matches!(self, Self::Multipart | Self::ByContentType).then(|| multipart(parts, body))?;
        json().or_else(multipart).unwrap_or(ComparedBody::Bytes(body))
    }
}

impl ComparedBody<'_> {
    /// Returns the content type to compare, if it is not the one of the request.
    pub(super) fn content_type(&self) -> Option<&[u8]> {
        match self {
            Self::Multipart { content_type, .. } => Some(content_type),
            _ => None,
        }
    }
}

fn json<'a>(parts: &Parts, body: &'a [u8]) -> Option<ComparedBody<'a>> {
    let essence = content_type(parts)?.split(';').next()?.trim().to_ascii_lowercase();
    if essence != "application/json" && !essence.ends_with("+json") {
        return None;
    }
    canonical_json(str::from_utf8(body).ok()?, MAX_DEPTH).map(ComparedBody::Json)
}

fn multipart<'a>(parts: &Parts, body: &'a [u8]) -> Option<ComparedBody<'a>> {
    let value = content_type(parts)?;
    if !value.get(..b"multipart/".len())?.eq_ignore_ascii_case("multipart/") {
        return None;
    }
    let (boundary, content_type) = cut_boundary(value)?;
    let segments = split_at_delimiters(body, boundary)?;
    Some(ComparedBody::Multipart { segments, content_type: content_type.into() })
}

/// Returns the content type if it was sent once.
fn content_type(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(CONTENT_TYPE).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// Returns the parameter `boundary`, and the content type without its value. Returns `None` if
/// there is more than one: the service may read another.
fn cut_boundary(value: &str) -> Option<(&str, String)> {
    let mut found = None;
    let mut from = value.find(';')? + 1;
    while from <= value.len() {
        let end = value[from..].find(';').map_or(value.len(), |length| from + length);
        let (name, quoted) = value[from..end].split_once('=').unwrap_or_default();
        if name.trim().eq_ignore_ascii_case("boundary") {
            // RFC 2046 allows neither a quote, a backslash nor a semicolon in a boundary.
            let boundary = quoted.trim();
            let boundary =
                boundary.strip_prefix('"').map_or(Some(boundary), |inner| inner.strip_suffix('"'))?;
            let is_valid = (1..=70).contains(&boundary.len()) && !boundary.contains(['"', '\\']);
            let without = [&value[..from], &value[end..]].concat();
            if !is_valid || found.replace((boundary, without)).is_some() {
                return None;
            }
        }
        from = end + 1;
    }
    found
}

/// Returns what stands before, between and after the delimiters. Returns `None` if there is none.
fn split_at_delimiters<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<&'a [u8]>> {
    let delimiter = format!("\r\n--{boundary}");
    let (delimiter, at_start) = (delimiter.as_bytes(), &delimiter.as_bytes()[2..]);
    let mut segments = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < body.len() {
        let length = match &body[at..] {
            rest if rest.starts_with(delimiter) => delimiter.len(),
            rest if at == 0 && rest.starts_with(at_start) => at_start.len(),
            _ => 0,
        };
        // Otherwise it is the start of a longer word, which is content.
        let is_delimiter = length > 0
            && matches!(
                &body[at + length..],
                [] | [b' ' | b'\t', ..] | [b'\r', b'\n', ..] | [b'-', b'-', ..]
            );
        if is_delimiter {
            segments.push(&body[start..at]);
            start = at + length;
            at = start;
        } else {
            at += 1;
        }
    }
    if segments.is_empty() {
        return None;
    }
    segments.push(&body[start..]);
    Some(segments)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn compared<'a>(by: BodyComparison, content_type: &str, body: &'a str) -> ComparedBody<'a> {
        let request = Request::post("/").header("content-type", content_type).body(()).unwrap();
        by.of(&request.into_parts().0, body.as_bytes())
    }

    fn form(boundary: &str, value: &str) -> String {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{value}\r\n--{boundary}\r\n\r\n--b\r\n--{boundary}--\r\n"
        )
    }

    #[test]
    fn json_is_compared_by_value_if_the_content_type_says_so() {
        let (one, other) = (r#"{"a": 1, "b": [1.0]}"#, r#"{"b":[1],"a":1e0}"#);
        for by in [BodyComparison::CanonicalJson, BodyComparison::ByContentType] {
            for content_type in
                ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"]
            {
                assert_eq!(compared(by, content_type, one), compared(by, content_type, other));
            }
            for content_type in ["text/plain", "application/jsonl", "multipart/json"] {
                assert_eq!(compared(by, content_type, one), ComparedBody::Bytes(one.as_bytes()));
            }
            assert_eq!(compared(by, "application/json", "{1"), ComparedBody::Bytes(b"{1"));
        }
        for by in [BodyComparison::Bytes, BodyComparison::Multipart] {
            assert_eq!(compared(by, "application/json", one), ComparedBody::Bytes(one.as_bytes()));
        }
    }

    #[test]
    fn multipart_is_compared_without_its_boundary() {
        for by in [BodyComparison::Multipart, BodyComparison::ByContentType] {
            let compare = |boundary: &str, quoted: &str, value: &str| {
                let body = form(boundary, value);
                match compared(by, &format!("multipart/form-data; charset=utf-8; boundary={quoted}"), &body) {
                    ComparedBody::Multipart { segments, content_type } => {
                        assert_eq!(content_type, b"multipart/form-data; charset=utf-8;");
                        segments.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()
                    }
                    other => panic!("{other:?}"),
                }
            };
            let one = compare("x1", "x1", "4200");
            assert_eq!(one.len(), 4);
            assert_eq!(one, compare("y-2:?", "\"y-2:?\"", "4200"));
            assert_ne!(one, compare("x1", "x1", "4201"));
            // Not a delimiter, but content that starts like one.
            assert_ne!(compare("x1", "x1", "\r\n--x1y"), compare("x2", "x2", "\r\n--x2y"));
        }
    }

    #[test]
    fn malformed_multipart_is_compared_byte_by_byte() {
        let body = form("x", "1");
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"x",
            "multipart/form-data; boundary=y",
            "multipart/form-data; bound=x",
            "multipart/form-data; boundary=x; boundary=y",
            "multipart/form-data; title=\"a; boundary=x; b\"; boundary=y",
            "text/plain; boundary=x",
            "boundary=x",
        ] {
            let by = BodyComparison::Multipart;
            assert_eq!(
                compared(by, content_type, &body),
                ComparedBody::Bytes(body.as_bytes()),
                "{content_type}"
            );
        }
    }
}
