//! A small axum service behind the layers of `limited`.
//!
//! ```sh
//! cargo run -p limited-axum-example
//! curl -i http://127.0.0.1:3000/quotes/ACME
//! curl -i http://127.0.0.1:3000/payments -H 'x-api-key: alice' -H 'idempotency-key: "order-981"' --json '{"cents": 4200}'
//! ```
//!
//! It keeps its state in memory, so each process has its own limits. To share the limits between
//! processes, keep the state in Amazon DynamoDB, configured by the usual AWS variables:
//!
//! ```sh
//! cargo run -p limited-axum-example --features dynamodb -- --dynamodb
//! ```
//!
//! `-- --help` lists the options.

mod accounts;
mod app;
mod payments;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use limited::Backend;
use limited::memory::{MemoryBackend, WhenFull};
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(about = "A small axum service behind the layers of `limited`")]
struct Options {
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// The number of proxies in front, each of which appends to `X-Forwarded-For`.
    #[arg(long, default_value_t = 0)]
    proxies: usize,
    /// Keep the state in Amazon DynamoDB.
    #[arg(long)]
    dynamodb: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not `Debug`, which `main` would use for an error that it returns.
            eprintln!("limited-axum-example: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let backend = if options.dynamodb { dynamodb().await? } else { memory() };
    let app = app::app(backend, options.proxies)?;

    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    println!("listening on http://{}", listener.local_addr()?);
    // The layers identify clients by the address of the peer.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Creates a backend that attackers cannot fill beyond these numbers.
fn memory() -> Arc<dyn Backend> {
    let backend = MemoryBackend::builder()
        // An address that was evicted starts over, which is better than none that is limited.
        .max_keys(1_000_000)
        .when_full(WhenFull::EvictSoonest)
        // Stored responses. An account adds at most as many a day as its hourly limit allows.
        .max_claims(100_000);
    Arc::new(backend.build())
}

/// Connects to Amazon DynamoDB, and creates the tables that are missing.
#[cfg(feature = "dynamodb")]
async fn dynamodb() -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    let backend = limited::dynamodb::DynamoDbBackend::from_env().await?;
    backend.create_tables().await.map_err(|error| format!("cannot create the tables: {error}"))?;
    Ok(Arc::new(backend))
}

#[cfg(not(feature = "dynamodb"))]
async fn dynamodb() -> Result<Arc<dyn Backend>, Box<dyn Error>> {
    Err("`--dynamodb` requires a build with `--features dynamodb`".into())
}
