//! Bodies that are compared as multipart forms, without their boundary.

use http::HeaderValue;
use limited::http::BodyComparison;
use proptest::prelude::*;

use super::fuzz;
use crate::client::Payments;
use crate::inputs;

const WORDS: &[&str] = &[
    "multipart/",
    "multipart/form-data",
    ";",
    " ",
    "boundary",
    "=",
    "x",
    "\"",
    "\\",
    "\"x\"",
    "; boundary=x",
    "--",
    "--x",
    "\r\n",
    "\r\n--x",
    "\r\n--x--",
    "Content-Type: a/b",
    "charset=utf-8",
];

/// Writes a form (RFC 2046, section 5.1.1).
fn form(boundary: &str, parts: &[String]) -> Vec<u8> {
    let parts: String = parts.iter().map(|part| format!("--{boundary}\r\n\r\n{part}\r\n")).collect();
    format!("{parts}--{boundary}--\r\n").into_bytes()
}

fn content_type(boundary: &str) -> HeaderValue {
    HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}; charset=utf-8")).unwrap()
}

#[test]
fn forms_are_one_request_if_only_their_boundaries_differ() {
    // No part contains a capital letter, and so no boundary.
    let boundary = || "[A-Z]{1,70}";
    let part = "([-a-z0-9:; \r\n]|\r\n--){0,20}";
    let parts = || prop::collection::vec(part, 0..4);
    let arbitrary = (inputs::header_value(WORDS), inputs::text(WORDS));
    let case = (boundary(), boundary(), parts(), parts(), arbitrary);
    fuzz(&case, |(one, other, parts, other_parts, (arbitrary_type, arbitrary_body))| {
        let payments = Payments::new(|layer| layer.compare_body(BodyComparison::Multipart));
        assert_eq!(payments.post(&content_type(&one), form(&one, &parts)).status, 201);
        let quoted = content_type(&format!("\"{other}\""));
        assert!(payments.post(&quoted, form(&other, &parts)).is_replayed(), "{one} {other} {parts:?}");
        let response = payments.post(&quoted, form(&other, &other_parts));
        assert_eq!(response.is_replayed(), parts == other_parts, "{parts:?} {other_parts:?}");

        let payments = Payments::new(|layer| layer.compare_body(BodyComparison::ByContentType));
        assert_eq!(payments.post(&arbitrary_type, arbitrary_body.clone().into()).status, 201);
        assert!(payments.post(&arbitrary_type, arbitrary_body.into()).is_replayed());
    });
}
