//! What an attempt, and a look at them, tells.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, Immediate, Key, Timestamp, WindowMeta};

use super::{AttemptError, LimitedAttempt};
use crate::immediate::poll_once;

/// An attempt that may be made, and has been counted.
///
/// It owns what it needs, so that it can be cleared later, and in another task. Dropping it takes nothing back.
pub struct Attempt<B> {
    pub(super) attempts: LimitedAttempt<B>,
    pub(super) key: Key<'static>,
    pub(super) number: u64,
    pub(super) remaining: u64,
    pub(super) expires_at: Timestamp,
    pub(super) meta: Arc<WindowMeta>,
}

/// # Where it stands
impl<B> Attempt<B> {
    /// Which attempt of its window this is: the first is 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// How many more may be made in the same window.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// What the first attempt of the window stored; see [`LimitedAttempt::attempt_with`]. `None` where it stored nothing.
    pub fn context(&self) -> Option<&str> {
        self.meta.metadata.as_deref()
    }

    /// When the window ends, and all attempts are free again.
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// What it is an attempt at.
    pub const fn key(&self) -> &Key<'static> {
        &self.key
    }
}

/// # After a success
impl<B: Backend> Attempt<B> {
    /// Ends the window that this attempt was counted in, with all the attempts in it: the next one is the first again.
    ///
    /// Only that window. Where it has ended, or has been cleared or reset, and another one has been opened since,
    /// that one stays as it is. Clearing twice is no error.
    ///
    /// # Errors
    ///
    /// [`AttemptError::Backend`]: the window may or may not have been cleared, and the same call may be made again.
    pub async fn clear(&self) -> Result<(), AttemptError> {
        let asked = self.attempts.ask(&self.key)?;
        self.attempts.backend.reset(&asked.counter, Some(self.meta.id), asked.now).await?;
        Ok(())
    }
}

impl<B: Immediate> Attempt<B> {
    /// [`clear`](Self::clear), at once.
    ///
    /// # Errors
    ///
    /// As there.
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
            .field("context", &self.context())
            .finish_non_exhaustive()
    }
}

/// Where the attempts at a key stand, as of the look at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptWindow {
    pub(super) used: u64,
    pub(super) remaining: u64,
    pub(super) retry_after: Option<Duration>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) meta: Option<Arc<WindowMeta>>,
}

impl AttemptWindow {
    /// How many attempts have been counted.
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// How many more may be made.
    pub const fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How long to wait until an attempt passes, as
    /// [`TooManyAttempts`](AttemptError::TooManyAttempts) would say; `None` where one passes now.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// When the window ends; `None` where none is open, so that the next attempt opens one.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// What the first attempt of the window stored; see [`LimitedAttempt::attempt_with`].
    pub fn context(&self) -> Option<&str> {
        self.meta.as_ref()?.metadata.as_deref()
    }
}
