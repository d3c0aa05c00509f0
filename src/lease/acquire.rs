//! How a run begins: by a claim that is granted, or by waiting for somebody else's.

use std::time::Duration;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Grant, LeaseStatus, Owner, Record,
    RequestHash, Timestamp, has_passed,
};

use super::manager::{AcquireOutcome, ClaimOptions, LeaseGuard, LeaseManager};
use super::random_id::random_id;
use crate::Claim;

/// How long to wait before looking whether somebody else is done; each time twice as long, up to the longest.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(1);

impl<B: Backend> LeaseManager<B> {
    /// Claims the key. Where somebody is at the same, waits for as long as is set until they are done, or gone.
    pub(crate) async fn acquire<'a>(
        &self,
        key: ClaimKey<'a>,
        options: ClaimOptions<'a>,
    ) -> Result<AcquireOutcome<'a>, BackendError> {
        if self.read_before_claim {
            match self.backend.find(&key, self.clock.now()).await {
                Ok(Some(record @ Record::Finished(_))) => return Ok(AcquireOutcome::Held(record)),
                Ok(_) => {}
                // The claim decides without it.
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        let mut backoff = PollBackoff::of(self);
        let mut owner = Owner(random_id()?);
        loop {
            let mut taken = match self.claim(key, owner, options).await? {
                Acquisition::Acquired(grant) => match self.ensure_live(key, owner, grant).await? {
                    Some(grant) => {
                        let claim = Claim::new(grant, self.clock.clone());
                        return Ok(AcquireOutcome::Acquired(LeaseGuard {
                            key,
                            owner,
                            metadata: options.metadata,
                            claim,
                        }));
                    }
                    // It was granted, and taken by somebody else before anybody knew here: that owner is spent.
                    None => {
                        owner = Owner(random_id()?);
                        continue;
                    }
                },
                Acquisition::Held(record) => record,
            };
            // A look costs less than a claim, so claim again only when there is something to claim.
            loop {
                let Some(pause) = backoff.pause(self, &taken, options) else {
                    return Ok(AcquireOutcome::Held(taken));
                };
                self.clock.sleep(pause).await;
                let now = self.clock.now();
                match self.backend.find(&key, now).await {
                    Ok(Some(Record::InProgress(found))) if has_passed(found.expires_at, now) => break,
                    // One's own, given up for lost, has arrived after all.
                    Ok(Some(Record::InProgress(found))) if found.owner == owner => break,
                    Ok(Some(record)) => taken = record,
                    Ok(None) => break,
                    // Not known yet.
                    Err(error) if error.is_retryable() => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// One claim, sent once more where it is open whether it was granted. Where that stays open it is given up again, as
    /// far as that can be done: else the key is in progress, with nobody at it, until the lease ends.
    async fn claim(
        &self,
        key: ClaimKey<'_>,
        owner: Owner,
        options: ClaimOptions<'_>,
    ) -> Result<Acquisition, BackendError> {
        let ClaimOptions { request_hash, metadata } = options;
        let mut is_first = true;
        loop {
            let now = self.clock.now();
            let request = ClaimRequest { owner, expires_at: self.lease_from(now), request_hash, metadata };
            match self.backend.claim(&key, &request, now).await {
                Err(BackendError::TimedOut(_) | BackendError::Unavailable(_)) if is_first => is_first = false,
                Err(error @ (BackendError::TimedOut(_) | BackendError::Unavailable(_))) => {
                    let _ = self.backend.release(&key, owner, self.clock.now()).await;
                    return Err(error);
                }
                answer => return answer,
            }
        }
    }

    /// The grant, with a lease that has not ended: where its answer took that long, it is renewed before anything is
    /// done. `None` where somebody else has taken the key.
    async fn ensure_live(
        &self,
        key: ClaimKey<'_>,
        owner: Owner,
        grant: Grant,
    ) -> Result<Option<Grant>, BackendError> {
        let now = self.clock.now();
        if now < grant.expires_at {
            return Ok(Some(grant));
        }
        let expires_at = self.lease_from(now);
        Ok(match self.backend.renew(&key, owner, expires_at, now).await? {
            LeaseStatus::Owned => Some(Grant { expires_at, ..grant }),
            LeaseStatus::Lost(_) => None,
        })
    }
}

/// How long it is still worth to wait for somebody else.
struct PollBackoff {
    deadline: Timestamp,
    /// What is left of the time, by what was slept. The clock alone would not do: it may jump back.
    left: Duration,
    pause: Duration,
}

impl PollBackoff {
    fn of<B>(leases: &LeaseManager<B>) -> Self {
        let left = leases.wait_timeout;
        Self { deadline: leases.clock.now().saturating_add(left), left, pause: POLL_INTERVAL }
    }

    /// How long to wait before the next look; `None` where waiting is over, or changes nothing.
    fn pause<B>(
        &mut self,
        leases: &LeaseManager<B>,
        taken: &Record,
        options: ClaimOptions<'_>,
    ) -> Option<Duration> {
        let Record::InProgress(held) = taken else { return None };
        let now = leases.clock.now();
        if !is_same_request(held.request_hash, options.request_hash)
            || now >= self.deadline
            || self.left.is_zero()
        {
            return None;
        }
        // A lease that has ended at this very moment is looked at again a moment later.
        let lease = held.expires_at.saturating_since(now).max(Duration::from_nanos(1));
        let pause = self.pause.min(lease).min(self.left).min(self.deadline.saturating_since(now));
        self.left -= pause;
        self.pause = (self.pause * 2).min(MAX_POLL_INTERVAL);
        Some(pause)
    }
}

/// Whether two fingerprints can be of one request. Who has none says nothing about the request.
pub(crate) fn is_same_request(one: Option<RequestHash>, other: Option<RequestHash>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}
