//! Rate limits in front of tonic services.

use std::time::Duration;

use limited::http::{ClientAddress, KeyExtractor, RateLimitLayer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::{limiter, listen};

async fn connect(layer: RateLimitLayer<limited::memory::MemoryBackend>) -> HealthClient<Channel> {
    let (listener, address) = listen().await;
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().layer(layer).add_service(health);
    tokio::spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
    HealthClient::new(Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap())
}

fn by_peer() -> KeyExtractor {
    KeyExtractor::address(ClientAddress::peer_from(|parts| {
        Some(parts.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip())
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejection_is_resource_exhausted_with_the_retry_delay_in_the_metadata() {
    let (limiter, clock) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer()).policy_name("calls").unwrap()).await;

    let allowed = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(allowed.metadata().get("ratelimit").unwrap(), "\"calls\";r=0;t=60");

    clock.advance(Duration::from_millis(57_800));
    let rejected = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(rejected.code(), Code::ResourceExhausted);
    assert_eq!(rejected.message(), "the policy `calls` allows 1/min; retry in 3 s");
    assert_eq!(rejected.metadata().get("retry-after").unwrap(), "3");
    assert_eq!(rejected.metadata().get("grpc-retry-pushback-ms").unwrap(), "2200");
    assert_eq!(rejected.metadata().get("ratelimit-policy").unwrap(), "\"calls\";q=1;w=60");

    clock.advance(Duration::from_millis(2_200));
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_is_never_admitted_must_not_be_retried() {
    let (limiter, _) = limiter("0/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer())).await;
    let rejected = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(rejected.code(), Code::ResourceExhausted);
    assert_eq!(rejected.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert_eq!(rejected.metadata().get("retry-after"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streaming_call_is_rejected_like_any_other() {
    let (limiter, _) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer())).await;
    assert!(health.watch(HealthCheckRequest::default()).await.is_ok());
    let rejected = health.watch(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(rejected.code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_without_a_key_is_an_invalid_argument() {
    let (limiter, _) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, KeyExtractor::bearer_token())).await;
    let rejected = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(rejected.code(), Code::InvalidArgument);
    assert_eq!(rejected.message(), "the header `authorization` is missing");
}

/// The status of a call is in the trailers, unless the response has no message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closure_sees_the_status_of_a_response_without_messages_only() {
    let (limiter, _) = limiter("2/min");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .count_only(|response| response.headers.contains_key("grpc-status"));
    let mut health = connect(layer).await;
    for _ in 0..3 {
        let allowed = health.check(HealthCheckRequest::default()).await.unwrap();
        assert_eq!(allowed.metadata().get("ratelimit").unwrap(), "\"default\";r=2;t=60");
    }
    let unknown = HealthCheckRequest { service: "unknown".to_owned() };
    for remaining in [1, 0] {
        let failed = health.check(unknown.clone()).await.unwrap_err();
        assert_eq!(failed.code(), Code::NotFound);
        let limit = format!("\"default\";r={remaining};t=60");
        assert_eq!(failed.metadata().get("ratelimit").unwrap(), limit.as_str());
    }
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::ResourceExhausted);
}
