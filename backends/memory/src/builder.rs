//! The builder of a memory backend.

use std::time::Duration;

use limited_core::MAX_CLOCK_SKEW;

use crate::backend::MemoryBackend;
use crate::capacity::WhenFull;
use crate::claims::Claims;
use crate::counters::Counters;

impl MemoryBackend {
    /// Creates a backend without a maximum number of keys or claims.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder with the default settings.
    pub const fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder::new()
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

/// Settings of a [`MemoryBackend`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryBackendBuilder {
    max_keys: usize,
    when_full: WhenFull,
    max_claims: usize,
    max_clock_skew: Duration,
}

impl MemoryBackendBuilder {
    pub(crate) const fn new() -> Self {
        Self {
            max_keys: usize::MAX,
            when_full: WhenFull::Refuse,
            max_claims: usize::MAX,
            max_clock_skew: MAX_CLOCK_SKEW,
        }
    }

    /// Sets the maximum number of keys that are counted at a time. Default: no maximum.
    ///
    /// A key counts once for each kind and length of window that it is used with, from its first
    /// admitted hit until it is [removed](MemoryBackend#expired-keys-are-removed). Refused hits on
    /// unknown keys need no capacity.
    pub const fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// Sets what to do with a new key if [`max_keys`](Self::max_keys) keys are known. Default:
    /// [`WhenFull::Refuse`].
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Sets the maximum number of claim records that are known at a time. Default: no maximum.
    ///
    /// A record counts from the claim on its key until it is released, forgotten, or
    /// [removed](MemoryBackend#claims), whether it is in progress or finished. At the maximum, a
    /// claim on a new key fails with [`Full`](limited_core::BackendError::Full), and nothing runs.
    /// A record that may be removed makes room.
    ///
    /// **No record is evicted early**, whatever [`WhenFull`] says, because its action would run a
    /// second time. Results that are stored forever therefore use up the maximum forever.
    pub const fn max_claims(mut self, max_claims: usize) -> Self {
        self.max_claims = max_claims;
        self
    }

    /// Sets how far the clock may jump back and still find all that decides: every window that it
    /// has left, the one that a sliding window weighs, every bucket and every record. Default: 5
    /// seconds. Keys take memory for this long more.
    pub const fn max_clock_skew(mut self, max_clock_skew: Duration) -> Self {
        self.max_clock_skew = max_clock_skew;
        self
    }

    /// Creates the backend.
    pub fn build(self) -> MemoryBackend {
        MemoryBackend::from_stores(
            Counters::new(self.max_keys, self.when_full, self.max_clock_skew),
            Claims::new(self.max_claims, self.max_clock_skew),
        )
    }
}
