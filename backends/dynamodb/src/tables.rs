//! Creates and checks the tables.

mod issue;
mod schema;

use std::time::Duration;

use limited_core::{BackendError, Cause, Result};

pub use self::issue::TableIssue;
use self::schema::TableSchema;
use crate::DynamoDbBackend;
use crate::client::Client;
use crate::error::all_of;

/// How often a new table is described until it is active, with a pause after each: two minutes in
/// all. The same is true of requests to enable its point-in-time recovery.
const MAX_POLLS: u32 = 240;
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// # Tables
///
/// Set-up only: no decision and no claim calls any of these, or describes a table.
///
/// Rate limiting does not need the table of claims, and claims do not need the table of rate
/// limits.
impl DynamoDbBackend {
    /// Calls [`create_rate_limit_table`](Self::create_rate_limit_table) and
    /// [`create_idempotency_table`](Self::create_idempotency_table). Creates the second table even
    /// if the first one fails.
    ///
    /// # Errors
    ///
    /// The errors of [`create_rate_limit_table`](Self::create_rate_limit_table). If both tables
    /// fail, the error is the first one, with the messages of both.
    /// [`check_tables`](Self::check_tables) returns what is missing then.
    pub async fn create_tables(&self) -> Result<()> {
        // One after the other: of all tables with indexes, DynamoDB creates only one at a time.
        all_of([self.create_rate_limit_table().await, self.create_idempotency_table().await])
    }

    /// Creates the table of rate limits, unless it exists: on demand, with TTL, the configured
    /// indexes, and point-in-time recovery if configured. Waits until all of it is active.
    ///
    /// If the table exists, only its TTL and point-in-time recovery are enabled; nothing else is
    /// changed.
    ///
    /// # Errors
    ///
    /// An error if DynamoDB rejects a request. If it rejects TTL, point-in-time recovery is enabled
    /// nevertheless. [`TimedOut`](BackendError::TimedOut) if the table is not active after two
    /// minutes, or if point-in-time recovery is not available two minutes after that; call again to
    /// continue waiting.
    pub async fn create_rate_limit_table(&self) -> Result<()> {
        create(&self.client, &TableSchema::of_rate_limits(&self.client.settings)).await
    }

    /// Creates the table of claims, as [`create_rate_limit_table`](Self::create_rate_limit_table)
    /// does for rate limits.
    ///
    /// # Errors
    ///
    /// The errors of [`create_rate_limit_table`](Self::create_rate_limit_table).
    pub async fn create_idempotency_table(&self) -> Result<()> {
        create(&self.client, &TableSchema::of_claims(&self.client.settings)).await
    }

    /// Returns what the tables lack of what this backend needs or is configured with. An empty
    /// result means that both tables are ready.
    ///
    /// # Errors
    ///
    /// An error if a table cannot be described.
    pub async fn check_tables(&self) -> Result<Vec<TableIssue>> {
        let mut issues = self.check_rate_limit_table().await?;
        issues.extend(self.check_idempotency_table().await?);
        Ok(issues)
    }

    /// Returns what the table of rate limits lacks.
    ///
    /// # Errors
    ///
    /// An error if the table cannot be described.
    pub async fn check_rate_limit_table(&self) -> Result<Vec<TableIssue>> {
        check(&self.client, &TableSchema::of_rate_limits(&self.client.settings)).await
    }

    /// Returns what the table of claims lacks.
    ///
    /// # Errors
    ///
    /// An error if the table cannot be described.
    pub async fn check_idempotency_table(&self) -> Result<Vec<TableIssue>> {
        check(&self.client, &TableSchema::of_claims(&self.client.settings)).await
    }
}

async fn create(client: &Client, schema: &TableSchema<'_>) -> Result<()> {
    client.create_table(schema.table, schema.request()?).await?;
    wait_until_active(client, schema.table).await?;
    let time_to_live = client.enable_time_to_live(schema.table).await;
    let recovery = match client.settings.point_in_time_recovery {
        true => enable_point_in_time_recovery(client, schema.table).await,
        false => Ok(()),
    };
    all_of([time_to_live, recovery])
}

/// Enables point-in-time recovery, as soon as the table allows it: DynamoDB begins the continuous
/// backups of a new table some time after the table is active, and the SDK does not wait for that.
async fn enable_point_in_time_recovery(client: &Client, table: &str) -> Result<()> {
    let mut polls = 0;
    while let Some(early) = client.enable_point_in_time_recovery(table).await? {
        polls += 1;
        if polls >= MAX_POLLS {
            let message =
                format!("point-in-time recovery of the table `{table}` is not available yet; call again");
            return Err(BackendError::TimedOut(Cause::with_source(message, early)));
        }
        client.sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn wait_until_active(client: &Client, table: &str) -> Result<()> {
    for _ in 0..MAX_POLLS {
        if client.describe_table(table).await?.is_some_and(|description| schema::is_active(&description)) {
            return Ok(());
        }
        client.sleep(POLL_INTERVAL).await;
    }
    Err(BackendError::timed_out(format!("the table `{table}` is not active yet")))
}

async fn check(client: &Client, schema: &TableSchema<'_>) -> Result<Vec<TableIssue>> {
    match client.describe_table(schema.table).await? {
        Some(description) => {
            let has_time_to_live = client.has_time_to_live(schema.table).await?;
            let mut issues = schema.issues(&description, has_time_to_live);
            if client.settings.point_in_time_recovery
                && !client.has_point_in_time_recovery(schema.table).await?
            {
                issues.push(TableIssue::PointInTimeRecovery(schema.table.to_owned()));
            }
            Ok(issues)
        }
        None => Ok(vec![TableIssue::Table(schema.table.to_owned())]),
    }
}
