//! One call, with what is particular to it, and how it is carried out.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{Backend, ClaimMetadata, FinishResult, Finished, Key, LeaseStatus, Record, StoredResult};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::outcome::{IdempotencyError, Outcome};
use super::request_hash::CanonicalJson;
use crate::Claim;
use crate::lease::{AcquireOutcome, ClaimOptions, LeaseGuard, LeaseManager, is_same_request};
use crate::observe;

/// A call of [`Idempotency`](crate::Idempotency) that has settings of its own; [`call`](crate::Idempotency::call)
/// makes one.
///
/// ```
/// # use limited::{Idempotency, memory::MemoryBackend};
/// # use std::time::Duration;
/// # pollster::block_on(async {
/// # let idempotency = Idempotency::new(MemoryBackend::new());
/// let outcome = idempotency
///     .call("order-981", &4_200)
///     .function_name("charge")
///     .tenant("42")
///     .status_code(201)
///     .wait_timeout(Duration::from_secs(2))
///     .run(async || Ok::<_, std::io::Error>("charged".to_owned()))
///     .await?;
/// # assert_eq!(outcome.into_inner(), "charged");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[must_use = "a call does nothing until it is run"]
pub struct IdempotentCall<'a, B, R: ?Sized> {
    leases: LeaseManager<B>,
    key: Key<'a>,
    request: &'a R,
    function_name: Option<&'a str>,
    tenant: Option<&'a str>,
    status_code: Option<u16>,
    store_request: bool,
}

/// What an error of the handler comes to.
enum OnFailure<E> {
    /// The key is free again.
    Retry,
    /// The error is a result, and written and read as one.
    Store(fn(&E) -> Result<String, serde_json::Error>, fn(&str) -> Result<E, serde_json::Error>),
}

/// # Settings
impl<'a, B, R: ?Sized> IdempotentCall<'a, B, R> {
    pub(super) fn new(leases: &LeaseManager<B>, key: Key<'a>, request: &'a R, store_request: bool) -> Self {
        let leases = leases.clone();
        Self { leases, key, request, function_name: None, tenant: None, status_code: None, store_request }
    }

    /// Keeps the name of what runs with the record.
    pub fn function_name(mut self, name: &'a str) -> Self {
        self.function_name = Some(name);
        self
    }

    /// Keeps with the record for whom it runs; the tenant of a [composed key](Key::tenant) unless set.
    pub fn tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Keeps this status code with a result, unless the handler [sets another](Claim::set_status_code).
    pub fn status_code(mut self, code: u16) -> Self {
        self.status_code = Some(code);
        self
    }

    /// Whether the request itself is kept with the record.
    pub fn store_request(mut self, store_request: bool) -> Self {
        self.store_request = store_request;
        self
    }

    /// For how long to wait for another call that is in progress.
    pub fn wait_timeout(mut self, duration: Duration) -> Self {
        self.leases.wait_timeout = duration;
        self
    }
}

/// # Running
///
/// As the methods of the same names of [`Idempotency`](crate::Idempotency).
///
/// # Errors
///
/// As there.
impl<B: Backend, R: Serialize + ?Sized> IdempotentCall<'_, B, R> {
    /// Runs `handler` unless it has run.
    pub async fn run<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(|_| handler(), OnFailure::Retry).await
    }

    /// Runs `handler`, which is given its claim, unless it has run.
    pub async fn run_with<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(handler, OnFailure::Retry).await
    }

    /// Runs `handler` unless it has run, and remembers its error.
    pub async fn run_storing_errors<T, E, F, Fut>(
        self,
        handler: F,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_storing_errors_with(|_| handler()).await
    }

    /// Runs `handler`, which is given its claim, unless it has run, and remembers its error.
    pub async fn run_storing_errors_with<T, E, F, Fut>(
        self,
        handler: F,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let remember =
            OnFailure::Store(|error| serde_json::to_string(error), |json| serde_json::from_str(json));
        self.execute(handler, remember).await
    }

    async fn execute<T, E, F, Fut>(
        self,
        handler: F,
        on_failure: OnFailure<E>,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let run = self.run_or_replay(handler, on_failure);
        observe::idempotent(&self.leases.namespace, &self.key, run).await
    }

    async fn run_or_replay<T, E, F, Fut>(
        &self,
        handler: F,
        on_failure: OnFailure<E>,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let CanonicalJson { json, request_hash } =
            CanonicalJson::new(self.request).map_err(IdempotencyError::InvalidRequest)?;
        let request = self.store_request.then_some(json.as_str());
        let of_key = || self.key.dimensions().and_then(|dimensions| dimensions.tenant.as_deref());
        let tenant = self.tenant.or_else(of_key);
        let metadata = ClaimMetadata { function_name: self.function_name, tenant, request };
        let options = ClaimOptions { request_hash: Some(request_hash), metadata };
        let key = self.leases.key(&self.key)?;
        match self.leases.acquire(key, options).await? {
            AcquireOutcome::Held(record) if !is_same_request(record.request_hash(), Some(request_hash)) => {
                Err(IdempotencyError::KeyReused)
            }
            AcquireOutcome::Held(Record::InProgress(taken)) => {
                Err(IdempotencyError::InProgress { retry_after: self.leases.retry_after(&taken) })
            }
            AcquireOutcome::Held(Record::Finished(finished)) => replay(&finished, &on_failure),
            AcquireOutcome::Acquired(held) => {
                let outcome = self.leases.run_with_renewal(&held, handler(held.claim.clone())).await;
                self.keep(&held, outcome, &on_failure).await
            }
        }
    }

    /// Keeps what the handler returned, or frees the key.
    async fn keep<T: Serialize + DeserializeOwned, E>(
        &self,
        held: &LeaseGuard<'_>,
        outcome: Result<T, E>,
        on_failure: &OnFailure<E>,
    ) -> Result<Outcome<T>, IdempotencyError<E, T>> {
        let (result, outcome) = match (outcome, on_failure) {
            (Err(error), OnFailure::Retry) => {
                return Err(match self.leases.release(held).await {
                    Ok(LeaseStatus::Lost(Some(_))) => IdempotencyError::LeaseLost { outcome: Err(error) },
                    // Where it could not be given up, its lease ends by itself.
                    _ => IdempotencyError::Failed(error),
                });
            }
            (Ok(value), _) => {
                let written = serde_json::to_string(&value);
                let read = |json: &str| serde_json::from_str::<T>(json).map(drop);
                (stored(written, read, StoredResult::Value), Ok(value))
            }
            (Err(error), OnFailure::Store(write, read)) => {
                (stored(write(&error), |json| read(json).map(drop), StoredResult::Error), Err(error))
            }
        };
        let unwritable = match &result {
            StoredResult::Omitted { reason } => Some(Arc::clone(reason)),
            _ => None,
        };
        let status_code = held.claim.status_code().or(self.status_code);
        match (self.leases.finish(held, result, status_code).await, unwritable) {
            (Err(error), _) => Err(IdempotencyError::NotRecorded { outcome, error }),
            (Ok((FinishResult::Lost(_), _)), _) => Err(IdempotencyError::LeaseLost { outcome }),
            (Ok((FinishResult::Stored, _)), Some(reason))
            | (Ok((FinishResult::Omitted { reason }, _)), _) => {
                Err(IdempotencyError::NotStored { reason, outcome: Some(outcome) })
            }
            (Ok((FinishResult::Stored, _)), None) => {
                outcome.map(Outcome::Executed).map_err(IdempotencyError::Failed)
            }
        }
    }
}

/// What to store of a result, if it can be read again. By now it is too late to fail: what was to be done is done.
fn stored(
    written: Result<String, serde_json::Error>,
    read: impl FnOnce(&str) -> Result<(), serde_json::Error>,
    as_kind: impl FnOnce(Arc<str>) -> StoredResult,
) -> StoredResult {
    let not_kept = |reason: String| StoredResult::Omitted { reason: reason.into() };
    match written {
        Err(error) => not_kept(format!("it cannot be written as JSON: {error}")),
        Ok(json) => match read(&json) {
            Err(error) => not_kept(format!("it cannot be read back from its JSON: {error}")),
            Ok(()) => as_kind(json.into()),
        },
    }
}

/// What came of an earlier run.
fn replay<T: DeserializeOwned, E>(
    finished: &Finished,
    on_failure: &OnFailure<E>,
) -> Result<Outcome<T>, IdempotencyError<E, T>> {
    let unreadable = IdempotencyError::Decode;
    match (&finished.result, on_failure) {
        (StoredResult::Value(json), _) => {
            serde_json::from_str(json).map(Outcome::Replayed).map_err(unreadable)
        }
        (StoredResult::Error(json), OnFailure::Store(_, read)) => {
            Err(read(json).map_or_else(unreadable, IdempotencyError::ReplayedError))
        }
        (StoredResult::Omitted { reason }, _) => {
            Err(IdempotencyError::NotStored { reason: Arc::clone(reason), outcome: None })
        }
        (StoredResult::Error(_), OnFailure::Retry) => {
            Err(unreadable(serde_json::Error::custom("it is an error, that `run_remembering` remembered")))
        }
        // Written by something else: a result of nothing, if that is one.
        (StoredResult::Nothing, _) => serde_json::from_str("null").map(Outcome::Replayed).map_err(unreadable),
    }
}

impl<B, R: ?Sized> fmt::Debug for IdempotentCall<'_, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotentCall")
            .field("key", &self.key)
            .field("function_name", &self.function_name)
            .field("tenant", &self.tenant)
            .field("status_code", &self.status_code)
            .field("store_request", &self.store_request)
            .finish_non_exhaustive()
    }
}
