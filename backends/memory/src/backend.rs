//! The backend: counters and claims behind the [`Backend`] trait.

use std::fmt;
use std::sync::Arc;

use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimRequest, Completion, Counter, CounterState, FinishResult, Hit,
    Immediate, LeaseStatus, Owner, Record, Refund, Result, Timestamp, WindowId, async_trait, bucket, sliding,
};

use crate::claims::Claims;
use crate::counters::Counters;

/// Keeps counters and claims in the memory of this process. Clones share them.
///
/// # Atomicity and cost
///
/// Each operation on a counter is one step under the lock of its shard, one of 1,024. Rolling over
/// to a new window and counting the first hit in it is one step. So is weighting the previous
/// window of a [sliding](Counter::is_sliding) counter and counting in the current one.
///
/// [`try_increment`](Backend::try_increment) counts every hit, without a future. A hit on a known
/// key allocates nothing and copies no key. Every future is ready at its first poll. An operation
/// waits only for operations on the same shard, which take some nanoseconds, and in a full store
/// for operations that make room.
///
/// [`increment_all`](Backend::increment_all) is one step too. It locks the shards of all its counters
/// before it decides, and counts every hit or none. No other operation sees a part of it, and no
/// order of counters leads to a deadlock. All counters of one key are in the same shard, so several
/// limits of one key take one lock, and the key is hashed once.
/// [`try_increment_all`](Backend::try_increment_all) handles every set of hits. Two to four hits on
/// known counters allocate nothing, if `states` has room for them.
///
/// A hit of cost 0 and floor 0 in such a set is a condition. It adds no counter, and takes no
/// capacity. In a full store either all new counters of a set find room, or the call fails and counts
/// nothing. It evicts no counter of its own set.
///
/// # Keys are fingerprints
///
/// A counter takes 32 bytes, however long its key is, in a table that is mostly two thirds full.
/// Its identity is a fingerprint of 101 bits, computed by a hash with a random secret of this
/// backend. Two counters have the same fingerprint with a probability of about 2^-98, however their
/// keys are chosen. This bound is proven and relies on no cipher. Keys above 224 bytes and
/// namespaces above 56 bytes go through SHA-256 first.
///
/// A counter takes some 100 bytes more if it is a window from the first hit, a log or a calendar
/// span, if its count exceeds 2^32, or if its window length comes after the first 100 or so of this
/// backend. The same is true of a bucket whose quota comes after the first 100 or so. Limits that
/// wander over many values use up the room for quotas of buckets, and not that for windows.
///
/// # Logs
///
/// A [log](limited_core::Window::Log) takes 32 bytes more for each time at which hits were counted in the last
/// window. Its memory grows by doubling, up to 16 KiB for
/// [512 times](limited_core::HitLog::MAX_ENTRIES). It is freed with the whole log. A hit sums the
/// costs of all these times, so its cost grows with them: a log suits limits of up to some hundreds.
///
/// A read or a refused hit returns the log itself, not a copy. While the caller keeps that, the next
/// hit that is counted copies the log once.
///
/// # Refunds
///
/// A [refund](Backend::refund) costs as much as a hit. It changes no expiry, and the counter stays
/// known if nothing is left of its value. A fixed window gets a refund as long as it is one of the
/// three known windows of its key.
///
/// # Expired keys are removed
///
/// A key is forgotten one window length and the maximum clock skew after its last window ended, or
/// after its bucket was full. Until then the next window can weigh it, and a clock that jumps back
/// still finds it. A log is forgotten one window length and the skew after its newest hit, and a span
/// the skew after its end.
///
/// Later operations remove expired keys, up to four each, whatever key they are about. No operation
/// scans more than 128 keys for that, and each continues where the last one stopped. A hit on a new
/// key, in a new window or in a window from the first hit counts as two operations.
///
/// Buckets, logs and windows from the first hit can expire at any time. They may stay for up to a
/// sixteenth longer, so that several of them are removed together. Without operations nothing is
/// removed.
///
/// Tables grow by an eighth and shrink with their contents, one shard at a time, so no call takes
/// long. Freed memory goes to the allocator. That may take longer if the allocator returns much of
/// it to the operating system at once.
///
/// # Clocks that jump back
///
/// A jump back within the [maximum clock skew] admits nothing extra. Nor does one of up to a window
/// length more in fixed windows. In a sliding window it may find that the previous window was
/// removed. Then the window admits up to its limit, without that weight.
///
/// [maximum clock skew]: crate::MemoryBackendBuilder::max_clock_skew
///
/// For each key, the latest window with hits and the two windows before it are known. A hit for an
/// older window is refused, since its count is gone, until the clock reaches a known window
/// ([`CounterState::start`]). If windows are longer than the maximum clock skew, only a jump beyond
/// that skew has this effect. With windows of some milliseconds it can also refuse a thread that
/// was suspended between reading the clock and calling the backend.
///
/// A jump of more than two window lengths and the maximum clock skew shows that the clock was wrong
/// before. The key then starts over in the aligned windows of the corrected time. A window from the
/// first hit starts over if it begins further ahead than the skew. A bucket starts over if its
/// value is [further ahead](limited_core::bucket) than its quota and the skew explain. Keys that
/// were counted ahead of time and are not used again take memory until then.
///
/// # Claims
///
/// Claims have a store of their own. They neither wait for counters nor use the capacity for keys.
/// Each operation is one step under the lock of the record's shard, including the fencing token. So
/// one step finds that a lease has ended and grants the key to the next owner, or records the
/// result of the current owner.
///
/// **Claims last as long as the process.** A restart loses every record, and an action that ran
/// once may run again. Other processes share nothing. Fencing tokens continue to rise after a
/// restart, since they start from the time.
///
/// A finished record is removed the maximum clock skew after its expiry. An unfinished record is
/// removed a day ([`LAPSED_CLAIM_TTL`](limited_core::LAPSED_CLAIM_TTL)) and the maximum clock skew
/// after its lease; earlier if the store is [full](crate::MemoryBackendBuilder::max_claims). Each
/// operation on any claim removes up to four such records. Releasing or forgetting a claim removes
/// its record immediately and keeps nothing of it, so a repeated release finds nothing.
///
/// Results of any size are stored, unless
/// [`max_result_bytes`](crate::MemoryBackendBuilder::max_result_bytes) or
/// [`max_claim_bytes`](crate::MemoryBackendBuilder::max_claim_bytes) sets a maximum.
/// [Metadata](limited_core::ClaimMetadata) is not stored, since nothing could read it here.
///
/// A record takes some 150 bytes, however long its key is, and its result. Like a counter, it is
/// identified by a fingerprint with a secret of this backend: two claims have the same one with a
/// probability of about 2^-98. Results of removed records are freed at once. The memory of the
/// records themselves is kept until a shard has not needed it for twice as many changes as it has
/// records. So a second wave of claims takes the memory of the first one.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Stores>);

struct Stores {
    counters: Counters,
    claims: Claims,
}

impl MemoryBackend {
    /// Returns the number of known keys, including expired ones that are not removed yet.
    ///
    /// A key counts once for each kind and length of window that it is used with. The call reads
    /// one number, so it suits a gauge; `limited::telemetry::record_memory` sets one.
    pub fn len(&self) -> usize {
        self.0.counters.len()
    }

    /// Returns whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many live keys were evicted for new ones
    /// ([`EvictSoonest`](crate::WhenFull::EvictSoonest)).
    pub fn evicted(&self) -> u64 {
        self.0.counters.evicted()
    }

    /// Returns the number of known claim records, including expired ones that are not removed yet.
    pub fn claims(&self) -> usize {
        self.0.claims.len()
    }

    /// Returns how many bytes the claim records count as
    /// ([`max_claim_bytes`](crate::MemoryBackendBuilder::max_claim_bytes)), with expired ones that
    /// are not removed yet.
    pub fn claim_bytes(&self) -> usize {
        self.0.claims.bytes()
    }

    /// Returns how many lapsed claims were evicted, because the store of claims was
    /// [full](crate::MemoryBackendBuilder::max_claims).
    pub fn evicted_claims(&self) -> u64 {
        self.0.claims.evicted()
    }

    /// Returns how many results were omitted, because they were
    /// [too large](crate::MemoryBackendBuilder::max_result_bytes) or had
    /// [no room](crate::MemoryBackendBuilder::max_claim_bytes).
    pub fn omitted_results(&self) -> u64 {
        self.0.claims.omitted()
    }

    /// Counts a hit of any kind, also on a new key or in a new window.
    #[cold]
    #[inline(never)]
    fn increment_now(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        check_window(counter)?;
        self.0.counters.increment(counter, hit, now)
    }

    /// Counts several hits of any kind, all or none. Appends their states if that succeeds.
    fn increment_all_now(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Result<()> {
        self.0.counters.increment_all(hits, now, states)
    }

    pub(crate) fn from_stores(counters: Counters, claims: Claims) -> Self {
        Self(Arc::new(Stores { counters, claims }))
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("len", &self.len())
            .field("claims", &self.claims())
            .field("claim_bytes", &self.claim_bytes())
            .finish_non_exhaustive()
    }
}

impl Immediate for MemoryBackend {}

#[async_trait]
impl Backend for MemoryBackend {
    #[inline(always)]
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        if counter.is_retry() {
            return Some(self.increment_now(counter, hit, now));
        }
        self.0.counters.try_increment(counter, hit, now).map(Ok)
    }

    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.increment_now(counter, hit, now)
    }

    fn try_increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<Result<()>> {
        Some(self.increment_all_now(hits, now, states))
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        let mut states = Vec::with_capacity(hits.len());
        self.increment_all_now(hits, now, &mut states)?;
        Ok(states)
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        check_window(&counter.fixed())?;
        Ok(self.0.counters.refund(counter, refund, now))
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        check_window(counter)?;
        Ok(self.0.counters.get(counter, now))
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.0.counters.reset(counter, window, now);
        Ok(())
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        self.0.claims.claim(key, request, now)
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        Ok(self.0.claims.finish(key, completion, now))
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        Ok(self.0.claims.renew(key, owner, expires_at, now))
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        Ok(self.0.claims.release(key, owner, now))
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        Ok(self.0.claims.find(key, now))
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        self.0.claims.forget(key, now);
        Ok(())
    }
}

/// Checks that a sliding counter has an aligned window, and that a bucket has a quota.
///
/// # Errors
///
/// [`Invalid`](limited_core::BackendError::Invalid) if it does not.
fn check_window(counter: &Counter<'_>) -> Result<()> {
    if counter.is_sliding() {
        sliding::previous_window(counter)?;
    }
    bucket::quota(counter).map(drop)
}
