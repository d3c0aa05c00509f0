//! Why a backend could not answer.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a backend could not answer. Each variant is something that a caller can act on.
///
/// An error is neither a refusal nor an admission. Where the answer to a write was lost ([`TimedOut`], or
/// [`Unavailable`]), the hit may or may not have been counted; it is never counted twice.
///
/// Errors are cheap to clone, since one failed request may answer several callers.
///
/// [`TimedOut`]: BackendError::TimedOut
/// [`Unavailable`]: BackendError::Unavailable
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum BackendError {
    /// The backend asks for fewer requests. Nothing was counted; try again after a while.
    Throttled(Cause),
    /// No answer came in time. The hit may have been counted.
    TimedOut(Cause),
    /// The backend could not be reached, or failed by itself. The hit may have been counted.
    Unavailable(Cause),
    /// The table, bucket or database that holds the state is not there: create it, or correct its name.
    MissingTable(Cause),
    /// The backend knows who asks, or does not, and refuses access: correct the credentials or the policy.
    AccessDenied(Cause),
    /// The backend is not set up to be asked: correct its configuration, such as region, endpoint or HTTP client.
    Misconfigured(Cause),
    /// The request is one that this backend can never carry out.
    Invalid(Cause),
    /// The backend holds as many live keys as it may, of counters or of claims: raise its cap, shorten windows, leases or
    /// the time for which results are kept, or let a live counter give way.
    Full {
        /// The cap.
        max_keys: usize,
    },
    /// This backend does not have this operation: use another backend.
    Unsupported(Cause),
    /// Stored state that this backend cannot read: something else writes to the same place.
    Corrupt(Cause),
    /// Anything else.
    Other(Cause),
}

impl BackendError {
    /// [`Throttled`](Self::Throttled), for this cause.
    pub fn throttled(cause: impl Into<Cause>) -> Self {
        Self::Throttled(cause.into())
    }

    /// [`TimedOut`](Self::TimedOut), for this cause.
    pub fn timed_out(cause: impl Into<Cause>) -> Self {
        Self::TimedOut(cause.into())
    }

    /// [`Unavailable`](Self::Unavailable), for this cause.
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }

    /// [`Invalid`](Self::Invalid), for this cause.
    pub fn invalid(cause: impl Into<Cause>) -> Self {
        Self::Invalid(cause.into())
    }

    /// [`Unsupported`](Self::Unsupported), for this cause.
    pub fn unsupported(cause: impl Into<Cause>) -> Self {
        Self::Unsupported(cause.into())
    }

    /// Whether the same request may succeed a little later, without anybody changing anything.
    ///
    /// After [`TimedOut`](Self::TimedOut) and [`Unavailable`](Self::Unavailable) a repeated hit may be the second one
    /// that is counted: too much at worst, which is the safe side for a limit.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Throttled(_) | Self::TimedOut(_) | Self::Unavailable(_) | Self::Full { .. } => true,
            Self::MissingTable(_)
            | Self::AccessDenied(_)
            | Self::Misconfigured(_)
            | Self::Invalid(_)
            | Self::Unsupported(_)
            | Self::Corrupt(_)
            | Self::Other(_) => false,
        }
    }

    /// What happened, where the variant does not say it all.
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
            Self::TimedOut(cause) => write!(f, "the backend did not answer in time: {cause}"),
            Self::Unavailable(cause) => write!(f, "the backend is unavailable: {cause}"),
            Self::MissingTable(cause) => write!(f, "the backend's table is missing: {cause}"),
            Self::AccessDenied(cause) => write!(f, "the backend denies access: {cause}"),
            Self::Misconfigured(cause) => write!(f, "the backend is not set up: {cause}"),
            Self::Invalid(cause) => write!(f, "the backend cannot carry out this request: {cause}"),
            Self::Full { max_keys } => write!(
                f,
                "the backend is full: it holds {max_keys} live keys and takes a new one only when one of them expires; \
                 raise its cap, keep keys for less long, or let live counters give way"
            ),
            Self::Unsupported(cause) => write!(f, "the backend does not support this operation: {cause}"),
            Self::Corrupt(cause) => write!(f, "the backend holds state that it cannot read: {cause}"),
            Self::Other(cause) => write!(f, "the backend failed: {cause}"),
        }
    }
}

// By hand, since a variant's message already holds that of its cause: the source is the error below the cause.
impl Error for BackendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause().and_then(Cause::source)
    }
}

/// What happened, in words, and the error below it where there is one.
#[derive(Clone)]
pub struct Cause(Arc<CauseInner>);

struct CauseInner {
    message: Cow<'static, str>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Cause {
    /// A cause in words: what happened and what to do.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(CauseInner { message: message.into(), source: None }))
    }

    /// A cause in words, with the error below it.
    pub fn with_source(
        message: impl Into<Cow<'static, str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(CauseInner { message: message.into(), source: Some(source.into()) }))
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The error below it, where there is one.
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
    fn the_source_is_kept_and_told_once() {
        let below = std::io::Error::other("connection reset");
        let error =
            BackendError::unavailable(Cause::with_source("no connection to the table's endpoint", below));
        assert_eq!(error.to_string(), "the backend is unavailable: no connection to the table's endpoint");
        assert_eq!(error.source().unwrap().to_string(), "connection reset");
        assert_eq!(error.clone().source().unwrap().to_string(), "connection reset");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_retryable() {
        for error in [
            BackendError::throttled("slow down"),
            BackendError::timed_out("no answer in 250 ms"),
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
