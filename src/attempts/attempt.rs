//! A counted attempt, and a window of attempts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, Immediate, Key, Redacted, Timestamp, WindowMeta};

use super::{AttemptError, LimitedAttempt};
use crate::poll_once::poll_once;

/// An attempt that was counted and may be made.
///
/// It borrows nothing, so that it can be cleared later and in another task. Dropping it does not
/// return the attempt.
pub struct Attempt<B> {
    pub(super) attempts: LimitedAttempt<B>,
    pub(super) key: Key<'static>,
    pub(super) number: u64,
    pub(super) remaining: u64,
    pub(super) expires_at: Timestamp,
    pub(super) meta: Arc<WindowMeta>,
}

/// # Reading
impl<B> Attempt<B> {
    /// Returns the number of this attempt in its window. The first is 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns how many more attempts may be made in the same window.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns the context that the first attempt of the window stored, if any; see
    /// [`LimitedAttempt::attempt_with`].
    pub fn context(&self) -> Option<&str> {
        self.meta.metadata.as_deref()
    }

    /// Returns when the window ends, and all attempts are free again.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Returns the key.
    pub const fn key(&self) -> &Key<'static> {
        &self.key
    }
}

/// # Clearing after a success
impl<B: Backend> Attempt<B> {
    /// Ends the window of this attempt, with all attempts in it. The next attempt is the first
    /// again.
    ///
    /// A window that started later stays as it is. Clearing twice is no error.
    ///
    /// # Errors
    ///
    /// [`AttemptError::Backend`] if the backend fails. The window may have been cleared; the call
    /// can be repeated.
    pub async fn clear(&self) -> Result<(), AttemptError> {
        self.attempts.delete(&self.key, Some(self.meta.id)).await
    }
}

impl<B: Immediate> Attempt<B> {
    /// [`clear`](Self::clear) without a future, with the same errors.
    pub fn clear_now(&self) -> Result<(), AttemptError> {
        poll_once(self.clear())
    }
}

impl<B> Clone for Attempt<B> {
    fn clone(&self) -> Self {
        Self { attempts: self.attempts.clone(), key: self.key.clone(), meta: Arc::clone(&self.meta), ..*self }
    }
}

impl<B> fmt::Debug for Attempt<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("key", &self.key)
            .field("number", &self.number)
            .field("remaining", &self.remaining)
            .field("expires_at", &self.expires_at)
            .field("context", &self.context().map(Redacted))
            .finish_non_exhaustive()
    }
}

/// The attempts at a key, as of a [`peek`](LimitedAttempt::peek).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptWindow {
    pub(super) used: u64,
    pub(super) remaining: u64,
    pub(super) retry_after: Option<Duration>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) meta: Option<Arc<WindowMeta>>,
}

impl AttemptWindow {
    /// Returns how many attempts were counted.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// Returns how many more attempts may be made.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Returns how long to wait until an attempt passes; see
    /// [`TooManyAttempts`](AttemptError::TooManyAttempts). `None` if one passes now.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns when the window ends. `None` if there is no window; the next attempt starts one.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Returns the context that the first attempt of the window stored, if any; see
    /// [`LimitedAttempt::attempt_with`].
    pub fn context(&self) -> Option<&str> {
        self.meta.as_ref()?.metadata.as_deref()
    }
}
