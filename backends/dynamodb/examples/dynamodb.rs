//! Rate limits in a DynamoDB table: creates the table, decides, lets two processes share a limit,
//! and counts the requests.
//!
//! ```sh
//! cargo run -p limited-dynamodb --example dynamodb           # an emulator inside this process
//! cargo run -p limited-dynamodb --example dynamodb -- --aws  # AWS, by the usual environment, profile or role
//! ```
//!
//! If `LIMITED_DYNAMODB_ENDPOINT`, `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` is set, the
//! requests go to that endpoint. If several are set, the first of them counts.
//! There, or on AWS, the example creates the table `RATE_LIMIT_TABLE_NAME` on demand and does not
//! delete it. Default: `limited-example`. The run costs less than a cent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{
    Config, ConfigBag, Credentials, Intercept, Region, RuntimeComponents, SharedHttpClient,
};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use limited::{Algorithm, Decision, Key, Limiter, Quota};
use limited_dynamodb::DynamoDbBackend;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let requests = Requests::default();
    let client = client(requests.clone()).await?;
    let table = std::env::var("RATE_LIMIT_TABLE_NAME").unwrap_or_else(|_| "limited-example".to_owned());
    // A developer's machine may be far from the region, so it needs more time than the default.
    let process = || {
        DynamoDbBackend::builder(client.clone())
            .table_name(&table)
            .operation_timeout(Duration::from_secs(5))
            .build()
    };

    let backend = process();
    backend.create_rate_limit_table().await?;
    match backend.check_rate_limit_table().await?.as_slice() {
        [] => println!("The table `{table}` is ready."),
        issues => issues.iter().for_each(|issue| println!("The table is not ready: {issue}.")),
    }
    requests.take();

    // Each run has its own keys.
    let run = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_millis().to_string();
    let user = |name: &str| Key::new().tenant("example").user(format!("{name}-{run}"));

    println!("\nFour hits, of three allowed an hour:");
    let limiter = Limiter::new(backend.clone()).namespace("example").quota(Quota::per_hour(3));
    for _ in 0..4 {
        show("allow", &limiter.allow(user("ada")).await?, &requests);
    }
    show("peek", &limiter.peek(user("ada")).await?, &requests);
    limiter.reset(user("ada")).await?;
    println!("  reset: {} request", requests.take());
    show("allow", &limiter.allow(user("ada")).await?, &requests);

    println!("\nA bucket of five tokens, with one more each minute:");
    let bucket = Limiter::new(backend.clone())
        .namespace("example")
        .quota(Quota::per_hour(60).burst(5))
        .algorithm(Algorithm::TokenBucket);
    show("allow_n(4)", &bucket.allow_n(user("bob"), 4).await?, &requests);
    show("allow_n(2)", &bucket.allow_n(user("bob"), 2).await?, &requests);

    println!("\nTwo processes with 100 tasks each, of 150 hits allowed an hour together:");
    let quota = Quota::per_hour(150);
    let processes = [process(), process()].map(|it| Limiter::new(it).namespace("example").quota(quota));
    let tasks: Vec<_> = (0..200)
        .map(|task| {
            let (limiter, key) = (processes[task % 2].clone(), user("eve"));
            tokio::spawn(async move { limiter.allow(key).await })
        })
        .collect();
    let mut allowed = 0;
    for task in tasks {
        allowed += u32::from(task.await??.is_allowed());
    }
    println!("  {allowed} allowed, {} refused: {} requests", 200 - allowed, requests.take());
    Ok(())
}

fn show(call: &str, decision: &Decision, requests: &Requests) {
    let outcome = if decision.is_allowed() {
        format!("yes, {} left", decision.remaining())
    } else {
        format!("no, retry after {:?}", decision.retry_after())
    };
    println!("  {call}: {outcome}: {} request", requests.take());
}

/// Returns a client to AWS if requested, or else to an emulator on a free port.
async fn client(requests: Requests) -> Result<Client, Failure> {
    let filled = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = filled("LIMITED_DYNAMODB_ENDPOINT");
    let of_aws =
        ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"].into_iter().any(|name| filled(name).is_some());
    let to_aws = std::env::args().any(|argument| argument == "--aws");
    if to_aws || endpoint.is_some() || of_aws {
        let mut config = aws_config::defaults(BehaviorVersion::latest()).http_client(https());
        if let Some(endpoint) = endpoint {
            config = config.endpoint_url(endpoint);
        }
        let config = aws_sdk_dynamodb::config::Builder::from(&config.load().await);
        return Ok(Client::from_conf(config.interceptor(requests).build()));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("local"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "emulator"))
        .endpoint_url(format!("http://{}", listener.local_addr()?))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .interceptor(requests)
        .build();
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory()?));
    Ok(Client::from_conf(config))
}

/// Returns an HTTPS client, because this package disables the default one of `aws-config`.
fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Counts the requests that are sent.
#[derive(Clone, Debug, Default)]
struct Requests(Arc<AtomicU32>);

impl Requests {
    /// Returns the number of requests since the last call.
    fn take(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "requests"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
