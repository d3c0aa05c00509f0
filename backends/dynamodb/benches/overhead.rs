//! The time of a decision compared with a bare `UpdateItem` of the same size through the same
//! client.
//!
//! ```sh
//! cargo bench -p limited-dynamodb --bench overhead
//! ```
//!
//! The calls alternate in one run against one emulator in this process, so that other load on the
//! machine affects all of them equally. The output is the median of each call, and its ratio to the
//! bare call. The second call shows which part of the overhead belongs to the SDK, for settings per
//! request. Over a network, the overhead is a smaller part of the time.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use limited::backend::{Counter, Hit, Window, WindowLength};
use limited::{Backend, Clock, Key, Limiter, Quota, SystemClock};
use limited_dynamodb::DynamoDbBackend;
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

const TABLE: &str = "overhead";
const CALLS: [&str; 4] =
    ["a bare UpdateItem", "the same with deadlines", "backend.increment", "Limiter::allow"];

fn main() -> Result<(), Failure> {
    // `cargo test` runs benches too, without this argument. A few rounds are enough then.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let (warm_up, rounds) = if measured { (500, 5_000) } else { (1, 10) };
    Runtime::new()?.block_on(async {
        let client = client().await?;
        let deadlines = deadlines();
        let backend = DynamoDbBackend::builder(client.clone())
            .table_name(TABLE)
            .operation_timeout(Duration::from_secs(10))
            .build();
        backend.create_rate_limit_table().await?;
        let limiter = Limiter::new(backend.clone()).quota(Quota::per_day(u64::MAX));

        let mut times = CALLS.map(|_| Vec::with_capacity(rounds));
        for round in 0..warm_up + rounds {
            for position in 0..CALLS.len() {
                // Each call is first equally often, and follows each other call.
                let position = if round % 2 == 0 { position } else { CALLS.len() - 1 - position };
                let call = (round / 2 + position) % CALLS.len();
                let started = Instant::now();
                match call {
                    0 => drop(bare(&client, 2 * round).send().await?),
                    1 => drop(
                        bare(&client, 2 * round + 1)
                            .customize()
                            .config_override(deadlines.clone())
                            .send()
                            .await?,
                    ),
                    2 => increment(&backend).await?,
                    _ => assert!(limiter.allow("overhead-3").await?.is_allowed()),
                }
                if round >= warm_up {
                    times[call].push(started.elapsed());
                }
            }
        }
        report(times);
        Ok(())
    })
}

fn report(times: [Vec<Duration>; 4]) {
    let medians = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    for (call, median) in CALLS.iter().zip(medians) {
        let over = (median.as_secs_f64() / medians[0].as_secs_f64() - 1.0) * 100.0;
        println!("{call:<24} {:>8.1} µs  {over:>+5.1} %", median.as_secs_f64() * 1e6);
    }
}

/// Returns the request that the backend sends for an ordinary hit, from constant strings.
fn bare(client: &Client, number: usize) -> UpdateItemFluentBuilder {
    const TIME: &str = "2026-11-21T12:00:00.000000000Z";
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let count = |count: String| AttributeValue::N(count);
    client
        .update_item()
        .table_name(TABLE)
        .key("Identifier", text(if number.is_multiple_of(2) { "overhead-0" } else { "overhead-1" }))
        .key("WindowTime", text("2026-11-21T00:00:00Z/P1D"))
        .update_expression(
            "SET #slot = :number, #updated = :now, #created = if_not_exists(#created, :now), \
             #count = if_not_exists(#count, :zero) + :cost, #expires = :expires",
        )
        .condition_expression(
            "(attribute_not_exists(#slot) OR #slot < :number) AND \
             (attribute_not_exists(#count) OR #count <= :highest)",
        )
        .expression_attribute_names("#slot", "Writer_000000000000")
        .expression_attribute_names("#updated", "UpdatedAt")
        .expression_attribute_names("#created", "CreatedAt")
        .expression_attribute_names("#count", "Count")
        .expression_attribute_names("#expires", "ExpiresAt")
        .expression_attribute_values(":number", count((1_795_262_400_000_000 + number).to_string()))
        .expression_attribute_values(":now", text(TIME))
        .expression_attribute_values(":zero", count("0".to_owned()))
        .expression_attribute_values(":cost", count("1".to_owned()))
        .expression_attribute_values(":expires", count("1795435205".to_owned()))
        .expression_attribute_values(":highest", count((u64::MAX - 1).to_string()))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
}

/// Returns the settings that the backend overrides for each request; the second call has them too.
fn deadlines() -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::config::Builder::new()
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(10)).build())
        .retry_partition(RetryPartition::new("overhead"))
}

async fn increment(backend: &DynamoDbBackend) -> Result<(), Failure> {
    let now = SystemClock.now();
    let key = Key::from("overhead-2");
    let counter = Counter::new("", &key, Window::aligned(now, WindowLength::DAY))?;
    let state = backend.increment(&counter, &Hit::new(1, u64::MAX.into()), now).await?;
    assert!(state.counted);
    Ok(())
}

/// Returns a client to an emulator on a free port.
async fn client() -> Result<Client, Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "emulator"))
        .endpoint_url(format!("http://{}", listener.local_addr()?))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory()?));
    Ok(Client::from_conf(config))
}
