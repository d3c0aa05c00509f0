//! The embedded server over TCP, or another server.

use std::env;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{self, BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use dynoxide::Database;
use dynoxide::server::serve_on;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::wire::separate_retries;

/// Serves a new, empty database on a free port of the loopback, until the handle is aborted or the
/// runtime ends. Returns the endpoint.
pub(crate) async fn serve_over_tcp() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let database = Database::memory().expect("SQLite opens a database in memory");
    (endpoint, tokio::spawn(serve_on(listener, database)))
}

/// Returns a client with the SDK's defaults for the server at `endpoint`, or for [the one that the
/// environment names](server_endpoint).
pub(crate) fn tcp_client(endpoint: &str) -> Client {
    Client::from_conf(tcp_config(endpoint).build())
}

/// Returns the configuration of [`tcp_client`], to change retries and timeouts.
pub(crate) fn tcp_config(endpoint: &str) -> config::Builder {
    tcp_config_at(&server_endpoint(endpoint))
}

/// Returns `LIMITED_DYNAMODB_ENDPOINT` if it is set (DynamoDB Local, moto, a real account), or else
/// `endpoint`.
pub(crate) fn server_endpoint(endpoint: &str) -> String {
    elsewhere().unwrap_or_else(|| endpoint.to_owned())
}

/// Returns the configuration of a client for exactly this endpoint, such as that of a
/// [`Proxy`](super::Proxy). If the environment names a server, it also provides the credentials and
/// the region, under their usual names.
pub(crate) fn tcp_config_at(endpoint: &str) -> config::Builder {
    let setting = |name| elsewhere().and_then(|_| variable(name));
    let key = setting("AWS_ACCESS_KEY_ID").unwrap_or_else(|| "test".to_owned());
    let secret = setting("AWS_SECRET_ACCESS_KEY").unwrap_or_else(|| "test".to_owned());
    let region = setting("AWS_REGION").unwrap_or_else(|| "eu-west-1".to_owned());
    let http = aws_smithy_http_client::Builder::new();
    let http = if endpoint.starts_with("https:") {
        http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
    } else {
        http.build_http()
    };
    config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(Credentials::new(key, secret, setting("AWS_SESSION_TOKEN"), None, "test"))
        .retry_partition(separate_retries())
        .endpoint_url(endpoint)
        .http_client(http)
}

fn elsewhere() -> Option<String> {
    variable("LIMITED_DYNAMODB_ENDPOINT")
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
