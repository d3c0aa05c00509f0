//! How to make a memory backend other than the default one.

use std::time::Duration;

use limited_core::MAX_CLOCK_SKEW;

use crate::MemoryBackend;
use crate::claims::Claims;
use crate::counters::Counters;

/// What happens to a counter's new key when there are as many live ones as there may be. Claims never give way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is an error, [`Full`](limited_core::BackendError::Full). Keys that are there are not affected. A key that has
    /// expired makes room, unless more than 256 that hits have moved on are looked at before it, so that no call takes
    /// long; the calls that follow go on from there.
    #[default]
    Refuse,
    /// A key that has expired gives way, or else the one that expires first of the 64 that come next, in turns: of all,
    /// where there are no more. **That key starts over with its whole limit when it comes back**, so more than the limit
    /// may be admitted to it: who can make up keys can use up anybody's memory of them.
    /// [`MemoryBackend::evicted`] counts how often it happened.
    EvictSoonest,
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

    /// How many keys may be counted at a time; without a cap as many as there is memory for.
    ///
    /// A key counts once for each kind and length of window it is used with, from its first admitted hit until it
    /// [leaves](MemoryBackend#keys-leave-by-themselves). Refused hits on unknown keys take no place.
    pub const fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// What happens to a counter's new key when there are that many. Without a cap it never comes to that.
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How many records of claims may be known at a time; without a cap as many as there is memory for.
    ///
    /// A record counts from when its key is claimed until it is released, forgotten, or
    /// [leaves](MemoryBackend#claims), in progress or finished. A claim on a key that is new is an error
    /// where there are that many, [`Full`](limited_core::BackendError::Full), and nothing is run; a record whose time has
    /// come makes room. **No record gives way before its time**, whatever [`WhenFull`] says: what it stands for would run
    /// a second time. With a cap, results that are kept for ever use it up for ever.
    pub const fn max_claims(mut self, max_claims: usize) -> Self {
        self.max_claims = max_claims;
        self
    }

    /// How far the clock may jump back and still find every window that it has left, and every record; 5 seconds unless
    /// set.
    pub const fn max_clock_skew(mut self, max_clock_skew: Duration) -> Self {
        self.max_clock_skew = max_clock_skew;
        self
    }

    /// The backend.
    pub fn build(self) -> MemoryBackend {
        MemoryBackend::over(
            Counters::new(self.max_keys, self.when_full, self.max_clock_skew),
            Claims::new(self.max_claims, self.max_clock_skew),
        )
    }
}
