//! Gates that keep calls waiting, in any runtime or none.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::Operation;

/// Keeps calls of one operation waiting until it is released or dropped.
///
/// [`MockBackend::hold`](crate::MockBackend::hold) and
/// [`MockBackend::hold_responses`](crate::MockBackend::hold_responses) make one. A call waits from when its future is first
/// polled. Dropping the future takes the call out of the gate.
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
pub struct Gate(Arc<Door>);

impl Gate {
    pub(crate) fn new(door: Arc<Door>) -> Self {
        Self(door)
    }

    /// How many calls wait.
    pub fn pending(&self) -> usize {
        self.0.queue().waiting.len()
    }

    /// Waits until at least `calls` calls wait, for tests whose calls run in other tasks or threads.
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

    /// Lets the call through that has waited longest; `false` where none waits.
    ///
    /// It goes on when it is next polled. Where it is dropped instead, no other goes in its place.
    pub fn release_one(&self) -> bool {
        // Woken only after the lock is given back, since a waker may run, or drop, what takes the lock again.
        let longest = self.0.queue().waiting.pop_front();
        match longest {
            Some(waiter) => {
                waiter.waker.wake();
                true
            }
            None => false,
        }
    }

    /// Lets every call through, those that wait and those to come. Dropping the gate does the same.
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
            .field("side", &self.0.side)
            .field("pending", &self.pending())
            .finish()
    }
}

/// On which way calls are held: to the store, or back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Answer,
}

/// What a gate and the calls at it share.
pub(crate) struct Door {
    operation: Operation,
    side: Side,
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

impl Door {
    pub(crate) fn new(operation: Operation, side: Side) -> Self {
        Self { operation, side, queue: Mutex::default() }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.queue().is_open
    }

    pub(crate) fn is_for(&self, operation: Operation, side: Side) -> bool {
        (self.operation, self.side) == (operation, side)
    }

    /// Waits for its turn.
    pub(crate) fn pass(&self) -> Pass<'_> {
        Pass { door: self, arrival: None }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call on its way through a door.
pub(crate) struct Pass<'a> {
    door: &'a Door,
    /// The place in the queue, once there.
    arrival: Option<u64>,
}

impl Future for Pass<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let door = self.door;
        let mut waker = context.waker().clone();
        let mut queue = door.queue();
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
                    // No longer in the queue: let through.
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
        let mut queue = self.door.queue();
        let place = queue.waiting.iter().position(|waiter| waiter.arrival == arrival);
        let left = place.and_then(|place| queue.waiting.remove(place));
        drop(queue);
        drop(left);
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

    fn closed() -> (Arc<Door>, Gate) {
        let door = Arc::new(Door::new(Operation::Increment, Side::Request));
        (Arc::clone(&door), Gate::new(door))
    }

    fn poll(pass: &mut Pass<'_>, wakes: &Arc<Wakes>) -> Poll<()> {
        let waker = Waker::from(Arc::clone(wakes));
        Pin::new(pass).poll(&mut Context::from_waker(&waker))
    }

    #[test]
    fn a_released_gate_wakes_and_lets_through_all_who_wait_and_all_to_come() {
        let (door, gate) = closed();
        let wakes = Arc::default();
        let (mut one, mut other) = (door.pass(), door.pass());
        assert!(poll(&mut one, &wakes).is_pending());
        assert!(poll(&mut other, &wakes).is_pending());
        assert_eq!(gate.pending(), 2);
        gate.release();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
        assert!(poll(&mut one, &wakes).is_ready() && poll(&mut other, &wakes).is_ready());
        assert!(poll(&mut door.pass(), &wakes).is_ready());
    }

    #[test]
    fn one_is_let_through_in_order_of_arrival() {
        let (door, gate) = closed();
        let wakes = Arc::default();
        assert!(!gate.release_one());
        let (mut first, mut second) = (door.pass(), door.pass());
        assert!(poll(&mut first, &wakes).is_pending());
        assert!(poll(&mut second, &wakes).is_pending());
        assert!(gate.release_one());
        assert_eq!((gate.pending(), wakes.0.load(Ordering::Relaxed)), (1, 1));
        assert!(poll(&mut second, &wakes).is_pending());
        assert!(poll(&mut first, &wakes).is_ready());
    }

    #[test]
    fn who_is_dropped_no_longer_waits() {
        let (door, gate) = closed();
        let wakes = Arc::default();
        let (mut one, mut other) = (door.pass(), door.pass());
        assert!(poll(&mut one, &wakes).is_pending());
        assert!(poll(&mut other, &wakes).is_pending());
        drop(one);
        assert_eq!(gate.pending(), 1);
        assert!(gate.release_one());
        assert!(poll(&mut other, &wakes).is_ready());
        assert!(!gate.release_one());
    }

    #[test]
    fn the_waker_of_the_last_poll_is_the_one_that_is_woken() {
        let (door, gate) = closed();
        let (before, after) = (Arc::default(), Arc::default());
        let mut pass = door.pass();
        assert!(poll(&mut pass, &before).is_pending());
        assert!(poll(&mut pass, &after).is_pending());
        assert_eq!(gate.pending(), 1);
        gate.release();
        assert_eq!(before.0.load(Ordering::Relaxed), 0);
        assert_eq!(after.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn who_watches_for_arrivals_is_woken_by_one() {
        let (door, gate) = closed();
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let mut arrived = Box::pin(gate.until_pending(1));
        assert!(arrived.as_mut().poll(&mut context).is_pending());
        let mut pass = door.pass();
        assert!(poll(&mut pass, &Arc::default()).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(arrived.as_mut().poll(&mut context).is_ready());
    }
}
