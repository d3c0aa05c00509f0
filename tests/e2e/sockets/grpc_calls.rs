//! In front of tonic's services.

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
async fn a_refusal_is_resource_exhausted_with_the_time_to_wait_in_the_metadata() {
    let (limiter, clock) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer()).policy_name("calls").unwrap()).await;

    let allowed = health.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(allowed.metadata().get("ratelimit").unwrap(), "\"calls\";r=0;t=60");

    clock.advance(Duration::from_millis(57_800));
    let refused = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.message(), "the policy `calls` allows 1/min; retry in 3 s");
    assert_eq!(refused.metadata().get("retry-after").unwrap(), "3");
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "2200");
    assert_eq!(refused.metadata().get("ratelimit-policy").unwrap(), "\"calls\";q=1;w=60");

    clock.advance(Duration::from_millis(2_200));
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_can_never_pass_is_not_to_be_tried_again() {
    let (limiter, _) = limiter("0/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer())).await;
    let refused = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert_eq!(refused.metadata().get("retry-after"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streaming_call_is_refused_as_any_other() {
    let (limiter, _) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, by_peer())).await;
    assert!(health.watch(HealthCheckRequest::default()).await.is_ok());
    let refused = health.watch(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_key_is_an_invalid_argument() {
    let (limiter, _) = limiter("1/min");
    let mut health = connect(RateLimitLayer::new(limiter, KeyExtractor::bearer_token())).await;
    let refused = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(refused.message(), "the header `authorization` is missing");
}
