//! The mock itself: reference stores, behind faults and gates, with a record of its calls.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, LeaseStatus, Operation, Owner, Record, Timestamp, WindowId, async_trait,
    sliding,
};

use crate::answer::Answer;
use crate::claims::Claims;
use crate::counters::Counters;
use crate::fault::{Effect, Script};
use crate::gate::{Door, Side};
use crate::operation::{OfClaim, OfCounter, Request};
use crate::{Call, Fault, Gate};

/// A backend for tests. It counts, and grants claims, as the contract says, unless it is told to do otherwise; it records
/// every call.
///
/// Clones are the same mock: keep one in the test, and give the other to what is tested.
///
/// Each call is one atomic step, under one lock: the order of [`calls`](Self::calls) is the order in which they were
/// decided. Nothing is ever deleted, neither expired counters and claims nor records of calls, so that a mock is not for a
/// program that runs long. A claim that was given up is kept too, unseen, so that its owner is recognised when it repeats
/// its release, and refused when it claims once more.
#[derive(Clone, Default)]
pub struct MockBackend(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    counters: Counters,
    claims: Claims,
    script: Script,
    doors: Vec<Arc<Door>>,
    calls: Vec<Call>,
}

impl MockBackend {
    /// A mock without counters, claims, faults, gates or records.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many counters are stored, expired ones too. A refused hit stores none.
    pub fn counters(&self) -> usize {
        self.state().counters.len()
    }

    /// How many claimed keys are stored, those that have expired or were given up too.
    pub fn claims(&self) -> usize {
        self.state().claims.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Faults
///
/// Any number can be injected. They are met in the order of injection, each by the calls that it is for; see
/// [`Fault`].
///
/// ```
/// # use limited_core::{BackendError, Counter, ImmediateBackend, Key, CounterState, Timestamp, Window, WindowLength};
/// # use limited_mock::MockBackend;
/// # let (key, now) = (Key::from("user:7"), Timestamp::EPOCH);
/// # let counter = Counter::new("", &key, Window::aligned(now, WindowLength::MINUTE))?;
/// let mock = MockBackend::new();
/// mock.return_next(CounterState::new(false, 100));
/// mock.fail_next(BackendError::unavailable("an outage"));
///
/// assert_eq!(mock.get_now(&counter, now)?.value, 100);
/// assert!(mock.get_now(&counter, now).is_err());
/// assert_eq!(mock.get_now(&counter, now)?.value, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl MockBackend {
    /// Adds a fault to those that are still to come.
    pub fn inject(&self, fault: Fault) {
        self.state().script.push(fault);
    }

    /// Fails the next call, whatever its operation. Short for a [`Fault::error`] that is met once.
    pub fn fail_next(&self, error: BackendError) {
        self.inject(Fault::error(error));
    }

    /// Fails each `n`-th call from now on, whatever its operation. Short for a [`Fault::error`] with [`Fault::every`].
    pub fn fail_every(&self, n: usize, error: BackendError) {
        self.inject(Fault::error(error).every(n));
    }

    /// Answers the next increment or read of a counter with `tally`, whatever is stored. Short for a [`Fault::answer`] that is met
    /// once.
    pub fn return_next(&self, tally: CounterState) {
        self.inject(Fault::counter_state(tally));
    }

    /// How many faults are still to come: zero tells a test that everything it scripted has happened.
    pub fn faults_left(&self) -> usize {
        self.state().script.len()
    }

    /// Takes back every fault: from now on, calls are answered as by a real backend. Gates stay.
    pub fn clear_faults(&self) {
        self.state().script.clear();
    }
}

/// # Calls in flight
///
/// A held call waits without a runtime, a clock or a thread of the mock's own, and can be cancelled by dropping it.
/// Immediate calls, which cannot wait, fail with [`TimedOut`](BackendError::TimedOut) at a gate, as if the caller had
/// given up at once.
///
/// ```
/// # use std::thread;
/// # use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};
/// # use limited_mock::{MockBackend, Operation};
/// # let (key, now) = (Key::from("user:7"), Timestamp::EPOCH);
/// # let counter = Counter::new("", &key, Window::aligned(now, WindowLength::MINUTE))?;
/// let mock = MockBackend::new();
/// let gate = mock.hold(Operation::Increment);
/// thread::scope(|scope| {
///     let call = scope.spawn(|| pollster::block_on(mock.increment(&counter, &Hit::new(1, 5), now)));
///     pollster::block_on(gate.until_pending(1));
///     assert_eq!(mock.count(Operation::Increment), 0);
///     gate.release();
///     assert!(call.join().is_ok_and(|answer| answer.is_ok()));
/// });
/// assert_eq!(mock.count(Operation::Increment), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Whoever claims has awaits at which it can be stopped for ever. A gate shows what it leaves behind:
///
/// ```
/// # use std::pin::pin;
/// # use std::task::{Context, Waker};
/// # use limited_core::{Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Key, Owner, Record, Timestamp};
/// # use limited_mock::{MockBackend, Operation};
/// # let (key, now) = (Key::from("user:7"), Timestamp::EPOCH);
/// # let (key, owner) = (ClaimKey::new("", ClaimKind::DoOnce, &key)?, Owner(1));
/// # let mock = MockBackend::new();
/// let gate = mock.hold(Operation::Finish);
/// {
///     let mut run = pin!(async {
///         mock.claim(&key, &ClaimRequest::new(owner, Timestamp::from_secs(60)), now).await?;
///         mock.finish(&key, &Completion::new(owner), now).await
///     });
///     assert!(run.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
///     // And here it crashes.
/// }
/// gate.release();
/// assert!(matches!(pollster::block_on(mock.find(&key, now))?, Some(Record::InProgress(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl MockBackend {
    /// Holds calls of this operation on their way to the store, from now on and until the gate is released.
    ///
    /// A held call has neither done anything nor met a fault, and is not recorded yet. Dropped, it never happened.
    pub fn hold(&self, operation: Operation) -> Gate {
        self.close(operation, Side::Request)
    }

    /// Holds answers of this operation on their way back, from now on and until the gate is released.
    ///
    /// A held call has been carried out and recorded. Dropped, it has happened, and nobody was told.
    pub fn hold_responses(&self, operation: Operation) -> Gate {
        self.close(operation, Side::Answer)
    }

    fn close(&self, operation: Operation, side: Side) -> Gate {
        let door = Arc::new(Door::new(operation, side));
        self.state().doors.push(Arc::clone(&door));
        Gate::new(door)
    }
}

/// # Records
impl MockBackend {
    /// Every call that was decided since the mock was made, or since [`clear_calls`](Self::clear_calls), in the order
    /// in which they were decided.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The calls of one operation, as [`calls`](Self::calls) has them.
    pub fn calls_of(&self, operation: Operation) -> Vec<Call> {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.operation() == operation).cloned().collect()
    }

    /// How many calls of one operation are recorded. A write that was [repeated](Fault::repeated_write) is one call.
    pub fn count(&self, operation: Operation) -> usize {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.operation() == operation).count()
    }

    /// How many calls are recorded.
    pub fn total(&self) -> usize {
        self.state().calls.len()
    }

    /// Forgets every record. Counters, claims, faults and gates stay.
    pub fn clear_calls(&self) {
        self.state().calls.clear();
    }
}

impl MockBackend {
    async fn call(&self, request: Request<'_>, now: Timestamp) -> Result<Answer, BackendError> {
        let operation = request.operation();
        self.pass(operation, Side::Request).await;
        let outcome = self.state().decide_and_record(request, now);
        self.pass(operation, Side::Answer).await;
        outcome
    }

    /// Passes, one after the other, the gates that are closed now.
    async fn pass(&self, operation: Operation, side: Side) {
        let doors = self.state().closed_doors(operation, side);
        for door in doors {
            door.pass().await;
        }
    }
}

impl State {
    fn decide_and_record(&mut self, request: Request<'_>, now: Timestamp) -> Result<Answer, BackendError> {
        let outcome = self.decide(request, now);
        self.record(request, now, &outcome);
        outcome
    }

    fn decide(&mut self, request: Request<'_>, now: Timestamp) -> Result<Answer, BackendError> {
        let write = self.counters.next_write();
        let mut carry_out = || match request {
            Request::OfCounter(counter, request) => Ok(self.counters.apply(write, counter, request, now)),
            Request::OfClaim(key, request) => self.claims.apply(key, request, now),
        };
        match self.script.next(request.operation()) {
            None => carry_out(),
            Some(Effect::Error(error)) => Err(error),
            Some(Effect::Answer(answer)) => Ok(answer),
            Some(Effect::LostAnswer) => {
                let _ = carry_out();
                Err(BackendError::timed_out("the answer was lost on its way"))
            }
            Some(Effect::RepeatedWrite) => {
                // The first answer is the one that is lost.
                let _ = carry_out();
                carry_out()
            }
        }
    }

    fn record(&mut self, request: Request<'_>, now: Timestamp, outcome: &Result<Answer, BackendError>) {
        self.calls.push(Call::new(request, now, outcome.clone()));
    }

    fn closed_doors(&mut self, operation: Operation, side: Side) -> Vec<Arc<Door>> {
        self.doors.retain(|door| !door.is_open());
        let doors = self.doors.iter();
        doors.filter(|door| door.is_for(operation, side)).cloned().collect()
    }
}

impl fmt::Debug for MockBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MockBackend")
            .field("counters", &state.counters.len())
            .field("claims", &state.claims.len())
            .field("faults_left", &state.script.len())
            .field("calls", &state.calls.len())
            .finish()
    }
}

/// Every call is ready at its first poll, unless a [gate](Gate) holds it.
impl Immediate for MockBackend {}

#[async_trait]
impl Backend for MockBackend {
    async fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<CounterState, BackendError> {
        if counter.is_sliding() {
            return sliding::increment(self, counter, hit, now).await;
        }
        let request = Request::OfCounter(counter, OfCounter::Increment(hit));
        self.call(request, now).await.map(Answer::into_tally)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState, BackendError> {
        if counter.is_sliding() {
            return sliding::get(self, counter, now).await;
        }
        let request = Request::OfCounter(counter, OfCounter::Get);
        self.call(request, now).await.map(Answer::into_tally)
    }

    async fn reset(
        &self,
        counter: &Counter<'_>,
        window_id: Option<WindowId>,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        let request = Request::OfCounter(counter, OfCounter::Reset(window_id));
        self.call(request, now).await.map(drop)
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        let request = Request::OfClaim(key, OfClaim::Claim(request));
        self.call(request, now).await.map(Answer::into_claimed)
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        let request = Request::OfClaim(key, OfClaim::Finish(completion));
        self.call(request, now).await.map(Answer::into_recorded)
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let request = Request::OfClaim(key, OfClaim::Renew { owner, expires_at });
        self.call(request, now).await.map(Answer::into_ownership)
    }

    async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let request = Request::OfClaim(key, OfClaim::Release(owner));
        self.call(request, now).await.map(Answer::into_ownership)
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>, BackendError> {
        let request = Request::OfClaim(key, OfClaim::Find);
        self.call(request, now).await.map(Answer::into_found)
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        let request = Request::OfClaim(key, OfClaim::Forget);
        self.call(request, now).await.map(drop)
    }
}
