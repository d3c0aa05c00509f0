//! What idempotency compares, stores and replays, byte by byte on the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{OriginalUri, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use http_body_util::{BodyExt, Full};
use limited::backend::{
    Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Owner, StoredResult, Timestamp,
};
use limited::http::{IdempotencyLayer, KeyExtractor};
use limited::memory::MemoryBackend;
use limited::{Clock, Idempotency, Key, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{raw, serve};

fn layer() -> IdempotencyLayer<Arc<MemoryBackend>> {
    over(Arc::default())
}

fn over(backend: Arc<MemoryBackend>) -> IdempotencyLayer<Arc<MemoryBackend>> {
    IdempotencyLayer::new(Idempotency::new(backend), KeyExtractor::bearer_token())
}

/// A request of alice with the key `order-981`, and more headers, each with its line break.
fn request(path: &str, host: &str, more: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer alice\r\n\
         Idempotency-Key: \"order-981\"\r\nConnection: close\r\n{more}Content-Length: 4\r\n\r\n4200"
    )
}

/// Sends a request, and returns the status and the body.
async fn send(address: SocketAddr, request: &str) -> (u16, String) {
    let (status, _, body) = raw(address, request).await;
    (status.split(' ').nth(1).unwrap().parse().unwrap(), body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corrected_content_type_is_executed_and_not_replayed() {
    let pay = async |headers: HeaderMap| match headers["content-type"].as_bytes() {
        b"application/json" => (StatusCode::CREATED, "paid"),
        _ => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "not JSON"),
    };
    let address = serve(Router::new().route("/payments", post(pay)).route_layer(layer())).await;
    let content_type =
        |value: &str| request("/payments", "shop.example", &format!("Content-Type: {value}\r\n"));
    assert_eq!(send(address, &content_type("text/plain")).await, (415, "not JSON".to_owned()));
    assert_eq!(send(address, &content_type("application/json")).await, (201, "paid".to_owned()));
    let (status, body) = send(address, &content_type("text/plain")).await;
    assert!(status == 422 && body.contains("idempotency-key-reused"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_routers_and_hosts_do_not_share_a_response() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = |name: &'static str| {
        let calls = Arc::clone(&calls);
        async move || {
            calls.fetch_add(1, Ordering::Relaxed);
            name
        }
    };
    let layer = layer().compare_uri(|parts| Some(&parts.extensions.get::<OriginalUri>()?.0));
    let payments = |name| Router::new().route("/payments", post(counted(name))).route_layer(layer.clone());
    let router =
        Router::new().nest("/v1/charges", payments("charged")).nest("/v1/refunds", payments("refunded"));
    let address = serve(router).await;
    let charge = request("/v1/charges/payments", "a.example", "");
    for _ in 0..2 {
        assert_eq!(send(address, &charge).await, (200, "charged".to_owned()));
    }
    for other in
        [request("/v1/refunds/payments", "a.example", ""), request("/v1/charges/payments", "b.example", "")]
    {
        let (status, body) = send(address, &other).await;
        assert!(status == 422 && body.contains("idempotency-key-reused"), "{body}");
    }
    let own_key = request("/v1/refunds/payments", "a.example", "").replace("order-981", "order-982");
    assert_eq!(send(address, &own_key).await, (200, "refunded".to_owned()));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_are_sent_over_http_1_in_the_first_response_and_in_replays() {
    let pay = async || {
        let trailers = HeaderMap::from_iter([("checksum".parse().unwrap(), HeaderValue::from_static("7"))]);
        let body = Full::from("paid").with_trailers(async move { Some(Ok(trailers)) });
        Response::builder().header("trailer", "checksum").body(Body::new(body)).unwrap()
    };
    let address = serve(Router::new().route("/payments", post(pay)).route_layer(layer())).await;
    let request = request("/payments", "shop.example", "TE: trailers\r\n");
    let (status, mut headers, body) = raw(address, &request).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(headers, ["connection: close", "trailer: checksum", "transfer-encoding: chunked"]);
    assert_eq!(body, "4\r\npaid\r\n0\r\nchecksum: 7\r\n\r\n");
    headers.push("idempotency-replayed: true".to_owned());
    headers.sort();
    assert_eq!(raw(address, &request).await, (status, headers, body));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_another_writer_is_replayed_without_headers_of_its_transfer() {
    let backend: Arc<MemoryBackend> = Arc::default();
    let record = r#"{"status":201,"body":{"text":"paid"},"headers":[["content-length",{"text":"7"}],
        ["transfer-encoding",{"text":"chunked"}],["connection",{"text":"keep-alive"}],
        ["set-cookie",{"text":"session=secret"}],["content-type",{"text":"text/plain"}]]}"#;
    let key = Key::new().secret("bearer", "alice").part("idempotency-key", "order-981");
    let key = ClaimKey::new("", ClaimKind::HttpRequest, &key).unwrap();
    let now: Timestamp = SystemClock.now();
    let claim = ClaimRequest::new(Owner(1), now.saturating_add(Duration::from_secs(30)));
    backend.claim(&key, &claim, now).await.unwrap();
    let completion = Completion::new(Owner(1)).with_result(StoredResult::Value(record.into()));
    backend.finish(&key, &completion, now).await.unwrap();

    let layer = over(backend);
    let address = serve(Router::new().route("/payments", post(async || "new")).route_layer(layer)).await;
    let (status, headers, body) = raw(address, &request("/payments", "shop.example", "")).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 201 Created", "paid"));
    assert_eq!(
        headers,
        ["connection: close", "content-length: 4", "content-type: text/plain", "idempotency-replayed: true"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_of_one_byte_reach_the_service_as_one_frame() {
    const CHUNKS: usize = 200_000;
    let pay = async |request: Request| {
        let (mut body, mut frames, mut bytes) = (request.into_body(), 0, 0);
        while let Some(frame) = body.frame().await {
            frames += 1;
            bytes += frame.unwrap().into_data().unwrap().len();
        }
        format!("{bytes} bytes in {frames} frames")
    };
    let address = serve(Router::new().route("/payments", post(pay)).route_layer(layer())).await;
    let head = request("/payments", "shop.example", "");
    let head = head.replace("Content-Length: 4", "Transfer-Encoding: chunked").replace("4200", "");
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let sender = tokio::spawn(async move {
        writer.write_all(head.as_bytes()).await.unwrap();
        writer.write_all("1\r\nx\r\n".repeat(CHUNKS).as_bytes()).await.unwrap();
        writer.write_all(b"0\r\n\r\n").await.unwrap();
        writer
    });
    let mut response = String::new();
    reader.read_to_string(&mut response).await.unwrap();
    sender.await.unwrap();
    assert!(response.ends_with("200000 bytes in 1 frames"), "{response}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn double_click_gets_the_response_of_the_first_request() {
    let (started, may_finish) =
        (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let waits = (Arc::clone(&started), Arc::clone(&may_finish));
    let pay = async move || {
        waits.0.add_permits(1);
        waits.1.acquire().await.unwrap().forget();
        "paid"
    };
    let address = serve(Router::new().route("/payments", post(pay)).route_layer(layer())).await;
    let click = || tokio::spawn(async move { raw(address, &request("/payments", "shop.example", "")).await });
    let first = click();
    started.acquire().await.unwrap().forget();
    let second = click();
    may_finish.add_permits(1);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!((first.0, first.2), (second.0, second.2));
    assert!(second.1.contains(&"idempotency-replayed: true".to_owned()));
    assert_eq!(started.available_permits(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn response_with_a_large_header_is_sent_but_not_stored() {
    let pay = async || ([("etag", "x".repeat(20_000))], "paid");
    let layer = layer().max_response_body(10);
    let address = serve(Router::new().route("/payments", post(pay)).route_layer(layer)).await;
    assert_eq!(send(address, &request("/payments", "a.example", "")).await, (200, "paid".to_owned()));
    let (status, body) = send(address, &request("/payments", "a.example", "")).await;
    assert!(status == 409 && body.contains("with its headers and trailers it takes 20"), "{body}");
}
