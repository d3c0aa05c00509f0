//! The hash of a request: SHA-256 over canonical JSON.

use limited_core::RequestHash;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The largest integer n for which each integer up to n is a distinct JSON number (RFC 8785,
/// appendix D).
const MAX_EXACT_INTEGER: u64 = (1 << 53) - 1;

/// A request as canonical JSON, and its hash.
pub(crate) struct CanonicalJson {
    pub(crate) json: String,
    pub(crate) request_hash: RequestHash,
}

impl CanonicalJson {
    /// Serializes a request as canonical JSON (RFC 8785), and computes its SHA-256 (FIPS 180-4).
    ///
    /// RFC 8785 rounds integers that a 64-bit float cannot represent, so that two account numbers
    /// could become equal. This writes such integers as strings, as appendix D of the RFC
    /// recommends.
    pub(crate) fn new<R: Serialize + ?Sized>(request: &R) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::to_value(request)?;
        large_integers_to_strings(&mut value);
        let json = serde_json_canonicalizer::to_string(&value)?;
        let request_hash = RequestHash(Sha256::digest(&json).into());
        Ok(Self { json, request_hash })
    }
}

/// Replaces integers that a 64-bit float would round by strings.
fn large_integers_to_strings(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // Compares the text, because features of `serde_json` decide whether it holds large
            // integers as integers.
            let text = number.to_string();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            let is_integer = digits.bytes().all(|digit| digit.is_ascii_digit());
            if is_integer && digits.parse().map_or(true, |magnitude: u64| magnitude > MAX_EXACT_INTEGER) {
                *value = Value::String(text);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(large_integers_to_strings),
        Value::Object(members) => members.values_mut().for_each(large_integers_to_strings),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hash(request: &(impl Serialize + ?Sized)) -> String {
        CanonicalJson::new(request).unwrap().request_hash.to_string()
    }

    #[test]
    fn request_is_hashed_as_rfc_8785_json() {
        #[derive(Serialize)]
        struct Request {
            currency: &'static str,
            amount: f64,
            account: Option<u64>,
        }
        let request = Request { currency: "€", amount: 4.50, account: None };
        let canonical = CanonicalJson::new(&request).unwrap();
        assert_eq!(canonical.json, r#"{"account":null,"amount":4.5,"currency":"€"}"#);
        // The output of `printf null | sha256sum`.
        assert_eq!(hash(&()), "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b");
    }

    #[test]
    fn order_of_fields_and_notation_of_numbers_do_not_change_the_hash() {
        assert_eq!(hash(&json!({"a": 1, "b": [1.0, 2]})), hash(&json!({"b": [1, 2.0], "a": 1.0})));
        let (one, other): (HashMap<_, _>, BTreeMap<_, _>) =
            ((0..50).map(|n| (n.to_string(), n)).collect(), (0..50).map(|n| (n.to_string(), n)).collect());
        assert_eq!(hash(&one), hash(&other));
    }

    #[test]
    fn integers_that_a_float_would_round_have_different_hashes() {
        let base = 1_u64 << 53;
        for (one, other) in [(base, base + 1), (u64::MAX, u64::MAX - 1)] {
            assert_ne!(hash(&json!({"account": one})), hash(&json!({"account": other})));
            assert_ne!(hash(&[[one]]), hash(&[[other]]));
        }
        assert_ne!(hash(&i64::MIN), hash(&(i64::MIN + 1)));
        assert_eq!(hash(&(base - 1)), hash(&9_007_199_254_740_991_f64));
    }

    #[test]
    fn integers_beyond_64_bits_have_different_hashes_or_are_errors() {
        let hashes = [u128::MAX, u128::MAX - 1].map(|number| CanonicalJson::new(&number).ok());
        let [one, other] = hashes.map(|hash| hash.map(|canonical| canonical.request_hash));
        assert!(one != other || one.is_none());
    }

    #[test]
    fn nan_and_infinity_are_null() {
        assert_eq!(hash(&[f64::NAN, f64::INFINITY]), hash(&json!([null, null])));
    }

    #[test]
    fn map_with_keys_that_are_not_strings_is_an_error() {
        assert!(CanonicalJson::new(&HashMap::from([((1, 2), 3)])).is_err());
    }

    proptest! {
        #[test]
        fn different_integers_have_different_hashes(one: i64, other: i64) {
            prop_assert_eq!(hash(&one) == hash(&other), one == other);
        }
    }
}
