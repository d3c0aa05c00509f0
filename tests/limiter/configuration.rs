//! Quotas and algorithms from a configuration file.

use limited::{Algorithm, Quota};
use serde::Deserialize;
use serde_json::{from_str, from_value, json, to_value};

#[derive(Deserialize)]
struct Settings {
    quota: Quota,
    algorithm: Algorithm,
}

#[test]
fn configuration_file_selects_quota_and_algorithm() {
    let settings: Settings =
        from_str(r#"{ "quota": "100/min burst 20", "algorithm": "token-bucket" }"#).unwrap();
    assert_eq!(settings.quota, Quota::per_minute(100).burst(20));
    assert_eq!(settings.algorithm, Algorithm::TokenBucket);
}

#[test]
fn serialized_values_deserialize_to_themselves() {
    for quota in [Quota::per_day(1), Quota::per_second(5).burst(1), "7/90s".parse().unwrap()] {
        let written = to_value(quota).unwrap();
        assert_eq!(written, json!(quota.to_string()));
        assert_eq!(from_value::<Quota>(written).unwrap(), quota);
    }
    for algorithm in Algorithm::ALL {
        let written = to_value(algorithm).unwrap();
        assert_eq!(written, json!(algorithm.to_string()));
        assert_eq!(from_value::<Algorithm>(written).unwrap(), algorithm);
    }
}

#[test]
fn error_names_the_invalid_value() {
    let error = from_value::<Quota>(json!("100/fortnight")).unwrap_err();
    assert!(error.to_string().contains("100/fortnight") && error.to_string().contains("100/min"), "{error}");
    assert!(from_value::<Quota>(json!("1/0s")).unwrap_err().to_string().contains("1 ms to 100 years"));
    assert!(from_value::<Algorithm>(json!("leaky-bucket")).is_err());
}
