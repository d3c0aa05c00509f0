//! Idempotency: a request is carried out once, however often it is sent.

mod call;
mod outcome;
mod request_hash;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, ClaimKind, Clock, Key, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::call::IdempotentCall;
pub use self::outcome::{IdempotencyError, Outcome};
use crate::clock::ClockChoice;
use crate::lease::LeaseManager;
use crate::{Claim, Error};

/// How long results are kept, unless set.
const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Carries a request out once per key, and gives its result to whoever sends it again.
///
/// ```
/// use limited::memory::MemoryBackend;
/// use limited::{Idempotency, Outcome};
///
/// # pollster::block_on(async {
/// # async fn charge(request: &(&str, u32)) -> Result<String, std::io::Error> { Ok(format!("{request:?}")) }
/// let idempotency = Idempotency::new(MemoryBackend::new()).namespace("payments");
/// let request = ("user-7", 4_200);
///
/// let first = idempotency.run("order-981", &request, || charge(&request)).await?;
/// let again = idempotency.run("order-981", &request, || charge(&request)).await?;
/// assert!(matches!(first, Outcome::Executed(_)));
/// assert!(matches!(again, Outcome::Replayed(_)));
/// assert_eq!(first.get(), again.get());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # What is guaranteed
///
/// Of one key, over one backend, by any number of tasks and processes:
///
/// | | the handler |
/// |---|---|
/// | runs to its end, and this is recorded | every later call gets this result, until it is no longer kept |
/// | returns an error | may run again at once, with any request; with [`run_storing_errors`](Self::run_storing_errors) as a result does |
/// | crashes, panics, or its future is dropped | may run again once the lease has ended: **at least once** |
/// | runs longer than the lease, and renewals arrive | keeps its claim |
/// | runs longer than the lease, and renewals do not arrive | may run beside another; the one that lost its claim is told [`Lost`](IdempotencyError::LeaseLost), and overwrites nothing |
/// | ran, and its result cannot be kept | will not run again; see [`NotKept`](IdempotencyError::NotStored) |
///
/// At no time does a record say that a request is done before its handler has returned. So an effect happens at least
/// once for each request that is answered, and once unless its owner was stopped between the effect and the record, or
/// held up for a whole lease. For the rest pass the claim's [fencing number](Claim::fencing_token), or the key itself,
/// on to whatever has the effect, and let it refuse what it has seen; [`run_with`](Self::run_with) gives the handler
/// its [`Claim`].
///
/// # Clocks
///
/// Leases end by the clocks of those who ask. Where clocks differ by some seconds, a lease may be taken over that much
/// early: make it longer than clocks are apart and calls are delayed, taken together. A lease is renewed when a third of
/// it has passed, so that two thirds of it are there to spare.
///
/// # What it costs
///
/// Two requests to the backend for a run, one for a replay, and one for each third of a lease that a handler takes.
///
/// # Requests
///
/// A request is anything that is `Serialize`. What is kept is the SHA-256 of its canonical JSON (RFC 8785), so that
/// neither the order of fields nor the spelling of numbers makes another request of it; the request itself is
/// [kept only where asked for](Self::store_requests). Integers beyond 2⁵³ are compared in full. NaN and
/// infinities are `null`, as `serde_json` has them; fractions are compared as 64-bit floats. The order of sets is that
/// in which they are written: use a `BTreeSet`, not a `HashSet`.
///
/// # Results
///
/// A result is kept as JSON, and given back as what that reads as; it owns its data (`String`, not `&str`). One that
/// cannot be written, or not be read back, is [not kept](IdempotencyError::NotStored). JSON has one `null`: `Some(None)` and
/// `Some(())` come back as `None`.
pub struct Idempotency<B> {
    leases: LeaseManager<B>,
    store_requests: bool,
}

/// # Making one
impl<B> Idempotency<B> {
    /// Idempotency over `backend`: a lease of 30 seconds, results kept for 24 hours, by the system's clock.
    pub fn new(backend: B) -> Self {
        Self {
            leases: LeaseManager::new(backend, ClaimKind::Idempotency, Some(DEFAULT_TTL)),
            store_requests: false,
        }
    }

    /// Which of those over one backend this is: keys in different namespaces never meet.
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

    /// For how long a claim holds without being renewed: how long a key is blocked after a crash. From 1 ms to 366 days;
    /// what is beyond either counts as that.
    ///
    /// It is renewed three times in that time while a handler runs, so it need not be as long as the handler takes.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.leases.lease = lease;
        self
    }

    /// For how long results are kept, rounded up to a whole second. After that the key is free, also for another request.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.leases.ttl = Some(ttl);
        self
    }

    /// For how long a call waits for another's that is in progress, and takes its result; not at all unless set. Where the
    /// other fails, or is gone, the call runs its own handler.
    ///
    /// It looks after 10 ms, then at intervals that double up to a second; each look is a read.
    #[must_use]
    pub fn wait_timeout(mut self, duration: Duration) -> Self {
        self.leases.wait_timeout = duration;
        self
    }

    /// Whether a call looks for a result before it claims. A replay is then a read, where it is a refused write
    /// otherwise, and the first call is a request more. It pays where replays are many or results are large, on a
    /// backend that bills writes by size.
    #[must_use]
    pub fn read_before_claim(mut self, read_before_claim: bool) -> Self {
        self.leases.read_before_claim = read_before_claim;
        self
    }

    /// Whether the request itself, as canonical JSON, is kept with the record, for who looks at the store; not unless
    /// set. No operation needs it.
    #[must_use]
    pub fn store_requests(self, store_requests: bool) -> Self {
        Self { store_requests, ..self }
    }

    /// The backend.
    pub fn backend(&self) -> &B {
        &self.leases.backend
    }
}

/// # Running
///
/// # Errors
///
/// Each variant of [`IdempotencyError`] says whether the handler ran.
///
/// # Cancelling
///
/// A run that is dropped leaves the key free where it had not been granted, else in progress until the lease ends, or
/// done where it was at its very end. A handler is not called again before the lease has ended, since its effect may
/// still be under way.
impl<B: Backend> Idempotency<B> {
    /// Runs `handler` if nobody has run it for `key`, and keeps its result; else gives back the result that was kept.
    ///
    /// Where the handler returns an error, the key is free again, and the error is [`Handler`](IdempotencyError::Failed).
    pub async fn run<R, T, E, F, Fut>(
        &self,
        key: impl Into<Key<'_>>,
        request: &R,
        handler: F,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        R: Serialize + ?Sized,
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        self.call(&key, request).run(handler).await
    }

    /// [`run`](Self::run), with a handler that is given its claim.
    ///
    /// ```
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # async fn charge(amount: u32, fencing_token: u64) -> Result<u32, std::io::Error> { Ok(amount) }
    /// # pollster::block_on(async {
    /// # let idempotency = Idempotency::new(MemoryBackend::new());
    /// let outcome = idempotency.run_with("order-981", &4_200, async |claim| {
    ///     claim.set_status_code(201);
    ///     charge(4_200, claim.fencing_token()).await
    /// });
    /// assert_eq!(outcome.await?.into_inner(), 4_200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn run_with<R, T, E, F, Fut>(
        &self,
        key: impl Into<Key<'_>>,
        request: &R,
        handler: F,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        R: Serialize + ?Sized,
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        self.call(&key, request).run_with(handler).await
    }

    /// [`run`](Self::run), where an error of the handler is a result too: it is kept, and
    /// [given](IdempotencyError::ReplayedError) to whoever asks again, until it is no longer kept.
    ///
    /// For errors that trying again does not change, such as a card that is declined.
    pub async fn run_storing_errors<R, T, E, F, Fut>(
        &self,
        key: impl Into<Key<'_>>,
        request: &R,
        handler: F,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        R: Serialize + ?Sized,
        T: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        self.call(&key, request).run_storing_errors(handler).await
    }

    /// A call with settings of its own: what is kept beside its result, and how long it waits.
    pub fn call<'a, R: ?Sized>(
        &'a self,
        key: impl Into<Key<'a>>,
        request: &'a R,
    ) -> IdempotentCall<'a, B, R> {
        IdempotentCall::new(&self.leases, key.into(), request, self.store_requests)
    }
}

/// # Looking, and removing
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::Backend`].
impl<B: Backend> Idempotency<B> {
    /// What there is on a key: who is at it, or what came of it.
    pub async fn find(&self, key: impl Into<Key<'_>>) -> Result<Option<Record>, Error> {
        self.leases.find(&key.into()).await
    }

    /// Removes what there is on a key: an operator's act. Whoever is at it [loses](IdempotencyError::LeaseLost) its claim,
    /// and the next call runs its handler.
    pub async fn forget(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.leases.forget(&key.into()).await
    }
}

impl<B> Clone for Idempotency<B> {
    fn clone(&self) -> Self {
        Self { leases: self.leases.clone(), ..*self }
    }
}

impl<B> fmt::Debug for Idempotency<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("leases", &self.leases)
            .field("store_requests", &self.store_requests)
            .finish_non_exhaustive()
    }
}
