//! What the layers promise, by a model that is obviously right.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use limited::Algorithm;
use limited::http::is_final;

use super::exchange::Template;
use crate::client::Received;

const STORED_HEADERS: [&str; 5] = ["content-type", "etag", "location", "cache-control", "vary"];

/// The headers that the layers write themselves.
const OWN_HEADERS: [&str; 5] =
    ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "idempotency-replayed", "trailer"];

pub(super) const LIMIT_WINDOW: Duration = Duration::from_secs(1);

/// Returns the values of a header.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a HeaderValue> {
    headers.get_all(name).iter().collect()
}

/// How often each client was admitted: the limit must hold in every window, and must be used up
/// before a window rejects.
pub(super) struct LimitModel {
    pub(super) algorithm: Algorithm,
    pub(super) limit: u64,
    pub(super) admitted: HashMap<(u8, u128), u64>,
}

impl LimitModel {
    pub(super) fn check(&mut self, client: u8, now: Duration, is_admitted: bool) {
        let window = match self.algorithm {
            // A bucket admits its capacity, and then its rate.
            Algorithm::TokenBucket => 0,
            _ => now.as_nanos() / LIMIT_WINDOW.as_nanos(),
        };
        let count = self.admitted.entry((client, window)).or_default();
        *count += u64::from(is_admitted);
        let refilled = u128::from(self.limit) * now.as_nanos() / LIMIT_WINDOW.as_nanos();
        match self.algorithm {
            Algorithm::TokenBucket => assert!(u128::from(*count) <= u128::from(self.limit) + refilled),
            _ => assert!(*count <= self.limit),
        }
        if self.algorithm == Algorithm::FixedWindow && !is_admitted {
            assert_eq!(*count, self.limit, "rejected below the limit");
        }
    }
}

/// Returns whether the limit rejected a request, if neither the service responded nor a record:
/// 429, or `RESOURCE_EXHAUSTED` for a gRPC call.
pub(super) fn is_rejected(response: &Received) -> bool {
    let code = response.headers.get("grpc-status");
    response.status == StatusCode::TOO_MANY_REQUESTS || code.is_some_and(|code| code == "8")
}

/// The keys of all clients: each request must be executed once, and every retry must get its
/// response.
pub(super) struct KeyModel<'a> {
    pub(super) templates: &'a [Template],
    pub(super) known: HashMap<(u8, &'static str), Known>,
}

/// What is known of a key that was executed.
pub(super) enum Known {
    /// The number of the template, and the response.
    Done(usize, Box<Received>),
    /// Whether it is done depends on more than this model looks at.
    Unclear,
}

impl KeyModel<'_> {
    /// Checks the response to a request that the limit admitted.
    pub(super) fn check(
        &mut self,
        key: (u8, &'static str),
        index: usize,
        is_called: bool,
        response: &Received,
    ) {
        let template = &self.templates[index];
        let reason = response.reason().filter(|_| !is_called);
        match self.known.get(&key) {
            _ if template.body.is_cut_off => assert_eq!(reason.as_deref(), Some("request-cut-off")),
            Some(Known::Unclear) => {}
            None => {
                assert!(is_called, "{response:?}");
                self.known.extend(known_after(index, response).map(|known| (key, known)));
            }
            Some(Known::Done(..)) if is_called => panic!("{key:?} was executed again"),
            Some(Known::Done(done, first)) if response.is_replayed() => {
                assert_replays(first, response);
                assert_eq!(self.templates[*done].compared(), template.compared());
            }
            Some(Known::Done(done, first)) => match reason.as_deref() {
                Some("idempotency-key-reused") => assert_ne!(*done, index),
                Some("response-not-stored") => assert!(first.is_cut_off),
                _ => panic!("{response:?} after {first:?}"),
            },
        }
    }
}

/// Checks that a response repeats the first one, without the headers that are not stored.
fn assert_replays(first: &Received, replayed: &Received) {
    assert_eq!((replayed.status, &replayed.body, replayed.is_cut_off), (first.status, &first.body, false));
    for name in STORED_HEADERS {
        assert_eq!(values(&replayed.headers, name), values(&first.headers, name), "{name}");
    }
    for name in replayed.headers.keys().map(HeaderName::as_str) {
        assert!(STORED_HEADERS.contains(&name) || OWN_HEADERS.contains(&name), "{name}");
    }
    let stored = |response: &Received| {
        let mut trailers = response.trailers.clone().unwrap_or_default();
        for name in ["set-cookie", "te"] {
            trailers.remove(name);
        }
        trailers
    };
    assert_eq!(stored(replayed), stored(first));
    assert!(replayed.trailers.as_ref().is_none_or(|trailers| !trailers.contains_key(SET_COOKIE)));
}

/// Returns what is known of the key of a request that the service responded to.
fn known_after(template: usize, response: &Received) -> Option<Known> {
    let is_grpc = values(&response.headers, CONTENT_TYPE.as_str())
        .iter()
        .any(|value| value.as_bytes().starts_with(b"application/grpc"));
    let asks_for_retry = response.status.is_client_error() && response.headers.contains_key(RETRY_AFTER);
    match () {
        () if is_grpc => Some(Known::Unclear),
        () if is_final(response.status) && !asks_for_retry => {
            Some(Known::Done(template, Box::new(response.clone())))
        }
        () => None,
    }
}
