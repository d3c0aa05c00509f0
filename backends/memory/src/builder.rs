//! The builder of a memory backend.

use std::time::Duration;

use limited_core::MAX_CLOCK_SKEW;

use crate::backend::MemoryBackend;
use crate::capacity::WhenFull;
use crate::claims::{ClaimLimits, Claims};
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
    claims: ClaimLimits,
    max_clock_skew: Duration,
}

impl MemoryBackendBuilder {
    pub(crate) const fn new() -> Self {
        Self {
            max_keys: usize::MAX,
            when_full: WhenFull::Refuse,
            claims: ClaimLimits::NONE,
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
    ///
    /// An expired record makes room. So does a lapsed claim: its lease ended at least the maximum
    /// clock skew ago, and its owner has neither finished nor renewed it. Another owner may take
    /// such a claim over at any time, so its removal lets no action run that could not run anyway.
    /// But an owner that is that late can no longer finish its claim.
    /// [`MemoryBackend::evicted_claims`] counts these removals.
    ///
    /// **No other record is evicted**, whatever [`WhenFull`] says, because its action would run a
    /// second time. Results that are stored forever therefore use up the maximum forever.
    pub const fn max_claims(mut self, max_claims: usize) -> Self {
        self.claims.max_claims = max_claims;
        self
    }

    /// Sets the maximum number of claim records of one caller. Default: no maximum.
    ///
    /// So one caller cannot fill the store for all others. The caller of a claim is its namespace,
    /// its kind, and its key without the last part: `user:7` for the key
    /// `user:7:idempotency-key:8e03`. A key of one part has no caller and is not limited, nor is a
    /// plain text without colons.
    ///
    /// At the maximum, a claim on a new key of this caller fails with
    /// [`Full`](limited_core::BackendError::Full), and nothing runs. An expired record of the caller
    /// makes room. A claim counts until it lapses, the maximum clock skew after its lease, so
    /// abandoned requests do not count for long. If the owner still renews or finishes it after
    /// that, it counts again, also beyond the maximum.
    ///
    /// Costs some 40 bytes for each caller, and one more hash for each claim.
    pub const fn max_claims_per_caller(mut self, max_claims: usize) -> Self {
        self.claims.max_claims_per_caller = max_claims;
        self
    }

    /// Sets the maximum size of all claim records together, in bytes. Default: no maximum.
    ///
    /// A record counts 160 bytes, whatever its key. A stored result adds its length and 32 bytes.
    /// [Metadata](limited_core::ClaimMetadata) is not stored and does not count. The maximum is
    /// exact, also under concurrency. [`MemoryBackend::claim_bytes`] returns the current size.
    ///
    /// If there is no room, expired records and lapsed claims are removed, as at
    /// [`max_claims`](Self::max_claims). If that is not enough:
    ///
    /// - A claim on a new key fails with [`Full`](limited_core::BackendError::Full), and nothing
    ///   runs.
    /// - A result is omitted ([`Omitted`](limited_core::FinishResult::Omitted)), because its action
    ///   has run. The record is finished without it, so the action does not run again.
    ///   [`MemoryBackend::omitted_results`] counts these results.
    ///
    /// One call removes at most 256 records.
    pub const fn max_claim_bytes(mut self, bytes: usize) -> Self {
        self.claims.max_claim_bytes = bytes;
        self
    }

    /// Sets the maximum size of one stored result, in bytes of its JSON. Default: no maximum.
    ///
    /// A larger result is omitted, as at [`max_claim_bytes`](Self::max_claim_bytes). So no caller
    /// can use up the size of the store with a few results. A maximum below 100,000 bytes makes the
    /// backend omit results that other backends store.
    pub const fn max_result_bytes(mut self, bytes: usize) -> Self {
        self.claims.max_result_bytes = bytes;
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
            Claims::new(self.claims, self.max_clock_skew),
        )
    }
}
