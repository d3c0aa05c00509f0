//! Do-once: an action that happens once in all.

mod done;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, ClaimKind, Clock, FinishResult, Key, LeaseStatus, Record, StoredResult};

pub use self::done::{DoOnceError, Done};
use crate::clock::ClockChoice;
use crate::lease::{AcquireOutcome, ClaimOptions, LeaseManager};
use crate::{Claim, Error, observe};

/// Does something at most once at a time, and once in all when it succeeds: a welcome mail, a migration, a prize.
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
/// An action belongs to a scope: `("user-123", "welcome-mail")`. The parts are escaped, so that no two pairs meet.
///
/// # What is guaranteed
///
/// Of one scope and action, over one backend, by any number of tasks and processes:
///
/// | | [`run`](Self::run): **at least once** | [`run_at_most_once`](Self::run_at_most_once): **at most once** |
/// |---|---|---|
/// | at the same time | one runs, the others are told [`InProgress`](DoOnceError::InProgress) or wait | one runs; the others are told [`Before`](Done::AlreadyDone), or until it is marked [`InProgress`](DoOnceError::InProgress) |
/// | the action succeeds | is done, once in all | is done, once in all |
/// | the action fails | can be tried again at once | counts as done, and is not tried again |
/// | a crash, a panic or a dropped future before it begins | can be tried again once the lease has ended | until it is marked, the same; from then on it counts as done |
/// | a crash, a panic or a dropped future in the middle | can be tried again once the lease has ended | counts as done: it may have happened or not |
/// | held up for longer than the lease, without renewals | may run beside another; the one that lost its claim is told [`Lost`](DoOnceError::LeaseLost) | no difference |
///
/// An action that must happen, and may happen twice after a crash, is for `run`; make it harmless to repeat, or give
/// the claim's [fencing number](Claim::fencing_token) along ([`run_with`](Self::run_with)). One that must never happen
/// twice is for `run_at_most_once`. Nothing gives both at once, unless the effect is kept in the same transaction as the
/// record.
///
/// # Clocks
///
/// As of [leases](crate::Idempotency#clocks) everywhere: make them longer than clocks are apart and calls are delayed,
/// taken together. A record without an end depends on no clock.
///
/// # What it costs
///
/// Two requests to the backend where the action runs, one where it was done before, and one for each third of a lease
/// that it takes. A record for ever, unless [a time](Self::ttl) is given.
pub struct DoOnce<B> {
    leases: LeaseManager<B>,
}

/// # Making one
impl<B> DoOnce<B> {
    /// Do-once over `backend`: a lease of 30 seconds, records kept for ever, by the system's clock.
    pub fn new(backend: B) -> Self {
        Self { leases: LeaseManager::new(backend, ClaimKind::DoOnce, None) }
    }

    /// Which of those over one backend this is: actions in different namespaces never meet.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.leases.namespace = namespace.into();
        self
    }

    /// Where time comes from; in tests a [`ManualClock`](crate::ManualClock).
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.leases.clock = ClockChoice::Own(Arc::new(clock));
        self
    }

    /// For how long a claim holds without being renewed: how long an action is blocked after a crash. From 1 ms to 366
    /// days; what is beyond either counts as that.
    ///
    /// It is renewed three times in that time while the action runs.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.leases.lease = lease;
        self
    }

    /// For how long it is remembered that an action is done, rounded up to a whole second; for ever unless set. After
    /// that it can be done again.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.leases.ttl = Some(ttl);
        self
    }

    /// For how long a call waits while another is at the same action; not at all unless set.
    #[must_use]
    pub fn wait_timeout(mut self, duration: Duration) -> Self {
        self.leases.wait_timeout = duration;
        self
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.leases.backend
    }
}

/// # Doing
///
/// # Errors
///
/// Each variant of [`DoOnceError`] says whether the action ran.
///
/// # Cancelling
///
/// A call that is dropped before its action has returned leaves it undone, and blocked until the lease ends. One of
/// [`run_at_most_once`](Self::run_at_most_once) leaves it done once it has begun.
impl<B: Backend> DoOnce<B> {
    /// Does it, unless it is done. Where `action` fails, it can be tried again.
    pub async fn run<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, DoOnceError<E, T>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_with(scope, name, |_| action()).await
    }

    /// [`run`](Self::run), with an action that is given its claim.
    pub async fn run_with<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, DoOnceError<E, T>>
    where
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = Key::new().part(scope, name);
        observe::done_once(&self.leases.namespace, &key, self.run_unless_done(&key, action)).await
    }

    async fn run_unless_done<T, E, F, Fut>(
        &self,
        key: &Key<'_>,
        action: F,
    ) -> Result<Done<T>, DoOnceError<E, T>>
    where
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let held = match self.acquire(key).await? {
            AcquireOutcome::Acquired(held) => held,
            AcquireOutcome::Held(record) => return self.taken(&record),
        };
        let value = match self.leases.run_with_renewal(&held, action(held.claim.clone())).await {
            Ok(value) => value,
            Err(error) => {
                return Err(match self.leases.release(&held).await {
                    Ok(LeaseStatus::Lost(Some(_))) => DoOnceError::LeaseLost { outcome: Err(error) },
                    // Where it could not be given up, its lease ends by itself.
                    _ => DoOnceError::Failed(error),
                });
            }
        };
        match self.leases.finish(&held, StoredResult::Nothing, None).await {
            Ok((FinishResult::Lost(_), _)) => Err(DoOnceError::LeaseLost { outcome: Ok(value) }),
            Ok((_, at)) => Ok(Done::Executed { at, value }),
            Err(error) => Err(DoOnceError::NotRecorded { value, error }),
        }
    }

    /// Marks it as done, then does it: for effects that must never repeat. Whatever becomes of `action`, it is not done
    /// again.
    pub async fn run_at_most_once<T, E, F, Fut>(
        &self,
        scope: &str,
        name: &str,
        action: F,
    ) -> Result<Done<T>, DoOnceError<E, T>>
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
                    Err(error) => Err(DoOnceError::Failed(error)),
                },
            }
        };
        observe::done_once(&self.leases.namespace, &key, run).await
    }

    /// Marks it as done, without doing it.
    pub async fn mark_done(&self, scope: &str, name: &str) -> Result<Done<()>, DoOnceError<Infallible>> {
        let key = Key::new().part(scope, name);
        observe::done_once(&self.leases.namespace, &key, self.mark(&key)).await
    }

    async fn mark<T, E>(&self, key: &Key<'_>) -> Result<Done<()>, DoOnceError<E, T>> {
        loop {
            let held = match self.acquire(key).await? {
                AcquireOutcome::Acquired(held) => held,
                AcquireOutcome::Held(record) => return self.taken(&record),
            };
            match self.leases.finish(&held, StoredResult::Nothing, None).await? {
                (FinishResult::Lost(Some(record)), _) => return self.taken(&record),
                // Somebody removed the claim right after it was made.
                (FinishResult::Lost(None), _) => {}
                (_, at) => return Ok(Done::Executed { at, value: () }),
            }
        }
    }

    async fn acquire<'a, T, E>(&'a self, key: &'a Key<'a>) -> Result<AcquireOutcome<'a>, DoOnceError<E, T>> {
        Ok(self.leases.acquire(self.leases.key(key)?, ClaimOptions::default()).await?)
    }

    /// What it means that somebody else has the action.
    fn taken<T, U, E>(&self, record: &Record) -> Result<Done<T>, DoOnceError<E, U>> {
        match record {
            Record::Finished(finished) => Ok(Done::AlreadyDone { at: finished.at }),
            Record::InProgress(taken) => {
                Err(DoOnceError::InProgress { retry_after: self.leases.retry_after(taken) })
            }
        }
    }
}

/// # Looking, and removing
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::Backend`].
impl<B: Backend> DoOnce<B> {
    /// Whether it is done. It is not while somebody is at it.
    pub async fn is_done(&self, scope: &str, name: &str) -> Result<bool, Error> {
        let record = self.leases.find(&Key::new().part(scope, name)).await?;
        Ok(matches!(record, Some(Record::Finished(_))))
    }

    /// Forgets that it is done, so that it can be done again: an operator's act. Whoever is at it
    /// [loses](DoOnceError::LeaseLost) its claim.
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
