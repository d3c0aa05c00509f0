//! What a backend answers.

use limited_core::{Claimed, Ownership, Record, Recorded, Tally};

use crate::Operation;

/// The answer to any operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To an increment or a read of a counter.
    Tally(Tally),
    Claimed(Claimed),
    Recorded(Recorded),
    /// To a renewal or a release.
    Ownership(Ownership),
    Found(Option<Record>),
    /// To a reset or a forgetting, which have no more to say.
    Done,
}

impl Answer {
    /// Whether this is an answer to that operation.
    pub(crate) const fn fits(&self, operation: Operation) -> bool {
        match operation {
            Operation::Increment | Operation::Get => matches!(self, Self::Tally(_)),
            Operation::Claim => matches!(self, Self::Claimed(_)),
            Operation::Finish => matches!(self, Self::Recorded(_)),
            Operation::Renew | Operation::Release => matches!(self, Self::Ownership(_)),
            Operation::Find => matches!(self, Self::Found(_)),
            Operation::Reset | Operation::Forget => matches!(self, Self::Done),
        }
    }
}

/// # For who knows which operation was asked
///
/// The stores answer what fits, and a fault is met only by operations that its answer fits.
impl Answer {
    pub(crate) fn into_tally(self) -> Tally {
        if let Self::Tally(tally) = self { tally } else { self.does_not_fit() }
    }

    pub(crate) fn into_claimed(self) -> Claimed {
        if let Self::Claimed(claimed) = self { claimed } else { self.does_not_fit() }
    }

    pub(crate) fn into_recorded(self) -> Recorded {
        if let Self::Recorded(recorded) = self { recorded } else { self.does_not_fit() }
    }

    pub(crate) fn into_ownership(self) -> Ownership {
        if let Self::Ownership(ownership) = self { ownership } else { self.does_not_fit() }
    }

    pub(crate) fn into_found(self) -> Option<Record> {
        if let Self::Found(found) = self { found } else { self.does_not_fit() }
    }

    fn does_not_fit(self) -> ! {
        unreachable!("an operation is answered with what fits it, and not with {self:?}")
    }
}
