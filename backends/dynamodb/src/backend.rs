//! The backend.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_smithy_async::rt::sleep::{AsyncSleep, default_async_sleep};
use limited_core::coalesce::{PendingHit, WriteCoalescer};
use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, LeaseStatus, Owner, Record, Timestamp, Window, WindowId, WindowLength, async_trait,
    has_passed, retained_until, sliding,
};
use lru::LruCache;

use crate::attributes::SLOT;
use crate::capacity::Listener;
use crate::item::{ItemKey, WindowTimeFormat};
use crate::write::Target;
use crate::{ClaimIndex, DynamoDbBackendBuilder, Index};

/// How many settled windows, and how many arrival times, are remembered at most.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Counters and claims in DynamoDB tables, shared by all processes that use them. Clones are the same writer.
#[derive(Clone)]
pub struct DynamoDbBackend(pub(crate) Arc<Shared>);

/// What is set, once the backend is built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) idempotency_table: String,
    pub(crate) format: WindowTimeFormat,
    pub(crate) max_clock_skew: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) indexes: Vec<Index>,
    pub(crate) claim_indexes: Vec<ClaimIndex>,
    pub(crate) point_in_time_recovery: bool,
    pub(crate) on_consumed_capacity: Option<Listener>,
}

/// What clones share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    /// Deadlines and retries for a limiter, whatever the client's own are.
    pub(crate) overrides: aws_sdk_dynamodb::config::Builder,
    /// The name of this writer's slot in every item.
    pub(crate) slot: String,
    /// The number of the last write.
    last_number: AtomicU64,
    queues: WriteCoalescer<ItemKey>,
    /// The counts of windows that no late write can change any more.
    pub(crate) settled: Mutex<LruCache<ItemKey, u128>>,
    /// How many resets there have been.
    pub(crate) resets: AtomicU64,
    /// The arrival times that buckets were last seen to have.
    pub(crate) arrivals: Mutex<LruCache<ItemKey, u128>>,
    /// The one length of a table that does not write it.
    pub(crate) only_length: OnceLock<WindowLength>,
}

impl DynamoDbBackend {
    /// A backend over your own client, with the default table name and settings.
    pub fn new(client: Client) -> Self {
        Self::builder(client).build()
    }

    /// A backend with settings of its own.
    pub fn builder(client: Client) -> DynamoDbBackendBuilder {
        DynamoDbBackendBuilder::new(client)
    }

    /// The client that requests are sent by.
    pub fn client(&self) -> &Client {
        &self.0.client
    }

    /// The name of the table that counters are in.
    pub fn table_name(&self) -> &str {
        &self.0.settings.table
    }

    /// The name of the table that claims are in.
    pub fn idempotency_table_name(&self) -> &str {
        &self.0.settings.idempotency_table
    }
}

impl fmt::Debug for DynamoDbBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbBackend").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(
        client: Client,
        settings: Settings,
        overrides: aws_sdk_dynamodb::config::Builder,
    ) -> Self {
        Self {
            client,
            settings,
            overrides,
            slot: format!("{SLOT}{:012x}", fastrand::u64(..1 << 48)),
            last_number: AtomicU64::new(0),
            queues: WriteCoalescer::default(),
            settled: Mutex::new(LruCache::new(REMEMBERED)),
            resets: AtomicU64::new(0),
            arrivals: Mutex::new(LruCache::new(REMEMBERED)),
            only_length: OnceLock::new(),
        }
    }

    /// A number for the next write: higher than any before, and near the time in microseconds, so that the slots of
    /// different writers show who has been silent for longest.
    pub(crate) fn next_number(&self, now: Timestamp) -> u64 {
        let micros = now.as_nanos() / 1_000;
        let next = |last: u64| Some(micros.max(last.saturating_add(1)));
        let last = self
            .last_number
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_else(|last| last);
        micros.max(last.saturating_add(1))
    }

    /// Waits, by the means that the client has for its own retries. A client that was configured by hand has none of its
    /// own, and the SDK's default then.
    pub(crate) async fn wait(&self, duration: Duration) {
        if let Some(sleep) = self.client.config().sleep_impl().or_else(default_async_sleep) {
            sleep.sleep(duration).await;
        }
    }
}

#[async_trait]
impl Backend for DynamoDbBackend {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        if counter.is_sliding() {
            let previous = self.0.previous(counter, now).await?;
            let hit = sliding::with_previous(hit, previous, counter.window(), now);
            return Ok(self.increment(&counter.fixed(), &hit, now).await?.with_previous(previous));
        }
        let item = self.0.item(counter)?;
        let target = Target {
            item: item.clone(),
            window: counter.window(),
            key: counter.key().into(),
            dimensions: counter.dimensions().cloned().map(Arc::new),
        };
        let shared = Arc::clone(&self.0);
        self.0.queues.submit(&item, PendingHit::new(hit, now), move |hits| shared.write(target, hits)).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        if counter.is_sliding() {
            let previous = self.0.previous(counter, now).await?;
            return Ok(self.get(&counter.fixed(), now).await?.with_previous(previous));
        }
        let window = counter.window();
        if let Window::Aligned { start, length } = window
            && has_passed(retained_until(start, length, self.0.settings.max_clock_skew), now)
        {
            return Ok(CounterState::new(false, 0).with_start(start));
        }
        let seen = self.0.read(&self.0.item(counter)?, window).await?.live(window, now);
        Ok(seen.tally(false, seen.value, window))
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        _now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.reset(counter, window_id).await
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        self.0.claim(key, request, now).await
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        self.0.finish(key, completion, now).await
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        self.0.renew(key, owner, expires_at, now).await
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        self.0.release(key, owner, now).await
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        self.0.find(key, now).await
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.0.forget(key, now).await
    }
}
