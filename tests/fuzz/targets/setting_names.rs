//! The names of settings: those of the enums, and those of policies.

use std::fmt::Display;
use std::str::FromStr;

use limited::http::{BodyComparison, KeyExtractor, MissingKey, OnBackendFailure, RateLimitLayer};
use limited::memory::{MemoryBackend, WhenFull};
use limited::{Algorithm, Limiter, OnError, UnknownName};

use super::fuzz;
use crate::inputs;

const WORDS: &[&str] = &[
    "fixed-window",
    "sliding-window",
    "token-bucket",
    "return",
    "allow",
    "deny",
    "reject",
    "pass",
    "bytes",
    "canonical-json",
    "multipart",
    "by-content-type",
    "evict",
    "-",
    "_",
    " ",
    "Fixed-Window",
    "\n",
];

/// Checks that a text is read as a value if it is the name of the value, and only then.
fn check<T: FromStr<Err = UnknownName> + Display>(text: &str) {
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string(), text),
        Err(error) => {
            assert!(!error.expected().contains(&text), "{text}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
            for name in error.expected() {
                assert_eq!(name.parse::<T>().unwrap().to_string(), *name);
            }
        }
    }
}

#[test]
fn setting_is_read_from_its_name_only() {
    fuzz(&inputs::text(WORDS), |text| {
        check::<Algorithm>(&text);
        check::<OnError>(&text);
        check::<MissingKey>(&text);
        check::<OnBackendFailure>(&text);
        check::<BodyComparison>(&text);
        check::<WhenFull>(&text);
        // A policy may have every name that a header can contain (RFC 9651, section 3.3.3).
        let layer = RateLimitLayer::new(Limiter::new(MemoryBackend::new()), KeyExtractor::path());
        let is_valid = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        assert_eq!(layer.policy_name(&text).is_ok(), is_valid, "{text:?}");
    });
}
