//! The tables: made, and checked.

mod index;
mod layout;
mod missing;

use limited_core::BackendError;

use self::layout::Layout;
pub use self::{
    index::{ClaimIndex, Index},
    missing::Missing,
};
use crate::DynamoDbBackend;

/// # Tables
///
/// Nothing here is needed on the way of a decision or a claim; nothing there describes a table.
///
/// Who only limits has no need of the table for claims, nor the other way round.
impl DynamoDbBackend {
    /// [`create_rate_limit_table`](Self::create_rate_limit_table) and
    /// [`create_idempotency_table`](Self::create_idempotency_table).
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn create_tables(&self) -> Result<(), BackendError> {
        self.create_rate_limit_table().await?;
        self.create_idempotency_table().await
    }

    /// Creates the table of rate limits where it is not there: on demand, with TTL, the indexes asked for, and
    /// point-in-time recovery where asked for. Waits until it is active. A table that is there is left as it is, but for
    /// its TTL, which is enabled.
    ///
    /// # Errors
    ///
    /// Where DynamoDB refuses, or the table is not active after two minutes
    /// ([`TimedOut`](BackendError::TimedOut); call again to go on waiting).
    pub async fn create_rate_limit_table(&self) -> Result<(), BackendError> {
        Layout::of_rate_limits(&self.0.settings).create(&self.0).await
    }

    /// Creates the table of claims where it is not there, as
    /// [`create_rate_limit_table`](Self::create_rate_limit_table) does that of rate limits.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn create_idempotency_table(&self) -> Result<(), BackendError> {
        Layout::of_claims(&self.0.settings).create(&self.0).await
    }

    /// What the tables lack of what this backend needs or was asked for: nothing, where all is well.
    ///
    /// # Errors
    ///
    /// Where DynamoDB does not say.
    pub async fn check_tables(&self) -> Result<Vec<Missing>, BackendError> {
        let mut missing = self.check_rate_limit_table().await?;
        missing.extend(self.check_idempotency_table().await?);
        Ok(missing)
    }

    /// What the table of rate limits lacks.
    ///
    /// # Errors
    ///
    /// Where DynamoDB does not say.
    pub async fn check_rate_limit_table(&self) -> Result<Vec<Missing>, BackendError> {
        Layout::of_rate_limits(&self.0.settings).check(&self.0).await
    }

    /// What the table of claims lacks.
    ///
    /// # Errors
    ///
    /// Where DynamoDB does not say.
    pub async fn check_idempotency_table(&self) -> Result<Vec<Missing>, BackendError> {
        Layout::of_claims(&self.0.settings).check(&self.0).await
    }
}
