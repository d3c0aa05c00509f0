//! The layers over sockets, with real servers and clients, and a manual clock.

mod axum_routes;
mod grpc_calls;
mod idempotent_posts;
mod idempotent_wire;
mod plain_service;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use limited::memory::MemoryBackend;
use limited::{Limiter, ManualClock};
use reqwest::{Client, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Creates a limiter over memory with a fixed window, and its clock.
fn limiter(quota: &str) -> (Limiter<MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    (limiter.quota(quota.parse().unwrap()), clock)
}

/// Listens on a free local port.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Serves a router without the addresses of its peers.
async fn serve(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Creates a client with its own connections.
fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

async fn get(client: &Client, address: SocketAddr, path: &str) -> Response {
    client.get(format!("http://{address}{path}")).send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

/// Sends these bytes, and reads until the server closes the connection. Returns the status line,
/// the headers (sorted, without the date) and the body.
async fn raw(address: SocketAddr, request: &str) -> (String, Vec<String>, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let status = lines.next().unwrap();
    let mut headers: Vec<_> = lines.filter(|line| !line.starts_with("date: ")).collect();
    headers.sort();
    (status, headers, body.to_owned())
}

/// Returns how many responses have this status.
fn count(responses: &[Response], status: u16) -> usize {
    responses.iter().filter(|response| response.status() == status).count()
}

/// Sends one request from each client concurrently, each over its own connection.
async fn get_concurrently(clients: &[Client], address: SocketAddr, path: &'static str) -> Vec<Response> {
    let tasks: Vec<_> = clients
        .iter()
        .cloned()
        .map(|client| tokio::spawn(async move { get(&client, address, path).await }))
        .collect();
    let mut responses = Vec::new();
    for task in tasks {
        responses.push(task.await.unwrap());
    }
    responses
}
