//! Results of operations, as one type.

use limited_core::{Acquisition, CounterState, FinishResult, LeaseStatus, Operation, Record};

/// The result of any operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    /// Of an increment, a refund or a read of a counter.
    CounterState(CounterState),
    /// Of several hits at once.
    CounterStates(Vec<CounterState>),
    Acquisition(Acquisition),
    FinishResult(FinishResult),
    /// Of a renewal or a release.
    LeaseStatus(LeaseStatus),
    Record(Option<Record>),
    /// Of `reset` and `forget`, which return nothing.
    Done,
}

impl Response {
    /// Returns whether the operation returns this kind of result.
    pub(crate) const fn fits(&self, operation: Operation) -> bool {
        match operation {
            Operation::Increment | Operation::Refund | Operation::Get => {
                matches!(self, Self::CounterState(_))
            }
            Operation::IncrementAll => matches!(self, Self::CounterStates(_)),
            Operation::Claim => matches!(self, Self::Acquisition(_)),
            Operation::Finish => matches!(self, Self::FinishResult(_)),
            Operation::Renew | Operation::Release => matches!(self, Self::LeaseStatus(_)),
            Operation::Find => matches!(self, Self::Record(_)),
            Operation::Reset | Operation::Forget => matches!(self, Self::Done),
            // An operation that is newer than this mock.
            _ => false,
        }
    }
}

/// # Conversion by a caller that knows the operation
///
/// The stores return what fits, and a fault applies only to operations that its result fits.
impl Response {
    pub(crate) fn into_counter_state(self) -> CounterState {
        if let Self::CounterState(state) = self { state } else { self.does_not_fit() }
    }

    pub(crate) fn into_counter_states(self) -> Vec<CounterState> {
        if let Self::CounterStates(states) = self { states } else { self.does_not_fit() }
    }

    pub(crate) fn into_acquisition(self) -> Acquisition {
        if let Self::Acquisition(acquisition) = self { acquisition } else { self.does_not_fit() }
    }

    pub(crate) fn into_finish_result(self) -> FinishResult {
        if let Self::FinishResult(result) = self { result } else { self.does_not_fit() }
    }

    pub(crate) fn into_lease_status(self) -> LeaseStatus {
        if let Self::LeaseStatus(status) = self { status } else { self.does_not_fit() }
    }

    pub(crate) fn into_record(self) -> Option<Record> {
        if let Self::Record(record) = self { record } else { self.does_not_fit() }
    }

    fn does_not_fit(self) -> ! {
        unreachable!("the operation does not return {self:?}")
    }
}
