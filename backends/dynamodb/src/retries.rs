//! How the requests of decisions and claims are repeated.

use std::time::Duration;

use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction, RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;

/// The header by which DynamoDB requests a wait, in milliseconds.
const RETRY_AFTER: &str = "x-amz-retry-after";

/// Deadline and repetitions of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retries {
    pub(crate) operation_timeout: Duration,
    pub(crate) max_attempts: u32,
    pub(crate) first_backoff: Duration,
}

impl Retries {
    /// Returns the settings that override those of the SDK's client.
    pub(crate) fn overrides(self) -> Builder {
        let max_backoff = self.max_backoff();
        let retries = RetryConfig::standard()
            .with_max_attempts(self.max_attempts.max(1))
            .with_initial_backoff(self.first_backoff)
            .with_max_backoff(max_backoff);
        // A separate quota of retries, which no other client of the process uses up.
        let partition = RetryPartition::custom("limited").token_bucket(TokenBucket::default()).build();
        let timeouts = TimeoutConfig::builder().operation_timeout(self.operation_timeout).build();
        Builder::new()
            .retry_config(retries)
            .timeout_config(timeouts)
            .retry_partition(partition)
            .retry_classifier(Conflicts)
            .retry_classifier(NoLongWaits { max_backoff })
    }

    /// Returns the longest wait before an attempt. All waits of a request together take at most
    /// half of its timeout.
    ///
    /// If the timeout ended during a wait, the error would be that of a lost response, although
    /// DynamoDB has responded that nothing was counted.
    fn max_backoff(self) -> Duration {
        self.operation_timeout / 2 / self.max_attempts.saturating_sub(1).max(1)
    }
}

/// Repeats a write that met a transaction on the same item. The SDK does not, and the transaction
/// ends soon.
#[derive(Debug)]
struct Conflicts;

impl ClassifyRetry for Conflicts {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let error =
            context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        let code =
            error.and_then(|error| error.downcast_ref::<UpdateItemError>()).and_then(|error| error.code());
        match code {
            Some("TransactionConflictException") => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "conflicts with transactions"
    }
}

/// Does not repeat a request for which DynamoDB requests a longer wait than the longest backoff.
///
/// The SDK bounds such a wait by the longest backoff, and repeats the request too early. By its
/// retry behaviour of 2026, it waits for as long as requested, and the timeout ends first.
#[derive(Debug)]
struct NoLongWaits {
    max_backoff: Duration,
}

impl ClassifyRetry for NoLongWaits {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let header = context.response().and_then(|response| response.headers().get(RETRY_AFTER));
        let requested = header.and_then(|millis| millis.parse().ok()).map(Duration::from_millis);
        match requested {
            Some(wait) if wait > self.max_backoff => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "no long waits"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_of_a_request_take_at_most_half_of_its_timeout() {
        for (max_attempts, longest) in [(0, 125), (1, 125), (2, 125), (3, 62), (6, 25)] {
            let retries = Retries {
                operation_timeout: Duration::from_millis(250),
                max_attempts,
                first_backoff: Duration::from_secs(9),
            };
            assert_eq!(retries.max_backoff().as_millis(), longest, "{max_attempts} attempts");
        }
    }
}
