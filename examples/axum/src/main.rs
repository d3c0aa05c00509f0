//! A small service behind the layers of `limited`.
//!
//! ```sh
//! cargo run -p limited-axum-example
//! curl -i http://127.0.0.1:3000/quotes/ACME
//! curl -i http://127.0.0.1:3000/payments -H 'x-api-key: alice' -H 'idempotency-key: "order-981"' --json '{"cents": 4200}'
//! ```
//!
//! It keeps its state in memory, and with `--features dynamodb` and `-- --dynamodb` in Amazon DynamoDB, as the AWS variables
//! of the environment say; then any number of these services share their limits. `-- --help` lists the options.

mod app;
mod payments;

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Parser;
use limited::Backend;
use limited::memory::MemoryBackend;
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(about = "A small service behind the layers of `limited`")]
struct Options {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// How many proxies are in front, each of which adds to `X-Forwarded-For`.
    #[arg(long, default_value_t = 0)]
    proxies: usize,
    /// Keep the state in Amazon DynamoDB.
    #[arg(long)]
    dynamodb: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let backend = if options.dynamodb { dynamodb().await? } else { Arc::new(MemoryBackend::new()) };
    let app = app::app(backend, options.proxies)?;

    let listener = TcpListener::bind(options.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    // The peer's address is what the layers tell clients apart by.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// The tables are made where they are missing.
#[cfg(feature = "dynamodb")]
async fn dynamodb() -> Result<Arc<dyn Backend>, Box<dyn std::error::Error>> {
    let backend = limited::dynamodb::DynamoDbBackend::from_env().await?;
    backend.create_tables().await?;
    Ok(Arc::new(backend))
}

#[cfg(not(feature = "dynamodb"))]
async fn dynamodb() -> Result<Arc<dyn Backend>, Box<dyn std::error::Error>> {
    Err("start it with `--features dynamodb` for that".into())
}
