//! The handler of the example `lambda`, with events as API Gateway sends them.

#[path = "../examples/lambda.rs"]
#[allow(dead_code)]
mod lambda;

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use lambda::{WithoutDecision, handle};
use lambda_http::http::header::RETRY_AFTER;
use lambda_http::{Body, Context, Request, RequestExt, Response};
use limited::{Backend, Limiter, ManualClock, Quota, Timestamp};
use limited_dynamodb::DynamoDbBackend;
use tokio::net::TcpListener;

/// An event of an HTTP API, payload format 2.0.
const EVENT: &str = r#"{
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/greeting",
    "rawQueryString": "",
    "headers": { "accept": "*/*", "host": "example.execute-api.eu-west-1.amazonaws.com" },
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "example",
        "domainName": "example.execute-api.eu-west-1.amazonaws.com",
        "domainPrefix": "example",
        "http": {
            "method": "GET",
            "path": "/greeting",
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "curl"
        },
        "requestId": "id",
        "routeKey": "$default",
        "stage": "$default",
        "time": "21/Nov/2026:12:00:00 +0000",
        "timeEpoch": 1795262400000
    },
    "isBase64Encoded": false
}"#;

/// Returns the event, with a deadline after `time`.
fn event(time: Duration) -> Request {
    let deadline = SystemTime::now() + time;
    let mut context = Context::default();
    context.deadline =
        deadline.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
    lambda_http::request::from_str(EVENT).unwrap().with_lambda_context(context)
}

fn client(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .build();
    aws_sdk_dynamodb::Client::from_conf(config)
}

/// Returns a backend over a new emulator.
async fn backend() -> DynamoDbBackend {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    let backend =
        DynamoDbBackend::builder(client(&endpoint)).operation_timeout(Duration::from_secs(10)).build();
    backend.create_rate_limit_table().await.unwrap();
    backend
}

async fn respond<B: Backend>(limiter: &Limiter<B>, request: Request) -> Response<Body> {
    handle(limiter, WithoutDecision::Unavailable, request).await.unwrap()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn refusal_is_429_with_retry_after_in_whole_seconds() {
    let clock = ManualClock::at(Timestamp::from_secs(1_795_262_400));
    let limiter = Limiter::new(backend().await).quota(Quota::per_minute(2)).clock(clock.clone());
    for _ in 0..2 {
        let response = respond(&limiter, event(LONG)).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().get(RETRY_AFTER).is_none());
    }
    for (passed, wait) in [(0, "60"), (1, "60"), (58_999, "1"), (999, "1")] {
        clock.advance(Duration::from_millis(passed));
        let response = respond(&limiter, event(LONG)).await;
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[RETRY_AFTER], wait);
    }
    clock.advance(Duration::from_millis(1));
    assert_eq!(respond(&limiter, event(LONG)).await.status(), 200);
}

#[tokio::test]
async fn api_key_is_limited_separately_from_the_address() {
    let limiter = Limiter::new(backend().await).quota(Quota::per_day(1));
    assert_eq!(respond(&limiter, event(LONG)).await.status(), 200);
    assert_eq!(respond(&limiter, event(LONG)).await.status(), 429);
    let mut request = event(LONG);
    request.headers_mut().insert("x-api-key", "secret".parse().unwrap());
    assert_eq!(respond(&limiter, request).await.status(), 200);
}

#[tokio::test]
async fn unresponsive_table_passes_or_is_503_as_configured_before_the_deadline() {
    // It accepts connections and never responds.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let backend =
        DynamoDbBackend::builder(client(&endpoint)).operation_timeout(Duration::from_secs(60)).build();
    let limiter = Limiter::new(backend);
    for (without, status) in [(WithoutDecision::Unavailable, 503), (WithoutDecision::Pass, 200)] {
        let started = Instant::now();
        let response = handle(&limiter, without, event(Duration::from_millis(400))).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn missing_table_is_a_failure_and_not_a_refusal() {
    let backend = backend().await;
    let elsewhere = DynamoDbBackend::builder(backend.client().clone()).table_name("elsewhere").build();
    let limiter = Limiter::new(elsewhere);
    assert_eq!(respond(&limiter, event(LONG)).await.status(), 503);
    assert_eq!(handle(&limiter, WithoutDecision::Pass, event(LONG)).await.unwrap().status(), 200);
}
