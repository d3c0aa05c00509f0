//! Requests and responses: some words that the layers know, in any order, and arbitrary bytes.

use std::fmt::Debug;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use limited::http::PeerAddress;
use proptest::prelude::*;

use crate::client::Frames;
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

#[derive(Clone, Debug)]
pub(super) struct Template {
    pub(super) method: Method,
    pub(super) uri: Uri,
    /// The line of the header, and the key if it is known.
    pub(super) key: Option<(HeaderValue, Option<&'static str>)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Frames,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) pause: Duration,
    pub(super) client: u8,
    pub(super) template: prop::sample::Index,
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Frames,
}

impl Template {
    /// Returns the request, from this client.
    pub(super) fn request(&self, client: u8) -> Request<Frames> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some((line, _)) = &self.key {
            request.headers_mut().insert("idempotency-key", line.clone());
        }
        request.extensions_mut().insert(PeerAddress([192, 0, 2, client].into()));
        request
    }

    /// Returns the key, if it is known.
    pub(super) fn known_key(&self) -> Option<&'static str> {
        self.key.as_ref()?.1
    }

    /// Returns what two requests with one key must have in common, apart from the host.
    pub(super) fn compared(&self) -> impl PartialEq + Debug {
        let values = |name| self.headers.get_all(name).iter().collect::<Vec<_>>();
        let uri = (self.uri.path(), self.uri.query());
        (&self.method, uri, self.body.data(), values(CONTENT_TYPE), values(CONTENT_ENCODING))
    }
}

impl Step {
    /// Returns the response of the service.
    pub(super) fn response(&self) -> Response<Frames> {
        let mut response = Response::new(self.body.clone());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = self.headers.clone();
        response
    }
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

/// Some requests, and at last two that differ in one part only.
pub(super) fn templates() -> impl Strategy<Value = Vec<Template>> {
    let others = prop::collection::vec(template(), 0..3);
    (others, template(), template(), 0..6_u8).prop_map(|(mut templates, template, other, part)| {
        let mut changed = template.clone();
        match part {
            0 => changed.method = other.method,
            1 => changed.uri = other.uri,
            2 => changed.headers = other.headers,
            3 => changed.body = other.body,
            4 => changed.key = other.key,
            _ => changed.uri = Uri::try_from(format!("{}?again", template.uri.path())).unwrap_or(other.uri),
        }
        templates.extend([template, changed]);
        templates
    })
}

pub(super) fn step() -> impl Strategy<Value = Step> {
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
