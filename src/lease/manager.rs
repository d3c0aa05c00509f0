//! Renews leases while handlers run, and finishes or releases claims afterwards.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use limited_core::{
    Backend, ClaimKey, ClaimKind, ClaimMetadata, Completion, FinishResult, InProgress, InvalidKey, Key,
    LeaseStatus, Owner, Record, RequestHash, Result, StoredResult, Timestamp,
};

use super::settings::MIN_LEASE;
use super::{Claim, RunError, Settings};
use crate::telemetry::{self, Instrumented};
use crate::{Error, duration};

/// How often a final write is sent until its outcome is known. After that the lease decides.
const MAX_WRITE_ATTEMPTS: u32 = 5;
/// The pause before a final write is sent again. Each further pause is four times as long.
const RETRY_BACKOFF: Duration = Duration::from_millis(20);

/// Acquires, renews and ends claims of one kind.
pub(crate) struct LeaseManager<B> {
    pub(crate) backend: Instrumented<B>,
    pub(crate) settings: Settings,
    pub(crate) kind: ClaimKind,
}

/// The request hash and the metadata of a claim.
#[derive(Clone, Copy, Default)]
pub(crate) struct ClaimOptions<'a> {
    pub(crate) request_hash: Option<RequestHash>,
    pub(crate) metadata: ClaimMetadata<'a>,
}

/// An acquired key. Dropping the guard closes the claim, but does not release the key.
pub(crate) struct LeaseGuard<'a> {
    pub(super) key: ClaimKey<'a>,
    pub(super) owner: Owner,
    pub(super) metadata: ClaimMetadata<'a>,
    pub(crate) claim: Claim,
    /// When the lease ends for good, if the run has a maximum.
    pub(super) deadline: Option<Timestamp>,
}

impl Drop for LeaseGuard<'_> {
    fn drop(&mut self) {
        self.claim.close();
    }
}

impl<B> LeaseManager<B> {
    pub(crate) fn new(backend: B, kind: ClaimKind, settings: Settings) -> Self {
        Self { backend: Instrumented::new(backend), settings, kind }
    }

    pub(crate) fn key<'a>(&'a self, key: &'a Key<'a>) -> Result<ClaimKey<'a>, InvalidKey> {
        ClaimKey::new(&self.settings.namespace, self.kind, key)
    }

    /// Returns the error for a key that another owner holds.
    pub(crate) fn in_progress<E, T>(&self, other: &InProgress) -> RunError<E, T> {
        let left = other.expires_at.saturating_since(self.now());
        let retry_after = duration::with_resolution(left.as_nanos(), self.settings.clock.resolution());
        RunError::InProgress { retry_after }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Returns when the lease of a claim that is made at `now` expires.
    pub(super) fn first_lease_from(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(self.settings.first_lease())
    }

    /// Returns until when a claim may be renewed, from when its first lease expires.
    pub(super) fn renewal_deadline(&self, expires_at: Timestamp) -> Option<Timestamp> {
        let more = self.settings.max_run_time()?.saturating_sub(self.settings.first_lease());
        Some(expires_at.saturating_add(more))
    }
}

/// # Running
impl<B: Backend> LeaseManager<B> {
    /// Drives a handler to its end in the span of its claim, and renews the lease meanwhile.
    ///
    /// If the claim is lost and the settings say so, drops the handler and returns
    /// [`RunError::Stopped`].
    pub(crate) async fn run_with_renewal<F: Future, E, T>(
        &self,
        guard: &LeaseGuard<'_>,
        handler: F,
    ) -> Result<F::Output, RunError<E, T>> {
        let handler = telemetry::in_claim_span(&guard.key, guard.claim.fencing_token(), handler);
        let run = self.with_renewal(guard, handler);
        if !self.settings.stops_when_lost {
            return Ok(run.await);
        }
        let mut run = pin!(run);
        let mut lost = pin!(guard.claim.lost());
        poll_fn(|context| match run.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => lost.as_mut().poll(context).map(|()| Err(RunError::Stopped)),
        })
        .await
    }

    async fn with_renewal<F: Future>(&self, guard: &LeaseGuard<'_>, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut renewal = pin!(self.keep_renewing(guard));
        let mut is_renewing = true;
        poll_fn(|context| {
            if let Poll::Ready(output) = work.as_mut().poll(context) {
                return Poll::Ready(output);
            }
            if is_renewing {
                is_renewing = renewal.as_mut().poll(context).is_pending();
            }
            Poll::Pending
        })
        .await
    }

    /// Renews after each third of the lease, and after each twelfth while renewals fail, until the
    /// claim is lost or the deadline has passed.
    async fn keep_renewing(&self, guard: &LeaseGuard<'_>) {
        let lease = self.settings.lease();
        // If the response to the claim was lost at first, the lease began before this call.
        let left = guard.claim.expires_at().saturating_since(self.now());
        let mut pause = left.saturating_sub(lease / 3 * 2);
        loop {
            self.settings.clock.sleep(pause).await;
            let now = self.now();
            let mut expires_at = now.saturating_add(lease);
            if let Some(deadline) = guard.deadline {
                if now >= deadline {
                    return guard.claim.close();
                }
                if guard.claim.expires_at() >= deadline {
                    pause = deadline.saturating_since(now);
                    continue;
                }
                expires_at = expires_at.min(deadline);
            }
            pause = match self.backend.renew(&guard.key, guard.owner, expires_at, now).await {
                Ok(LeaseStatus::Owned) => {
                    guard.claim.renewed(expires_at);
                    lease / 3
                }
                Ok(LeaseStatus::Lost(_)) => return guard.claim.close(),
                Err(_) => (lease / 12).max(MIN_LEASE / 4),
            };
        }
    }
}

/// # Finishing and releasing
impl<B: Backend> LeaseManager<B> {
    /// Records a result. Returns the time of the record too.
    pub(crate) async fn finish(
        &self,
        guard: &LeaseGuard<'_>,
        result: StoredResult,
        status_code: Option<u16>,
    ) -> Result<(FinishResult, Timestamp)> {
        guard.claim.close();
        // All attempts send the same time, so that they are the same write.
        let now = self.now();
        let expires = self.settings.ttl.map(|ttl| now.saturating_add(ttl));
        let LeaseGuard { key, owner, metadata, .. } = *guard;
        let completion = Completion::new(owner)
            .with_result(result)
            .with_status_code(status_code)
            .with_expiry(expires)
            .with_metadata(metadata);
        let finish = self.retry_write(|| self.backend.finish(&key, &completion, now));
        Ok((self.with_renewal(guard, finish).await?, now))
    }

    /// Releases the key after its handler failed, and returns the error of the run.
    pub(crate) async fn release<E, T>(&self, guard: &LeaseGuard<'_>, error: E) -> RunError<E, T> {
        guard.claim.close();
        let release = self.retry_write(|| self.backend.release(&guard.key, guard.owner, self.now()));
        match self.with_renewal(guard, release).await {
            Ok(LeaseStatus::Lost(Some(_))) => RunError::LeaseLost { outcome: Err(error) },
            // If the release failed, the lease expires by itself.
            _ => RunError::Failed(error),
        }
    }

    /// Sends a write until its outcome is known, [`MAX_WRITE_ATTEMPTS`] times at most.
    async fn retry_write<T, F>(&self, mut send: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut pause = RETRY_BACKOFF;
        for _ in 1..MAX_WRITE_ATTEMPTS {
            match send().await {
                Err(error) if error.is_retryable() => self.settings.clock.sleep(pause).await,
                result => return result,
            }
            pause *= 4;
        }
        send().await
    }
}

/// # Records
impl<B: Backend> LeaseManager<B> {
    pub(crate) async fn find(&self, key: &Key<'_>) -> Result<Option<Record>, Error> {
        Ok(self.backend.find(&self.key(key)?, self.now()).await?)
    }

    pub(crate) async fn forget(&self, key: &Key<'_>) -> Result<(), Error> {
        Ok(self.backend.forget(&self.key(key)?, self.now()).await?)
    }
}

impl<B> Clone for LeaseManager<B> {
    fn clone(&self) -> Self {
        Self { backend: Instrumented::clone(&self.backend), settings: self.settings.clone(), kind: self.kind }
    }
}

impl<B> fmt::Debug for LeaseManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseManager")
            .field("namespace", &self.settings.namespace)
            .field("kind", &self.kind)
            .field("lease", &self.settings.lease())
            .field("ttl", &self.settings.ttl)
            .field("wait_timeout", &self.settings.wait_timeout())
            .field("max_run_time", &self.settings.max_run_time())
            .field("stop_when_lost", &self.settings.stops_when_lost)
            .field("read_before_claim", &self.settings.read_before_claim)
            .finish_non_exhaustive()
    }
}
