//! Blocks: a key is refused until a time, whatever its limits say.

use std::time::Duration;

use limited_core::{Backend, BucketQuota, Counter, CounterState, Hit, Immediate, Key, Timestamp, Window};

use super::Limiter;
use super::check::Check;
use crate::poll_once::poll_once;
use crate::{Decision, Error, duration};

impl<B> Limiter<B> {
    /// Sets whether decisions look for [blocks](Self::block). Default: `false`.
    ///
    /// A decision then checks the block in the same atomic step as its limits: one
    /// [`increment_all`](Backend::increment_all) of one more counter, which is only read. It
    /// allocates three times. A limiter without blocks pays nothing for them.
    #[must_use]
    pub fn blocking(self, is_blocking: bool) -> Self {
        Self { is_blocking, ..self }.with_matching_clock()
    }

    /// Returns whether decisions look for [blocks](Self::blocking).
    pub const fn is_blocking(&self) -> bool {
        self.is_blocking
    }

    /// Returns the condition that the key of this counter is not blocked at `at`, if the limiter
    /// has blocks.
    pub(super) fn block_condition<'a>(
        &self,
        counter: Counter<'a>,
        at: Timestamp,
    ) -> Option<(Counter<'a>, Hit<'static>)> {
        // Neither a cost nor a floor: if it fits, nothing changes.
        let hit = Hit::new(0, at.as_nanos().into());
        self.is_blocking.then(|| (block_counter(counter, 0), hit))
    }

    /// Returns how long the block lasts that was found at the time of the check, if it does last.
    pub(super) fn block_wait(&self, check: Check<'_>, block: &CounterState) -> Option<Duration> {
        match block.value.saturating_sub(check.now.as_nanos().into()) {
            0 => None,
            wait => Some(duration::with_resolution(wait, self.clock.resolution_by(check.is_coarse))),
        }
    }

    /// Returns the decision, which is a refusal if the key is blocked.
    pub(super) fn unless_blocked(
        &self,
        decision: Decision,
        check: Check<'_>,
        block: Option<&CounterState>,
    ) -> Decision {
        match block.and_then(|block| self.block_wait(check, block)) {
            Some(wait) => decision.blocked(wait),
            None => decision,
        }
    }
}

/// Returns the counter of the block of a key. `reach` is how many nanoseconds ahead a hit may
/// block.
const fn block_counter(counter: Counter<'_>, reach: u64) -> Counter<'_> {
    counter.fixed().with_window(Window::BLOCK).with_bucket(BucketQuota::new(1, reach))
}

/// # Blocking
///
/// A blocked key is refused until the block ends, whatever its limits say: after an abuse that
/// another part of the program has found, for example. The limiter has to look for blocks
/// ([`blocking`](Self::blocking)). A block belongs to the key and the namespace. All limiters of
/// that namespace that look for blocks share it, whatever their quotas are.
///
/// # Clocks
///
/// A block ends at a time, by the clock of the process that set it. For a process whose clock is
/// behind by `s`, it ends later by `s`. A block is ignored by a process whose clock is behind by
/// more than twice the [maximum clock skew](crate::backend::MAX_CLOCK_SKEW), 10 s: it counts as
/// that of a wrong clock.
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::NotBlocking`] before the backend is called.
/// [`Error::Backend`] if the backend fails, whatever [`OnError`](crate::OnError) is set. The call
/// may then have had its effect, and may be repeated.
impl<B: Backend> Limiter<B> {
    /// Blocks a key for a duration from now. Never shortens a block.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new()).blocking(true);
    /// limiter.block("user:7", Duration::from_secs(600)).await?;
    ///
    /// let decision = limiter.allow("user:7").await?;
    /// assert!(!decision.is_allowed() && decision.is_blocked());
    ///
    /// limiter.unblock("user:7").await?;
    /// assert!(limiter.allow("user:7").await?.is_allowed());
    /// # Ok::<(), limited::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// One atomic step: one request, and one write unless the key is blocked for longer.
    pub async fn block(&self, key: impl Into<Key<'_>>, duration: Duration) -> Result<(), Error> {
        self.set_block(key.into(), self.check(1, self.now(self.is_coarse)), duration).await
    }

    /// Ends the block of a key. What the limits have counted stays; [`reset`](Self::reset) deletes
    /// that, and keeps the block.
    ///
    /// One atomic step: one request and one write. A key that is not blocked is no error.
    pub async fn unblock(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        let (key, check) = (key.into(), self.check(1, self.now(self.is_coarse)));
        let counter = self.counter_of_block(&key, check, 0)?;
        Ok(self.backend.reset(&counter, None, check.now).await?)
    }

    pub(super) async fn set_block(
        &self,
        key: Key<'_>,
        check: Check<'_>,
        duration: Duration,
    ) -> Result<(), Error> {
        let end = check.now.saturating_add(duration).as_nanos();
        let counter = self.counter_of_block(&key, check, end - check.now.as_nanos())?;
        // Raises the value to the end. If it is higher, the key is blocked for longer.
        let hit = Hit::new(0, end.into()).with_floor(end.into());
        self.backend.count(&counter, &hit, check.now).await?;
        Ok(())
    }

    fn counter_of_block<'a>(
        &'a self,
        key: &'a Key<'a>,
        check: Check<'_>,
        reach: u64,
    ) -> Result<Counter<'a>, Error> {
        let counter = check.counter(&self.namespace, key)?;
        if self.is_blocking { Ok(block_counter(counter, reach)) } else { Err(Error::NotBlocking) }
    }
}

/// # Blocking without a future
///
/// The same methods over an [`Immediate`] backend.
impl<B: Immediate> Limiter<B> {
    /// [`block`](Self::block) without a future.
    pub fn block_now<'k>(&self, key: impl Into<Key<'k>>, duration: Duration) -> Result<(), Error> {
        poll_once(self.block(key, duration))
    }

    /// [`unblock`](Self::unblock) without a future.
    pub fn unblock_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        poll_once(self.unblock(key))
    }
}
