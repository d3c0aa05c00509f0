//! The hash of a request: SHA-256 over canonical JSON.

use limited_core::RequestHash;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::canonical_json::canonical_json;

/// The deepest JSON that is canonical. A value that holds JSON of a client as it is, such as
/// `RawValue` of `serde_json`, may be nested deeper than the stack allows.
const MAX_DEPTH: usize = 512;

/// A request as canonical JSON, and its hash.
pub(crate) struct CanonicalJson {
    pub(crate) json: String,
    pub(crate) request_hash: RequestHash,
}

impl CanonicalJson {
    /// Serializes a request as canonical JSON, and computes its SHA-256 (FIPS 180-4).
    ///
    /// A function and a tenant, if there are any, belong to the request.
    pub(crate) fn new<R: Serialize + ?Sized>(
        request: &R,
        function_name: Option<&str>,
        tenant: Option<&str>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self::of_json(serde_json::to_string(request)?, function_name, tenant))
    }

    /// JSON that is nested too deep, or has an exponent beyond 64 bits, is compared as written. No
    /// other JSON has a canonical form like it.
    fn of_json(json: String, function_name: Option<&str>, tenant: Option<&str>) -> Self {
        let json = canonical_json(&json, MAX_DEPTH).unwrap_or(json);
        let request_hash = request_hash(&json, function_name, tenant);
        Self { json, request_hash }
    }
}

/// Returns the SHA-256 of the function, the tenant and the JSON.
///
/// Without a function and a tenant it is that of the JSON. No JSON text starts with a zero, so no
/// two different requests are hashed alike.
fn request_hash(json: &str, function_name: Option<&str>, tenant: Option<&str>) -> RequestHash {
    let mut hash = Sha256::new();
    for (tag, value) in [("function", function_name), ("tenant", tenant)] {
        if let Some(value) = value {
            hash.update(format!("\0{tag}\0"));
            // A `usize` fits into 64 bits on every platform that Rust supports.
            hash.update((value.len() as u64).to_be_bytes());
            hash.update(value);
        }
    }
    hash.update(json);
    RequestHash(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hash(request: &(impl Serialize + ?Sized)) -> String {
        CanonicalJson::new(request, None, None).unwrap().request_hash.to_string()
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
        let canonical = CanonicalJson::new(&request, None, None).unwrap();
        assert_eq!(canonical.json, r#"{"account":null,"amount":4.5,"currency":"€"}"#);
        // The output of `printf null | sha256sum`.
        assert_eq!(hash(&()), "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b");
    }

    #[test]
    fn function_name_is_part_of_the_hash() {
        let named = |name: &str, json: &str| request_hash(json, Some(name), None).to_string();
        let unnamed = request_hash("1", None, None).to_string();
        assert_ne!(named("charge", "1"), named("ship", "1"));
        assert_ne!(named("charge", "1"), unnamed);
        assert_ne!(named("charge1", "2"), named("charge", "12"));
        assert_ne!(named("", "1"), unnamed);
        // The output of `printf '\0function\0\0\0\0\0\0\0\0\6charge1' | sha256sum`.
        assert_eq!(named("charge", "1"), "fde1c063496c2cf699daa48f8487616c8815bf31ebce7131b3c2ea5151b1279b");
    }

    #[test]
    fn tenant_is_part_of_the_hash() {
        let hash = |function, tenant| request_hash("1", function, tenant).to_string();
        let hashes = [
            hash(None, None),
            hash(None, Some("a")),
            hash(None, Some("b")),
            hash(Some("a"), None),
            hash(Some("a"), Some("b")),
            hash(Some("b"), Some("a")),
        ];
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
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
    }

    #[test]
    fn integer_and_its_text_are_two_requests() {
        for number in [1, 9_007_199_254_740_993, u64::MAX] {
            assert_ne!(hash(&number), hash(&number.to_string()));
        }
    }

    #[test]
    fn integer_and_equal_float_are_one_request_up_to_2_to_the_53() {
        assert_eq!(hash(&9_007_199_254_740_991_u64), hash(&9_007_199_254_740_991_f64));
        assert_eq!(hash(&9_007_199_254_740_992_u64), hash(&9_007_199_254_740_992_f64));
        assert_ne!(hash(&9_007_199_254_740_993_u64), hash(&9_007_199_254_740_992_f64));
    }

    #[test]
    fn integers_beyond_64_bits_have_different_hashes() {
        let base = u128::from(u64::MAX);
        assert_ne!(hash(&(base + 1)), hash(&(base + 2)));
        assert_ne!(hash(&u128::MAX), hash(&(u128::MAX - 1)));
        assert_ne!(hash(&i128::MIN), hash(&(i128::MIN + 1)));
        assert_ne!(hash(&(base + 1)), hash(&(base + 1).to_string()));
    }

    #[test]
    fn json_that_is_nested_too_deep_is_compared_as_written() {
        let hash = |json: String| CanonicalJson::of_json(json, None, None).request_hash.to_string();
        for depth in [MAX_DEPTH, 1_000_000] {
            let nested = |inside: &str| format!("{}{inside}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(hash(nested("1")), hash(nested("1")));
            assert_ne!(hash(nested("1")), hash(nested("2")));
            assert_eq!(hash(nested("1")) == hash(nested("1.0")), depth == MAX_DEPTH);
        }
        let objects = format!("{}1{}", "{\"b\":1,\"a\":".repeat(MAX_DEPTH), "}".repeat(MAX_DEPTH));
        assert_ne!(CanonicalJson::of_json(objects.clone(), None, None).json, objects);
    }

    #[test]
    fn nan_and_infinity_are_null() {
        assert_eq!(hash(&[f64::NAN, f64::INFINITY]), hash(&json!([null, null])));
    }

    #[test]
    fn map_with_keys_that_are_not_strings_is_an_error() {
        assert!(CanonicalJson::new(&HashMap::from([((1, 2), 3)]), None, None).is_err());
    }

    proptest! {
        #[test]
        fn different_integers_have_different_hashes(one: i64, other: i64) {
            prop_assert_eq!(hash(&one) == hash(&other), one == other);
        }
    }
}
