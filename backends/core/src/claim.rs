//! Claims: one owner at a time has the right to run an action, until it has finished.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Dimensions, InvalidKey, Key, Redacted, Timestamp};

/// How long a claim still belongs to its owner after its lease has ended, unless another owner
/// takes it over. After that the record has expired.
///
/// A full backend may remove such a claim earlier, as if another owner had taken it over and
/// released it.
pub const LAPSED_CLAIM_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// Identifies a claim: a key, within a namespace, for one purpose.
///
/// Claims with equal namespace, key and kind are the same claim, for every caller.
#[derive(Clone, Copy, Debug)]
pub struct ClaimKey<'a> {
    namespace: &'a str,
    kind: ClaimKind,
    key: &'a Key<'a>,
}

impl<'a> ClaimKey<'a> {
    /// Creates the identity of a claim.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the key is empty or too long.
    pub fn new(namespace: &'a str, kind: ClaimKind, key: &'a Key<'a>) -> Result<Self, InvalidKey> {
        key.validate()?;
        Ok(Self { namespace, kind, key })
    }

    /// Returns the namespace, which may be empty. A backend has to keep namespace and key separate.
    pub const fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Returns the purpose of the claim.
    pub const fn kind(&self) -> ClaimKind {
        self.kind
    }

    /// Returns the rendered key: 1 to 1,024 bytes of UTF-8.
    pub fn key(&self) -> &'a str {
        self.key.as_str()
    }

    /// Returns the parts of a composed key, for backends that index them. They are not part of the
    /// claim's identity.
    pub fn dimensions(&self) -> Option<&'a Dimensions> {
        self.key.dimensions()
    }
}

/// The purpose of a claim. Claims of different kinds are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClaimKind {
    /// To run a request once, and to return its result to every repetition.
    Idempotency,
    /// To run an action once.
    DoOnce,
    /// To execute an HTTP request once, and to return its response to every repetition.
    HttpRequest,
}

impl ClaimKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Idempotency, Self::DoOnce, Self::HttpRequest];

    /// Returns the name that backends store: `IDEMPOTENCY`, `DO_ONCE` or `HTTP_REQUEST`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idempotency => "IDEMPOTENCY",
            Self::DoOnce => "DO_ONCE",
            Self::HttpRequest => "HTTP_REQUEST",
        }
    }
}

/// Identifies the owner of a claim. The caller chooses a new one for each claim, such as a random
/// number.
///
/// Only a claim that is repeated because its response was lost has the same owner again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(pub u128);

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:032x})", self.0)
    }
}

/// A fencing token: each acquisition of a key has a higher one than all before it, also after
/// release, expiry and [`forget`](crate::Backend::forget).
///
/// The store that the owner writes to should refuse a token that is lower than one that it has
/// seen. That stops an owner that was delayed for longer than its lease (Kleppmann, "How to do
/// distributed locking", 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// Returns the token before the first one of a key at `now`: the whole microseconds since 1970.
    /// So the tokens of a key still rise after its record is gone.
    pub const fn seed(now: Timestamp) -> Self {
        Self(now.as_nanos() / 1_000)
    }

    /// Returns the next token.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The SHA-256 hash of a request, to compare requests with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestHash(pub [u8; 32]);

impl fmt::Display for RequestHash {
    /// Writes it in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RequestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHash({self})")
    }
}

/// The arguments of a claim: the owner, the end of its lease, and the request.
///
/// ```
/// # use limited_core::{ClaimMetadata, ClaimRequest, Owner, RequestHash, Timestamp};
/// let request = ClaimRequest::new(Owner(7), Timestamp::from_secs(1_767_225_600))
///     .with_request_hash(RequestHash([0; 32]))
///     .with_metadata(ClaimMetadata::default().with_tenant("acme"));
/// assert_eq!(request.metadata.tenant, Some("acme"));
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClaimRequest<'a> {
    /// The owner that claims the key.
    pub owner: Owner,
    /// When the lease ends.
    pub expires_at: Timestamp,
    /// The hash of the request, for other callers to compare with their own.
    pub request_hash: Option<RequestHash>,
    /// Stored with the record.
    pub metadata: ClaimMetadata<'a>,
}

impl<'a> ClaimRequest<'a> {
    /// Creates a claim without a request hash and without metadata.
    pub const fn new(owner: Owner, expires_at: Timestamp) -> Self {
        Self { owner, expires_at, request_hash: None, metadata: ClaimMetadata::NONE }
    }

    /// Returns the claim with this request hash.
    #[must_use]
    pub fn with_request_hash(self, request_hash: impl Into<Option<RequestHash>>) -> Self {
        Self { request_hash: request_hash.into(), ..self }
    }

    /// Returns the claim with this metadata.
    #[must_use]
    pub const fn with_metadata(self, metadata: ClaimMetadata<'a>) -> Self {
        Self { metadata, ..self }
    }
}

/// Stored with a record, for operators that inspect the store. It affects no decision.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimMetadata<'a> {
    /// The function that runs.
    pub function_name: Option<&'a str>,
    /// The tenant that it runs for.
    pub tenant: Option<&'a str>,
    /// The request.
    pub request: Option<&'a str>,
}

impl fmt::Debug for ClaimMetadata<'_> {
    /// Writes the function, and hashes and lengths of the tenant and the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function_name, tenant, request } = self;
        f.debug_struct("ClaimMetadata")
            .field("function_name", function_name)
            .field("tenant", &tenant.map(Redacted))
            .field("request", &request.map(Redacted))
            .finish()
    }
}

impl<'a> ClaimMetadata<'a> {
    /// No metadata.
    const NONE: Self = Self { function_name: None, tenant: None, request: None };

    /// Returns the metadata with this name of a function.
    #[must_use]
    pub fn with_function_name(self, name: impl Into<Option<&'a str>>) -> Self {
        Self { function_name: name.into(), ..self }
    }

    /// Returns the metadata with this tenant.
    #[must_use]
    pub fn with_tenant(self, tenant: impl Into<Option<&'a str>>) -> Self {
        Self { tenant: tenant.into(), ..self }
    }

    /// Returns the metadata with this request.
    #[must_use]
    pub fn with_request(self, request: impl Into<Option<&'a str>>) -> Self {
        Self { request: request.into(), ..self }
    }
}

/// The arguments of [`finish`](crate::Backend::finish): the owner and its result.
///
/// ```
/// # use limited_core::{Completion, Owner, StoredResult};
/// let completion =
///     Completion::new(Owner(7)).with_result(StoredResult::Value("42".into())).with_status_code(201);
/// assert_eq!(completion.status_code, Some(201));
/// assert_eq!(completion.expires, None);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Completion<'a> {
    /// The owner of the claim.
    pub owner: Owner,
    /// The result to store.
    pub result: StoredResult,
    /// A status code to store with it, such as that of HTTP.
    pub status_code: Option<u16>,
    /// When the record expires; `None` for never. See [`has_expired`] for the precision.
    pub expires: Option<Timestamp>,
    /// The metadata of the claim. A backend with records of limited size needs it to compute the
    /// remaining space.
    pub metadata: ClaimMetadata<'a>,
}

impl<'a> Completion<'a> {
    /// Creates a completion without a result, which never expires.
    pub const fn new(owner: Owner) -> Self {
        Self {
            owner,
            result: StoredResult::Nothing,
            status_code: None,
            expires: None,
            metadata: ClaimMetadata::NONE,
        }
    }

    /// Returns the completion with this result.
    #[must_use]
    pub fn with_result(self, result: StoredResult) -> Self {
        Self { result, ..self }
    }

    /// Returns the completion with this status code.
    #[must_use]
    pub fn with_status_code(self, code: impl Into<Option<u16>>) -> Self {
        Self { status_code: code.into(), ..self }
    }

    /// Returns the completion with this time of expiry. `None`: never.
    #[must_use]
    pub fn with_expiry(self, expires: impl Into<Option<Timestamp>>) -> Self {
        Self { expires: expires.into(), ..self }
    }

    /// Returns the completion with the metadata of the claim.
    #[must_use]
    pub fn with_metadata(self, metadata: ClaimMetadata<'a>) -> Self {
        Self { metadata, ..self }
    }
}

/// The result of a claimed action. All texts are JSON, which a backend stores unchanged.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum StoredResult {
    /// The action has no result.
    #[default]
    Nothing,
    /// The action returned this value.
    Value(Arc<str>),
    /// The action failed with this error, permanently.
    Error(Arc<str>),
    /// The action ran, but its result was not stored.
    Omitted {
        /// Why it was not stored.
        reason: Arc<str>,
    },
}

impl fmt::Debug for StoredResult {
    /// Writes the hash and the length of a value or an error.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Value(value) => f.debug_tuple("Value").field(&Redacted(value)).finish(),
            Self::Error(error) => f.debug_tuple("Error").field(&Redacted(error)).finish(),
            Self::Omitted { reason } => f.debug_struct("Omitted").field("reason", reason).finish(),
        }
    }
}

/// The result of [`claim`](crate::Backend::claim).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The owner acquired the key, until its lease ends.
    Acquired(Grant),
    /// Another owner holds the key, or the action has finished.
    Held(Record),
}

/// An acquired claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The fencing token of this acquisition.
    pub fencing_token: FencingToken,
    /// When the lease ends, unless it is renewed.
    pub expires_at: Timestamp,
}

/// The record of a claimed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An owner holds the key, or its lease has ended without a takeover.
    InProgress(InProgress),
    /// The owner has finished.
    Finished(Finished),
}

impl Record {
    /// Returns the request hash of the claim.
    pub const fn request_hash(&self) -> Option<RequestHash> {
        match self {
            Self::InProgress(record) => record.request_hash,
            Self::Finished(record) => record.request_hash,
        }
    }
}

/// A claim that its owner has not finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// The owner of the claim.
    pub owner: Owner,
    /// The fencing token of the claim.
    pub fencing_token: FencingToken,
    /// When the lease ends or has ended.
    pub expires_at: Timestamp,
    /// The request hash of the claim.
    pub request_hash: Option<RequestHash>,
}

/// A claim that its owner has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The owner of the claim.
    pub owner: Owner,
    /// The fencing token of the claim.
    pub fencing_token: FencingToken,
    /// When the owner finished.
    pub at: Timestamp,
    /// The result.
    pub result: StoredResult,
    /// The status code.
    pub status_code: Option<u16>,
    /// The request hash of the claim.
    pub request_hash: Option<RequestHash>,
}

/// The result of [`finish`](crate::Backend::finish).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishResult {
    /// The record is finished, with this result. If the owner itself passed
    /// [`Omitted`](StoredResult::Omitted), the record contains that.
    Stored,
    /// The record is finished, but its result was not stored: it is too large for the backend, or
    /// the backend has no room for it.
    Omitted {
        /// Why it was not stored.
        reason: Arc<str>,
    },
    /// Nothing was stored: the claim no longer belongs to the owner. Contains the current record,
    /// if there is one.
    Lost(Option<Record>),
}

/// The result of [`renew`](crate::Backend::renew) and [`release`](crate::Backend::release).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// The claim belonged to the owner, and the operation was applied.
    Owned,
    /// Nothing was changed: the claim no longer belongs to the owner. Contains the current record,
    /// if there is one.
    Lost(Option<Record>),
}

/// Returns whether a record with this expiry has expired at `now`. The expiry is rounded up to a
/// whole second, because databases store it in seconds.
///
/// A record that expires at the last [`Timestamp`] never expires.
pub const fn has_expired(expires: Timestamp, now: Timestamp) -> bool {
    expires.as_nanos().div_ceil(1_000_000_000) <= now.as_secs()
}

/// Returns when a claim expires that is neither finished, renewed nor taken over:
/// [`LAPSED_CLAIM_TTL`] after the end of its lease.
pub const fn lapsed_claim_expires(expires_at: Timestamp) -> Timestamp {
    expires_at.saturating_add(LAPSED_CLAIM_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_expires_at_the_end_of_its_second() {
        let expires = Timestamp::from_nanos(7_000_000_001);
        assert!(!has_expired(expires, Timestamp::from_nanos(7_999_999_999)));
        assert!(has_expired(expires, Timestamp::from_secs(8)));
        assert!(has_expired(Timestamp::from_secs(7), Timestamp::from_secs(7)));
        assert!(!has_expired(Timestamp::MAX, Timestamp::MAX));
    }

    #[test]
    fn fencing_tokens_follow_the_time_and_each_other() {
        let seed = FencingToken::seed(Timestamp::from_nanos(2_999));
        assert_eq!((seed, seed.next()), (FencingToken(2), FencingToken(3)));
        assert!(FencingToken::seed(Timestamp::MAX) < FencingToken(i64::MAX as u64));
        assert_eq!(FencingToken(u64::MAX).next(), FencingToken(u64::MAX));
    }

    #[test]
    fn debug_prints_no_result_tenant_or_request() {
        let metadata = ClaimMetadata::default()
            .with_function_name("charge")
            .with_tenant("acme")
            .with_request("{\"card\":4242}");
        let request = ClaimRequest::new(Owner(7), Timestamp::EPOCH).with_metadata(metadata);
        let completion = Completion::new(Owner(7))
            .with_result(StoredResult::Value("{\"card\":4242}".into()))
            .with_metadata(metadata);
        let record = Record::Finished(Finished {
            owner: Owner(7),
            fencing_token: FencingToken(1),
            at: Timestamp::EPOCH,
            result: StoredResult::Error("{\"card\":4242}".into()),
            status_code: Some(402),
            request_hash: None,
        });
        let lost = FinishResult::Lost(Some(record.clone()));
        for printed in [
            format!("{request:?}"),
            format!("{completion:?}"),
            format!("{record:?}"),
            format!("{lost:?}"),
            format!("{:?}", Acquisition::Held(record)),
        ] {
            assert!(!printed.contains("4242") && !printed.contains("acme"), "{printed}");
            assert!(printed.contains("13 bytes, hash "), "{printed}");
        }
        assert!(format!("{request:?}").contains("function_name: Some(\"charge\")"));
    }

    #[test]
    fn request_hash_is_written_in_hexadecimal() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert_eq!(RequestHash(bytes).to_string(), format!("ab{}", "0".repeat(62)));
    }

    #[test]
    fn each_kind_has_its_own_name() {
        assert_eq!(ClaimKind::ALL.map(ClaimKind::as_str), ["IDEMPOTENCY", "DO_ONCE", "HTTP_REQUEST"]);
    }
}
