//! What a backend can be asked.

use limited_core::{ClaimKey, ClaimRequest, Completion, Counter, Generation, Hit, Owner, Timestamp};

/// The operations of a backend, to say which ones a fault or a gate is for, and to count calls by.
///
/// The sliding operations are not among them: the mock has the two-step default of the contract, so that a sliding
/// hit is one `Get` and one `Increment`, and a sliding read is two `Get`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Backend::increment`](limited_core::Backend::increment).
    Increment,
    /// [`Backend::get`](limited_core::Backend::get).
    Get,
    /// [`Backend::reset`](limited_core::Backend::reset).
    Reset,
    /// [`Backend::claim`](limited_core::Backend::claim).
    Claim,
    /// [`Backend::finish`](limited_core::Backend::finish).
    Finish,
    /// [`Backend::renew`](limited_core::Backend::renew).
    Renew,
    /// [`Backend::release`](limited_core::Backend::release).
    Release,
    /// [`Backend::find`](limited_core::Backend::find).
    Find,
    /// [`Backend::forget`](limited_core::Backend::forget).
    Forget,
}

impl Operation {
    /// Every operation: those of counters, then those of claims.
    pub const ALL: [Self; 9] = [
        Self::Increment,
        Self::Get,
        Self::Reset,
        Self::Claim,
        Self::Finish,
        Self::Renew,
        Self::Release,
        Self::Find,
        Self::Forget,
    ];

    /// Whether it may change what is stored.
    pub(crate) const fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Find)
    }
}

/// One operation on what it is about, with its arguments, apart from the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    OfCounter(&'a Counter<'a>, OfCounter<'a>),
    OfClaim(&'a ClaimKey<'a>, OfClaim<'a>),
}

/// What a counter is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfCounter<'a> {
    Increment(&'a Hit<'a>),
    Get,
    Reset(Option<Generation>),
}

/// What a claimed key is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfClaim<'a> {
    Claim(&'a ClaimRequest<'a>),
    Finish(&'a Completion<'a>),
    Renew { owner: Owner, until: Timestamp },
    Release(Owner),
    Find,
    Forget,
}

impl Request<'_> {
    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::OfCounter(_, OfCounter::Increment(_)) => Operation::Increment,
            Self::OfCounter(_, OfCounter::Get) => Operation::Get,
            Self::OfCounter(_, OfCounter::Reset(_)) => Operation::Reset,
            Self::OfClaim(_, OfClaim::Claim(_)) => Operation::Claim,
            Self::OfClaim(_, OfClaim::Finish(_)) => Operation::Finish,
            Self::OfClaim(_, OfClaim::Renew { .. }) => Operation::Renew,
            Self::OfClaim(_, OfClaim::Release(_)) => Operation::Release,
            Self::OfClaim(_, OfClaim::Find) => Operation::Find,
            Self::OfClaim(_, OfClaim::Forget) => Operation::Forget,
        }
    }
}
