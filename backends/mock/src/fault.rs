//! Faults: what a call does instead of what the contract says, and which calls it affects.

use limited_core::{
    Acquisition, BackendError, CounterState, FinishResult, Key, LeaseStatus, Operation, Record,
};

use crate::request::Request;
use crate::response::Response;

/// A fault of a mock. Default: it affects the next call of any operation.
///
/// ```
/// # use limited_core::BackendError;
/// # use limited_mock::{Fault, MockBackend, Operation};
/// let mock = MockBackend::new();
/// let throttled = || BackendError::throttled("slow down");
/// mock.inject(Fault::error(throttled()));                                       // the next call
/// mock.inject(Fault::error(throttled()).on(Operation::Increment).times(3));     // three hits
/// mock.inject(Fault::lost_response().on(Operation::IncrementAll));              // several hits
/// mock.inject(Fault::lost_response().every(10));                                // each tenth call
/// mock.inject(Fault::error(BackendError::unavailable("an outage")).always());   // until `clear_faults`
/// mock.inject(Fault::error(throttled()).for_namespace("login").always());       // one limiter
/// mock.inject(Fault::error(throttled()).for_key("user:7"));                     // one hot key
/// ```
///
/// At most one fault affects a call: of the faults that are due, the one injected first.
#[derive(Clone, Debug)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    effect: Effect,
    operation: Option<Operation>,
    namespace: Option<String>,
    /// The rendered key.
    key: Option<String>,
    schedule: Schedule,
}

/// What happens to an affected call.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    Error(BackendError),
    Response(Response),
    LostResponse,
    RepeatedWrite,
}

#[derive(Clone, Copy, Debug)]
enum Schedule {
    Times(usize),
    /// `seen` calls of the current group of `n` have come.
    Every {
        n: usize,
        seen: usize,
    },
    Always,
}

/// # The effect
impl Fault {
    /// Fails the call with this error. The call changes nothing.
    pub const fn error(error: BackendError) -> Self {
        Self::new(Effect::Error(error))
    }

    /// Applies the call and loses its response: the caller gets
    /// [`TimedOut`](BackendError::TimedOut) although its hit was counted, its key was claimed, and
    /// so on.
    pub const fn lost_response() -> Self {
        Self::new(Effect::LostResponse)
    }

    /// Applies the write, loses its response, and repeats the write below the caller, as client
    /// libraries do. The repetition is recognised: the write counts once, and the caller gets its
    /// result.
    ///
    /// For all writes. [`Get`](Operation::Get) and [`Find`](Operation::Find) are not affected.
    pub const fn repeated_write() -> Self {
        Self::new(Effect::RepeatedWrite)
    }

    /// Returns this state, whatever is stored. Nothing is counted.
    ///
    /// For increments, refunds and reads of counters; other operations are not affected. A sliding
    /// hit reads before it increments: choose one of them with [`on`](Self::on).
    pub const fn counter_state(state: CounterState) -> Self {
        Self::new(Effect::Response(Response::CounterState(state)))
    }

    /// Returns these states from several hits at once, whatever is stored: one for each hit.
    /// Nothing is counted.
    ///
    /// For [`IncrementAll`](Operation::IncrementAll) alone.
    pub const fn counter_states(states: Vec<CounterState>) -> Self {
        Self::new(Effect::Response(Response::CounterStates(states)))
    }

    /// Returns this result from a claim, whatever is stored. The key does not change.
    pub const fn acquisition(acquisition: Acquisition) -> Self {
        Self::new(Effect::Response(Response::Acquisition(acquisition)))
    }

    /// Returns this result from `finish`, whatever is stored. The key does not change.
    ///
    /// [`FinishResult::Omitted`] is the result of a store that has no room for the value. The mock
    /// itself always has.
    pub const fn finish_result(result: FinishResult) -> Self {
        Self::new(Effect::Response(Response::FinishResult(result)))
    }

    /// Returns this result from a renewal or a release, whatever is stored. The key does not
    /// change. Choose one of both with [`on`](Self::on).
    pub const fn lease_status(status: LeaseStatus) -> Self {
        Self::new(Effect::Response(Response::LeaseStatus(status)))
    }

    /// Returns this record from `find`, whatever is stored.
    pub const fn record(record: Option<Record>) -> Self {
        Self::new(Effect::Response(Response::Record(record)))
    }

    const fn new(effect: Effect) -> Self {
        Self { effect, operation: None, namespace: None, key: None, schedule: Schedule::Times(1) }
    }
}

/// # The affected calls
impl Fault {
    /// Limits the fault to calls of this operation. Other calls do not count for
    /// [`every`](Self::every) either.
    pub const fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Limits the fault to calls in this namespace: of several hits at once, at least one. Other
    /// calls do not count for [`every`](Self::every) either.
    pub fn for_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Limits the fault to calls about this key, in every namespace that
    /// [`for_namespace`](Self::for_namespace) allows: of several hits at once, at least one. Other
    /// calls do not count for [`every`](Self::every) either.
    ///
    /// The key is what the limiter gets: a text, a [`Key`], or a scope and a name in it.
    pub fn for_key<'k>(mut self, key: impl Into<Key<'k>>) -> Self {
        self.key = Some(key.into().as_str().to_owned());
        self
    }

    /// Affects one call. The default.
    pub const fn once(self) -> Self {
        self.times(1)
    }

    /// Affects the next `n` calls.
    pub const fn times(mut self, n: usize) -> Self {
        self.schedule = Schedule::Times(n);
        self
    }

    /// Affects each `n`-th call after the injection: with 3, the third, the sixth and so on; with
    /// 0, none.
    ///
    /// Calls that an earlier fault affects count too.
    pub const fn every(mut self, n: usize) -> Self {
        self.schedule = match n {
            0 => Schedule::Times(0),
            _ => Schedule::Every { n, seen: 0 },
        };
        self
    }

    /// Affects every call, until [`clear_faults`](crate::MockBackend::clear_faults).
    pub const fn always(mut self) -> Self {
        self.schedule = Schedule::Always;
        self
    }

    fn applies_to(&self, request: &Request) -> bool {
        let is_about = |namespace: &str, key: &str| {
            self.namespace.as_deref().is_none_or(|only| only == namespace)
                && self.key.as_deref().is_none_or(|only| only == key)
        };
        self.is_for(request.operation()) && request.is_about(is_about)
    }

    fn is_for(&self, operation: Operation) -> bool {
        let fits = match &self.effect {
            Effect::Error(_) | Effect::LostResponse => true,
            Effect::Response(response) => response.fits(operation),
            Effect::RepeatedWrite => operation.is_write(),
        };
        fits && self.operation.is_none_or(|only| only == operation)
    }

    /// Returns whether this fault affects a call that it applies to. `is_free`: no earlier fault
    /// does.
    fn affects(&mut self, is_free: bool) -> bool {
        match &mut self.schedule {
            Schedule::Times(left) => {
                let affects = is_free && *left > 0;
                *left -= usize::from(affects);
                affects
            }
            Schedule::Every { n, seen } => {
                *seen = (*seen + 1) % *n;
                is_free && *seen == 0
            }
            Schedule::Always => is_free,
        }
    }

    const fn is_spent(&self) -> bool {
        matches!(self.schedule, Schedule::Times(0))
    }
}

/// The pending faults, in the order of their injection.
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

    /// Returns the effect on the next call, which is this request; `None` if no fault affects it.
    pub(crate) fn next(&mut self, request: &Request) -> Option<Effect> {
        let mut effect = None;
        for fault in self.0.iter_mut().filter(|fault| fault.applies_to(request)) {
            if fault.affects(effect.is_none()) {
                effect = Some(fault.effect.clone());
            }
        }
        self.0.retain(|fault| !fault.is_spent());
        effect
    }
}

#[cfg(test)]
mod tests {
    use limited_core::{Counter, Timestamp, Window, WindowLength};

    use super::*;
    use crate::request::CounterOp;

    /// A read of a counter.
    fn get(namespace: &str, key: impl Into<Key<'static>>) -> Request {
        let key = key.into();
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
        Request::counter(&Counter::new(namespace, &key, window).unwrap(), CounterOp::Get { bucket: None })
    }

    /// Returns which of `calls` calls the fault affects, counted from one.
    fn affected(fault: Fault, calls: usize) -> Vec<usize> {
        let mut script = Script::default();
        script.push(fault);
        (1..=calls).filter(|_| script.next(&get("", "key")).is_some()).collect()
    }

    #[test]
    fn schedule_decides_which_calls_are_affected() {
        let fault = Fault::lost_response;
        assert_eq!(affected(fault(), 7), [1]);
        assert_eq!(affected(fault().always().once(), 7), [1]);
        assert_eq!(affected(fault().times(3), 7), [1, 2, 3]);
        assert_eq!(affected(fault().every(3), 7), [3, 6]);
        assert_eq!(affected(fault().every(1), 3), [1, 2, 3]);
        assert_eq!(affected(fault().always(), 3), [1, 2, 3]);
        assert_eq!(affected(fault().times(0), 3), []);
        assert_eq!(affected(fault().every(0), 3), []);
    }

    #[test]
    fn fault_affects_only_operations_that_it_fits() {
        let all = [
            Operation::Increment,
            Operation::Get,
            Operation::Reset,
            Operation::Refund,
            Operation::IncrementAll,
        ];
        let applies = |fault: Fault| all.map(|operation| fault.is_for(operation));
        let error = || Fault::error(BackendError::throttled("slow down"));
        assert_eq!(applies(error()), [true; 5]);
        assert_eq!(applies(Fault::lost_response()), [true; 5]);
        assert_eq!(applies(Fault::counter_state(CounterState::default())), [true, true, false, true, false]);
        assert_eq!(applies(Fault::counter_states(Vec::new())), [false, false, false, false, true]);
        assert_eq!(applies(Fault::repeated_write()), [true, false, true, true, true]);
        assert_eq!(applies(error().on(Operation::Get)), [false, true, false, false, false]);
        assert_eq!(applies(Fault::repeated_write().on(Operation::Get)), [false; 5]);
    }

    #[test]
    fn fault_affects_only_the_namespace_and_key_that_it_is_aimed_at() {
        let all = [get("login", "a"), get("login", "b"), get("search", "a"), get("", "login")];
        let applies = |fault: Fault| all.each_ref().map(|request| fault.applies_to(request));
        let fault = Fault::lost_response;
        assert_eq!(applies(fault()), [true, true, true, true]);
        assert_eq!(applies(fault().for_namespace("login")), [true, true, false, false]);
        assert_eq!(applies(fault().for_namespace("")), [false, false, false, true]);
        assert_eq!(applies(fault().for_key("a")), [true, false, true, false]);
        assert_eq!(applies(fault().for_key("a").for_namespace("login")), [true, false, false, false]);
        assert_eq!(applies(fault().for_key("a").for_key("b")), [false, true, false, false], "the last");
        assert_eq!(applies(fault().for_key("a").on(Operation::Reset)), [false, false, false, false]);
    }

    #[test]
    fn fault_affects_several_hits_if_one_is_on_the_counter_that_it_is_aimed_at() {
        let keys = [Key::from("a"), Key::from("b")];
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
        let namespaces = ["login", "search"];
        let hit = |at: usize| {
            (Counter::new(namespaces[at], &keys[at], window).unwrap(), limited_core::Hit::new(1, 5))
        };
        let request = Request::counters(&[hit(0), hit(1)]);
        let fault = Fault::lost_response;
        assert!(
            fault().for_key("b").applies_to(&request) && fault().for_namespace("login").applies_to(&request)
        );
        assert!(!fault().for_key("c").applies_to(&request));
        assert!(!fault().for_namespace("login").for_key("b").applies_to(&request));
        assert!(fault().for_namespace("search").for_key("b").applies_to(&request));
    }

    #[test]
    fn calls_about_other_keys_do_not_count_towards_every_nth() {
        let mut script = Script::default();
        script.push(Fault::lost_response().for_key("a").every(2));
        script.push(Fault::lost_response().for_key("b").times(1));
        let affected = ["a", "c", "b", "b", "a", "a", "a"].map(|key| script.next(&get("", key)).is_some());
        assert_eq!(affected, [false, false, true, false, true, false, true]);
        assert_eq!(script.len(), 1);
    }

    #[test]
    fn key_is_compared_as_it_is_rendered() {
        let key = Key::new().part("scope", "a/b:c").user("7");
        let fault = Fault::lost_response().for_key(key.clone());
        assert!(fault.applies_to(&get("", key)));
        assert!(!fault.applies_to(&get("", Key::new().part("scope", "a/b").user("7"))));
        assert!(Fault::lost_response().for_key(("login", "7")).applies_to(&get("", ("login", "7"))));
    }

    #[test]
    fn first_injected_fault_affects_a_call() {
        let mut script = Script::default();
        script.push(Fault::counter_state(CounterState::new(true, 1)));
        script.push(Fault::counter_state(CounterState::new(true, 2)).times(2));
        let mut values = Vec::new();
        while let Some(Effect::Response(Response::CounterState(state))) = script.next(&get("", "key")) {
            values.push(state.value);
        }
        assert_eq!(values, [1, 2, 2]);
        assert_eq!(script.len(), 0);
    }

    #[test]
    fn calls_affected_by_an_earlier_fault_count_towards_every_nth() {
        let mut script = Script::default();
        script.push(Fault::error(BackendError::throttled("slow down")).times(3));
        script.push(Fault::lost_response().every(2));
        for _ in 0..3 {
            assert!(matches!(script.next(&get("", "key")), Some(Effect::Error(_))));
        }
        assert!(matches!(script.next(&get("", "key")), Some(Effect::LostResponse)));
        assert!(script.next(&get("", "key")).is_none());
    }
}
