//! Errors of a limiter, and what to decide if the backend fails.

use std::fmt;

use limited_core::{BackendError, InvalidKey, debug_error};

/// Why there is no decision. An error is neither a refusal nor an admission.
///
/// [`Debug`](fmt::Debug), which `main` prints, is one line: the variant, the message, and the
/// message of each source.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key is empty or too long. The backend was not called.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// The cost is 0, which would decide nothing. The backend was not called. Call
    /// [`peek`](crate::Limiter::peek) to read the state.
    #[error("a cost of 0 decides nothing; pass 1 or more, or call `peek` to read the state")]
    ZeroCost,
    /// The limiters of one decision do not share a backend. The backend was not called.
    #[error(
        "the limiters of one decision have different backends; create one limiter and clone it, so that all \
         share its backend"
    )]
    DifferentBackends,
    /// Two hits of one decision are on the same counter: namespace, key and window are equal. The
    /// backend was not called.
    #[error(
        "two hits of one decision are on the same counter; add their costs, or give each limiter a namespace \
         of its own"
    )]
    SameCounter,
    /// A decision over several limiters has no hit. The backend was not called.
    #[error("a decision without hits; pass at least one `limiter.hit(key)`")]
    NoHits,
    /// A refund is of a decision with more or fewer limits than the limiter has. The backend was
    /// not called.
    #[error("the decision has not as many limits as the limiter; pass it to the limiter that made it")]
    OtherDecision,
    /// A key is to be blocked or unblocked by a limiter that does not look for blocks. The backend
    /// was not called.
    #[error("the limiter does not look for blocks; create it with `Limiter::blocking(true)`")]
    NotBlocking,
    /// The backend failed, and [`OnError::Return`] is set.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Error {
    /// Returns whether the same call may succeed a little later.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Backend(error) => error.is_retryable(),
            Self::InvalidKey(_)
            | Self::ZeroCost
            | Self::DifferentBackends
            | Self::SameCounter
            | Self::NoHits
            | Self::OtherDecision
            | Self::NotBlocking => false,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidKey(error) => write!(f, "InvalidKey({error:?})"),
            Self::ZeroCost => debug_error(f, "ZeroCost", self),
            Self::DifferentBackends => debug_error(f, "DifferentBackends", self),
            Self::SameCounter => debug_error(f, "SameCounter", self),
            Self::NoHits => debug_error(f, "NoHits", self),
            Self::OtherDecision => debug_error(f, "OtherDecision", self),
            Self::NotBlocking => debug_error(f, "NotBlocking", self),
            Self::Backend(error) => write!(f, "Backend({error:?})"),
        }
    }
}

/// What a limiter decides if its backend fails.
///
/// An invalid key and a cost of 0 are mistakes of the caller, and always errors.
///
/// As text, also with the feature `serde`: `return`, `allow` or `deny`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnError {
    /// Returns the error; the caller decides.
    #[default]
    Return,
    /// Allows the hit ("fail open"): an outage of the backend is no outage of the service.
    Allow,
    /// Refuses the hit ("fail closed"): nothing passes without a limit.
    Deny,
}

limited_core::named_setting!(OnError, "decision on errors" {
    Return => "return",
    Allow => "allow",
    Deny => "deny",
});

#[cfg(test)]
mod tests {
    use limited_core::Cause;

    use super::*;

    #[test]
    fn error_that_main_prints_says_variant_message_and_sources() {
        let cause = Cause::with_source("no response from the table `limits`", "connection reset");
        for (error, text) in [
            (
                Error::from(BackendError::TimedOut(cause)),
                "Backend(TimedOut: the backend did not respond in time: no response from the table `limits`; \
                 caused by: connection reset)",
            ),
            (InvalidKey::Empty.into(), "InvalidKey(Empty: the key is empty; expected 1 to 1024 bytes)"),
            (
                Error::ZeroCost,
                "ZeroCost: a cost of 0 decides nothing; pass 1 or more, or call `peek` to read the state",
            ),
        ] {
            assert_eq!(format!("{error:?}"), text);
        }
    }

    #[test]
    fn displayed_setting_parses_to_itself() {
        for on_error in [OnError::Return, OnError::Allow, OnError::Deny] {
            assert_eq!(on_error.to_string().parse(), Ok(on_error));
        }
        assert_eq!(
            "open".parse::<OnError>().unwrap_err().to_string(),
            "unknown decision on errors `open`; expected return, allow or deny"
        );
    }
}
