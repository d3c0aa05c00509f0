//! The backend.

use std::fmt;
use std::sync::Arc;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, LeaseStatus, Owner, Record, Timestamp, WindowId, async_trait, sliding,
};

use crate::MemoryBackendBuilder;
use crate::claims::Claims;
use crate::counters::{Counters, WindowMode};

/// Counters and claims in the memory of this process. Clones share them.
///
/// # What is atomic
///
/// Each operation on a counter is one step under the lock of its shard, one of 1,024: rolling over to a new window and
/// counting the first hit in it, and weighing the window before and counting in the current one
/// ([`increment_sliding`](Backend::increment_sliding)), are one step each. A hit on a known key allocates nothing and
/// copies no key. Everything answers at once: an operation waits for no other than those on the same shard, for some
/// nanoseconds, and where the store is full, for those that make room.
///
/// # Keys are fingerprints
///
/// A counter takes 32 bytes, whatever the length of its key, in a table that is mostly two thirds full. Its identity is
/// a fingerprint of 101 bits, by a hash with a random secret of the backend's own. That two counters have the same one,
/// however their keys are chosen, has a probability of about 2^-98; this is proven, and rests on no cipher; keys above
/// 224 bytes go through SHA-256 first. Hit-opened windows, counts above 2^32, and more than some 200 quotas in one
/// backend take some 100 bytes more.
///
/// # Keys leave by themselves
///
/// A key is forgotten one window length and the allowed skew after its last window ended (its bucket was full), so that
/// the next window can still weigh it, and a clock that jumps back still finds it. Expired keys are removed by the
/// operations that follow, up to four by each, whatever key they are about; no operation looks at more than 128 keys for
/// that, and each goes on where the last one stopped. A decision that is not answered
/// [at once](Backend::increment_at_once), such as one about a new key or in a new window, is two operations. Buckets and
/// hit-opened windows, which expire at any time, may stay for up to a sixteenth longer, so that several of them leave
/// together. A process that stops asking keeps what it has.
///
/// Tables grow by an eighth and shrink with what is in them, one shard at a time, so no call takes long. What they free
/// goes to the allocator, which may take longer when it gives much of it back to the operating system at once.
///
/// # Clocks that jump back
///
/// Of each key the latest window with hits and the two before it are known. A hit for an older one is refused, since its
/// count is gone, until the clock has come to a known window ([`CounterState::start`]). With windows longer than the allowed
/// skew that takes a jump beyond it; with windows of some milliseconds it may also meet a thread that was held up
/// between reading the clock and asking.
///
/// A jump of more than two window lengths and the allowed skew shows that the clock was wrong before: the key starts
/// over in the aligned windows of the corrected time. A bucket and a hit-opened window are not told from full ones, and
/// refuse until the clock has caught up. Keys that were counted ahead of time and are not used again stay until then.
///
/// # Claims
///
/// Claims have a store of their own: neither do they wait for counters, nor take their places. Each operation is one step
/// under the lock of the record's shard, its fencing number included: finding that a lease has ended and granting the
/// key to the next owner, or recording what its owner has done.
///
/// **They last as long as the process.** A restart loses every record, and what was done once may be done again;
/// between processes nothing is shared. Fencing numbers go on higher after it, since they start from the time.
///
/// A finished record leaves at its expiry and the allowed skew, and one that nobody finished a day
/// ([`LAPSED_CLAIM_TTL`](limited_core::LAPSED_CLAIM_TTL)) and the allowed skew after its lease, up to four with each
/// operation on any claim. What is released or forgotten leaves at once, and nothing is kept of it: a release that is
/// repeated finds nothing. Results are kept whatever their size, and
/// [details](limited_core::ClaimMetadata) are not, since nobody can look at them here.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Stores>);

struct Stores {
    counters: Counters,
    claims: Claims,
}

impl MemoryBackend {
    /// A backend that takes as many keys as come.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A backend with settings of its own.
    pub const fn builder() -> MemoryBackendBuilder {
        MemoryBackendBuilder::new()
    }

    /// How many keys are known, expired ones that have not been removed yet included. A key counts once for each kind
    /// and length of window it is used with.
    pub fn len(&self) -> usize {
        self.0.counters.len()
    }

    /// Whether no key is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many live keys have given way to new ones, since there is
    /// [`EvictSoonest`](crate::WhenFull::EvictSoonest).
    pub fn evicted(&self) -> u64 {
        self.0.counters.evicted()
    }

    /// How many records of claims are known, expired ones that have not been removed yet included.
    pub fn claims(&self) -> usize {
        self.0.claims.len()
    }

    pub(crate) fn over(counters: Counters, claims: Claims) -> Self {
        Self(Arc::new(Stores { counters, claims }))
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend")
            .field("len", &self.len())
            .field("claims", &self.claims())
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
    ) -> Option<Result<CounterState, BackendError>> {
        let mode = if counter.is_sliding() { WindowMode::Sliding } else { WindowMode::Fixed };
        self.0.counters.try_increment(counter, hit, now, mode).map(Ok)
    }

    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        self.0.counters.increment(counter, hit, now, mode(counter)?)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        Ok(self.0.counters.get(counter, now, mode(counter)?))
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.0.counters.reset(counter, window, now);
        Ok(())
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        self.0.claims.claim(key, request, now)
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        Ok(self.0.claims.finish(key, completion, now))
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        Ok(self.0.claims.renew(key, owner, expires_at, now))
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        Ok(self.0.claims.release(key, owner, now))
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        Ok(self.0.claims.find(key, now))
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        self.0.claims.forget(key, now);
        Ok(())
    }
}

/// Returns how the counter is weighed.
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) if the counter is sliding and its window is not aligned.
fn mode(counter: &Counter<'_>) -> Result<WindowMode, BackendError> {
    if !counter.is_sliding() {
        return Ok(WindowMode::Fixed);
    }
    sliding::previous_window(counter)?;
    Ok(WindowMode::Sliding)
}
