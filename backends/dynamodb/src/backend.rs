//! The backend.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use aws_smithy_async::rt::sleep::{AsyncSleep, default_async_sleep};
use limited_core::{
    Backend, BackendError, Counter, Generation, Hit, Tally, Timestamp, Window, WindowLength, forgotten_from,
    has_come, sliding,
};
use lru::LruCache;

use crate::attributes::{GENERATION, SLOT, Seen, aligned_length};
use crate::batch::Waiting;
use crate::capacity::{Listener, Operation};
use crate::error::backend_error;
use crate::item::{ItemKey, WindowTimeFormat};
use crate::lane::{Lanes, lock};
use crate::update::generation_text;
use crate::write::{Target, key_of};
use crate::{DynamoDbBackendBuilder, Index};

/// How many settled windows, and how many arrival times, are remembered at most.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Counters in a DynamoDB table, shared by all processes that use it. Clones are the same writer.
#[derive(Clone)]
pub struct DynamoDbBackend(pub(crate) Arc<Shared>);

/// What is set, once the backend is built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) idempotency_table: String,
    pub(crate) format: WindowTimeFormat,
    pub(crate) allowed_skew: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) indexes: Vec<Index>,
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
    lanes: Arc<Lanes>,
    /// The counts of windows that no late write can change any more.
    settled: Mutex<LruCache<ItemKey, u128>>,
    /// How many resets there have been.
    resets: AtomicU64,
    /// The arrival times that buckets were last seen to have.
    arrivals: Mutex<LruCache<ItemKey, u128>>,
    /// The one length of a table that does not write it.
    only_length: OnceLock<WindowLength>,
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

    /// The name of the table that claims are in. No operation uses it yet.
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
            lanes: Arc::default(),
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

    pub(crate) fn last_seen(&self, target: &Target) -> Option<u128> {
        lock(&self.arrivals).get(&target.item).copied()
    }

    pub(crate) fn forget_settled(&self, item: &ItemKey) {
        lock(&self.settled).pop(item);
    }

    /// Remembers where a bucket was last seen.
    pub(crate) fn remember(&self, target: &Target, value: u128) {
        if matches!(target.window, Window::Bucket { .. }) {
            lock(&self.arrivals).put(target.item.clone(), value);
        }
    }

    /// Waits, by the means that the client has for its own retries. A client that was configured by hand has none of its
    /// own, and the SDK's default then.
    pub(crate) async fn wait(&self, duration: Duration) {
        if let Some(sleep) = self.client.config().sleep_impl().or_else(default_async_sleep) {
            sleep.sleep(duration).await;
        }
    }

    /// Reads an item, consistently.
    pub(crate) async fn read(&self, item: &ItemKey, window: Window) -> Result<Seen, BackendError> {
        let request = self.client.get_item().table_name(&self.settings.table).set_key(Some(key_of(item)));
        let request = request.consistent_read(true).set_return_consumed_capacity(self.wanted_capacity());
        let answer = request.customize().config_override(self.overrides.clone()).send().await;
        let answer = answer.map_err(|error| backend_error(error, &self.settings.table))?;
        self.consumed(Operation::GetItem, answer.consumed_capacity());
        match answer.item {
            Some(item) => Seen::read(&item, window),
            None => Ok(Seen::default()),
        }
    }

    fn item(&self, counter: &Counter<'_>) -> Result<ItemKey, BackendError> {
        if let (WindowTimeFormat::Start, Some(length)) =
            (self.settings.format, aligned_length(counter.window()))
        {
            let only = *self.only_length.get_or_init(|| length);
            if only != length {
                return Err(BackendError::invalid(format!(
                    "the table `{}` writes the start of a window alone, so that it holds one window length only: \
                     it is used with {:?}, and cannot be with {:?}",
                    self.settings.table,
                    only.as_duration(),
                    length.as_duration(),
                )));
            }
        }
        Ok(ItemKey::of(counter, self.settings.format))
    }

    /// The count of the window before: remembered once it is settled, read until then.
    async fn previous(&self, counter: &Counter<'_>, now: Timestamp) -> Result<u128, BackendError> {
        let Some(before) = sliding::before(counter)? else { return Ok(0) };
        let Window::Aligned { start, length } = before.window() else { return Ok(0) };
        let item = self.item(&before)?;
        if let Some(value) = lock(&self.settled).get(&item) {
            return Ok(*value);
        }
        let resets = self.resets.load(Ordering::Acquire);
        let value = self.read(&item, before.window()).await?.value;
        let settled = start
            .saturating_add(length.as_duration())
            .saturating_add(self.settings.allowed_skew)
            .saturating_add(self.settings.operation_timeout);
        if has_come(settled, now) {
            let mut remembered = lock(&self.settled);
            // What was read may be what a reset has removed since.
            if self.resets.load(Ordering::Acquire) == resets {
                remembered.put(item, value);
            }
        }
        Ok(value)
    }
}

impl Backend for DynamoDbBackend {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        let item = self.0.item(counter)?;
        let target = Target {
            item: item.clone(),
            window: counter.window(),
            key: counter.key().into(),
            dimensions: counter.dimensions().cloned().map(Arc::new),
        };
        let shared = Arc::clone(&self.0);
        self.0.lanes.travel(&item, Waiting::new(hit, now), move |hits| shared.write(target, hits)).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        let window = counter.window();
        if let Window::Aligned { start, length } = window
            && has_come(forgotten_from(start, length, self.0.settings.allowed_skew), now)
        {
            return Ok(Tally::new(false, 0).with_start(start));
        }
        let seen = self.0.read(&self.0.item(counter)?, window).await?.live(window, now);
        Ok(seen.tally(false, seen.value, window))
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        _now: Timestamp,
    ) -> Result<(), BackendError> {
        let item = self.0.item(counter)?;
        let mut request = self
            .0
            .client
            .delete_item()
            .table_name(&self.0.settings.table)
            .set_key(Some(key_of(&item)))
            .set_return_consumed_capacity(self.0.wanted_capacity());
        if let Some(generation) = generation {
            request = request
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .condition_expression("#generation = :generation")
                .expression_attribute_names("#generation", GENERATION)
                .expression_attribute_values(":generation", AttributeValue::S(generation_text(generation)));
        }
        let answer = request.customize().config_override(self.0.overrides.clone()).send().await;
        // Not before: who reads in the meantime remembers what was there.
        self.0.resets.fetch_add(1, Ordering::AcqRel);
        self.0.forget_settled(&item);
        lock(&self.0.arrivals).pop(&item);
        match answer {
            Ok(answer) => {
                self.0.consumed(Operation::DeleteItem, answer.consumed_capacity());
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    self.0.consumed_in_vain(Operation::DeleteItem, failed.item());
                    Ok(())
                }
                _ => Err(backend_error(error, &self.0.settings.table)),
            },
        }
    }

    async fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        let previous = self.0.previous(counter, now).await?;
        let hit = sliding::weighed(hit, previous, counter.window(), now);
        Ok(self.increment(counter, &hit, now).await?.with_previous(previous))
    }

    async fn get_sliding(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        let previous = self.0.previous(counter, now).await?;
        Ok(self.get(counter, now).await?.with_previous(previous))
    }
}
