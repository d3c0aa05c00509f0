//! How to make a backend with settings of its own.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use limited_core::ALLOWED_SKEW;

use crate::backend::{Settings, Shared};
use crate::{DynamoDbBackend, Index, WindowTimeFormat};

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
                format: WindowTimeFormat::default(),
                allowed_skew: ALLOWED_SKEW,
                operation_timeout: Duration::from_millis(250),
                indexes: Vec::new(),
                point_in_time_recovery: false,
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

    /// How the windows' starts are written; with their length unless set.
    pub fn window_time_format(mut self, format: WindowTimeFormat) -> Self {
        self.settings.format = format;
        self
    }

    /// How far the clocks of the processes may be apart; 5 seconds unless set.
    pub fn allowed_skew(mut self, allowed_skew: Duration) -> Self {
        self.settings.allowed_skew = allowed_skew;
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

    /// The indexes that [`create_tables`](DynamoDbBackend::create_tables) makes and
    /// [`check_tables`](DynamoDbBackend::check_tables) looks for; none unless set.
    pub fn indexes(mut self, indexes: impl IntoIterator<Item = Index>) -> Self {
        self.settings.indexes = indexes.into_iter().collect();
        self
    }

    /// Whether [`create_tables`](DynamoDbBackend::create_tables) switches point-in-time recovery on; not unless set.
    pub fn point_in_time_recovery(mut self, wanted: bool) -> Self {
        self.settings.point_in_time_recovery = wanted;
        self
    }

    /// The backend.
    pub fn build(self) -> DynamoDbBackend {
        let retries = RetryConfig::standard()
            .with_max_attempts(self.max_attempts)
            .with_initial_backoff(self.first_backoff);
        let timeouts = TimeoutConfig::builder().operation_timeout(self.settings.operation_timeout).build();
        let overrides = aws_sdk_dynamodb::config::Builder::new()
            .retry_config(retries)
            .timeout_config(timeouts)
            .retry_partition(RetryPartition::new("limited"));
        DynamoDbBackend(Arc::new(Shared::new(self.client, self.settings, overrides)))
    }
}
