//! One owner at a time: what idempotency and do-once have in common.
//!
//! A run goes `claim` → work, under a lease that renews itself → `finish` or `release`. Each of these is one request,
//! sent again with the same owner where its answer was lost. Dropped at any await point, a run leaves the key free, held
//! until the lease ends, or finished; the backend sees to it that nothing else can be.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use limited_core::{
    Backend, BackendError, ClaimKey, ClaimKind, ClaimMetadata, Completion, FinishResult, InProgress, Key,
    LeaseStatus, Owner, Record, RequestHash, StoredResult, Timestamp,
};

use crate::clock::ClockChoice;
use crate::observe::{self, Instrumented};
use crate::{Claim, Error, arithmetic};

/// The shortest lease: a shorter one would exclude nobody.
const MIN_LEASE: Duration = Duration::from_millis(1);
/// The longest lease: a longer one would block a key for good.
const MAX_LEASE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// How often an ending is sent until it is known whether it was done. After that the lease decides.
const MAX_WRITE_ATTEMPTS: u32 = 5;
/// How long to wait before an ending is sent again; each time four times as long.
const RETRY_BACKOFF: Duration = Duration::from_millis(20);

/// The claims of one kind, and the settings by which they are made.
pub(crate) struct LeaseManager<B> {
    pub(crate) backend: Instrumented<B>,
    pub(crate) namespace: Arc<str>,
    pub(crate) clock: ClockChoice,
    pub(crate) lease: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) wait_timeout: Duration,
    pub(crate) read_before_claim: bool,
    kind: ClaimKind,
}

/// What is asked for.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClaimOptions<'a> {
    pub(crate) request_hash: Option<RequestHash>,
    pub(crate) metadata: ClaimMetadata<'a>,
}

/// Who may go on.
pub(crate) enum AcquireOutcome<'a> {
    Acquired(LeaseGuard<'a>),
    Held(Record),
}

/// A granted key.
pub(crate) struct LeaseGuard<'a> {
    pub(super) key: ClaimKey<'a>,
    pub(super) owner: Owner,
    pub(super) metadata: ClaimMetadata<'a>,
    pub(crate) claim: Claim,
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        self.claim.close();
    }
}

impl<B> LeaseManager<B> {
    pub(crate) fn new(backend: B, kind: ClaimKind, ttl: Option<Duration>) -> Self {
        Self {
            backend: Instrumented::new(backend),
            namespace: Arc::from(""),
            clock: ClockChoice::System,
            lease: Duration::from_secs(30),
            ttl,
            wait_timeout: Duration::ZERO,
            read_before_claim: false,
            kind,
        }
    }

    pub(crate) fn key<'a>(&'a self, key: &'a Key<'a>) -> Result<ClaimKey<'a>, limited_core::InvalidKey> {
        ClaimKey::new(&self.namespace, self.kind, key)
    }

    /// How long from now until the lease of a claim ends: then it is finished, renewed, or free.
    pub(crate) fn retry_after(&self, taken: &InProgress) -> Duration {
        let left = taken.expires_at.saturating_since(self.clock.now());
        arithmetic::wait(left.as_nanos(), self.clock.resolution())
    }

    fn lease(&self) -> Duration {
        self.lease.clamp(MIN_LEASE, MAX_LEASE)
    }

    pub(super) fn lease_from(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.lease())
    }
}

/// # Working
impl<B: Backend> LeaseManager<B> {
    /// Drives what the claim is for to its end, and renews the lease meanwhile.
    pub(crate) async fn run_with_renewal<F: Future>(&self, held: &LeaseGuard<'_>, work: F) -> F::Output {
        let work = observe::within_claim(&held.key, held.claim.fencing_token(), work);
        self.with_renewal(held, work).await
    }

    async fn with_renewal<F: Future>(&self, held: &LeaseGuard<'_>, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut renewal = pin!(self.keep_renewing(held));
        let mut is_renewed = true;
        poll_fn(|context| {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            if is_renewed && renewal.as_mut().poll(context).is_ready() {
                is_renewed = false;
            }
            Poll::Pending
        })
        .await
    }

    /// Renews three times in a lease, and more often where that fails, until the claim is somebody else's.
    async fn keep_renewing(&self, held: &LeaseGuard<'_>) {
        // A grant whose answer was lost at first may be older than this.
        let left = held.claim.expires_at().saturating_since(self.clock.now());
        let mut pause = left.saturating_sub(self.lease() / 3 * 2);
        loop {
            self.clock.sleep(pause).await;
            let now = self.clock.now();
            let expires_at = self.lease_from(now);
            pause = match self.backend.renew(&held.key, held.owner, expires_at, now).await {
                Ok(LeaseStatus::Owned) => {
                    held.claim.renewed(expires_at);
                    self.lease() / 3
                }
                Ok(LeaseStatus::Lost(_)) => return held.claim.close(),
                Err(_) => (self.lease() / 12).max(MIN_LEASE / 4),
            };
        }
    }
}

/// # Ending
impl<B: Backend> LeaseManager<B> {
    /// Records what was done, and tells when that was.
    pub(crate) async fn finish(
        &self,
        held: &LeaseGuard<'_>,
        result: StoredResult,
        status_code: Option<u16>,
    ) -> Result<(FinishResult, Timestamp), BackendError> {
        held.claim.close();
        // Read once: sent again, it is the same write.
        let now = self.clock.now();
        let expires = self.ttl.map(|ttl| now.saturating_add(ttl));
        let LeaseGuard { key, owner, metadata, .. } = *held;
        let completion = Completion { owner, result, status_code, expires, metadata };
        let finish = self.retry_write(|| self.backend.finish(&key, &completion, now));
        Ok((self.with_renewal(held, finish).await?, now))
    }

    /// Gives the key up, as far as that can be done: else the lease ends by itself.
    pub(crate) async fn release(&self, held: &LeaseGuard<'_>) -> Result<LeaseStatus, BackendError> {
        held.claim.close();
        let release = self.retry_write(|| self.backend.release(&held.key, held.owner, self.clock.now()));
        self.with_renewal(held, release).await
    }

    /// Sends a write until it is known whether it was done, a few times at most.
    async fn retry_write<T, F>(&self, mut send: impl FnMut() -> F) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        let mut pause = RETRY_BACKOFF;
        for _ in 1..MAX_WRITE_ATTEMPTS {
            match send().await {
                Err(error) if error.is_retryable() => self.clock.sleep(pause).await,
                answer => return answer,
            }
            pause *= 4;
        }
        send().await
    }
}

/// # Looking, and removing
impl<B: Backend> LeaseManager<B> {
    pub(crate) async fn find(&self, key: &Key<'_>) -> Result<Option<Record>, Error> {
        Ok(self.backend.find(&self.key(key)?, self.clock.now()).await?)
    }

    pub(crate) async fn forget(&self, key: &Key<'_>) -> Result<(), Error> {
        Ok(self.backend.forget(&self.key(key)?, self.clock.now()).await?)
    }
}

impl<B> Clone for LeaseManager<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Instrumented::clone(&self.backend),
            namespace: Arc::clone(&self.namespace),
            clock: self.clock.clone(),
            ..*self
        }
    }
}

impl<B> fmt::Debug for LeaseManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseManager")
            .field("namespace", &self.namespace)
            .field("kind", &self.kind)
            .field("lease", &self.lease)
            .field("keep_for", &self.ttl)
            .field("wait_up_to", &self.wait_timeout)
            .field("find_first", &self.read_before_claim)
            .finish_non_exhaustive()
    }
}
