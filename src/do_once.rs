//! Do-once: an action that succeeds once in total.

mod done;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, ClaimKind, Clock, FinishResult, Key, Record, StoredResult};

pub use self::done::Done;
use crate::clock::LimiterClock;
use crate::lease::{AcquireOutcome, ClaimOptions, LeaseManager, Settings, setting_methods};
use crate::telemetry::{self, RunKind};
use crate::{Claim, Error, RunError};

/// Runs an action at most once at a time, and never again after it succeeded: a welcome mail, a
/// migration, a prize.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{DoOnce, Done};
///
/// # pollster::block_on(async {
/// # async fn send() -> Result<u32, std::io::Error> { Ok(250) }
/// let once = DoOnce::new(MemoryBackend::new());
/// for _ in 0..2 {
///     match once.run("user-123", "welcome-mail", send).await? {
///         Done::Executed { at, value } => println!("sent at {at:?}: {value}"),
///         Done::AlreadyDone { at } => println!("was sent at {at:?}"),
///     }
/// }
/// assert!(once.is_done("user-123", "welcome-mail").await?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// An action has a scope and a name: `("user-123", "welcome-mail")`. Both are escaped, so two
/// different pairs never have the same key.
///
/// # Guarantees
///
/// They hold for one scope and name over one backend, for any number of tasks and processes:
///
/// | | [`run`](Self::run): **at least once** | [`run_at_most_once`](Self::run_at_most_once): **at most once** |
/// |---|---|---|
/// | several calls at the same time | one runs; the others wait, or get [`InProgress`](RunError::InProgress) | one runs; the others get [`InProgress`](RunError::InProgress) until it is marked, and [`AlreadyDone`](Done::AlreadyDone) after that |
/// | the action succeeds | it is done and never runs again | it is done and never runs again |
/// | the action fails | it can run again at once | it counts as done and does not run again |
/// | a crash, a panic or a dropped future before it begins | it can run again after the lease expires | the same until it is marked; after that it counts as done |
/// | a crash, a panic or a dropped future while it runs | it can run again after the lease expires | it counts as done, whether it took effect or not |
/// | it hangs longer than [`max_run_time`](Self::max_run_time) | it can run again after that | no difference |
/// | a delay longer than the lease, without renewals | another may run at the same time; the one that lost its claim gets [`LeaseLost`](RunError::LeaseLost) | no difference |
///
/// Use `run` for an action that must happen and may repeat after a crash. Make it idempotent, or
/// send the [fencing token](Claim::fencing_token) of the claim along
/// ([`run_with`](Self::run_with)). Use `run_at_most_once` for an action that must never repeat. No
/// method has both properties, unless the effect is stored in the same transaction as the record.
///
/// # Clocks
///
/// Make the lease longer than the difference of the clocks and the delay of a call together, as for
/// [`Idempotency`](crate::Idempotency#clocks). A record without a TTL depends on no clock. A claim
/// made by a wrong clock stays until the end that is stored with it, or until
/// [`clear`](Self::clear).
///
/// # Costs
///
/// An action that runs costs two requests to the backend, and one more for each third of a lease
/// that it takes. An action that is already done costs one request. The record is kept forever,
/// unless a [TTL](Self::ttl) is set.
pub struct DoOnce<B> {
    leases: LeaseManager<B>,
}

/// # Configuration
impl<B> DoOnce<B> {
    /// Creates a `DoOnce` over `backend`, with a lease of 30 seconds and no TTL.
    pub fn new(backend: B) -> Self {
        Self { leases: LeaseManager::new(backend, ClaimKind::DoOnce, Settings::new(None)) }
    }

    setting_methods! { default_ttl: "none; records are kept forever" }
}

/// # Running
///
/// # Errors
///
/// Each variant of [`RunError`] states whether the action ran.
///
/// # Cancellation
///
/// If a call is dropped before its action has returned, the action is not done, and the key is
/// blocked until the lease expires. If a call of [`run_at_most_once`](Self::run_at_most_once) is
/// dropped after the action began, the action counts as done.
impl<B: Backend> DoOnce<B> {
    /// Runs `action`, unless it is done. If the action fails, it can run again.
    pub async fn run<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, RunError<E, T>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_with(scope, name, |_| action()).await
    }

    /// Works like [`run`](Self::run), and passes the claim to the action.
    pub async fn run_with<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, RunError<E, T>>
    where
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = Key::new().part(scope, name);
        let run = async {
            let guard = match self.acquire(&key).await? {
                AcquireOutcome::Acquired(guard) => guard,
                AcquireOutcome::Held(record) => return self.already_held(&record),
            };
            let value = match self.leases.run_with_renewal(&guard, action(guard.claim.clone())).await? {
                Ok(value) => value,
                Err(error) => return Err(self.leases.release(&guard, error).await),
            };
            match self.leases.finish(&guard, StoredResult::Nothing, None).await {
                Ok((FinishResult::Lost(_), _)) => Err(RunError::LeaseLost { outcome: Ok(value) }),
                Ok((_, at)) => Ok(Done::Executed { at, value }),
                Err(error) => Err(RunError::NotRecorded { outcome: Ok(value), error }),
            }
        };
        telemetry::record_run(RunKind::DoOnce, &self.leases.settings.namespace, &key, run, Done::label).await
    }

    /// Marks the action as done, and then runs it. The action does not run again, whether it
    /// succeeds, fails or crashes. For effects that must never repeat.
    pub async fn run_at_most_once<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, RunError<E, T>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = Key::new().part(scope, name);
        let run = async {
            match self.mark(&key).await? {
                Done::AlreadyDone { at } => Ok(Done::AlreadyDone { at }),
                Done::Executed { at, .. } => match action().await {
                    Ok(value) => Ok(Done::Executed { at, value }),
                    Err(error) => Err(RunError::Failed(error)),
                },
            }
        };
        telemetry::record_run(RunKind::DoOnce, &self.leases.settings.namespace, &key, run, Done::label).await
    }

    /// Marks the action as done without running it.
    pub async fn mark_done(&self, scope: &str, name: &str) -> Result<Done<()>, RunError<Infallible>> {
        let key = Key::new().part(scope, name);
        let run = self.mark(&key);
        telemetry::record_run(RunKind::DoOnce, &self.leases.settings.namespace, &key, run, Done::label).await
    }

    async fn mark<T, E>(&self, key: &Key<'_>) -> Result<Done<()>, RunError<E, T>> {
        loop {
            let guard = match self.acquire(key).await? {
                AcquireOutcome::Acquired(guard) => guard,
                AcquireOutcome::Held(record) => return self.already_held(&record),
            };
            match self.leases.finish(&guard, StoredResult::Nothing, None).await? {
                (FinishResult::Lost(Some(record)), _) => return self.already_held(&record),
                // An operator removed the claim in between. Claim again.
                (FinishResult::Lost(None), _) => {}
                (_, at) => return Ok(Done::Executed { at, value: () }),
            }
        }
    }

    async fn acquire<'a, T, E>(&'a self, key: &'a Key<'a>) -> Result<AcquireOutcome<'a>, RunError<E, T>> {
        Ok(self.leases.acquire(self.leases.key(key)?, ClaimOptions::default()).await?)
    }

    /// Returns the result of a call whose action another call has done, or is running.
    fn already_held<T, U, E>(&self, record: &Record) -> Result<Done<T>, RunError<E, U>> {
        match record {
            Record::Finished(finished) => Ok(Done::AlreadyDone { at: finished.at }),
            Record::InProgress(other) => Err(self.leases.in_progress(other)),
        }
    }
}

/// # Records
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::Backend`].
impl<B: Backend> DoOnce<B> {
    /// Returns whether the action is done. An action that is in progress is not done.
    pub async fn is_done(&self, scope: &str, name: &str) -> Result<bool, Error> {
        let record = self.leases.find(&Key::new().part(scope, name)).await?;
        Ok(matches!(record, Some(Record::Finished(_))))
    }

    /// Removes the record, so that the action can run again. Meant for operators. A run that is in
    /// progress [loses](RunError::LeaseLost) its claim.
    pub async fn clear(&self, scope: &str, name: &str) -> Result<(), Error> {
        self.leases.forget(&Key::new().part(scope, name)).await
    }
}

impl<B> Clone for DoOnce<B> {
    fn clone(&self) -> Self {
        Self { leases: self.leases.clone() }
    }
}

impl<B> fmt::Debug for DoOnce<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DoOnce").field("leases", &self.leases).finish()
    }
}
