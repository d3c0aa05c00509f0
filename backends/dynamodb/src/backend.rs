//! The backend: the operations of the trait, on counters and claims.

use std::fmt;
use std::sync::Arc;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, LeaseStatus, Owner, Record, Refund, Result, Timestamp, WindowId, async_trait, several,
};

use crate::claims::Claims;
use crate::client::Client;
use crate::counters::{Counters, KeyItems};
use crate::layout::Layout;

/// Counters and claims in DynamoDB tables, shared by all processes that use the tables.
///
/// Clones are the same writer: they share caches, and one write per key is in flight among them.
#[derive(Clone)]
pub struct DynamoDbBackend {
    pub(crate) client: Arc<Client>,
    counters: Arc<Counters>,
    key_items: Arc<KeyItems>,
    claims: Claims,
}

impl DynamoDbBackend {
    pub(crate) fn with_client(client: Client) -> Self {
        let client = Arc::new(client);
        let (counters, claims) = (Counters::new(Arc::clone(&client)), Claims::new(Arc::clone(&client)));
        let key_items = Arc::new(KeyItems::new(Arc::clone(&client)));
        Self { client, counters: Arc::new(counters), key_items, claims }
    }

    /// Returns the client that sends the requests.
    pub fn client(&self) -> &aws_sdk_dynamodb::Client {
        &self.client.sdk
    }

    /// Returns the name of the table of rate limits.
    pub fn table_name(&self) -> &str {
        &self.client.settings.table
    }

    /// Returns the name of the table of claims.
    pub fn idempotency_table_name(&self) -> &str {
        &self.client.settings.idempotency_table
    }
}

impl fmt::Debug for DynamoDbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbBackend").field("settings", &self.client.settings).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for DynamoDbBackend {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        match self.client.settings.layout {
            Layout::ItemPerWindow => self.counters.increment(counter, hit, now).await,
            Layout::ItemPerKey => self.key_items.increment(counter, hit, now).await,
        }
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        several::check(hits)?;
        match self.client.settings.layout {
            Layout::ItemPerKey if KeyItems::is_one_write(hits) => {
                self.key_items.increment_all(hits, now).await
            }
            Layout::ItemPerWindow | Layout::ItemPerKey => several::increment_in_turn(self, hits, now).await,
        }
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        match self.client.settings.layout {
            Layout::ItemPerWindow => Err(BackendError::unsupported("this layout cannot refund")),
            Layout::ItemPerKey => self.key_items.refund(counter, refund, now).await,
        }
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        match self.client.settings.layout {
            Layout::ItemPerWindow => self.counters.get(counter, now).await,
            Layout::ItemPerKey => self.key_items.get(counter, now).await,
        }
    }

    async fn reset(&self, counter: &Counter<'_>, window_id: Option<WindowId>, now: Timestamp) -> Result<()> {
        match self.client.settings.layout {
            Layout::ItemPerWindow => self.counters.reset(counter, window_id).await,
            Layout::ItemPerKey => self.key_items.reset(counter, window_id, now).await,
        }
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        self.claims.claim(key, request, now).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        self.claims.finish(key, completion, now).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        self.claims.renew(key, owner, expires_at, now).await
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        self.claims.release(key, owner, now).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        self.claims.find(key, now).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        self.claims.forget(key, now).await
    }
}
