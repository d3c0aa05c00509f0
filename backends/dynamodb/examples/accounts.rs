//! Counters in the tables of several AWS accounts, with one backend per account: by an assumed role
//! or a profile.
//!
//! ```sh
//! cargo run -p limited-dynamodb --example accounts -- \
//!     arn:aws:iam::111111111111:role/limits arn:aws:iam::222222222222:role/limits profile:staging
//! ```
//!
//! Each account needs a table `rate-limits` (`create_tables`, or the schema in the README) in your
//! region, and:
//!
//! - For a role: it trusts the caller, and may `dynamodb:UpdateItem` on that table. The caller may
//!   `sts:AssumeRole` on it. Its credentials are fetched at the first decision, and again before
//!   they expire.
//! - For a profile: its credentials are in `~/.aws`, and have the same permission.
//!
//! Accounts share nothing: each limit counts in its own account. A service that gets the account
//! from a request selects the limiter by it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use limited::{Limiter, Quota};
use limited_dynamodb::DynamoDbBackend;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let accounts: Vec<String> = std::env::args().skip(1).collect();
    if accounts.is_empty() {
        println!("pass the accounts as arguments: `arn:aws:iam::…:role/…` or `profile:…`");
        return Ok(());
    }
    // The caller's own identity, which assumes the roles.
    let own = defaults().load().await;
    let mut limiters = BTreeMap::new();
    for account in accounts {
        let client = match account.strip_prefix("profile:") {
            Some(profile) => Client::new(&defaults().profile_name(profile).load().await),
            None => in_role(&own, &account).await,
        };
        // The first decision includes assuming the role, so it needs more time than the default.
        let backend = DynamoDbBackend::builder(client).operation_timeout(Duration::from_secs(5)).build();
        limiters.insert(account, Limiter::new(backend).quota(Quota::per_minute(100)));
    }
    for (account, limiter) in &limiters {
        match limiter.allow("example").await {
            Ok(decision) => println!("{account}: {} of {} left", decision.remaining(), decision.limit()),
            Err(error) => println!("{account}: {error}"),
        }
    }
    Ok(())
}

/// Returns a client that assumes a role, in any account.
async fn in_role(own: &SdkConfig, role: &str) -> Client {
    let credentials = AssumeRoleProvider::builder(role).configure(own).session_name("limited").build().await;
    let config = aws_sdk_dynamodb::config::Builder::from(own).credentials_provider(credentials).build();
    Client::from_conf(config)
}

/// Returns the usual AWS chain. This package disables the default HTTPS client of `aws-config`, so
/// it sets one.
fn defaults() -> ConfigLoader {
    let https =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(https)
}
