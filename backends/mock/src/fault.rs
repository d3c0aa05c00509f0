//! What goes otherwise than in a real backend, and for which calls.

use limited_core::{Acquisition, BackendError, CounterState, FinishResult, LeaseStatus, Record};

use crate::Operation;
use crate::answer::Answer;

/// Something for a mock to do otherwise, and for which calls: the next one of any operation, unless told more.
///
/// ```
/// # use limited_core::BackendError;
/// # use limited_mock::{Fault, MockBackend, Operation};
/// let mock = MockBackend::new();
/// let throttled = || BackendError::throttled("slow down");
/// mock.inject(Fault::error(throttled()));                                       // the next call
/// mock.inject(Fault::error(throttled()).on(Operation::Increment).times(3));     // three hits
/// mock.inject(Fault::lost_response().every(10));                                  // each tenth call
/// mock.inject(Fault::error(BackendError::unavailable("an outage")).always());   // until `clear_faults`
/// ```
///
/// A call meets one fault at most: of those that are due, the one injected first.
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    effect: Effect,
    operation: Option<Operation>,
    schedule: Schedule,
}

/// What happens to a call that meets a fault.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Error(BackendError),
    Answer(Answer),
    LostAnswer,
    RepeatedWrite,
}

#[derive(Clone, Copy, Debug)]
enum Schedule {
    Times(usize),
    /// `met` calls of the `n` that make a round have been met.
    Every {
        n: usize,
        met: usize,
    },
    Always,
}

/// # What happens
impl Fault {
    /// The call fails with this error, and changes nothing.
    pub const fn error(error: BackendError) -> Self {
        Self::new(Effect::Error(error))
    }

    /// The call is carried out, and its answer lost: the caller gets [`TimedOut`](BackendError::TimedOut) although
    /// its hit was counted, its key claimed, or whatever else it asked for done.
    pub const fn lost_response() -> Self {
        Self::new(Effect::LostAnswer)
    }

    /// The write is carried out, its answer lost, and the same write sent again below the caller, as client
    /// libraries do. It is recognised, so it counts once, and the caller gets its answer: a hit by itself, and a claim,
    /// a completion, a renewal or a release by its owner.
    ///
    /// For all writes; [`Get`](Operation::Get) and [`Find`](Operation::Find) do not meet it.
    pub const fn repeated_write() -> Self {
        Self::new(Effect::RepeatedWrite)
    }

    /// The caller gets this tally, whatever is stored, and nothing is counted.
    ///
    /// For increments and reads of counters; what answers no tally does not meet it. A sliding hit reads before it
    /// increments: say [`on`](Self::on) which of both is meant.
    pub const fn counter_state(state: CounterState) -> Self {
        Self::new(Effect::Answer(Answer::CounterState(state)))
    }

    /// The caller of a claim gets this answer, whatever is stored, and the key stays as it is.
    pub const fn acquisition(claimed: Acquisition) -> Self {
        Self::new(Effect::Answer(Answer::Acquisition(claimed)))
    }

    /// Who finishes gets this answer, whatever is stored, and the key stays as it is.
    ///
    /// [`FinishResult::Omitted`] is what a store answers that has no room for the result, which the mock always has.
    pub const fn finish_result(recorded: FinishResult) -> Self {
        Self::new(Effect::Answer(Answer::FinishResult(recorded)))
    }

    /// Who renews or releases gets this answer, whatever is stored, and the key stays as it is. Say
    /// [`on`](Self::on) which of both is meant.
    pub const fn lease_status(ownership: LeaseStatus) -> Self {
        Self::new(Effect::Answer(Answer::LeaseStatus(ownership)))
    }

    /// Who looks for a claim finds this, whatever is stored.
    pub const fn record(found: Option<Record>) -> Self {
        Self::new(Effect::Answer(Answer::Found(found)))
    }

    const fn new(effect: Effect) -> Self {
        Self { effect, operation: None, schedule: Schedule::Times(1) }
    }
}

/// # For which calls
impl Fault {
    /// Only for calls of this operation. Others neither meet the fault nor count for it.
    pub const fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// For one call, then no more. This is what a fault does unless told otherwise.
    pub const fn once(self) -> Self {
        self.times(1)
    }

    /// For `n` calls, then no more.
    pub const fn times(mut self, n: usize) -> Self {
        self.schedule = Schedule::Times(n);
        self
    }

    /// For each `n`-th call from the injection on: with 3, the third, the sixth and so on; with 0, none.
    ///
    /// Calls count for it also where an earlier fault takes them.
    pub const fn every(mut self, n: usize) -> Self {
        self.schedule = match n {
            0 => Schedule::Times(0),
            _ => Schedule::Every { n, met: 0 },
        };
        self
    }

    /// For every call, until [`clear_faults`](crate::MockBackend::clear_faults).
    pub const fn always(mut self) -> Self {
        self.schedule = Schedule::Always;
        self
    }

    fn concerns(&self, operation: Operation) -> bool {
        let fits = match &self.effect {
            Effect::Error(_) | Effect::LostAnswer => true,
            Effect::Answer(answer) => answer.fits(operation),
            Effect::RepeatedWrite => operation.is_write(),
        };
        fits && self.operation.is_none_or(|only| only == operation)
    }

    /// Whether this fault takes a call that it concerns, where no earlier one has.
    fn takes(&mut self, free: bool) -> bool {
        match &mut self.schedule {
            Schedule::Times(left) => {
                let takes = free && *left > 0;
                *left -= usize::from(takes);
                takes
            }
            Schedule::Every { n, met } => {
                *met = (*met + 1) % *n;
                free && *met == 0
            }
            Schedule::Always => free,
        }
    }

    const fn is_spent(&self) -> bool {
        matches!(self.schedule, Schedule::Times(0))
    }
}

/// The faults that are still to come, in the order in which they were injected.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<Fault>);

impl Script {
    pub(crate) fn push(&mut self, fault: Fault) {
        if !fault.is_spent() {
            self.0.push(fault);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What happens to the next call, which is of this operation; `None` where it is answered as a real backend would.
    pub(crate) fn next(&mut self, operation: Operation) -> Option<Effect> {
        let mut effect = None;
        for fault in self.0.iter_mut().filter(|fault| fault.concerns(operation)) {
            if fault.takes(effect.is_none()) {
                effect = Some(fault.effect.clone());
            }
        }
        self.0.retain(|fault| !fault.is_spent());
        effect
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of `calls` calls meet the fault, counted from one.
    fn met(fault: Fault, calls: usize) -> Vec<usize> {
        let mut script = Script::default();
        script.push(fault);
        (1..=calls).filter(|_| script.next(Operation::Increment).is_some()).collect()
    }

    #[test]
    fn a_schedule_says_which_calls_meet_a_fault() {
        let fault = Fault::lost_response;
        assert_eq!(met(fault(), 7), [1]);
        assert_eq!(met(fault().always().once(), 7), [1]);
        assert_eq!(met(fault().times(3), 7), [1, 2, 3]);
        assert_eq!(met(fault().every(3), 7), [3, 6]);
        assert_eq!(met(fault().every(1), 3), [1, 2, 3]);
        assert_eq!(met(fault().always(), 3), [1, 2, 3]);
        assert_eq!(met(fault().times(0), 3), []);
        assert_eq!(met(fault().every(0), 3), []);
    }

    #[test]
    fn a_fault_concerns_only_operations_that_it_fits() {
        let all = [Operation::Increment, Operation::Get, Operation::Reset];
        let concerned = |fault: Fault| all.map(|operation| fault.concerns(operation));
        let error = || Fault::error(BackendError::throttled("slow down"));
        assert_eq!(concerned(error()), [true, true, true]);
        assert_eq!(concerned(Fault::lost_response()), [true, true, true]);
        assert_eq!(concerned(Fault::counter_state(CounterState::default())), [true, true, false]);
        assert_eq!(concerned(Fault::repeated_write()), [true, false, true]);
        assert_eq!(concerned(error().on(Operation::Get)), [false, true, false]);
        assert_eq!(concerned(Fault::repeated_write().on(Operation::Get)), [false, false, false]);
    }

    #[test]
    fn a_call_meets_the_fault_that_was_injected_first() {
        let mut script = Script::default();
        script.push(Fault::counter_state(CounterState::new(true, 1)));
        script.push(Fault::counter_state(CounterState::new(true, 2)).times(2));
        let mut answers = Vec::new();
        while let Some(Effect::Answer(Answer::CounterState(state))) = script.next(Operation::Get) {
            answers.push(tally.value);
        }
        assert_eq!(answers, [1, 2, 2]);
        assert_eq!(script.len(), 0);
    }

    #[test]
    fn calls_that_an_earlier_fault_takes_count_towards_every_nth() {
        let mut script = Script::default();
        script.push(Fault::error(BackendError::throttled("slow down")).times(3));
        script.push(Fault::lost_response().every(2));
        for _ in 0..3 {
            assert!(matches!(script.next(Operation::Get), Some(Effect::Error(_))));
        }
        assert!(matches!(script.next(Operation::Get), Some(Effect::LostAnswer)));
        assert!(script.next(Operation::Get).is_none());
    }
}
