//! The whole stack: a limit per client, then idempotency, then a service.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use limited::http::{
    BufferedBody, ClientAddress, IdempotencyLayer, KeyExtractor, MissingKey, PeerAddress, RateLimitLayer,
    is_final,
};
use limited::memory::MemoryBackend;
use limited::{Algorithm, Idempotency, Limiter, ManualClock, Quota};
use proptest::prelude::*;
use tower::{Layer, service_fn};

use super::fuzz;
use crate::client::{Frames, Received, send};
use crate::inputs;

const WORDS: &[&str] = &[
    "a",
    "1",
    ",",
    ";",
    "=",
    "\"",
    "\"default\";r=5",
    "text/plain",
    "application/json",
    "application/grpc",
    "multipart/x",
    "; boundary=x",
    "60",
    "true",
    "/a",
    "[::1]:80",
    "shop.example",
    "8e03978e",
    "?1",
    " ",
    "chunked",
];

/// Lines of the header `Idempotency-Key`, and their keys.
const KEYS: [(&str, &str); 5] = [
    ("\"pay-1\"", "pay-1"),
    ("pay-1", "pay-1"),
    (" \"pay-1\";v=1", "pay-1"),
    ("\"pay-2\"", "pay-2"),
    ("pay-3", "pay-3"),
];

const REQUEST_HEADERS: [&str; 8] = [
    "content-type",
    "content-encoding",
    "host",
    "authorization",
    "x-forwarded-for",
    "accept",
    "content-length",
    "x-ratelimit-remaining",
];

const STORED_HEADERS: [&str; 5] = ["content-type", "etag", "location", "cache-control", "vary"];

const RESPONSE_HEADERS: [&str; 13] = [
    "content-type",
    "etag",
    "location",
    "cache-control",
    "vary",
    "set-cookie",
    "retry-after",
    "transfer-encoding",
    "x-other",
    "ratelimit",
    "ratelimit-policy",
    "x-ratelimit-remaining",
    "idempotency-replayed",
];

/// The headers that the layers write themselves.
const OWN_HEADERS: [&str; 5] =
    ["ratelimit", "ratelimit-policy", "x-ratelimit-remaining", "idempotency-replayed", "trailer"];

const LIMIT_WINDOW: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Template {
    method: Method,
    uri: Uri,
    /// The line of the header, and the key if it is known.
    key: Option<(HeaderValue, Option<&'static str>)>,
    headers: HeaderMap,
    body: Frames,
}

#[derive(Clone, Debug)]
struct Step {
    pause: Duration,
    client: u8,
    template: prop::sample::Index,
    status: u16,
    headers: HeaderMap,
    body: Frames,
}

fn headers(names: &'static [&'static str]) -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(names).prop_map(HeaderName::from_static);
    prop::collection::vec((name, inputs::header_value(WORDS)), 0..4).prop_map(|headers| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        map
    })
}

fn frames() -> impl Strategy<Value = Frames> {
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4);
    let trailers = prop::option::weighted(0.3, headers(&["checksum", "grpc-status", "set-cookie", "te"]));
    (chunks, trailers, prop::bool::weighted(0.1)).prop_map(|(chunks, trailers, is_cut_off)| Frames {
        chunks: chunks.into_iter().map(Into::into).collect(),
        trailers,
        is_cut_off,
    })
}

fn template() -> impl Strategy<Value = Template> {
    let method = prop_oneof![
        4 => Just(Method::POST),
        1 => prop::sample::select(vec![Method::PATCH, Method::GET, Method::HEAD, Method::OPTIONS]),
        1 => Just(Method::from_bytes(b"PAY").unwrap()),
    ];
    let uri = prop_oneof![
        prop::sample::select(vec!["/a", "/a?b=c", "/", "*", "http://shop.example/a", "//", "/%ff?%"])
            .prop_map(str::to_owned),
        "/[!-~]{0,8}",
    ];
    let uri = uri.prop_filter_map("not a URI", |text| Uri::try_from(text).ok());
    let key = prop_oneof![
        6 => prop::sample::select(&KEYS).prop_map(|(line, key)| Some((HeaderValue::from_static(line), Some(key)))),
        1 => inputs::header_value(WORDS).prop_map(|line| Some((line, None))),
        1 => Just(None),
    ];
    (method, uri, key, headers(&REQUEST_HEADERS), frames())
        .prop_map(|(method, uri, key, headers, body)| Template { method, uri, key, headers, body })
}

fn step() -> impl Strategy<Value = Step> {
    let pause = prop_oneof![3 => Just(0), 2 => 0..400_u64, 1 => 0..2_500_u64].prop_map(Duration::from_millis);
    let status = prop_oneof![4 => 200..300_u16, 2 => 400..430_u16, 1 => 100..1000_u16];
    (pause, 0..3_u8, any::<prop::sample::Index>(), status, headers(&RESPONSE_HEADERS), frames()).prop_map(
        |(pause, client, template, status, headers, body)| Step {
            pause,
            client,
            template,
            status,
            headers,
            body,
        },
    )
}

/// A service with one response, and the body that it should get.
#[derive(Default)]
struct Script {
    /// Taken by the call.
    response: Mutex<Option<Response<Frames>>>,
    sent: Mutex<Vec<u8>>,
}

impl Script {
    async fn respond(
        self: Arc<Self>,
        request: Request<BufferedBody<Frames>>,
    ) -> Result<Response<Frames>, Infallible> {
        let response = self.response.lock().unwrap().take().expect("one call per request");
        let (parts, body) = request.into_parts();
        let received = Received::from(Response::new(body)).await;
        // The layer has read the body of a request with a key. It hands the others through.
        if is_keyed(&parts.method) && parts.headers.contains_key("idempotency-key") {
            assert_eq!((received.body, received.is_cut_off), (self.sent.lock().unwrap().clone(), false));
        }
        Ok(response)
    }
}

/// Returns whether the layer looks for a key.
fn is_keyed(method: &Method) -> bool {
    [Method::POST, Method::PATCH].contains(method)
}

fn all(frames: &Frames) -> Vec<u8> {
    frames.chunks.iter().flatten().copied().collect()
}

/// Returns the values of a header.
fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a HeaderValue> {
    headers.get_all(name).iter().collect()
}

/// How often each client was admitted: the limit must hold in every window, and must be used up
/// before a window rejects.
struct LimitModel {
    algorithm: Algorithm,
    limit: u64,
    admitted: HashMap<(u8, u128), u64>,
}

impl LimitModel {
    fn check(&mut self, client: u8, now: Duration, is_admitted: bool) {
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

/// What is known of a key.
#[derive(Debug)]
enum Known {
    /// The request with this template was executed, and this is its response.
    Done(usize, Box<Received>),
    /// It was executed, and its response depends on more than this model looks at.
    Unclear,
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

#[test]
fn stack_admits_at_most_the_limit_and_executes_each_key_once() {
    let templates = prop::collection::vec(template(), 1..4);
    let steps = prop::collection::vec(step(), 1..12);
    let case = (templates, steps, 1..6_u64, prop::sample::select(Algorithm::ALL.to_vec()), any::<bool>());
    fuzz(&case, |(templates, steps, limit, algorithm, passes_missing_keys)| {
        let clock = ManualClock::new();
        let started = limited::Clock::now(&clock);
        let quota = Quota::new(limit, LIMIT_WINDOW).unwrap();
        let limiter =
            Limiter::new(MemoryBackend::new()).clock(clock.clone()).quota(quota).algorithm(algorithm);
        let address = || KeyExtractor::address(ClientAddress::peer());
        let idempotency = Idempotency::new(MemoryBackend::new()).clock(clock.clone());
        let missing_key = if passes_missing_keys { MissingKey::Pass } else { MissingKey::Reject };
        let idempotency = IdempotencyLayer::new(idempotency, address()).on_missing_key(missing_key);

        let script = Arc::new(Script::default());
        let service = Arc::clone(&script);
        let service = service_fn(move |request| Arc::clone(&service).respond(request));
        let mut stack = RateLimitLayer::new(limiter, address()).layer(idempotency.layer(service));

        let mut limits = LimitModel { algorithm, limit, admitted: HashMap::new() };
        let mut keys: HashMap<(u8, &str), Known> = HashMap::new();
        for step in steps {
            clock.advance(step.pause);
            let index = step.template.index(templates.len());
            let template = &templates[index];
            let (mut parts, ()) = Request::new(()).into_parts();
            (parts.method, parts.uri, parts.headers) =
                (template.method.clone(), template.uri.clone(), template.headers.clone());
            if let Some((line, _)) = &template.key {
                parts.headers.insert("idempotency-key", line.clone());
            }
            parts.extensions.insert(PeerAddress(IpAddr::from([192, 0, 2, step.client])));
            let (mut response, ()) = Response::new(()).into_parts();
            response.status = StatusCode::from_u16(step.status).unwrap();
            response.headers = step.headers;
            *script.response.lock().unwrap() = Some(Response::from_parts(response, step.body.clone()));
            *script.sent.lock().unwrap() = all(&template.body);

            let response = send(&mut stack, Request::from_parts(parts, template.body.clone()));

            let is_called = script.response.lock().unwrap().is_none();
            let is_replayed = !is_called && response.is_replayed();
            let is_admitted = is_called || is_replayed || response.status != StatusCode::TOO_MANY_REQUESTS;
            limits.check(step.client, limited::Clock::now(&clock).saturating_since(started), is_admitted);
            if !is_admitted {
                continue;
            }
            if is_called {
                assert_eq!((response.status.as_u16(), &response.body), (step.status, &all(&step.body)));
                assert_eq!(response.is_cut_off, step.body.is_cut_off);
            }
            let Some(key) =
                template.key.as_ref().and_then(|(_, key)| *key).filter(|_| is_keyed(&template.method))
            else {
                continue;
            };
            let key = (step.client, key);
            let reason = if is_called { None } else { response.reason() };
            match keys.get(&key) {
                _ if template.body.is_cut_off => assert_eq!(reason.as_deref(), Some("request-cut-off")),
                None => {
                    assert!(is_called, "{response:?}");
                    if let Some(known) = known_after(index, &response) {
                        keys.insert(key, known);
                    }
                }
                Some(Known::Done(_, first)) if is_replayed => assert_replays(first, &response),
                Some(Known::Done(done, first)) => {
                    let expected = match reason.as_deref() {
                        Some("idempotency-key-reused") => *done != index,
                        Some("response-not-stored") => first.is_cut_off,
                        _ => false,
                    };
                    assert!(expected, "{response:?} after {first:?}");
                }
                Some(Known::Unclear) => {}
            }
        }
    });
}
