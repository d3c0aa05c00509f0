//! RFC 9651, structured fields, in `Idempotency-Key` (an item) and `RateLimit` (a list).

use std::convert::Infallible;
use std::future::ready;

use http::{HeaderValue, Request, Response};
use limited::http::{KeyExtractor, RateLimitLayer};
use limited::memory::MemoryBackend;
use limited::{Key, Limiter, ManualClock, Quota};
use tower::{Layer, service_fn};

use crate::client::{Frames, Payments, send};

/// Returns whether a request with this line is executed under this key.
fn is_key(line: &str, key: &str) -> bool {
    let payments = Payments::new(|layer| layer);
    payments.send(Request::post("/").header("idempotency-key", line).body(Frames::default()).unwrap());
    pollster::block_on(payments.records().find(&Key::new().part("idempotency-key", key))).unwrap().is_some()
}

/// Returns the reason why a request with this line is refused.
fn refused(line: &str) -> Option<String> {
    let payments = Payments::new(|layer| layer);
    let request = Request::post("/").header("idempotency-key", line).body(Frames::default()).unwrap();
    payments.send(request).reason()
}

#[test]
fn string_is_printable_ascii_with_two_escapes() {
    // Sections 3.3.3 and 4.2.5.
    assert!(is_key("\"hello world\"", "hello world"));
    assert!(is_key(r#""a\"b""#, "a\"b") && is_key(r#""a\\b""#, "a\\b") && is_key(r#""\\\"""#, "\\\""));
    assert!(is_key("\" \"", " ") && is_key("\"~!\"", "~!"));
    for line in [
        "\"",           // no closing quote
        "\"a",          // the same
        r#""a\""#,      // the closing quote is escaped
        r#""a\n""#,     // no such escape
        r#""a\u0041""#, // the same
        "\"a\tb\"",     // a control character
        "\"é\"",        // not ASCII
        "'a b'",        // another quote
        "\"a\"b",       // more than an item
        "\"a\" \"b\"",  // the same
        "\"a\", \"b\"", // a list
        "(\"a\")",      // an inner list
    ] {
        assert_eq!(refused(line).as_deref(), Some("idempotency-key-malformed"), "{line}");
    }
}

/// Parameters of each type (section 3.1.2, and 3.3.1 to 3.3.8).
const PARAMETERS: [&str; 14] = [
    ";a=1",
    ";a=-999999999999999",
    ";a=1.5",
    ";a=\"x;y\"",
    ";a=tok/en:*",
    ";a=:aGVsbG8=:",
    ";a",
    ";a=?0",
    ";a=@1659578233",
    ";a=%\"%c3%bc\"",
    "; a=1;  b",
    ";*a=1",
    ";a_-.*=1",
    ";a=1;a=2",
];

/// Parameters that are malformed in one way each.
const NO_PARAMETERS: [&str; 14] = [
    ";",
    ";A=1",
    ";1=a",
    "; =1",
    ";a=",
    ";a= 1",
    " ;a=1",
    ";a=?2",
    ";a=:b c:",
    ";a=1.",
    ";a=1234567890123456",
    ";a=@1.5",
    ";a=%\"%C3\"",
    ";a=(1)",
];

#[test]
fn parameters_of_a_key_are_ignored() {
    for parameters in PARAMETERS {
        assert!(is_key(&format!("\"k\"{parameters}"), "k"), "{parameters}");
    }
    for parameters in NO_PARAMETERS {
        assert_eq!(
            refused(&format!("\"k\"{parameters}")).as_deref(),
            Some("idempotency-key-malformed"),
            "{parameters}"
        );
    }
}

#[test]
fn space_around_an_item_is_ignored() {
    // Section 4.2: leading and trailing spaces are discarded.
    assert!(is_key("  \"k\"  ", "k") && is_key("  k ", "k") && is_key(" \"k\";v=1 ", "k"));
}

/// Returns the header `RateLimit` after the layer, if the service has written these lines.
fn appended_to(lines: &[&str]) -> String {
    let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).quota(Quota::per_minute(9));
    let layer = RateLimitLayer::new(limiter, KeyExtractor::path());
    let respond = service_fn(|_: Request<()>| {
        let mut response = Response::new(Frames::default());
        for line in lines {
            response.headers_mut().append("ratelimit", HeaderValue::from_str(line).unwrap());
        }
        ready(Ok::<_, Infallible>(response))
    });
    send(&mut layer.layer(respond), Request::new(())).headers["ratelimit"].to_str().unwrap().to_owned()
}

const OWN: &str = "\"default\";r=8;t=60";

#[test]
fn member_is_appended_to_every_list() {
    // Sections 3.1 and 4.2.1: members are items and inner lists, in one line or in several.
    for lines in [
        &["\"a\";r=1;t=2"][..],
        &["\"a\";r=1,\"b\";r=2"],
        &["\"a\";r=1 \t,\t \"b\""],
        &["\"a\"", "\"b\""],
        &["(\"a\" \"b\");r=1", "( )"],
        &["a, 1, -1.5, ?1, :aGk=:, @1, %\"x\""],
    ] {
        assert_eq!(appended_to(lines), format!("{}, {OWN}", lines.join(", ")), "{lines:?}");
    }
    for parameters in PARAMETERS {
        assert_eq!(appended_to(&[&format!("\"a\"{parameters}")]), format!("\"a\"{parameters}, {OWN}"));
    }
}

#[test]
fn text_that_is_not_a_list_is_replaced() {
    // Section 4.2: a field that fails to parse is ignored as a whole.
    for lines in [
        &["\"a\","][..],
        &[",\"a\""],
        &["\"a\",,\"b\""],
        &["\"a\" \"b\""],
        &["\"a"],
        &["(\"a\""],
        &["(\"a\",\"b\")"],
        &["\"a\"", "é"],
        &["a=1"],
        &["limit=10, remaining=5"],
    ] {
        assert_eq!(appended_to(lines), OWN, "{lines:?}");
    }
    for parameters in NO_PARAMETERS {
        assert_eq!(appended_to(&[&format!("\"a\"{parameters}")]), OWN, "{parameters}");
    }
}
