//! One call: its settings, and how it runs or replays.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Backend, ClaimMetadata, FinishResult, Finished, Key, Record, Redacted, RequestHash, StoredResult,
};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

use super::outcome::Outcome;
use super::request_hash::CanonicalJson;
use crate::lease::{AcquireOutcome, ClaimOptions, LeaseGuard, LeaseManager, is_same_request};
use crate::telemetry::{self, RunKind};
use crate::{Claim, RunError};

/// One call of [`Idempotency`](crate::Idempotency) with its own settings. Created by
/// [`Idempotency::call`](crate::Idempotency::call).
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
    /// Replaces the hash of `request`.
    request_hash: Option<RequestHash>,
}

/// How values are written to a record, and read from it. Writing returns the reason if a value
/// cannot be stored.
pub(crate) struct Codec<T> {
    pub(crate) write: fn(&T) -> Result<String, String>,
    pub(crate) read: fn(&str) -> Result<T, serde_json::Error>,
}

impl<T: Serialize + DeserializeOwned> Codec<T> {
    /// Creates a codec for any value. What it writes can be read again.
    fn json() -> Self {
        Self { write: |value| readable_json::<T>(value), read: |json| serde_json::from_str(json) }
    }
}

/// What to do with an error of the handler.
enum OnFailure<E> {
    /// Release the key.
    Release,
    /// Store the error as a result.
    Store(Codec<E>),
}

/// # Configuration
impl<'a, B, R: ?Sized> IdempotentCall<'a, B, R> {
    pub(super) fn new(leases: &LeaseManager<B>, key: Key<'a>, request: &'a R, store_request: bool) -> Self {
        let leases = leases.clone();
        Self {
            leases,
            key,
            request,
            function_name: None,
            tenant: None,
            status_code: None,
            store_request,
            request_hash: None,
        }
    }

    /// Sets the hash that tells requests apart, instead of that of the request and the name of the
    /// function.
    #[cfg(feature = "http")]
    pub(crate) fn request_hash(mut self, hash: RequestHash) -> Self {
        self.request_hash = Some(hash);
        self
    }

    /// Sets the name of the function that runs. Default: none.
    ///
    /// The name belongs to the request: a call with this key and another name, or with none, gets
    /// [`KeyReused`](RunError::KeyReused). So a name that changes makes retries of earlier calls
    /// fail. The name is also stored with the record.
    pub fn function_name(mut self, name: &'a str) -> Self {
        self.function_name = Some(name);
        self
    }

    /// Sets the tenant that the function runs for. Default: the tenant of a [composed
    /// key](Key::tenant).
    ///
    /// Like the [name of the function](Self::function_name), it belongs to the request and is
    /// stored with the record. To give each tenant keys of its own, use a composed key.
    pub fn tenant(mut self, tenant: &'a str) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Sets the status code to store with the result, unless the handler [sets
    /// another](Claim::set_status_code). Default: none.
    pub fn status_code(mut self, code: u16) -> Self {
        self.status_code = Some(code);
        self
    }

    /// Sets whether the record contains the request itself. Default: the setting of
    /// [`Idempotency::store_requests`](crate::Idempotency::store_requests).
    pub fn store_request(mut self, store_request: bool) -> Self {
        self.store_request = store_request;
        self
    }

    /// Sets how long to wait for another call that is in progress. Default: the setting of
    /// [`Idempotency::wait_timeout`](crate::Idempotency::wait_timeout).
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.leases.settings.wait_timeout = Some(timeout);
        self
    }
}

/// # Running
///
/// # Errors
///
/// Each variant of [`RunError`] states whether the handler ran.
impl<B: Backend, R: Serialize + ?Sized> IdempotentCall<'_, B, R> {
    /// Works like [`Idempotency::run`](crate::Idempotency::run).
    pub async fn run<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, RunError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(|_| handler(), &Codec::json(), OnFailure::Release).await
    }

    /// Works like [`Idempotency::run_with`](crate::Idempotency::run_with).
    pub async fn run_with<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, RunError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(handler, &Codec::json(), OnFailure::Release).await
    }

    /// Works like [`Idempotency::run_storing_errors`](crate::Idempotency::run_storing_errors).
    pub async fn run_storing_errors<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, RunError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.run_storing_errors_with(|_| handler()).await
    }

    /// Works like [`run_storing_errors`](Self::run_storing_errors), and passes the claim to the
    /// handler.
    pub async fn run_storing_errors_with<T, E, F, Fut>(self, handler: F) -> Result<Outcome<T>, RunError<E, T>>
    where
        T: Serialize + DeserializeOwned,
        E: Serialize + DeserializeOwned,
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(handler, &Codec::json(), OnFailure::Store(Codec::json())).await
    }

    /// Works like [`run_with`](Self::run_with), and stores values in another form.
    #[cfg(feature = "http")]
    pub(crate) async fn run_with_codec<T, E, F, Fut>(
        self,
        handler: F,
        codec: &Codec<T>,
    ) -> Result<Outcome<T>, RunError<E, T>>
    where
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.execute(handler, codec, OnFailure::Release).await
    }

    async fn execute<T, E, F, Fut>(
        self,
        handler: F,
        codec: &Codec<T>,
        on_failure: OnFailure<E>,
    ) -> Result<Outcome<T>, RunError<E, T>>
    where
        F: FnOnce(Claim) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let run = async {
            let (request_hash, request) = self.request()?;
            let request = request.as_deref();
            let key_tenant = || self.key.dimensions().and_then(|dimensions| dimensions.tenant.as_deref());
            let tenant = self.tenant.or_else(key_tenant);
            let metadata = ClaimMetadata::default()
                .with_function_name(self.function_name)
                .with_tenant(tenant)
                .with_request(request);
            let options = ClaimOptions { request_hash: Some(request_hash), metadata };
            let key = self.leases.key(&self.key)?;
            match self.leases.acquire(key, options).await? {
                AcquireOutcome::Held(record)
                    if !is_same_request(record.request_hash(), Some(request_hash)) =>
                {
                    Err(RunError::KeyReused)
                }
                AcquireOutcome::Held(Record::InProgress(other)) => Err(self.leases.in_progress(&other)),
                AcquireOutcome::Held(Record::Finished(finished)) => replay(&finished, codec, &on_failure),
                AcquireOutcome::Acquired(guard) => {
                    let outcome = self.leases.run_with_renewal(&guard, handler(guard.claim.clone())).await?;
                    self.finish(&guard, outcome, codec, &on_failure).await
                }
            }
        };
        let namespace = &self.leases.settings.namespace;
        telemetry::record_run(RunKind::Idempotency, namespace, &self.key, run, Outcome::label).await
    }

    /// Returns the hash of the request, and its JSON if that is to be stored.
    fn request<E, T>(&self) -> Result<(RequestHash, Option<String>), RunError<E, T>> {
        let canonical = || {
            CanonicalJson::new(self.request, self.function_name, self.tenant)
                .map_err(RunError::InvalidRequest)
        };
        match self.request_hash {
            Some(hash) if self.store_request => Ok((hash, Some(canonical()?.json))),
            Some(hash) => Ok((hash, None)),
            None => {
                let CanonicalJson { json, request_hash } = canonical()?;
                Ok((request_hash, self.store_request.then_some(json)))
            }
        }
    }

    /// Records what the handler returned, or releases the key.
    async fn finish<T, E>(
        &self,
        guard: &LeaseGuard<'_>,
        outcome: Result<T, E>,
        codec: &Codec<T>,
        on_failure: &OnFailure<E>,
    ) -> Result<Outcome<T>, RunError<E, T>> {
        let (result, outcome) = match (outcome, on_failure) {
            (Err(error), OnFailure::Release) => return Err(self.leases.release(guard, error).await),
            (Ok(value), _) => (stored_result((codec.write)(&value), StoredResult::Value), Ok(value)),
            (Err(error), OnFailure::Store(codec)) => {
                (stored_result((codec.write)(&error), StoredResult::Error), Err(error))
            }
        };
        let omitted = match &result {
            StoredResult::Omitted { reason } => Some(Arc::clone(reason)),
            _ => None,
        };
        let status_code = guard.claim.status_code().or(self.status_code);
        match (self.leases.finish(guard, result, status_code).await, omitted) {
            (Err(error), _) => Err(RunError::NotRecorded { outcome, error }),
            (Ok((FinishResult::Lost(_), _)), _) => Err(RunError::LeaseLost { outcome }),
            (Ok((FinishResult::Stored, _)), Some(reason))
            | (Ok((FinishResult::Omitted { reason }, _)), _) => {
                Err(RunError::NotStored { reason, outcome: Some(outcome) })
            }
            (Ok((FinishResult::Stored, _)), None) => outcome.map(Outcome::Executed).map_err(RunError::Failed),
        }
    }
}

/// Returns the JSON of a value if the value can be read from it, or the reason why not.
fn readable_json<T: Serialize + DeserializeOwned>(value: &T) -> Result<String, String> {
    let json =
        serde_json::to_string(value).map_err(|error| format!("it cannot be serialized as JSON: {error}"))?;
    match serde_json::from_str::<T>(&json) {
        Ok(_) => Ok(json),
        Err(error) => Err(format!("it cannot be deserialized from its JSON: {error}")),
    }
}

/// Returns the result to store. A reason is not an error: the handler has already run, so the
/// record has to say so.
fn stored_result(
    written: Result<String, String>,
    store_as: impl FnOnce(Arc<str>) -> StoredResult,
) -> StoredResult {
    match written {
        Ok(json) => store_as(json.into()),
        Err(reason) => StoredResult::Omitted { reason: reason.into() },
    }
}

/// Returns the result of an earlier run.
fn replay<T, E>(
    finished: &Finished,
    codec: &Codec<T>,
    on_failure: &OnFailure<E>,
) -> Result<Outcome<T>, RunError<E, T>> {
    let value = |json: &str| (codec.read)(json).map(Outcome::Replayed).map_err(RunError::Decode);
    match (&finished.result, on_failure) {
        (StoredResult::Value(json), _) => value(json),
        (StoredResult::Error(json), OnFailure::Store(codec)) => {
            Err((codec.read)(json).map_or_else(RunError::Decode, RunError::ReplayedError))
        }
        (StoredResult::Error(_), OnFailure::Release) => {
            let message = "the stored result is an error; read it with `run_storing_errors`";
            Err(RunError::Decode(serde_json::Error::custom(message)))
        }
        (StoredResult::Omitted { reason }, _) => {
            Err(RunError::NotStored { reason: Arc::clone(reason), outcome: None })
        }
        // Another program wrote this record. It replays if `T` can be read from `null`.
        (StoredResult::Nothing, _) => value("null"),
    }
}

impl<B, R: ?Sized> fmt::Debug for IdempotentCall<'_, B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotentCall")
            .field("key", &self.key)
            .field("function_name", &self.function_name)
            .field("tenant", &self.tenant.map(Redacted))
            .field("status_code", &self.status_code)
            .field("store_request", &self.store_request)
            .finish_non_exhaustive()
    }
}
