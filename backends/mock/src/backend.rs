//! The mock: reference stores behind faults and gates, with a record of every call.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState,
    FinishResult, Hit, Immediate, LeaseStatus, Operation, Owner, Record, Refund, Result, Timestamp, WindowId,
    async_trait, bucket, several, sliding,
};

use crate::claims::Claims;
use crate::counters::Counters;
use crate::fault::{Effect, Script};
use crate::gate::{Direction, GateState};
use crate::request::{ClaimOp, CounterOp, Request};
use crate::response::Response;
use crate::{Call, Fault, Gate};

/// A backend for tests. It keeps the contract, except for the faults that a test injects, and
/// records every call.
///
/// Clones are the same mock: keep one in the test, and give the other to the code under test.
///
/// Each call is one atomic step under one lock: [`calls`](Self::calls) returns them in the order of
/// these steps. The mock deletes nothing by itself: neither expired counters and claims nor records
/// of calls, so it is not for programs that run long. It also remembers released claims, to
/// recognise an owner that repeats its release and to refuse an owner that claims again.
#[derive(Clone, Default)]
pub struct MockBackend(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    counters: Counters,
    claims: Claims,
    script: Script,
    gates: Vec<Arc<GateState>>,
    calls: Vec<Call>,
}

impl MockBackend {
    /// Creates a mock without counters, claims, faults, gates or records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the number of stored counters, expired ones included. A refused hit stores none.
    pub fn counters(&self) -> usize {
        self.state().counters.len()
    }

    /// Returns the number of stored claims, expired and released ones included.
    pub fn claims(&self) -> usize {
        self.state().claims.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// # Faults
///
/// Faults apply in the order of their injection, each to the calls that it is for; see [`Fault`].
///
/// ```
/// # use limited_core::{Backend, BackendError, Counter, CounterState, Key, Timestamp, Window, WindowLength};
/// # use limited_mock::MockBackend;
/// # let (key, now) = (Key::from("user:7"), Timestamp::EPOCH);
/// # let counter = Counter::new("", &key, Window::aligned(now, WindowLength::MINUTE))?;
/// # pollster::block_on(async {
/// let mock = MockBackend::new();
/// mock.return_next(CounterState::new(false, 100));
/// mock.fail_next(BackendError::unavailable("an outage"));
///
/// assert_eq!(mock.get(&counter, now).await?.value, 100);
/// assert!(mock.get(&counter, now).await.is_err());
/// assert_eq!(mock.get(&counter, now).await?.value, 0);
/// # Ok::<(), BackendError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl MockBackend {
    /// Adds a fault after those that are pending.
    pub fn inject(&self, fault: Fault) {
        self.state().script.push(fault);
    }

    /// Fails the next call of any operation. Short for injecting a [`Fault::error`].
    pub fn fail_next(&self, error: BackendError) {
        self.inject(Fault::error(error));
    }

    /// Fails each `n`-th call from now on, of any operation. Short for a [`Fault::error`] with
    /// [`Fault::every`].
    pub fn fail_every(&self, n: usize, error: BackendError) {
        self.inject(Fault::error(error).every(n));
    }

    /// Returns `state` from the next increment, refund or read of a counter, whatever is stored.
    /// Short for a [`Fault::counter_state`].
    pub fn return_next(&self, state: CounterState) {
        self.inject(Fault::counter_state(state));
    }

    /// Returns the number of pending faults. Zero shows a test that everything it scripted has
    /// happened.
    pub fn faults_left(&self) -> usize {
        self.state().script.len()
    }

    /// Removes all faults. Gates stay.
    pub fn clear_faults(&self) {
        self.state().script.clear();
    }
}

/// # Calls in flight
///
/// A held call waits without a runtime, a clock or a thread of the mock, and can be cancelled by
/// dropping it. A call without a future (`allow_now`) cannot wait: at a gate it fails with
/// [`TimedOut`](BackendError::TimedOut), as if the caller had cancelled it at once.
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
///     assert!(call.join().is_ok_and(|result| result.is_ok()));
/// });
/// assert_eq!(mock.count(Operation::Increment), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An owner of a claim can crash at each `.await`. A gate shows what it leaves behind:
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
///     // It crashes here.
/// }
/// gate.release();
/// assert!(matches!(pollster::block_on(mock.find(&key, now))?, Some(Record::InProgress(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl MockBackend {
    /// Holds calls of this operation before they reach the store, from now on until the gate is
    /// released.
    ///
    /// A held call has done nothing, met no fault, and is not recorded yet. If it is dropped, it
    /// never happened.
    pub fn hold(&self, operation: Operation) -> Gate {
        self.close(operation, Direction::Request)
    }

    /// Holds responses of this operation, from now on until the gate is released.
    ///
    /// A held call has been applied and recorded. If it is dropped, it has happened, and its caller
    /// does not know.
    pub fn hold_responses(&self, operation: Operation) -> Gate {
        self.close(operation, Direction::Response)
    }

    fn close(&self, operation: Operation, direction: Direction) -> Gate {
        let gate = Arc::new(GateState::new(operation, direction));
        self.state().gates.push(Arc::clone(&gate));
        Gate::new(gate)
    }
}

/// # Records
impl MockBackend {
    /// Returns every call since the mock was created or [`clear_calls`](Self::clear_calls) was
    /// called, in the order in which they were applied.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the calls of one operation, in the order of [`calls`](Self::calls).
    pub fn calls_of(&self, operation: Operation) -> Vec<Call> {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.operation() == operation).cloned().collect()
    }

    /// Returns the number of recorded calls of one operation. A [repeated](Fault::repeated_write)
    /// write is one call.
    pub fn count(&self, operation: Operation) -> usize {
        let state = self.state();
        let calls = state.calls.iter();
        calls.filter(|call| call.operation() == operation).count()
    }

    /// Returns the number of recorded calls.
    pub fn total(&self) -> usize {
        self.state().calls.len()
    }

    /// Deletes all records. Counters, claims, faults and gates stay.
    pub fn clear_calls(&self) {
        self.state().calls.clear();
    }
}

impl MockBackend {
    async fn call(&self, request: Request, now: Timestamp) -> Result<Response> {
        let operation = request.operation();
        self.pass_gates(operation, Direction::Request).await;
        let result = self.state().call(request, now);
        self.pass_gates(operation, Direction::Response).await;
        result
    }

    /// Passes the gates that are closed now, one after the other.
    async fn pass_gates(&self, operation: Operation, direction: Direction) {
        let gates = self.state().closed_gates(operation, direction);
        for gate in gates {
            gate.pass().await;
        }
    }
}

impl State {
    fn call(&mut self, request: Request, now: Timestamp) -> Result<Response> {
        let result = self.decide(&request, now);
        self.calls.push(Call::new(request, now, result.clone()));
        result
    }

    fn decide(&mut self, request: &Request, now: Timestamp) -> Result<Response> {
        let write = self.counters.next_write();
        let mut apply = || match request {
            Request::Counter(id, operation) => Ok(self.counters.apply(write, id, operation, now)),
            Request::Counters(hits) => Ok(self.counters.apply_all(write, hits, now)),
            Request::Claim(id, operation) => self.claims.apply(id, operation, now),
        };
        match self.script.next(request) {
            None => apply(),
            Some(Effect::Error(error)) => Err(error),
            Some(Effect::Response(response)) => Ok(response),
            Some(Effect::LostResponse) => {
                let _ = apply();
                Err(BackendError::timed_out("the mock applied the call and lost its response"))
            }
            Some(Effect::RepeatedWrite) => {
                // The response of the first write is lost.
                let _ = apply();
                apply()
            }
        }
    }

    fn closed_gates(&mut self, operation: Operation, direction: Direction) -> Vec<Arc<GateState>> {
        self.gates.retain(|gate| !gate.is_open());
        let gates = self.gates.iter();
        gates.filter(|gate| gate.is_for(operation, direction)).cloned().collect()
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

/// Every future is ready at its first poll, unless a [`Gate`] holds the call.
impl Immediate for MockBackend {}

#[async_trait]
impl Backend for MockBackend {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        if counter.is_sliding() {
            return sliding::increment(self, counter, hit, now).await;
        }
        let request = Request::counter(counter, CounterOp::increment(bucket::quota(counter)?, hit));
        self.call(request, now).await.map(Response::into_counter_state)
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        several::check(hits)?;
        self.call(Request::counters(hits), now).await.map(Response::into_counter_states)
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        let operation = CounterOp::Refund { refund: *refund, bucket: bucket::quota(counter)? };
        self.call(Request::counter(counter, operation), now).await.map(Response::into_counter_state)
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        if counter.is_sliding() {
            return sliding::get(self, counter, now).await;
        }
        let request = Request::counter(counter, CounterOp::Get { bucket: bucket::quota(counter)? });
        self.call(request, now).await.map(Response::into_counter_state)
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        let request = Request::counter(counter, CounterOp::Reset { window });
        self.call(request, now).await.map(drop)
    }

    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        let request = Request::claim(key, ClaimOp::claim(request));
        self.call(request, now).await.map(Response::into_acquisition)
    }

    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        let request = Request::claim(key, ClaimOp::finish(completion));
        self.call(request, now).await.map(Response::into_finish_result)
    }

    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let request = Request::claim(key, ClaimOp::Renew { owner, expires_at });
        self.call(request, now).await.map(Response::into_lease_status)
    }

    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        let request = Request::claim(key, ClaimOp::Release { owner });
        self.call(request, now).await.map(Response::into_lease_status)
    }

    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        let request = Request::claim(key, ClaimOp::Find);
        self.call(request, now).await.map(Response::into_record)
    }

    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        let request = Request::claim(key, ClaimOp::Forget);
        self.call(request, now).await.map(drop)
    }
}
