//! Payments that clients send again, since they cannot know what became of the first one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response as Answer;
use axum::routing::post;
use axum::{Extension, Router};
use limited::http::{IdempotencyLayer, KeyExtractor};
use limited::memory::MemoryBackend;
use limited::{Claim, Idempotency, ManualClock};
use reqwest::{Client, Response};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::{client, header, listen, raw};

const LEASE: Duration = Duration::from_secs(30);

/// A bank that can be made to take its time, and that says what has happened.
struct Bank {
    /// How many payments have begun.
    begun: Semaphore,
    /// How many may come to their end.
    may_end: Semaphore,
    /// How many have been given up in the middle.
    given_up: Semaphore,
    charges: AtomicU32,
    last_fencing_number: std::sync::Mutex<u64>,
}

impl Bank {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Semaphore::new(0),
            may_end: Semaphore::new(0),
            given_up: Semaphore::new(0),
            charges: AtomicU32::new(0),
            last_fencing_number: std::sync::Mutex::new(0),
        })
    }

    async fn pay(self: Arc<Self>, claim: Claim) -> (StatusCode, String) {
        {
            let mut last = self.last_fencing_number.lock().unwrap();
            assert!(claim.fencing_token() > *last);
            *last = claim.fencing_token();
        }
        let given_up = GivenUp(Arc::clone(&self));
        self.begun.add_permits(1);
        self.may_end.acquire().await.unwrap().forget();
        std::mem::forget(given_up);
        let number = self.charges.fetch_add(1, Ordering::Relaxed) + 1;
        (StatusCode::CREATED, format!("{{\"charge\":{number}}}"))
    }
}

/// Says so, where the future that it is in is dropped.
struct GivenUp(Arc<Bank>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.given_up.add_permits(1);
    }
}

/// Waits until something has happened once more.
async fn once_more(event: &Semaphore) {
    event.acquire().await.unwrap().forget();
}

fn shop(bank: &Arc<Bank>, clock: &ManualClock) -> Router {
    let idempotency = Idempotency::new(MemoryBackend::new()).clock(clock.clone()).lease(LEASE);
    let bank = Arc::clone(bank);
    let pay = async move |Extension(claim): Extension<Claim>| bank.pay(claim).await;
    let layer = IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token()).max_request_body(1_000);
    Router::new().route("/payments", post(pay)).layer(layer)
}

async fn serve(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn pay(client: &Client, address: SocketAddr) -> Response {
    let request = client.post(format!("http://{address}/payments")).bearer_auth("alice");
    request.header("idempotency-key", "\"order-981\"").body("4200").send().await.unwrap()
}

const RAW: &str = "POST /payments HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer alice\r\n\
                   Idempotency-Key: \"order-981\"\r\nContent-Length: 4\r\nConnection: close\r\n\r\n4200";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_the_first_answer_byte_by_byte() {
    let bank = Bank::new();
    bank.may_end.add_permits(2);
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

    // In pieces, it is the same request.
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
async fn a_client_that_goes_away_in_the_middle_can_come_back_after_the_lease() {
    let (bank, clock) = (Bank::new(), ManualClock::new());
    let address = serve(shop(&bank, &clock)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(RAW.as_bytes()).await.unwrap();
    once_more(&bank.begun).await;
    drop(stream);
    once_more(&bank.given_up).await;

    // How far the payment came nobody knows: not done, and not free.
    let client = client();
    clock.advance(Duration::from_millis(500));
    let early = pay(&client, address).await;
    assert_eq!((early.status().as_u16(), header(&early, "retry-after")), (409, Some("30")));
    assert!(early.text().await.unwrap().contains("\"reason\":\"request-in-progress\""));
    clock.advance(Duration::from_secs(29));
    assert_eq!(pay(&client, address).await.status(), 409);
    clock.advance(Duration::from_secs(1));

    bank.may_end.add_permits(1);
    let late = pay(&client, address).await;
    assert_eq!((late.status().as_u16(), header(&late, "idempotency-replayed")), (201, None));
    assert_eq!(late.text().await.unwrap(), "{\"charge\":1}");
    let again = pay(&client, address).await;
    assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
    assert_eq!(again.text().await.unwrap(), "{\"charge\":1}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_in_a_task_of_its_own_is_done_though_its_client_goes_away() {
    /// Has the rest of the way run to its end, whoever waits for it.
    async fn to_its_end(request: Request, next: Next) -> Answer {
        tokio::spawn(next.run(request)).await.unwrap()
    }
    let (bank, clock) = (Bank::new(), ManualClock::new());
    let address = serve(shop(&bank, &clock).layer(from_fn(to_its_end))).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(RAW.as_bytes()).await.unwrap();
    once_more(&bank.begun).await;
    drop(stream);

    let client = client();
    assert_eq!(pay(&client, address).await.status(), 409);
    bank.may_end.add_permits(1);
    let mut answer = pay(&client, address).await;
    while answer.status() == 409 {
        answer = pay(&client, address).await;
    }
    assert_eq!(header(&answer, "idempotency-replayed"), Some("true"));
    assert_eq!(answer.text().await.unwrap(), "{\"charge\":1}");
    assert_eq!(bank.given_up.available_permits(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_clients_at_once_one_pays() {
    let bank = Bank::new();
    bank.may_end.add_permits(64);
    let address = serve(shop(&bank, &ManualClock::new())).await;
    let tasks: Vec<_> = (0..64).map(|_| tokio::spawn(async move { pay(&client(), address).await })).collect();
    let mut paid = 0;
    for task in tasks {
        let answer = task.await.unwrap();
        let (status, is_replayed) =
            (answer.status().as_u16(), header(&answer, "idempotency-replayed").is_some());
        let body = answer.text().await.unwrap();
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
async fn a_body_that_is_too_large_is_refused_before_anything_is_paid() {
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
    assert_eq!(bank.begun.available_permits(), 0);
}
