//! Telling requests apart: SHA-256 over canonical JSON.

use limited_core::RequestHash;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The largest integer up to which every integer is a JSON number of its own (RFC 8785, appendix D).
const LARGEST_EXACT: u64 = (1 << 53) - 1;

/// A request as it is hashed, and may be stored.
pub(crate) struct CanonicalJson {
    pub(crate) json: String,
    pub(crate) request_hash: RequestHash,
}

impl CanonicalJson {
    /// The canonical JSON (RFC 8785) of a request, and its SHA-256 (FIPS 180-4).
    ///
    /// RFC 8785 rounds integers that a 64-bit float does not hold, so that two account numbers could be one. As its
    /// appendix D has it, they are written as strings.
    pub(crate) fn new<R: Serialize + ?Sized>(request: &R) -> Result<Self, serde_json::Error> {
        let mut value = serde_json::to_value(request)?;
        spell_out_large_integers(&mut value);
        let json = serde_json_canonicalizer::to_string(&value)?;
        let request_hash = RequestHash(Sha256::digest(&json).into());
        Ok(Self { json, request_hash })
    }
}

/// Writes integers that a float would round as strings.
fn spell_out_large_integers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            // By its text: whether large integers are known as such depends on features of `serde_json`.
            let text = number.to_string();
            let digits = text.strip_prefix('-').unwrap_or(&text);
            let is_integer = digits.bytes().all(|digit| digit.is_ascii_digit());
            if is_integer && digits.parse().map_or(true, |magnitude: u64| magnitude > LARGEST_EXACT) {
                *value = Value::String(text);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(spell_out_large_integers),
        Value::Object(members) => members.values_mut().for_each(spell_out_large_integers),
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
    fn a_request_is_hashed_as_rfc_8785_has_it() {
        #[derive(Serialize)]
        struct Request {
            currency: &'static str,
            amount: f64,
            account: Option<u64>,
        }
        let request = Request { currency: "€", amount: 4.50, account: None };
        let canonical = CanonicalJson::new(&request).unwrap();
        assert_eq!(canonical.json, r#"{"account":null,"amount":4.5,"currency":"€"}"#);
        // The SHA-256 of "null", by `printf null | sha256sum`.
        assert_eq!(hash(&()), "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b");
    }

    #[test]
    fn neither_order_nor_spelling_makes_another_request() {
        assert_eq!(hash(&json!({"a": 1, "b": [1.0, 2]})), hash(&json!({"b": [1, 2.0], "a": 1.0})));
        let (one, other): (HashMap<_, _>, BTreeMap<_, _>) =
            ((0..50).map(|n| (n.to_string(), n)).collect(), (0..50).map(|n| (n.to_string(), n)).collect());
        assert_eq!(hash(&one), hash(&other));
    }

    #[test]
    fn integers_that_a_float_would_round_are_told_apart() {
        let base = 1_u64 << 53;
        for (one, other) in [(base, base + 1), (u64::MAX, u64::MAX - 1)] {
            assert_ne!(hash(&json!({"account": one})), hash(&json!({"account": other})));
            assert_ne!(hash(&[[one]]), hash(&[[other]]));
        }
        assert_ne!(hash(&i64::MIN), hash(&(i64::MIN + 1)));
        assert_eq!(hash(&(base - 1)), hash(&9_007_199_254_740_991_f64));
    }

    #[test]
    fn integers_beyond_64_bits_are_told_apart_or_refused() {
        let hashes = [u128::MAX, u128::MAX - 1].map(|number| CanonicalJson::new(&number).ok());
        let [one, other] = hashes.map(|hash| hash.map(|canonical| canonical.request_hash));
        assert!(one != other || one.is_none());
    }

    #[test]
    fn numbers_that_are_none_are_null() {
        assert_eq!(hash(&[f64::NAN, f64::INFINITY]), hash(&json!([null, null])));
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        assert!(CanonicalJson::new(&HashMap::from([((1, 2), 3)])).is_err());
    }

    proptest! {
        #[test]
        fn different_integers_are_different_requests(one: i64, other: i64) {
            prop_assert_eq!(hash(&one) == hash(&other), one == other);
        }
    }
}
