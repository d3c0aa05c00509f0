//! Creates a backend, with the default settings or others.

use std::time::Duration;

use aws_sdk_dynamodb::Client as SdkClient;
use limited_core::MAX_CLOCK_SKEW;

use crate::capacity::CapacityObserver;
use crate::client::{Client, Settings};
use crate::retries::Retries;
use crate::{ClaimIndex, Consumed, DynamoDbBackend, Index, Layout, WindowTimeFormat};

impl DynamoDbBackend {
    /// Creates a backend over your own client, with the default table names and settings.
    pub fn new(client: SdkClient) -> Self {
        Self::builder(client).build()
    }

    /// Returns a builder for a backend over your own client.
    pub fn builder(client: SdkClient) -> DynamoDbBackendBuilder {
        DynamoDbBackendBuilder::new(client)
    }
}

/// The settings of a [`DynamoDbBackend`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DynamoDbBackendBuilder {
    client: SdkClient,
    settings: Settings,
    max_attempts: u32,
    first_backoff: Duration,
}

impl DynamoDbBackendBuilder {
    pub(crate) fn new(client: SdkClient) -> Self {
        Self {
            client,
            settings: Settings {
                table: "rate-limits".to_owned(),
                idempotency_table: "idempotency".to_owned(),
                layout: Layout::default(),
                format: WindowTimeFormat::default(),
                max_clock_skew: MAX_CLOCK_SKEW,
                operation_timeout: Duration::from_millis(250),
                indexes: Vec::new(),
                claim_indexes: Vec::new(),
                point_in_time_recovery: false,
                capacity_observer: None,
            },
            max_attempts: 2,
            first_backoff: Duration::from_millis(10),
        }
    }

    /// Sets the name of the table of rate limits. Default: `rate-limits`.
    pub fn table_name(mut self, table: impl Into<String>) -> Self {
        self.settings.table = table.into();
        self
    }

    /// Sets the name of the table of claims. Default: `idempotency`.
    pub fn idempotency_table_name(mut self, table: impl Into<String>) -> Self {
        self.settings.idempotency_table = table.into();
        self
    }

    /// Sets how the table stores the counters of a key. Default: [`Layout::ItemPerWindow`].
    ///
    /// Every process that uses the table must use the same layout. The layouts do not read each
    /// other's items, so another layout counts every key anew.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.settings.layout = layout;
        self
    }

    /// Sets the format of the `WindowTime` of aligned windows. Default:
    /// [`WindowTimeFormat::Interval`].
    pub fn window_time_format(mut self, format: WindowTimeFormat) -> Self {
        self.settings.format = format;
        self
    }

    /// Sets how far the clocks of the processes may be apart. Default: 5 s ([`MAX_CLOCK_SKEW`]).
    pub fn max_clock_skew(mut self, max_clock_skew: Duration) -> Self {
        self.settings.max_clock_skew = max_clock_skew;
        self
    }

    /// Sets how long a request may take, repeated attempts included. Default: 250 ms.
    ///
    /// A sliding window reads its previous window with each write, until the maximum clock skew and
    /// this timeout, but at most one second of it, have passed since that window's end.
    ///
    /// There is no timeout for a single attempt, because it would turn slowness into repeated
    /// writes.
    pub fn operation_timeout(mut self, timeout: Duration) -> Self {
        self.settings.operation_timeout = timeout;
        self
    }

    /// Sets how often a request is sent at most. Default: 2.
    ///
    /// With 1, a request fails on each connection that died while the process was frozen.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the longest wait before the second attempt. It doubles with each further attempt.
    /// Default: 10 ms.
    ///
    /// All waits of a request together take at most half of the
    /// [operation timeout](Self::operation_timeout). If DynamoDB requests a wait
    /// (`x-amz-retry-after`), that one counts. A request whose wait would be longer than its share
    /// of that half is not repeated: the error is what DynamoDB responded.
    ///
    /// The environment variable `AWS_NEW_RETRIES_2026=true` selects another retry behaviour of the
    /// SDK. By that one, the longest wait after an internal error of DynamoDB begins at 25 ms,
    /// whatever is set here.
    pub fn first_backoff(mut self, backoff: Duration) -> Self {
        self.first_backoff = backoff;
        self
    }

    /// Sets the indexes of the table of rate limits that
    /// [`create_tables`](DynamoDbBackend::create_tables) creates and
    /// [`check_tables`](DynamoDbBackend::check_tables) checks. Default: none.
    pub fn indexes(mut self, indexes: impl IntoIterator<Item = Index>) -> Self {
        self.settings.indexes = indexes.into_iter().collect();
        self
    }

    /// Sets the indexes of the table of claims that
    /// [`create_tables`](DynamoDbBackend::create_tables) creates and
    /// [`check_tables`](DynamoDbBackend::check_tables) checks. Default: none.
    pub fn claim_indexes(mut self, indexes: impl IntoIterator<Item = ClaimIndex>) -> Self {
        self.settings.claim_indexes = indexes.into_iter().collect();
        self
    }

    /// Sets whether [`create_tables`](DynamoDbBackend::create_tables) enables point-in-time
    /// recovery, and [`check_tables`](DynamoDbBackend::check_tables) checks it. Default: `false`.
    pub fn point_in_time_recovery(mut self, enabled: bool) -> Self {
        self.settings.point_in_time_recovery = enabled;
        self
    }

    /// Sets a callback for the capacity that each request consumed. Default: none.
    ///
    /// Requests then set `ReturnConsumedCapacity`, which costs a few bytes of each response.
    /// DynamoDB bills a write whose condition failed, such as a refusal, but does not report it:
    /// one unit for each started kilobyte of the item, and at least one. It is reported as an
    /// [estimate](Consumed::is_estimated). Requests that failed otherwise are not reported, and
    /// neither are attempts whose response was lost and that the SDK repeated. The bill may be
    /// higher by these.
    ///
    /// The callback runs as part of a decision, once per request and not per hit. It should neither
    /// block nor panic.
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
    pub fn on_consumed_capacity(mut self, observer: impl Fn(&Consumed<'_>) + Send + Sync + 'static) -> Self {
        self.settings.capacity_observer = Some(CapacityObserver::new(observer));
        self
    }

    /// Creates the backend.
    pub fn build(self) -> DynamoDbBackend {
        let retries = Retries {
            operation_timeout: self.settings.operation_timeout,
            max_attempts: self.max_attempts,
            first_backoff: self.first_backoff,
        };
        DynamoDbBackend::with_client(Client::new(self.client, self.settings, retries.overrides()))
    }
}
