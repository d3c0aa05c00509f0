//! Errors of backends.

mod debug;
mod escaped;

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

pub use self::debug::{debug_error, debug_sources};
pub use self::escaped::Escaped;

/// Why an operation of a backend failed. Each variant is something that a caller can act on.
///
/// An error is neither an admission nor a refusal. If the response of a write was lost
/// ([`TimedOut`] or [`Unavailable`]), the hit may or may not have been counted; it is never counted
/// twice.
///
/// Errors are cheap to clone, because one failed request may be the result of several callers.
///
/// [`Debug`](fmt::Debug) prints one line: the variant, the message, and the message of each source.
///
/// [`TimedOut`]: BackendError::TimedOut
/// [`Unavailable`]: BackendError::Unavailable
#[derive(Clone)]
#[non_exhaustive]
pub enum BackendError {
    /// The backend requires a lower request rate. Nothing was counted; retry later.
    Throttled(Cause),
    /// No response arrived in time. The hit may have been counted.
    TimedOut(Cause),
    /// The backend could not be reached, or failed internally. The hit may have been counted.
    Unavailable(Cause),
    /// The table, bucket or database of the state does not exist: create it, or correct its name.
    MissingTable(Cause),
    /// The backend denies access: correct the credentials or the policy.
    AccessDenied(Cause),
    /// The configuration is incomplete or wrong: correct it, such as the region, the endpoint or
    /// the HTTP client.
    Misconfigured(Cause),
    /// The backend can never carry out this request: change the request.
    Invalid(Cause),
    /// The backend has reached its maximum number of live keys, of counters or of claims, or its
    /// maximum for claims of one caller. Raise the maximum; shorten windows, leases or the TTL of
    /// results; or allow the eviction of live counters.
    Full {
        /// The maximum number of keys. If a maximum size is reached, the number that fills it.
        max_keys: usize,
    },
    /// The backend does not support this operation: use another backend.
    Unsupported(Cause),
    /// The backend cannot read its stored state: check whether another program writes to the same
    /// table.
    Corrupt(Cause),
    /// Any other error.
    Other(Cause),
}

/// The result of an operation of a backend.
pub type Result<T, E = BackendError> = std::result::Result<T, E>;

impl BackendError {
    /// Creates [`Throttled`](Self::Throttled).
    pub fn throttled(cause: impl Into<Cause>) -> Self {
        Self::Throttled(cause.into())
    }

    /// Creates [`TimedOut`](Self::TimedOut).
    pub fn timed_out(cause: impl Into<Cause>) -> Self {
        Self::TimedOut(cause.into())
    }

    /// Creates [`Unavailable`](Self::Unavailable).
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// Creates [`Invalid`](Self::Invalid).
    pub fn invalid(cause: impl Into<Cause>) -> Self {
        Self::Invalid(cause.into())
    }

    /// Creates [`Unsupported`](Self::Unsupported).
    pub fn unsupported(cause: impl Into<Cause>) -> Self {
        Self::Unsupported(cause.into())
    }

    /// Returns whether the same request may succeed later without any change by an operator.
    ///
    /// After [`TimedOut`](Self::TimedOut) and [`Unavailable`](Self::Unavailable) a repeated hit may
    /// be counted in addition to the first one. Then too much is counted, which is the safe side
    /// for a limit.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::TimedOut(_) | Self::Unavailable(_) | Self::Full { .. })
    }

    /// Returns the cause; `None` for [`Full`](Self::Full), which has none.
    pub const fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Throttled(cause)
            | Self::TimedOut(cause)
            | Self::Unavailable(cause)
            | Self::MissingTable(cause)
            | Self::AccessDenied(cause)
            | Self::Misconfigured(cause)
            | Self::Invalid(cause)
            | Self::Unsupported(cause)
            | Self::Corrupt(cause)
            | Self::Other(cause) => Some(cause),
            Self::Full { .. } => None,
        }
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled(cause) => write!(f, "the backend is throttling: {cause}"),
            Self::TimedOut(cause) => write!(f, "the backend did not respond in time: {cause}"),
            Self::Unavailable(cause) => write!(f, "the backend is unavailable: {cause}"),
            Self::MissingTable(cause) => write!(f, "the backend's table is missing: {cause}"),
            Self::AccessDenied(cause) => write!(f, "the backend denies access: {cause}"),
            Self::Misconfigured(cause) => write!(f, "the backend is misconfigured: {cause}"),
            Self::Invalid(cause) => write!(f, "the backend cannot carry out this request: {cause}"),
            Self::Full { max_keys } => write!(
                f,
                "the backend is full: it has {max_keys} live keys, its maximum, until one of them expires; \
                 raise the maximum, shorten windows or TTLs, or allow the eviction of live counters"
            ),
            Self::Unsupported(cause) => write!(f, "the backend does not support this operation: {cause}"),
            Self::Corrupt(cause) => write!(f, "the backend cannot read its stored state: {cause}"),
            Self::Other(cause) => write!(f, "the backend failed: {cause}"),
        }
    }
}

impl fmt::Debug for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Throttled(_) => "Throttled",
            Self::TimedOut(_) => "TimedOut",
            Self::Unavailable(_) => "Unavailable",
            Self::MissingTable(_) => "MissingTable",
            Self::AccessDenied(_) => "AccessDenied",
            Self::Misconfigured(_) => "Misconfigured",
            Self::Invalid(_) => "Invalid",
            Self::Full { .. } => "Full",
            Self::Unsupported(_) => "Unsupported",
            Self::Corrupt(_) => "Corrupt",
            Self::Other(_) => "Other",
        };
        debug_error(f, name, self)
    }
}

// Not derived, because the message of a variant contains that of its cause. So the source is that
// of the cause.
impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().and_then(Cause::source)
    }
}

/// The cause of an error: a message, and the underlying error if there is one.
#[derive(Clone)]
pub struct Cause(Arc<CauseInner>);

struct CauseInner {
    message: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Cause {
    /// Creates a cause. The message says what happened, and what to do.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(CauseInner { message: message.into(), source: None }))
    }

    /// Creates a cause with the underlying error.
    pub fn with_source(
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(CauseInner { message: message.into(), source: Some(source.into()) }))
    }

    /// Returns the message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the underlying error, if there is one.
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause = f.debug_struct("Cause");
        cause.field("message", &self.message());
        if let Some(source) = &self.0.source {
            cause.field("source", source);
        }
        cause.finish()
    }
}

impl<M: Into<Cow<'static, str>>> From<M> for Cause {
    fn from(message: M) -> Self {
        Self::new(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_kept_and_not_repeated_in_the_message() {
        let source = std::io::Error::other("connection reset");
        let error =
            BackendError::unavailable(Cause::with_source("no connection to the table's endpoint", source));
        assert_eq!(error.to_string(), "the backend is unavailable: no connection to the table's endpoint");
        assert_eq!(error.source().unwrap().to_string(), "connection reset");
        assert_eq!(error.clone().source().unwrap().to_string(), "connection reset");
    }

    #[test]
    fn debug_says_variant_message_and_sources() {
        let source = std::io::Error::other("connection reset");
        let error = BackendError::unavailable(Cause::with_source("no connection to the endpoint", source));
        assert_eq!(
            format!("{error:?}"),
            "Unavailable: the backend is unavailable: no connection to the endpoint; caused by: connection reset"
        );
        let full = format!("{:?}", BackendError::Full { max_keys: 7 });
        assert!(full.starts_with("Full: the backend is full: it has 7 live keys"), "{full}");
    }

    #[test]
    fn only_temporary_errors_are_retryable() {
        for error in [
            BackendError::throttled("slow down"),
            BackendError::timed_out("no response in 250 ms"),
            BackendError::unavailable("no route to host"),
            BackendError::Full { max_keys: 1 },
        ] {
            assert!(error.is_retryable(), "{error}");
        }
        for error in [
            BackendError::MissingTable("limits".into()),
            BackendError::AccessDenied("dynamodb:UpdateItem".into()),
            BackendError::Misconfigured("no region".into()),
            BackendError::invalid("zero"),
            BackendError::unsupported("claim"),
            BackendError::Corrupt("`Count` is not a number".into()),
            BackendError::Other("?".into()),
        ] {
            assert!(!error.is_retryable(), "{error}");
        }
    }
}
