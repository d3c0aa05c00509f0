//! The backend that the environment asks for. Each case is a process of its own, since the environment is a process's.

#![cfg(feature = "from-env")]

mod loopback;
mod support;

use std::process::Command;

use limited_core::Key;
use limited_dynamodb::DynamoDbBackend;
use loopback::{NOON, hit};
use support::{serve_over_tcp, unique_table};

const CASE: &str = "LIMITED_TEST_CASE";

/// What comes of `DynamoDbBackend::from_env` with these variables and no other, as text.
async fn backend_in(variables: &[(&str, &str)]) -> String {
    let mut case = Command::new(std::env::current_exe().unwrap());
    case.args(["--exact", "tells_what_the_environment_asks_for", "--nocapture"])
        .env_clear()
        .env(CASE, "1")
        // Nothing of the machine that this runs on.
        .envs([("AWS_CONFIG_FILE", "none"), ("AWS_SHARED_CREDENTIALS_FILE", "none")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || case.output().unwrap()).await.unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let (_, told) = output.split_once("backend<").expect("the case tells what came of it");
    told.split_once('>').unwrap().0.to_owned()
}

#[tokio::test]
async fn tells_what_the_environment_asks_for() {
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
    let tally = hit(&backend, &Key::from("signup"), 2, 5, NOON).await;
    println!("backend<{} in {tables}>", tally.value);
}

#[tokio::test]
async fn the_endpoint_and_the_tables_of_the_environment_are_used() {
    let ((endpoint, _), table) = (serve_over_tcp().await, unique_table("limits"));
    let told = backend_in(&[
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
        ("RATE_LIMIT_TABLE_NAME", &table),
        ("IDEMPOTENCY_TABLE_NAME", "claims"),
        ("RATE_LIMIT_OPERATION_TIMEOUT", "30000"),
    ])
    .await;
    assert_eq!(told, format!("2 in {table} and claims"));
}

#[tokio::test]
async fn the_tables_have_default_names() {
    assert_eq!(backend_in(&[("AWS_REGION", "eu-west-1")]).await, "rate-limits and idempotency");
}

#[tokio::test]
async fn what_is_wrong_in_the_environment_is_named() {
    let told = backend_in(&[("AWS_REGION", "eu-west-1"), ("DYNAMORM_RETRY_MAX_ATTEMPTS", "many")]).await;
    assert!(told.contains("`DYNAMORM_RETRY_MAX_ATTEMPTS` is `many`"), "{told}");
    let told = backend_in(&[]).await;
    assert!(told.contains("`AWS_REGION`"), "{told}");
}
