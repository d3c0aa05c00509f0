//! The header `Idempotency-Key`.

use http::Request;
use limited::Key;
use proptest::prelude::*;

use super::fuzz;
use crate::client::Payments;
use crate::inputs;

const WORDS: &[&str] = &[
    "\"",
    "\\",
    "\\\"",
    "a",
    "8e03978e-40d5",
    ";",
    "=",
    ",",
    " ",
    "\t",
    ";v=1",
    ";v",
    "?1",
    ":YQ==:",
    "@1",
    "(",
    ")",
    "1.5",
    "*",
    "/",
    "%\"a\"",
];

#[test]
fn key_is_the_text_between_the_quotes() {
    let parameter = prop::sample::select(&["", ";v=1", "; v", ";a=\"x;\\\"y\";b=?0", ";c=:YQ==:;d=1.5"]);
    let space = || prop::sample::select(&["", " ", "\t "]);
    let case = ("[ -~]{1,280}|[\"\\\\]{1,9}", parameter, space(), space(), inputs::header_value(WORDS));
    fuzz(&case, |(key, parameter, before, after, arbitrary)| {
        let payments = Payments::new(|layer| layer);
        let line = format!("{before}{}{parameter}{after}", inputs::quoted(&key));
        let request =
            |line: &[u8]| Request::post("/").header("idempotency-key", line).body(Vec::new().into()).unwrap();
        let response = payments.send(request(line.as_bytes()));
        if key.len() > 255 {
            assert_eq!(response.reason().as_deref(), Some("idempotency-key-malformed"), "{line}");
        } else {
            assert_eq!(response.status, 201, "{line}");
            let key = Key::new().part("idempotency-key", &key);
            assert!(pollster::block_on(payments.records().find(&key)).unwrap().is_some(), "{line}");
        }

        let payments = Payments::new(|layer| layer);
        let first = payments.send(request(arbitrary.as_bytes()));
        let again = payments.send(request(arbitrary.as_bytes()));
        match first.reason().as_deref() {
            Some("idempotency-key-malformed") => assert_eq!((payments.calls(), first), (0, again)),
            None => assert!(payments.calls() == 1 && again.is_replayed(), "{arbitrary:?}"),
            Some(reason) => panic!("{arbitrary:?}: {reason}"),
        }
    });
}
