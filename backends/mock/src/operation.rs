//! What a backend can be asked.

use limited_core::{ClaimKey, ClaimRequest, Completion, Counter, Hit, Operation, Owner, Timestamp, WindowId};

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
    Reset(Option<WindowId>),
}

/// What a claimed key is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfClaim<'a> {
    Claim(&'a ClaimRequest<'a>),
    Finish(&'a Completion<'a>),
    Renew { owner: Owner, expires_at: Timestamp },
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
