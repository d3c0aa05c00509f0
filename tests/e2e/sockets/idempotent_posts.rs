//! Payments that clients retry, because they cannot know whether the first one was executed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response as AxumResponse;
use axum::routing::{get, post};
use axum::{Extension, Router};
use limited::http::{IdempotencyLayer, KeyExtractor};
use limited::memory::MemoryBackend;
use limited::{Claim, Idempotency, ManualClock};
use reqwest::{Client, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::{client, header, raw, serve};

const LEASE: Duration = Duration::from_secs(30);

/// A bank whose payments wait for a permit.
struct Bank {
    /// One permit per payment that started.
    started: Semaphore,
    /// One permit per payment that may finish.
    may_finish: Semaphore,
    /// One permit per payment whose future was dropped before it finished.
    dropped: Semaphore,
    charges: AtomicU32,
    last_fencing_token: std::sync::Mutex<u64>,
}

impl Bank {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Semaphore::new(0),
            may_finish: Semaphore::new(0),
            dropped: Semaphore::new(0),
            charges: AtomicU32::new(0),
            last_fencing_token: std::sync::Mutex::new(0),
        })
    }

    async fn pay(self: Arc<Self>, claim: Claim) -> (StatusCode, String) {
        {
            let mut last = self.last_fencing_token.lock().unwrap();
            assert!(claim.fencing_token() > *last);
            *last = claim.fencing_token();
        }
        let on_drop = ReportDrop(Arc::clone(&self));
        self.started.add_permits(1);
        self.may_finish.acquire().await.unwrap().forget();
        std::mem::forget(on_drop);
        let number = self.charges.fetch_add(1, Ordering::Relaxed) + 1;
        (StatusCode::CREATED, format!("{{\"charge\":{number}}}"))
    }
}

/// Reports that the future that contains it was dropped.
struct ReportDrop(Arc<Bank>);

impl Drop for ReportDrop {
    fn drop(&mut self) {
        self.0.dropped.add_permits(1);
    }
}

/// Waits for one more event.
async fn wait_for(event: &Semaphore) {
    event.acquire().await.unwrap().forget();
}

fn shop(bank: &Arc<Bank>, clock: &ManualClock) -> Router {
    let idempotency = Idempotency::new(MemoryBackend::new()).clock(clock.clone()).lease(LEASE);
    let idempotency = idempotency.wait_timeout(Duration::ZERO);
    let bank = Arc::clone(bank);
    let pay = async move |Extension(claim): Extension<Claim>| bank.pay(claim).await;
    let layer = IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token()).max_request_body(1_000);
    Router::new().route("/payments", post(pay)).route_layer(layer)
}

async fn pay(client: &Client, address: SocketAddr) -> Response {
    let request = client.post(format!("http://{address}/payments")).bearer_auth("alice");
    request.header("idempotency-key", "\"order-981\"").body("4200").send().await.unwrap()
}

const RAW: &str = "POST /payments HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer alice\r\n\
                   Idempotency-Key: \"order-981\"\r\nContent-Length: 4\r\nConnection: close\r\n\r\n4200";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_equals_the_first_response_byte_by_byte() {
    let bank = Bank::new();
    bank.may_finish.add_permits(2);
    let address = serve(shop(&bank, &ManualClock::new())).await;

    let (status, mut headers, body) = raw(address, RAW).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 201 Created", "{\"charge\":1}"));
    assert_eq!(
        headers,
        ["connection: close", "content-length: 12", "content-type: text/plain; charset=utf-8"]
    );

    let again = raw(address, RAW).await;
    headers.push("idempotency-replayed: true".to_owned());
    assert_eq!(again, (status, headers, body));
    assert_eq!(bank.charges.load(Ordering::Relaxed), 1);

    // The same request with a chunked body.
    let pieces = RAW
        .replace("Content-Length: 4", "Transfer-Encoding: chunked")
        .replace("4200", "2\r\n42\r\n2\r\n00\r\n0\r\n\r\n");
    assert_eq!(raw(address, &pieces).await, again);
    let (status, headers, body) = raw(address, &RAW.replace("4200", "4201")).await;
    assert_eq!(status, "HTTP/1.1 422 Unprocessable Entity");
    assert!(headers.contains(&"content-type: application/problem+json".to_owned()));
    assert!(body.contains("\"reason\":\"idempotency-key-reused\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnected_client_can_retry_after_the_lease() {
    let (bank, clock) = (Bank::new(), ManualClock::new());
    let address = serve(shop(&bank, &clock)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(RAW.as_bytes()).await.unwrap();
    wait_for(&bank.started).await;
    drop(stream);
    wait_for(&bank.dropped).await;

    // The layer cannot know whether the payment happened, so the key is neither done nor free.
    let client = client();
    clock.advance(Duration::from_millis(500));
    let early = pay(&client, address).await;
    assert_eq!((early.status().as_u16(), header(&early, "retry-after")), (409, Some("30")));
    assert!(early.text().await.unwrap().contains("\"reason\":\"request-in-progress\""));
    clock.advance(Duration::from_secs(29));
    assert_eq!(pay(&client, address).await.status(), 409);
    clock.advance(Duration::from_secs(1));

    bank.may_finish.add_permits(1);
    let late = pay(&client, address).await;
    assert_eq!((late.status().as_u16(), header(&late, "idempotency-replayed")), (201, None));
    assert_eq!(late.text().await.unwrap(), "{\"charge\":1}");
    let again = pay(&client, address).await;
    assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
    assert_eq!(again.text().await.unwrap(), "{\"charge\":1}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payment_in_its_own_task_finishes_after_a_disconnect() {
    /// Runs the rest in a task, which no disconnect stops.
    async fn run_in_task(request: Request, next: Next) -> AxumResponse {
        tokio::spawn(next.run(request)).await.unwrap()
    }
    let (bank, clock) = (Bank::new(), ManualClock::new());
    let address = serve(shop(&bank, &clock).route_layer(from_fn(run_in_task))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(RAW.as_bytes()).await.unwrap();
    wait_for(&bank.started).await;
    drop(stream);

    let client = client();
    assert_eq!(pay(&client, address).await.status(), 409);
    bank.may_finish.add_permits(1);
    let mut response = pay(&client, address).await;
    while response.status() == 409 {
        response = pay(&client, address).await;
    }
    assert_eq!(header(&response, "idempotency-replayed"), Some("true"));
    assert_eq!(response.text().await.unwrap(), "{\"charge\":1}");
    assert_eq!(bank.dropped.available_permits(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_64_concurrent_clients_pays() {
    let bank = Bank::new();
    bank.may_finish.add_permits(64);
    let address = serve(shop(&bank, &ManualClock::new())).await;
    let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(async move { pay(&client(), address).await })).collect();
    let mut paid = 0;
    for task in tasks {
        let response = task.await.unwrap();
        let (status, is_replayed) =
            (response.status().as_u16(), header(&response, "idempotency-replayed").is_some());
        let body = response.text().await.unwrap();
        match status {
            201 => assert_eq!(body, "{\"charge\":1}"),
            409 => assert!(body.contains("request-in-progress")),
            other => panic!("{other}: {body}"),
        }
        paid += u32::from(status == 201 && !is_replayed);
    }
    assert_eq!((paid, bank.charges.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_body_is_rejected_before_anything_is_paid() {
    let bank = Bank::new();
    let address = serve(shop(&bank, &ManualClock::new())).await;
    let announced = RAW.replace("Content-Length: 4", "Content-Length: 1001");
    let large = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1_001, "x".repeat(1_001));
    let in_pieces = RAW.replace("Content-Length: 4", "Transfer-Encoding: chunked").replace("4200", &large);
    for request in [announced, in_pieces] {
        let (status, _, body) = raw(address, &request).await;
        assert_eq!(status, "HTTP/1.1 413 Payload Too Large");
        assert!(body.contains("\"reason\":\"request-too-large\""), "{body}");
    }
    assert_eq!(bank.started.available_permits(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_path_or_method_of_a_merged_application_needs_no_key() {
    let idempotency = Idempotency::new(MemoryBackend::new());
    let layer = IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token()).methods([Method::POST]);
    let payments = Router::new().route("/payments", post(async || "paid")).route_layer(layer);
    let address = serve(Router::new().route("/", post(async || "posted")).merge(payments)).await;
    let send = async |method, path: &str, key: Option<&str>| {
        let request = client().request(method, format!("http://{address}{path}")).bearer_auth("alice");
        let request = if let Some(key) = key { request.header("idempotency-key", key) } else { request };
        let response = request.send().await.unwrap();
        (response.status().as_u16(), header(&response, "idempotency-replayed").is_some())
    };
    for key in [None, Some("order-981"), Some("order-981")] {
        assert_eq!(send(Method::POST, "/nope", key).await, (404, false));
        assert_eq!(send(Method::PATCH, "/payments", key).await, (405, false));
        assert_eq!(send(Method::POST, "/", key).await, (200, false));
    }
    assert_eq!(send(Method::POST, "/payments", None).await, (400, false));
    assert_eq!(send(Method::POST, "/payments", Some("order-981")).await, (200, false));
    assert_eq!(send(Method::POST, "/payments", Some("order-981")).await, (200, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_route_is_not_stored_and_runs_once_it_is_deployed() {
    let idempotency = Idempotency::new(Arc::new(MemoryBackend::new()));
    let layer = IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token());
    // `layer`, so that the fallback is behind the layer, as in a service that forwards all paths.
    let before = serve(Router::new().layer(layer.clone())).await;
    let wrong_method =
        serve(Router::new().route("/payments", get(async || "none")).layer(layer.clone())).await;
    let after = serve(Router::new().route("/payments", post(async || "paid")).layer(layer)).await;
    let client = client();
    for (address, status, is_replayed) in [
        (before, 404, false),
        (before, 404, false),
        (wrong_method, 405, false),
        (wrong_method, 405, false),
        (after, 200, false),
        (after, 200, true),
        (before, 200, true),
    ] {
        let response = pay(&client, address).await;
        let replayed = header(&response, "idempotency-replayed").is_some();
        assert_eq!((response.status().as_u16(), replayed), (status, is_replayed));
    }
}
