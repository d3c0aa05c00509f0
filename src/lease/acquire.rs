//! Acquires a key, and waits while another owner holds it.

use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Grant, LeaseStatus, Owner, Record,
    RequestHash, Result, Timestamp, has_passed,
};

use super::manager::{ClaimOptions, LeaseGuard, LeaseManager};
use super::waiting::{WaitPermit, WaitingCalls};
use super::{Claim, random_id};

/// The pause before the first poll of a key that another owner holds. Each further pause is twice
/// as long.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The longest pause between two polls.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The result of [`LeaseManager::acquire`].
pub(crate) enum AcquireOutcome<'a> {
    /// The caller holds the key.
    Acquired(LeaseGuard<'a>),
    /// Another owner holds the key, or has finished.
    Held(Record),
}

impl<B: Backend> LeaseManager<B> {
    /// Claims the key. If another owner holds it, waits up to `wait_timeout` until that owner
    /// finishes, fails or loses its lease.
    pub(crate) async fn acquire<'a>(
        &self,
        key: ClaimKey<'a>,
        options: ClaimOptions<'a>,
    ) -> Result<AcquireOutcome<'a>> {
        if self.settings.read_before_claim {
            match self.backend.find(&key, self.now()).await {
                Ok(Some(record @ Record::Finished(_))) => return Ok(AcquireOutcome::Held(record)),
                Ok(_) => {}
                // The claim decides without this read.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        let mut backoff = PollBackoff::new(self);
        let mut owner = Owner(random_id()?);
        loop {
            match self.claim(key, owner, options).await? {
                Acquisition::Acquired(grant) => match self.ensure_live(key, owner, grant).await? {
                    Some(grant) => {
                        let claim = Claim::new(grant, self.settings.clock.clone());
                        let deadline = self.renewal_deadline(grant.expires_at);
                        let guard = LeaseGuard { key, owner, metadata: options.metadata, claim, deadline };
                        return Ok(AcquireOutcome::Acquired(guard));
                    }
                    // Another owner took the key before this call saw its grant. Retry with a new
                    // owner id.
                    None => owner = Owner(random_id()?),
                },
                Acquisition::Held(record) => {
                    let held = self.wait_until_free(key, owner, options.request_hash, record, &mut backoff);
                    if let Some(record) = held.await? {
                        return Ok(AcquireOutcome::Held(record));
                    }
                }
            }
        }
    }

    /// Sends a claim, and repeats it once if its outcome is unknown. If the outcome is still
    /// unknown, releases the key: otherwise the key might be in progress without a handler until
    /// the lease expires.
    async fn claim(&self, key: ClaimKey<'_>, owner: Owner, options: ClaimOptions<'_>) -> Result<Acquisition> {
        let ClaimOptions { request_hash, metadata } = options;
        let mut is_first = true;
        loop {
            let now = self.now();
            let request = ClaimRequest::new(owner, self.first_lease_from(now))
                .with_request_hash(request_hash)
                .with_metadata(metadata);
            match self.backend.claim(&key, &request, now).await {
                Err(BackendError::TimedOut(_) | BackendError::Unavailable(_)) if is_first => is_first = false,
                Err(error @ (BackendError::TimedOut(_) | BackendError::Unavailable(_))) => {
                    let _ = self.backend.release(&key, owner, self.now()).await;
                    return Err(error);
                }
                result => return result,
            }
        }
    }

    /// Returns the grant with a lease that has not expired. If it expired before the response
    /// arrived, renews it first, so that no handler starts without a lease. Returns `None` if
    /// another owner has taken the key.
    async fn ensure_live(&self, key: ClaimKey<'_>, owner: Owner, grant: Grant) -> Result<Option<Grant>> {
        let now = self.now();
        if now < grant.expires_at {
            return Ok(Some(grant));
        }
        let expires_at = self.first_lease_from(now);
        Ok(match self.backend.renew(&key, owner, expires_at, now).await? {
            LeaseStatus::Owned => Some(Grant { expires_at, ..grant }),
            LeaseStatus::Lost(_) => None,
        })
    }

    /// Polls a key that another owner holds. Returns `None` when it is worth claiming again, or the
    /// record that holds the key when waiting is over. A poll is a read, which costs less than a
    /// claim.
    async fn wait_until_free(
        &self,
        key: ClaimKey<'_>,
        owner: Owner,
        request_hash: Option<RequestHash>,
        mut record: Record,
        backoff: &mut PollBackoff,
    ) -> Result<Option<Record>> {
        while let Some(pause) = backoff.next_pause(self.now(), &record, request_hash) {
            self.settings.clock.sleep(pause).await;
            let now = self.now();
            match self.backend.find(&key, now).await {
                Ok(None) => return Ok(None),
                Ok(Some(Record::InProgress(found))) if has_passed(found.expires_at, now) => return Ok(None),
                // An earlier claim of this call was applied after all; its response had been lost.
                Ok(Some(Record::InProgress(found))) if found.owner == owner => return Ok(None),
                Ok(Some(found)) => record = found,
                // Poll again.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(record))
    }
}

/// The pauses between polls, and the time that is left for them.
struct PollBackoff {
    deadline: Timestamp,
    /// The timeout minus the pauses so far. The deadline alone is not enough, because the clock may
    /// jump back.
    left: Duration,
    pause: Duration,
    /// Limits how many calls wait.
    waiting: Option<Arc<WaitingCalls>>,
    permit: Option<WaitPermit>,
}

impl PollBackoff {
    fn new<B>(leases: &LeaseManager<B>) -> Self {
        let left = leases.settings.wait_timeout();
        Self {
            deadline: leases.now().saturating_add(left),
            left,
            pause: POLL_INTERVAL,
            waiting: leases.settings.waiting.clone(),
            permit: None,
        }
    }

    /// Returns the pause before the next poll, or `None` if waiting is over, cannot change the
    /// result, or if too many calls wait.
    fn next_pause(
        &mut self,
        now: Timestamp,
        record: &Record,
        request_hash: Option<RequestHash>,
    ) -> Option<Duration> {
        let Record::InProgress(other) = record else { return None };
        if !is_same_request(other.request_hash, request_hash) || now >= self.deadline || self.left.is_zero() {
            return None;
        }
        if let (Some(waiting), None) = (&self.waiting, &self.permit) {
            self.permit = Some(waiting.enter()?);
        }
        // If the lease expires at this very moment, the next poll is one nanosecond later.
        let lease = other.expires_at.saturating_since(now).max(Duration::from_nanos(1));
        let pause = self.pause.min(lease).min(self.left).min(self.deadline.saturating_since(now));
        self.left -= pause;
        self.pause = (self.pause * 2).min(MAX_POLL_INTERVAL);
        Some(pause)
    }
}

/// Returns whether two hashes may belong to the same request. A missing hash matches any.
pub(crate) fn is_same_request(one: Option<RequestHash>, other: Option<RequestHash>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
