//! How to make a memory backend other than the default one.

use std::time::Duration;

use limited_core::ALLOWED_SKEW;

use crate::MemoryBackend;
use crate::store::Store;

/// What happens to a new key when the store is full of live ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is an error, [`Full`](limited_core::BackendError::Full). Keys that are there are not affected. A key that has
    /// expired makes room, unless more than 256 that hits have moved on are in line before it, so that no call takes
    /// long; the calls that follow find it.
    #[default]
    Refuse,
    /// The key that expires first gives way. **That key starts over with its whole limit when it comes back**, so more
    /// than the limit may be admitted to it: who can make up keys can use up anybody's memory of them.
    /// [`MemoryBackend::evicted`] counts how often it happened.
    ///
    /// Hits may have moved on the expiry of the keys that seemed to be first; after 256 such keys the next one gives
    /// way as it is, so that no call takes long.
    EvictSoonest,
}

/// Settings of a [`MemoryBackend`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryBackendBuilder {
    max_keys: usize,
    when_full: WhenFull,
    allowed_skew: Duration,
}

impl MemoryBackendBuilder {
    pub(crate) const fn new() -> Self {
        Self { max_keys: usize::MAX, when_full: WhenFull::Refuse, allowed_skew: ALLOWED_SKEW }
    }

    /// How many keys may be known at a time; without a cap as many as there is memory for.
    ///
    /// A key counts once for each kind and length of window it is used with, from its first admitted hit until it
    /// [leaves](MemoryBackend#keys-leave-by-themselves). Refused hits on unknown keys take no place.
    pub const fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// What happens to a new key when there are that many. Without a cap it never comes to that.
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// How far the clock may jump back and still find every window that it has left; 5 seconds unless set.
    pub const fn allowed_skew(mut self, allowed_skew: Duration) -> Self {
        self.allowed_skew = allowed_skew;
        self
    }

    /// The backend.
    pub fn build(self) -> MemoryBackend {
        MemoryBackend::over(Store::new(self.max_keys, self.when_full, self.allowed_skew))
    }
}
