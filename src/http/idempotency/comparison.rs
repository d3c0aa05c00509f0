//! What makes two requests with one key the same request.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Uri};
use sha2::{Digest, Sha256};

use super::compared_body::{BodyComparison, ComparedBody};
use crate::backend::RequestHash;

/// Stands before everything else that is hashed. JSON does not start like this, so no request of a
/// plain [`Idempotency`](crate::Idempotency) has the same hash. A change of what is hashed, or how,
/// needs another version.
const DOMAIN: &[u8] = b"limited http request 1\n";

type UriOf = dyn Fn(&Parts) -> Option<&Uri> + Send + Sync;
type ValueOf = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type BodyOf = dyn Fn(&Parts, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// The parts of a request that are compared. Method, path and query always are.
#[derive(Clone)]
pub(super) struct Comparison {
    pub(super) host: bool,
    pub(super) uri: Option<Arc<UriOf>>,
    pub(super) headers: Vec<HeaderName>,
    pub(super) values: Vec<Arc<ValueOf>>,
    pub(super) body: BodyComparison,
    pub(super) custom_body: Option<Arc<BodyOf>>,
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            host: true,
            uri: None,
            headers: vec![CONTENT_TYPE, CONTENT_ENCODING],
            values: Vec::new(),
            body: BodyComparison::default(),
            custom_body: None,
        }
    }
}

impl Comparison {
    /// Returns the hash of a request. Two requests with equal hashes are the same request.
    pub(super) fn hash(&self, parts: &Parts, body: &[u8]) -> RequestHash {
        let mut hash = FieldHash(Sha256::new_with_prefix(DOMAIN));
        hash.add(b'm', parts.method.as_str());
        if self.host
            && let Some(host) = host_name(parts)
        {
            hash.add(b'a', host);
        }
        let uri = self.uri(parts);
        hash.add(b'p', uri.path());
        if let Some(query) = uri.query() {
            hash.add(b'q', query);
        }
        for (index, value) in self.values.iter().enumerate() {
            if let Some(value) = value(parts) {
                // A `usize` fits into 64 bits on every platform that Rust supports.
                hash.add(b'i', (index as u64).to_be_bytes());
                hash.add(b'v', value);
            }
        }
        let body = match &self.custom_body {
            Some(custom) => custom(parts, body).map(ComparedBody::Custom),
            None => None,
        }
        .unwrap_or_else(|| self.body.of(parts, body));
        for name in self.sorted_headers() {
            for value in parts.headers.get_all(name) {
                hash.add(b'n', name.as_str());
                match body.content_type() {
                    Some(content_type) if name == CONTENT_TYPE => hash.add(b'h', content_type),
                    _ => hash.add(b'h', value.as_bytes()),
                }
            }
        }
        match &body {
            ComparedBody::Bytes(bytes) => hash.add(b'b', bytes),
            ComparedBody::Json(json) => hash.add(b'j', json),
            ComparedBody::Multipart { segments, .. } => {
                for segment in segments {
                    hash.add(b's', segment);
                }
            }
            ComparedBody::Custom(bytes) => hash.add(b'c', bytes),
        }
        RequestHash(hash.0.finalize().into())
    }

    /// Returns the URI that the client sent, as far as it is known.
    pub(super) fn uri<'a>(&self, parts: &'a Parts) -> &'a Uri {
        self.uri.as_ref().and_then(|uri| uri(parts)).unwrap_or(&parts.uri)
    }

    /// Returns the names in an order that does not depend on that of the settings, each one once.
    fn sorted_headers(&self) -> Vec<&HeaderName> {
        let mut names: Vec<_> = self.headers.iter().collect();
        names.sort_by_key(|name| name.as_str());
        names.dedup();
        names
    }
}

/// Returns the name of the host that the request is for, without a port: from `:authority` in
/// HTTP/2, from `Host` in HTTP/1.1. `None` if it is an address.
pub(super) fn host_name(parts: &Parts) -> Option<String> {
    let host = match parts.uri.authority() {
        Some(authority) => authority.host().to_ascii_lowercase(),
        None => {
            let value = parts.headers.get(HOST)?.as_bytes().trim_ascii();
            match Authority::try_from(value) {
                Ok(authority) => authority.host().to_ascii_lowercase(),
                Err(_) => String::from_utf8_lossy(value).to_ascii_lowercase(),
            }
        }
    };
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    // An address names an instance of the service. A retry may reach another instance.
    (!is_address).then_some(host)
}

/// Hashes fields one after the other. No two sequences of fields are hashed alike: each field is a
/// tag, the length of its bytes, and the bytes.
struct FieldHash(Sha256);

impl FieldHash {
    fn add(&mut self, tag: u8, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update([tag]);
        // A `usize` fits into 64 bits on every platform that Rust supports.
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

impl fmt::Debug for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Comparison")
            .field("host", &self.host)
            .field("headers", &self.headers)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn hash(comparison: &Comparison, request: http::request::Builder, body: &[u8]) -> RequestHash {
        comparison.hash(&request.body(()).unwrap().into_parts().0, body)
    }

    #[test]
    fn hash_of_a_request_stays_the_same_in_all_versions() {
        let request = Request::post("/payments?currency=eur").header("content-type", "text/plain");
        let request = request.header("host", "Shop.example");
        // The SHA-256 of the domain and of m `POST`, a `shop.example`, p, q, n, h and b `4200`,
        // each with its length in eight bytes, computed with `printf` and `sha256sum`.
        assert_eq!(
            hash(&Comparison::default(), request, b"4200").to_string(),
            "98d0856442214c56668f25c78b058ea0312127eee70585ce3890f857bb0d46d0"
        );
    }

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let comparison =
            Comparison { headers: vec![CONTENT_TYPE, "a".parse().unwrap()], ..Comparison::default() };
        let requests = || {
            [
                Request::post("/a?b"),
                Request::post("/a?"),
                Request::post("/a"),
                Request::post("/ab"),
                Request::post("/a").header("a", "b"),
                Request::post("/a").header("a", ""),
                Request::post("/a").header("a", "b").header("a", "c"),
                Request::post("/a").header("a", "c").header("a", "b"),
                Request::post("/a").header("a", "b,c"),
                Request::post("/a").header("host", "b"),
                Request::post("/a").header("content-type", "b"),
            ]
        };
        let mut hashes = std::collections::HashSet::new();
        for body in [&b""[..], b"b", b"h"] {
            for request in requests() {
                assert!(hashes.insert(hash(&comparison, request, body)));
            }
        }
    }

    #[test]
    fn values_are_told_apart_by_their_position() {
        let with = |one: Option<&'static str>, other: Option<&'static str>| Comparison {
            values: [one, other]
                .map(|value| Arc::new(move |_: &Parts| value.map(str::to_owned)) as Arc<ValueOf>)
                .into(),
            ..Comparison::default()
        };
        let hash = |comparison: &Comparison| hash(comparison, Request::post("/"), b"");
        let hashes = [with(Some("x"), None), with(None, Some("x")), with(None, None), with(Some(""), None)]
            .map(|c| hash(&c));
        let distinct: std::collections::HashSet<_> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), 4);
        assert_eq!(hashes[2], hash(&Comparison::default()));
    }

    #[test]
    fn header_that_is_compared_but_missing_changes_no_hash() {
        let more = Comparison { headers: vec!["x".parse().unwrap(), CONTENT_TYPE], ..Comparison::default() };
        let request = || Request::post("/").header("content-type", "text/plain");
        assert_eq!(hash(&more, request(), b""), hash(&Comparison::default(), request(), b""));
    }

    #[test]
    fn authority_of_http_2_and_host_of_http_1_are_one() {
        let comparison = Comparison::default();
        let one = hash(&comparison, Request::post("https://shop.example/a"), b"");
        assert_eq!(one, hash(&comparison, Request::post("/a").header("host", "SHOP.example"), b""));
        assert_eq!(one, hash(&comparison, Request::post("/a").header("host", "shop.example:444"), b""));
        assert_ne!(one, hash(&comparison, Request::post("/a").header("host", "shop.example.org"), b""));
        assert_ne!(one, hash(&comparison, Request::post("/a"), b""));
    }

    #[test]
    fn address_of_an_instance_is_not_compared() {
        let comparison = Comparison::default();
        let none = hash(&comparison, Request::post("/a"), b"");
        for host in ["192.0.2.7", "192.0.2.7:3000", "[2001:db8::1]", "[2001:db8::1]:3000"] {
            assert_eq!(none, hash(&comparison, Request::post("/a").header("host", host), b""), "{host}");
            assert_eq!(none, hash(&comparison, Request::post(format!("http://{host}/a")), b""), "{host}");
        }
        for host in ["192.0.2", "192.0.2.7.example", "", "a b"] {
            assert_ne!(none, hash(&comparison, Request::post("/a").header("host", host), b""), "{host}");
        }
    }
}
