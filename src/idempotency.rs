//! Idempotency: a request runs once, however often it is sent.

mod call;
mod canonical_json;
mod outcome;
mod request_hash;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, ClaimKind, Clock, Key, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "http")]
pub(crate) use self::call::Codec;
pub use self::call::IdempotentCall;
#[cfg(feature = "http")]
pub(crate) use self::canonical_json::canonical_json;
pub use self::outcome::Outcome;
use crate::clock::LimiterClock;
#[cfg(feature = "http")]
use crate::lease::WaitingCalls;
use crate::lease::{LeaseManager, Settings, setting_methods};
use crate::{Claim, Error, RunError};

const DEFAULT_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a request once per key, and returns its result to every call that repeats it.
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
/// # Guarantees
///
/// They hold for one key over one backend, for any number of tasks and processes:
///
/// | the handler | what follows |
/// |---|---|
/// | returns a value, and the value is recorded | every later call returns this value, until the [TTL](Self::ttl) is over |
/// | returns an error | it may run again at once, also for another request; [`run_storing_errors`](Self::run_storing_errors) treats an error like a value instead |
/// | crashes, panics, or its future is dropped | it may run again after the lease expires: **at least once** |
/// | runs longer than the lease, and renewals succeed | it keeps its claim |
/// | runs longer than the lease, and renewals fail | another may run at the same time; the one that lost its claim gets [`LeaseLost`](RunError::LeaseLost) and overwrites nothing |
/// | hangs longer than [`max_run_time`](Self::max_run_time) | the same as if renewals failed; [`stop_when_lost`](Self::stop_when_lost) drops the handler |
/// | runs, and its result cannot be stored | it will not run again; see [`NotStored`](RunError::NotStored) |
///
/// No record reports a request as finished before its handler has returned. So an effect happens at
/// least once for each request that gets a result. It happens exactly once, unless its owner
/// stopped between the effect and the record, or was delayed for a whole lease. To cover these two
/// cases, send the key or the [fencing token](Claim::fencing_token) of the claim along with the
/// effect. Its receiver can then reject a repetition. [`run_with`](Self::run_with) passes the
/// [`Claim`] to the handler.
///
/// # Clocks
///
/// A caller compares the lease of another owner with its own clock. If clocks differ by some
/// seconds, it may take over that much too early. Make the lease longer than the difference of the
/// clocks and the delay of a call together. A lease is renewed after a third of it, so two thirds
/// are in reserve.
///
/// A claim that was made while a clock was wrong stays until the end that is stored with it, also
/// after the clock is corrected. Otherwise a process whose clock is behind would take over live
/// leases. [`forget`](Self::forget) removes such a claim.
///
/// # Costs
///
/// A run costs two requests to the backend, and a replay costs one. A handler that runs long costs
/// one more for each third of a lease.
///
/// # Requests
///
/// A request is any value that implements `Serialize`. The record has the SHA-256 of its canonical
/// JSON (RFC 8785), so neither the order of fields nor the notation of numbers makes a different
/// request. The request itself is stored [on demand](Self::store_requests) only. Numbers keep all
/// of their digits, which RFC 8785 would round: integers of any size are compared exactly, and a
/// number differs from its text. A float equals an integer if both have the same decimal digits.
/// NaN and infinities are `null`, as in `serde_json`. A set is compared in the order in which it
/// serializes: use `BTreeSet`, not `HashSet`.
///
/// The [function](IdempotentCall::function_name) and the [tenant](IdempotentCall::tenant) of a call
/// belong to the request.
///
/// # Results
///
/// A value is stored as JSON, and a replay deserializes it. So it owns its data (`String`, not
/// `&str`). A value that cannot be serialized, or not be deserialized again, is [not
/// stored](RunError::NotStored). JSON has one `null`: `Some(None)` and `Some(())` are replayed as
/// `None`.
pub struct Idempotency<B> {
    leases: LeaseManager<B>,
    store_requests: bool,
}

/// # Configuration
impl<B> Idempotency<B> {
    /// Creates an `Idempotency` over `backend`, with a lease of 30 seconds and a TTL of 24 hours.
    pub fn new(backend: B) -> Self {
        let settings = Settings::new(Some(DEFAULT_TTL));
        Self { leases: LeaseManager::new(backend, ClaimKind::Idempotency, settings), store_requests: false }
    }

    setting_methods! { default_ttl: "24 hours" }

    /// Returns the same over claims of HTTP requests, which share no keys with those of plain
    /// calls. The arguments replace settings that were not set.
    #[cfg(feature = "http")]
    pub(crate) fn for_http_requests(mut self, wait_timeout: Duration, max_waiting: usize) -> Self {
        self.leases.kind = ClaimKind::HttpRequest;
        let settings = &mut self.leases.settings;
        settings.wait_timeout.get_or_insert(wait_timeout);
        settings.waiting.get_or_insert_with(|| Arc::new(WaitingCalls::new(max_waiting)));
        self
    }

    /// Returns whether the records contain the requests.
    #[cfg(feature = "http")]
    pub(crate) const fn stores_requests(&self) -> bool {
        self.store_requests
    }

    /// Sets whether a call reads the record before it claims the key. Default: `false`.
    ///
    /// A replay is then a read instead of a rejected write, and the first call costs one more
    /// request. This pays off if replays are frequent or results are large, on a backend that bills
    /// writes by size.
    #[must_use]
    pub fn read_before_claim(mut self, read_before_claim: bool) -> Self {
        self.leases.settings.read_before_claim = read_before_claim;
        self
    }

    /// Sets whether the record contains the request itself, as canonical JSON, for readers of the
    /// store. No operation needs it. Default: `false`.
    #[must_use]
    pub fn store_requests(self, store_requests: bool) -> Self {
        Self { store_requests, ..self }
    }
}

/// # Running
///
/// # Errors
///
/// Each variant of [`RunError`] states whether the handler ran.
///
/// # Cancellation
///
/// A run can be dropped at any time. The key is then free if the backend had not yet granted it.
/// Otherwise it is in progress until the lease expires, or finished if the run was about to end.
/// The handler does not run again before the lease expires, because its effect may still be in
/// progress.
impl<B: Backend> Idempotency<B> {
    /// Runs `handler` and stores its value, unless an earlier call with `key` did. In that case
    /// returns the stored value.
    ///
    /// If the handler returns an error, this releases the key and returns
    /// [`Failed`](RunError::Failed).
    pub async fn run<R, T, E, F, Fut>(
        &self,
        key: impl Into<Key<'_>>,
        request: &R,
        handler: F,
    ) -> Result<Outcome<T>, RunError<E, T>>
    where
        R: Serialize + ?Sized,
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        self.call(&key, request).run(handler).await
    }

    /// Works like [`run`](Self::run), and passes the claim to the handler.
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
    ) -> Result<Outcome<T>, RunError<E, T>>
    where
        R: Serialize + ?Sized,
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let key = key.into();
        self.call(&key, request).run_with(handler).await
    }

    /// Works like [`run`](Self::run), and also stores an error of the handler. Until the TTL is
    /// over, later calls get it as a [`ReplayedError`](RunError::ReplayedError).
    ///
    /// Use it for errors that a retry does not change, such as a declined card.
    pub async fn run_storing_errors<R, T, E, F, Fut>(
        &self,
        key: impl Into<Key<'_>>,
        request: &R,
        handler: F,
    ) -> Result<Outcome<T>, RunError<E, T>>
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

    /// Creates a call with settings for this call only: metadata of the record, and a wait timeout.
    pub fn call<'a, R: ?Sized>(
        &'a self,
        key: impl Into<Key<'a>>,
        request: &'a R,
    ) -> IdempotentCall<'a, B, R> {
        IdempotentCall::new(&self.leases, key.into(), request, self.store_requests)
    }
}

/// # Records
///
/// # Errors
///
/// [`Error::InvalidKey`] and [`Error::Backend`].
impl<B: Backend> Idempotency<B> {
    /// Returns the record of a key: its current owner, or the stored result.
    pub async fn find(&self, key: impl Into<Key<'_>>) -> Result<Option<Record>, Error> {
        self.leases.find(&key.into()).await
    }

    /// Removes the record of a key. Meant for operators. A run that is in progress
    /// [loses](RunError::LeaseLost) its claim, and the next call runs its handler.
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
