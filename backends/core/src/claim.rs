//! What a backend is asked, and what it answers, about claims: one owner at a time, until it is done.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{Dimensions, InvalidKey, Key, Timestamp};

/// How long a claim whose lease has ended still belongs to its owner, where nobody else takes it; afterwards the record
/// has expired.
pub const LAPSED_CLAIM_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What is claimed: a key, within a namespace, for one purpose.
///
/// Claims with equal namespace, key and kind are the same, whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct ClaimKey<'a> {
    namespace: &'a str,
    kind: ClaimKind,
    key: &'a Key<'a>,
}

impl<'a> ClaimKey<'a> {
    /// The claim on a key; an error for a key that no backend takes.
    pub fn new(namespace: &'a str, kind: ClaimKind, key: &'a Key<'a>) -> Result<Self, InvalidKey> {
        key.validate()?;
        Ok(Self { namespace, kind, key })
    }

    /// The namespace, which may be empty. A backend must keep namespace and key apart.
    pub const fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// What the key is claimed for.
    pub const fn kind(&self) -> ClaimKind {
        self.kind
    }

    /// The rendered key: 1 to 1,024 bytes of UTF-8.
    pub fn key(&self) -> &'a str {
        self.key.as_str()
    }

    /// What the key was composed of, for backends that index it. It does not tell claims apart.
    pub fn dimensions(&self) -> Option<&'a Dimensions> {
        self.key.dimensions()
    }
}

/// What a key is claimed for. Claims of different kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ClaimKind {
    /// To run a request once and give its result to whoever repeats it.
    Idempotency,
    /// To do something once.
    DoOnce,
}

impl ClaimKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Idempotency, Self::DoOnce];

    /// Its name, for backends to store: `IDEMPOTENCY`, `DO_ONCE`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idempotency => "IDEMPOTENCY",
            Self::DoOnce => "DO_ONCE",
        }
    }
}

/// Who claims: a token that the caller makes up, fresh for each claim.
///
/// Only the repetition of a claim whose answer was lost has the token that it had.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(pub u128);

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({:032x})", self.0)
    }
}

/// A fencing number: each grant of a key has a higher one than every grant before it, also after release, expiry and
/// [`forget`](crate::Backend::forget).
///
/// What the owner writes to should refuse a number that is lower than one it has seen: that is what stops an owner who
/// was held up for longer than its lease (Kleppmann, "How to do distributed locking", 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(pub u64);

impl FencingToken {
    /// The number that the first grant of a key at `now` follows: whole microseconds since 1970, so that a key whose
    /// record is gone goes on higher than it was.
    pub const fn seed(now: Timestamp) -> Self {
        Self(now.as_nanos() / 1_000)
    }

    /// The next number.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A SHA-256 by which requests are told apart.
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
        write!(f, "Fingerprint({self})")
    }
}

/// A claim on a key: who, until when, and for which request.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest<'a> {
    /// Who claims.
    pub owner: Owner,
    /// When the lease ends.
    pub expires_at: Timestamp,
    /// What is to be done, for the others to compare with what they want done.
    pub request_hash: Option<RequestHash>,
    /// What is kept with the record.
    pub metadata: ClaimMetadata<'a>,
}

impl ClaimRequest<'_> {
    /// A claim without a fingerprint and without details.
    pub const fn new(owner: Owner, expires_at: Timestamp) -> Self {
        let metadata = ClaimMetadata { function_name: None, tenant: None, request: None };
        Self { owner, expires_at, request_hash: None, metadata }
    }
}

/// What is kept with a record for who looks at the store. No operation decides by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClaimMetadata<'a> {
    /// What ran.
    pub function_name: Option<&'a str>,
    /// For whom.
    pub tenant: Option<&'a str>,
    /// The request itself.
    pub request: Option<&'a str>,
}

/// What the owner of a claim has done.
#[derive(Clone, Debug)]
pub struct Completion<'a> {
    /// Who has done it.
    pub owner: Owner,
    /// What came of it.
    pub result: StoredResult,
    /// A status code to keep with it, such as that of HTTP.
    pub status_code: Option<u16>,
    /// When the record expires; never, where there is no such time. See [`has_expired`] for the precision.
    pub expires: Option<Timestamp>,
    /// What the claim brought. A backend whose records are bounded in size has to know how much of it is taken.
    pub metadata: ClaimMetadata<'a>,
}

impl Completion<'_> {
    /// A completion with nothing to keep, that never expires.
    pub const fn new(owner: Owner) -> Self {
        let metadata = ClaimMetadata { function_name: None, tenant: None, request: None };
        Self { owner, result: StoredResult::Nothing, status_code: None, expires: None, metadata }
    }
}

/// What came of what was claimed. Texts are JSON, for a backend to store as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoredResult {
    /// It is done, and there is no more to say.
    #[default]
    Nothing,
    /// It is done, with this value.
    Value(Arc<str>),
    /// It failed with this error, for good.
    Error(Arc<str>),
    /// It is done, and its result could not be kept.
    Omitted {
        /// Why not.
        reason: Arc<str>,
    },
}

/// What a claim is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// The key is the owner's, until the lease ends.
    Acquired(Grant),
    /// Somebody else has it, or it is done.
    Held(Record),
}

/// A granted claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The number of this grant.
    pub fencing_token: FencingToken,
    /// When the lease ends, unless it is renewed.
    pub expires_at: Timestamp,
}

/// What there is on a claimed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Somebody is at it.
    InProgress(InProgress),
    /// It is done.
    Finished(Finished),
}

impl Record {
    /// The fingerprint that the claim brought.
    pub const fn request_hash(&self) -> Option<RequestHash> {
        match self {
            Self::InProgress(record) => record.request_hash,
            Self::Finished(record) => record.request_hash,
        }
    }
}

/// A claim that is held, or was until its lease ended and nobody else took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProgress {
    /// Who holds it.
    pub owner: Owner,
    /// The number of the grant.
    pub fencing_token: FencingToken,
    /// When the lease ends, or has ended.
    pub expires_at: Timestamp,
    /// The fingerprint that the claim brought.
    pub request_hash: Option<RequestHash>,
}

/// A claim whose owner has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Who has done it.
    pub owner: Owner,
    /// The number of its grant.
    pub fencing_token: FencingToken,
    /// When it was finished.
    pub at: Timestamp,
    /// What came of it.
    pub result: StoredResult,
    /// The status code that was kept with it.
    pub status_code: Option<u16>,
    /// The fingerprint that the claim brought.
    pub request_hash: Option<RequestHash>,
}

/// What [`finish`](crate::Backend::finish) is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishResult {
    /// The record says that it is done, with the result that was given: where that was
    /// [`Omitted`](StoredResult::Omitted), it says so.
    Stored,
    /// The record says that it is done, and that its result could not be kept: the backend has no room for it.
    Omitted {
        /// Why not.
        reason: Arc<str>,
    },
    /// Nothing was recorded: the claim is no longer the owner's. This is what there is instead.
    Lost(Option<Record>),
}

/// What [`renew`](crate::Backend::renew) and [`release`](crate::Backend::release) are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseStatus {
    /// The claim was the owner's, and it is done.
    Owned,
    /// Nothing was changed: the claim is no longer the owner's. This is what there is instead.
    Lost(Option<Record>),
}

/// Whether a record that `expires` then has expired at `now`: in whole seconds, the time of expiry rounded up, since
/// that is what databases keep.
///
/// A record that expires at the end of time never does.
pub const fn has_expired(expires: Timestamp, now: Timestamp) -> bool {
    expires.as_nanos().div_ceil(1_000_000_000) <= now.as_secs()
}

/// When a claim expires that is neither finished nor renewed nor taken over: [`LAPSED_CLAIM_TTL`] after its lease.
pub const fn lapsed_claim_expires(expires_at: Timestamp) -> Timestamp {
    expires_at.saturating_add(LAPSED_CLAIM_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_expires_at_the_end_of_its_second() {
        let expires = Timestamp::from_nanos(7_000_000_001);
        assert!(!has_expired(expires, Timestamp::from_nanos(7_999_999_999)));
        assert!(has_expired(expires, Timestamp::from_secs(8)));
        assert!(has_expired(Timestamp::from_secs(7), Timestamp::from_secs(7)));
        assert!(!has_expired(Timestamp::MAX, Timestamp::MAX));
    }

    #[test]
    fn the_numbers_of_grants_follow_the_time_and_each_other() {
        let seed = FencingToken::seed(Timestamp::from_nanos(2_999));
        assert_eq!((seed, seed.next()), (FencingToken(2), FencingToken(3)));
        assert!(FencingToken::seed(Timestamp::MAX) < FencingToken(i64::MAX as u64));
        assert_eq!(FencingToken(u64::MAX).next(), FencingToken(u64::MAX));
    }

    #[test]
    fn a_fingerprint_is_written_in_hexadecimal() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        assert_eq!(RequestHash(bytes).to_string(), format!("ab{}", "0".repeat(62)));
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        assert_eq!(ClaimKind::ALL.map(ClaimKind::as_str), ["IDEMPOTENCY", "DO_ONCE"]);
    }
}
