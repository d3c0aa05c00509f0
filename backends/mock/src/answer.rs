//! What a backend answers.

use limited_core::{Acquisition, CounterState, FinishResult, LeaseStatus, Record};

use crate::Operation;

/// The answer to any operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// To an increment or a read of a counter.
    CounterState(CounterState),
    Acquisition(Acquisition),
    FinishResult(FinishResult),
    /// To a renewal or a release.
    LeaseStatus(LeaseStatus),
    Found(Option<Record>),
    /// To a reset or a forgetting, which have no more to say.
    Done,
}

impl Answer {
    /// Whether this is an answer to that operation.
    pub(crate) const fn fits(&self, operation: Operation) -> bool {
        match operation {
            Operation::Increment | Operation::Get => matches!(self, Self::CounterState(_)),
            Operation::Claim => matches!(self, Self::Acquisition(_)),
            Operation::Finish => matches!(self, Self::FinishResult(_)),
            Operation::Renew | Operation::Release => matches!(self, Self::LeaseStatus(_)),
            Operation::Find => matches!(self, Self::Found(_)),
            Operation::Reset | Operation::Forget => matches!(self, Self::Done),
        }
    }
}

/// # For who knows which operation was asked
///
/// The stores answer what fits, and a fault is met only by operations that its answer fits.
impl Answer {
    pub(crate) fn into_tally(self) -> CounterState {
        if let Self::CounterState(tally) = self { tally } else { self.does_not_fit() }
    }

    pub(crate) fn into_claimed(self) -> Acquisition {
        if let Self::Acquisition(claimed) = self { claimed } else { self.does_not_fit() }
    }

    pub(crate) fn into_recorded(self) -> FinishResult {
        if let Self::FinishResult(recorded) = self { recorded } else { self.does_not_fit() }
    }

    pub(crate) fn into_ownership(self) -> LeaseStatus {
        if let Self::LeaseStatus(ownership) = self { ownership } else { self.does_not_fit() }
    }

    pub(crate) fn into_found(self) -> Option<Record> {
        if let Self::Found(found) = self { found } else { self.does_not_fit() }
    }

    fn does_not_fit(self) -> ! {
        unreachable!("an operation is answered with what fits it, and not with {self:?}")
    }
}
