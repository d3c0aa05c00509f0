//! The embedded server over TCP, or another one.

use std::env;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{self, BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use dynoxide::Database;
use dynoxide::server::serve_on;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::wire::retries_of_its_own;

/// Serves a new, empty database on a free port of the loopback, until the handle is aborted or the runtime ends.
pub(crate) async fn serve_over_tcp() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
    let database = Database::memory().expect("SQLite opens a database in memory");
    (endpoint, tokio::spawn(serve_on(listener, database)))
}

/// A client with the SDK's defaults for a server that was started here, or rather for
/// [the one named by the environment](server_endpoint).
pub(crate) fn tcp_client(endpoint: &str) -> Client {
    Client::from_conf(tcp_config(endpoint).build())
}

/// The same, still to be built, for retries and timeouts of one's own.
pub(crate) fn tcp_config(endpoint: &str) -> config::Builder {
    tcp_config_at(&server_endpoint(endpoint))
}

/// `LIMITED_DYNAMODB_ENDPOINT` where it is set (DynamoDB Local, moto, a real account), else `endpoint`.
pub(crate) fn server_endpoint(endpoint: &str) -> String {
    elsewhere().unwrap_or_else(|| endpoint.to_owned())
}

/// A client, still to be built, for this endpoint and no other: that of a [`Proxy`](super::Proxy), say. Where the
/// environment names a server, the credentials and the region are the environment's as well, under their usual names.
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
        .retry_partition(retries_of_its_own())
        .endpoint_url(endpoint)
        .http_client(http)
}

fn elsewhere() -> Option<String> {
    variable("LIMITED_DYNAMODB_ENDPOINT")
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
