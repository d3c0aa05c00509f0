//! Gates that hold calls, in any runtime or without one.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use limited_core::Operation;

/// Holds calls of one operation until it is released or dropped.
///
/// [`MockBackend::hold`](crate::MockBackend::hold) and
/// [`MockBackend::hold_responses`](crate::MockBackend::hold_responses) create one. A call starts to
/// wait at the first poll of its future. Dropping the future removes the call from the gate.
///
/// ```
/// # use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};
/// # use limited_mock::{MockBackend, Operation};
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// # let mock = MockBackend::new();
/// # let (key, now) = (Key::from("user:7"), Timestamp::EPOCH);
/// # let counter = Counter::new("", &key, Window::aligned(now, WindowLength::MINUTE))?;
/// # let hit = Hit::new(1, 5);
/// let gate = mock.hold(Operation::Increment);
/// let mut call = pin!(mock.increment(&counter, &hit, now));
/// assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
/// assert_eq!(gate.pending(), 1);
///
/// gate.release();
/// assert!(pollster::block_on(call)?.counted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a gate is released when it is dropped"]
pub struct Gate(Arc<GateState>);

impl Gate {
    pub(crate) fn new(state: Arc<GateState>) -> Self {
        Self(state)
    }

    /// Returns the number of waiting calls.
    pub fn pending(&self) -> usize {
        self.0.queue().waiting.len()
    }

    /// Waits until at least `calls` calls are waiting. For tests whose calls run in other tasks or
    /// threads.
    pub async fn until_pending(&self, calls: usize) {
        poll_fn(|context| {
            let mut queue = self.0.queue();
            if queue.waiting.len() >= calls {
                return Poll::Ready(());
            }
            if !queue.watchers.iter().any(|watcher| watcher.will_wake(context.waker())) {
                queue.watchers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Releases the call that has waited longest. Returns `false` if no call waits.
    ///
    /// The call continues at its next poll. If it is dropped instead, no other call is released in
    /// its place.
    pub fn release_one(&self) -> bool {
        // Wake after unlocking: a waker may run or drop code that locks again.
        let longest = self.0.queue().waiting.pop_front();
        match longest {
            Some(waiter) => {
                waiter.waker.wake();
                true
            }
            None => false,
        }
    }

    /// Releases all waiting calls and lets later ones pass. Dropping the gate does the same.
    pub fn release(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        let waiting = {
            let mut queue = self.0.queue();
            queue.is_open = true;
            mem::take(&mut queue.waiting)
        };
        for waiter in waiting {
            waiter.waker.wake();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("operation", &self.0.operation)
            .field("direction", &self.0.direction)
            .field("pending", &self.pending())
            .finish()
    }
}

/// Whether a gate holds calls before they reach the store, or their responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// The state that a gate shares with the calls that it holds.
pub(crate) struct GateState {
    operation: Operation,
    direction: Direction,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    is_open: bool,
    arrivals: u64,
    waiting: VecDeque<Waiter>,
    watchers: Vec<Waker>,
}

struct Waiter {
    arrival: u64,
    waker: Waker,
}

impl GateState {
    pub(crate) fn new(operation: Operation, direction: Direction) -> Self {
        Self { operation, direction, queue: Mutex::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.queue().is_open
    }

    pub(crate) fn is_for(&self, operation: Operation, direction: Direction) -> bool {
        (self.operation, self.direction) == (operation, direction)
    }

    /// Waits until the call is released.
    pub(crate) fn pass(&self) -> Pass<'_> {
        Pass { gate: self, arrival: None }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that passes a gate.
pub(crate) struct Pass<'a> {
    gate: &'a GateState,
    /// The position in the order of arrival, once it waits.
    arrival: Option<u64>,
}

impl Future for Pass<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let gate = self.gate;
        let mut waker = context.waker().clone();
        let mut queue = gate.queue();
        if queue.is_open {
            return Poll::Ready(());
        }
        let watchers = match self.arrival {
            None => {
                let arrival = queue.arrivals;
                queue.arrivals += 1;
                queue.waiting.push_back(Waiter { arrival, waker });
                self.arrival = Some(arrival);
                mem::take(&mut queue.watchers)
            }
            Some(arrival) => {
                match queue.waiting.iter_mut().find(|waiter| waiter.arrival == arrival) {
                    Some(waiter) => mem::swap(&mut waiter.waker, &mut waker),
                    // It was released.
                    None => return Poll::Ready(()),
                }
                Vec::new()
            }
        };
        drop(queue);
        watchers.into_iter().for_each(Waker::wake);
        Poll::Pending
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        let Some(arrival) = self.arrival else { return };
        let mut queue = self.gate.queue();
        let index = queue.waiting.iter().position(|waiter| waiter.arrival == arrival);
        let removed = index.and_then(|index| queue.waiting.remove(index));
        drop(queue);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn closed() -> (Arc<GateState>, Gate) {
        let state = Arc::new(GateState::new(Operation::Increment, Direction::Request));
        (Arc::clone(&state), Gate::new(state))
    }

    fn poll(pass: &mut Pass<'_>, wakes: &Arc<Wakes>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(wakes));
        Pin::new(pass).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn released_gate_wakes_waiting_calls_and_lets_later_ones_pass() {
        let (state, gate) = closed();
        let wakes = Arc::default();
        let (mut one, mut other) = (state.pass(), state.pass());
        assert!(poll(&mut one, &wakes).is_pending());
        assert!(poll(&mut other, &wakes).is_pending());
        assert_eq!(gate.pending(), 2);
        gate.release();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert!(poll(&mut one, &wakes).is_ready() && poll(&mut other, &wakes).is_ready());
        assert!(poll(&mut state.pass(), &wakes).is_ready());
    }

    #[test]
    fn calls_are_released_one_by_one_in_order_of_arrival() {
        let (state, gate) = closed();
        let wakes = Arc::default();
        assert!(!gate.release_one());
        let (mut first, mut second) = (state.pass(), state.pass());
        assert!(poll(&mut first, &wakes).is_pending());
        assert!(poll(&mut second, &wakes).is_pending());
        assert!(gate.release_one());
        assert_eq!((gate.pending(), wakes.0.load(Ordering::Relaxed)), (1, 1));
        assert!(poll(&mut second, &wakes).is_pending());
        assert!(poll(&mut first, &wakes).is_ready());
    }

    #[test]
    fn dropped_call_no_longer_waits() {
        let (state, gate) = closed();
        let wakes = Arc::default();
        let (mut one, mut other) = (state.pass(), state.pass());
        assert!(poll(&mut one, &wakes).is_pending());
        assert!(poll(&mut other, &wakes).is_pending());
        drop(one);
        assert_eq!(gate.pending(), 1);
        assert!(gate.release_one());
        assert!(poll(&mut other, &wakes).is_ready());
        assert!(!gate.release_one());
    }

    #[test]
    fn waker_of_the_last_poll_is_woken() {
        let (state, gate) = closed();
        let (before, after) = (Arc::default(), Arc::default());
        let mut pass = state.pass();
        assert!(poll(&mut pass, &before).is_pending());
        assert!(poll(&mut pass, &after).is_pending());
        assert_eq!(gate.pending(), 1);
        gate.release();
        assert_eq!(before.0.load(Ordering::Relaxed), 0);
        assert_eq!(after.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn watcher_is_woken_by_an_arrival() {
        let (state, gate) = closed();
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut arrived = Box::pin(gate.until_pending(1));
        assert!(arrived.as_mut().poll(&mut context).is_pending());
        let mut pass = state.pass();
        assert!(poll(&mut pass, &Arc::default()).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(arrived.as_mut().poll(&mut context).is_ready());
    }
}
