//! How to make a backend with settings of its own.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use limited_core::MAX_CLOCK_SKEW;

use crate::backend::{Settings, Shared};
use crate::capacity::Listener;
use crate::{ClaimIndex, Consumed, DynamoDbBackend, Index, WindowTimeFormat};

/// Settings of a [`DynamoDbBackend`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamoDbBackendBuilder {
    client: Client,
    settings: Settings,
    max_attempts: u32,
    first_backoff: Duration,
}

impl DynamoDbBackendBuilder {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            settings: Settings {
                table: "rate-limits".to_owned(),
                idempotency_table: "idempotency".to_owned(),
                format: WindowTimeFormat::default(),
                max_clock_skew: MAX_CLOCK_SKEW,
                operation_timeout: Duration::from_millis(250),
                indexes: Vec::new(),
                claim_indexes: Vec::new(),
                point_in_time_recovery: false,
                on_consumed_capacity: None,
            },
            max_attempts: 2,
            first_backoff: Duration::from_millis(10),
        }
    }

    /// The table that counters are in; `rate-limits` unless set.
    pub fn table_name(mut self, table: impl Into<String>) -> Self {
        self.settings.table = table.into();
        self
    }

    /// The table that claims are in; `idempotency` unless set.
    pub fn idempotency_table_name(mut self, table: impl Into<String>) -> Self {
        self.settings.idempotency_table = table.into();
        self
    }

    /// How the windows' starts are written; with their length unless set.
    pub fn window_time_format(mut self, format: WindowTimeFormat) -> Self {
        self.settings.format = format;
        self
    }

    /// How far the clocks of the processes may be apart; 5 seconds unless set.
    pub fn max_clock_skew(mut self, max_clock_skew: Duration) -> Self {
        self.settings.max_clock_skew = max_clock_skew;
        self
    }

    /// How long an operation may take, repeated attempts included; 250 ms unless set. There is no timeout for a single
    /// attempt: it would turn slowness into repeated writes.
    pub fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.settings.operation_timeout = timeout;
        self
    }

    /// How often a request is sent at most; twice unless set. Once leaves nothing for a connection that died while the
    /// process was frozen.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// How long to wait before the second attempt, at most; 10 ms unless set. It doubles from there.
    pub fn first_backoff(mut self, backoff: Duration) -> Self {
        self.first_backoff = backoff;
        self
    }

    /// The indexes of the table of rate limits that [`create_tables`](DynamoDbBackend::create_tables) makes and
    /// [`check_tables`](DynamoDbBackend::check_tables) looks for; none unless set.
    pub fn indexes(mut self, indexes: impl IntoIterator<Item = Index>) -> Self {
        self.settings.indexes = indexes.into_iter().collect();
        self
    }

    /// The same for the table of claims; none unless set.
    pub fn claim_indexes(mut self, indexes: impl IntoIterator<Item = ClaimIndex>) -> Self {
        self.settings.claim_indexes = indexes.into_iter().collect();
        self
    }

    /// Whether [`create_tables`](DynamoDbBackend::create_tables) switches point-in-time recovery on; not unless set.
    pub fn point_in_time_recovery(mut self, wanted: bool) -> Self {
        self.settings.point_in_time_recovery = wanted;
        self
    }

    /// Tells `listener` what each request consumed; nobody unless set.
    ///
    /// Requests then ask for `ReturnConsumedCapacity`, which costs nothing but a few bytes of the answer. What DynamoDB
    /// bills without saying so is told as an [estimate](Consumed::is_estimated): a write whose condition failed, such as
    /// a refusal, pays for the size of the item that it left as it was, a unit for each kilobyte that is begun and one
    /// at least. Requests that failed otherwise are not told, nor attempts whose answer was lost and which the SDK
    /// repeated: the bill may be higher by these.
    ///
    /// `listener` is called on the way of a decision, once per request and not per hit: it should neither block nor
    /// panic.
    ///
    /// ```
    /// # use std::sync::atomic::{AtomicU64, Ordering};
    /// # use std::sync::Arc;
    /// # use limited_dynamodb::DynamoDbBackendBuilder;
    /// # fn example(builder: DynamoDbBackendBuilder) {
    /// let thousandths = Arc::new(AtomicU64::new(0));
    /// let sum = Arc::clone(&thousandths);
    /// let backend = builder
    ///     .on_consumed_capacity(move |consumed| {
    ///         if consumed.operation.is_write() {
    ///             sum.fetch_add((consumed.units * 1_000.0) as u64, Ordering::Relaxed);
    ///         }
    ///     })
    ///     .build();
    /// # }
    /// ```
    pub fn on_consumed_capacity(mut self, listener: impl Fn(&Consumed<'_>) + Send + Sync + 'static) -> Self {
        self.settings.on_consumed_capacity = Some(Listener::new(listener));
        self
    }

    /// The backend.
    pub fn build(self) -> DynamoDbBackend {
        let retries = RetryConfig::standard()
            .with_max_attempts(self.max_attempts.max(1))
            .with_initial_backoff(self.first_backoff);
        // A quota of retries of its own, which no other client of the process uses up.
        let partition = RetryPartition::custom("limited").token_bucket(TokenBucket::default()).build();
        let timeouts = TimeoutConfig::builder().operation_timeout(self.settings.operation_timeout).build();
        let overrides = aws_sdk_dynamodb::config::Builder::new()
            .retry_config(retries)
            .timeout_config(timeouts)
            .retry_partition(partition);
        DynamoDbBackend(Arc::new(Shared::new(self.client, self.settings, overrides)))
    }
}
