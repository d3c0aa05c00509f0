//! The layers over real sockets: real servers, real clients, and a clock that the test moves.

mod axum_routes;
mod grpc_calls;
mod idempotent_posts;
mod plain_service;

use std::net::SocketAddr;
use std::time::Duration;

use limited::memory::MemoryBackend;
use limited::{Limiter, ManualClock};
use reqwest::{Client, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A limiter over memory by a fixed window, and its clock.
fn limiter(quota: &str) -> (Limiter<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    (limiter.quota(quota.parse().unwrap()), clock)
}

/// A port of this machine, and its address.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A client with connections of its own.
fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

async fn get(client: &Client, address: SocketAddr, path: &str) -> Response {
    client.get(format!("http://{address}{path}")).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// What is answered to these bytes, up to the end of the connection: status line and headers, sorted and without the
/// date; and the body.
async fn raw(address: SocketAddr, request: &str) -> (String, Vec<String>, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let status = lines.next().unwrap();
    let mut headers: Vec<_> = lines.filter(|line| !line.starts_with("date: ")).collect();
    headers.sort();
    (status, headers, body.to_owned())
}

/// How many of the answers have this status.
fn count(answers: &[Response], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status() == status).count()
}

/// Sends a request by each of so many clients at once, each over a connection of its own.
async fn all_at_once(clients: &[Client], address: SocketAddr, path: &'static str) -> Vec<Response> {
    let tasks: Vec<_> = clients
        .iter()
        .cloned()
        .map(|client| tokio::spawn(async move { get(&client, address, path).await }))
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}
