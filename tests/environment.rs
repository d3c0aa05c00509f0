//! `Quota::from_env`. Each case runs in its own process, because the environment is global to a
//! process.

use std::process::Command;

use limited::{Quota, QuotaError};

const CASE: &str = "LIMITED_TEST_CASE";

/// Returns the quota for these variables, or the error, as text.
fn quota_in(variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "print_quota_from_env", "--nocapture"])
        .env_remove(Quota::WINDOW_VARIABLE)
        .env_remove(Quota::LIMIT_VARIABLE)
        .env(CASE, "1")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (_, quota) = output.split_once("quota<").expect("the case prints its quota");
    quota.split_once('>').unwrap().0.to_owned()
}

#[test]
fn print_quota_from_env() {
    if std::env::var_os(CASE).is_some() {
        match Quota::from_env() {
            Ok(quota) => println!("quota<{quota}>"),
            Err(QuotaError::Environment { variable, value }) => println!("quota<{variable} is {value}>"),
            Err(error) => println!("quota<{error}>"),
        }
    }
}

#[test]
fn default_is_100_per_minute() {
    assert_eq!(quota_in(&[]), "100/min");
    assert_eq!(quota_in(&[("RATE_LIMIT_WINDOW_SIZE", ""), ("RATE_LIMIT_MAX_REQUESTS", "")]), "100/min");
}

#[test]
fn variables_are_independent() {
    assert_eq!(quota_in(&[("RATE_LIMIT_WINDOW_SIZE", "3600")]), "100/hour");
    assert_eq!(quota_in(&[("RATE_LIMIT_MAX_REQUESTS", "7")]), "7/min");
    assert_eq!(quota_in(&[("RATE_LIMIT_WINDOW_SIZE", "30"), ("RATE_LIMIT_MAX_REQUESTS", "0")]), "0/30s");
}

#[test]
fn value_that_is_not_a_number_is_an_error_instead_of_a_default() {
    for value in ["1m", "-1", "1.5", "many"] {
        assert_eq!(
            quota_in(&[("RATE_LIMIT_WINDOW_SIZE", value)]),
            format!("RATE_LIMIT_WINDOW_SIZE is {value}")
        );
        assert_eq!(
            quota_in(&[("RATE_LIMIT_MAX_REQUESTS", value)]),
            format!("RATE_LIMIT_MAX_REQUESTS is {value}")
        );
    }
    assert!(quota_in(&[("RATE_LIMIT_WINDOW_SIZE", "0")]).contains("1 ms to 100 years"));
}
