//! Headers about limits that the service or an inner layer has already written.

use std::convert::Infallible;
use std::future::ready;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use limited::http::{KeyExtractor, RateLimitLayer, UpstreamHeaders};
use limited::memory::MemoryBackend;
use limited::{Limiter, ManualClock, Quota};
use proptest::prelude::*;
use sfv::{List, ListEntry, Parser};
use tower::{Layer, service_fn};

use super::fuzz;
use crate::client::{Frames, Received, send};
use crate::inputs;

const WORDS: &[&str] = &[
    "\"default\"",
    "\"a\"",
    ";r=1",
    ";t=60",
    ";q=9",
    ";w",
    ";x=\"y\"",
    ";p=:YQ==:",
    ", ",
    ",",
    "(",
    ")",
    " ",
    "\t",
    "=",
    "\"",
    "\\",
    "a",
    "-1",
    "1.5",
    "?1",
    "@0",
    "limit=100",
    "0",
    "18446744073709551615",
    "x",
];

const LISTS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-policy"), HeaderName::from_static("ratelimit")];
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

fn lines() -> impl Strategy<Value = Vec<HeaderValue>> {
    prop::collection::vec(inputs::header_value(WORDS), 0..3)
}

/// Returns the list in these lines, if it is one (RFC 9651, section 4.2).
fn list(lines: &[HeaderValue]) -> Option<List> {
    let lines = lines.iter().map(HeaderValue::as_bytes).map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    Parser::new(&lines.join(&b", "[..])).parse().ok()
}

fn name(entry: &ListEntry) -> &str {
    let ListEntry::Item(item) = entry else { panic!("unexpected inner list") };
    item.bare_item.as_string().unwrap().as_str()
}

fn through_layer(upstream: &HeaderMap, handling: UpstreamHeaders) -> Received {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).quota(Quota::per_minute(9));
    let layer =
        RateLimitLayer::new(limiter, KeyExtractor::path()).legacy_headers().upstream_headers(handling);
    let respond = service_fn(|_: Request<()>| {
        let mut response = Response::new(Frames::default());
        *response.headers_mut() = upstream.clone();
        ready(Ok::<_, Infallible>(response))
    });
    send(&mut layer.layer(respond), Request::new(()))
}

#[test]
fn own_member_is_readable_after_any_list_of_the_service() {
    fuzz(&(lines(), lines(), lines()), |(policies, limits, remaining)| {
        let mut upstream = HeaderMap::new();
        for (name, lines) in LISTS.iter().chain([&LEGACY_REMAINING]).zip([&policies, &limits, &remaining]) {
            for line in lines {
                upstream.append(name, line.clone());
            }
        }
        let appended = through_layer(&upstream, UpstreamHeaders::Append);
        for (header, before) in LISTS.iter().zip([&policies, &limits]) {
            let after = list(&[appended.headers[header].clone()]).unwrap();
            let (own, others) = after.split_last().unwrap();
            assert_eq!(name(own), "default");
            assert_eq!(others, list(before).unwrap_or_default(), "{header}");
            assert_eq!(appended.headers.get_all(header).iter().count(), 1);
        }
        // One request of nine was counted. A service that has less left is not overruled.
        let left: u64 = appended.headers[&LEGACY_REMAINING].to_str().unwrap().parse().unwrap();
        assert!(left <= 8, "{remaining:?}");

        let replaced = through_layer(&upstream, UpstreamHeaders::Replace);
        for header in &LISTS {
            let members = list(&[replaced.headers[header].clone()]).unwrap();
            assert_eq!(members.iter().map(name).collect::<Vec<_>>(), ["default"]);
        }
        assert_eq!(replaced.headers[&LEGACY_REMAINING], "8");
    });
}
