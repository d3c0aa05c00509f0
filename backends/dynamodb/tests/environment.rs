//! The backend that the environment configures. Each case runs in a process of its own, because the
//! environment belongs to a process.

#![cfg(feature = "from-env")]

mod support;

use std::process::Command;

use limited_core::Key;
use limited_dynamodb::DynamoDbBackend;
use support::loopback::{NOON, hit};
use support::{serve_over_tcp, unique_table};

const CASE: &str = "LIMITED_TEST_CASE";

/// Returns the result of `DynamoDbBackend::from_env` with exactly these variables, as text.
async fn backend_in(variables: &[(&str, &str)]) -> String {
    let mut case = Command::new(std::env::current_exe().unwrap());
    case.args(["--exact", "print_backend_of_the_environment", "--nocapture"])
        .env_clear()
        .env(CASE, "1")
        // Excludes the configuration of this machine.
        .envs([("AWS_CONFIG_FILE", "none"), ("AWS_SHARED_CREDENTIALS_FILE", "none")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || case.output().unwrap()).await.unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (_, printed) = output.split_once("backend<").expect("the case prints its result");
    printed.split_once('>').unwrap().0.to_owned()
}

#[tokio::test]
async fn print_backend_of_the_environment() {
    if std::env::var_os(CASE).is_none() {
        return;
    }
    let backend = match DynamoDbBackend::from_env().await {
        Ok(backend) => backend,
        Err(error) => return println!("backend<{error}>"),
    };
    let tables = format!("{} and {}", backend.table_name(), backend.idempotency_table_name());
    if std::env::var_os("AWS_ENDPOINT_URL_DYNAMODB").is_none() {
        return println!("backend<{tables}>");
    }
    backend.create_tables().await.unwrap();
    let state = hit(&backend, &Key::from("signup"), 2, 5, NOON).await;
    println!("backend<{} in {tables}>", state.value);
}

#[tokio::test]
async fn endpoint_and_tables_come_from_the_environment() {
    let ((endpoint, _), table) = (serve_over_tcp().await, unique_table("limits"));
    let backend = backend_in(&[
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
        ("RATE_LIMIT_TABLE_NAME", &table),
        ("IDEMPOTENCY_TABLE_NAME", "claims"),
        ("RATE_LIMIT_OPERATION_TIMEOUT", "30000"),
    ])
    .await;
    assert_eq!(backend, format!("2 in {table} and claims"));
}

#[tokio::test]
async fn tables_have_default_names() {
    assert_eq!(backend_in(&[("AWS_REGION", "eu-west-1")]).await, "rate-limits and idempotency");
}

#[tokio::test]
async fn error_names_the_wrong_variable() {
    let backend = backend_in(&[("AWS_REGION", "eu-west-1"), ("DYNAMORM_RETRY_MAX_ATTEMPTS", "many")]).await;
    assert!(backend.contains("`DYNAMORM_RETRY_MAX_ATTEMPTS` is `many`"), "{backend}");
    let backend = backend_in(&[]).await;
    assert!(backend.contains("`AWS_REGION`"), "{backend}");
}
