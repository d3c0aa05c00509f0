//! The order of writes: at most one write of this process to an item is in flight.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::item::ItemKey;

/// A write in its turn. Whoever waits for it, or for a write behind it, polls it.
pub(super) type Turn = Shared<BoxFuture<'static, ()>>;

/// A write in its turn, unless nothing waits for it any more.
pub(super) type WeakTurn = WeakShared<BoxFuture<'static, ()>>;

/// The writes of this process, in order. Each begins when no earlier one that shares an item with
/// it is left.
///
/// A writer's slot holds the number of one write, so a second write to the item must wait until the
/// first has ended. A write takes its places in the queues of all its items at once. So no two
/// writes ever wait for each other.
///
/// A write is a future that its waiters share, as in the coalescer. A write behind it polls it too:
/// a caller that keeps its future and no longer polls it does not stop the others.
#[derive(Default)]
pub(super) struct Turns(Mutex<State>);

#[derive(Default)]
struct State {
    last_ticket: u64,
    /// The tickets of the writes to each item, in order.
    queues: HashMap<ItemKey, VecDeque<u64>>,
    /// The items of each write, and the write.
    writes: HashMap<u64, (Arc<[ItemKey]>, Option<WeakTurn>)>,
}

/// What a write waits for.
enum Blocker {
    None,
    /// A write that waits for no other.
    Write(Turn),
    /// A write that is being dropped.
    Dropped,
}

impl Turns {
    /// Queues a write to these items, which are distinct. It begins in its turn, once the result is
    /// polled.
    pub(super) fn queue(
        self: &Arc<Self>,
        keys: Arc<[ItemKey]>,
        write: impl Future<Output = ()> + Send + 'static,
    ) -> Turn {
        let mut state = self.state();
        state.last_ticket += 1;
        let ticket = state.last_ticket;
        for key in &*keys {
            state.queues.entry(key.clone()).or_default().push_back(ticket);
        }
        let place = Place { turns: Arc::clone(self), ticket };
        let turn = async move {
            place.turn().await;
            // Without the catch, a panic would reach the writes behind it.
            let _ = AssertUnwindSafe(write).catch_unwind().await;
            drop(place);
        };
        let turn = turn.boxed().shared();
        state.writes.insert(ticket, (keys, turn.downgrade()));
        turn
    }

    /// Runs a write to one item in its turn. Returns `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        key: &ItemKey,
        write: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let write = async move {
            let value = write.await;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        };
        self.queue([key.clone()].into(), write).await;
        result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the first write in the chain of those that this one waits for.
    fn blocker(&self, ticket: u64) -> Blocker {
        let mut current = ticket;
        while let Some((keys, turn)) = self.writes.get(&current) {
            let front = |key| self.queues.get(key).and_then(VecDeque::front).copied();
            match keys.iter().filter_map(front).find(|front| *front != current) {
                // Tickets fall from step to step.
                Some(front) => current = front,
                None if current == ticket => return Blocker::None,
                None => {
                    let turn = turn.as_ref().and_then(WeakTurn::upgrade);
                    return turn.map_or(Blocker::Dropped, Blocker::Write);
                }
            }
        }
        Blocker::None
    }
}

/// The place of a write in the queues of its items.
struct Place {
    turns: Arc<Turns>,
    ticket: u64,
}

impl Place {
    async fn turn(&self) {
        loop {
            let blocker = self.turns.state().blocker(self.ticket);
            match blocker {
                Blocker::None => return,
                Blocker::Write(turn) => turn.await,
                Blocker::Dropped => yield_once().await,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        let Some((keys, _)) = state.writes.remove(&self.ticket) else { return };
        for key in &*keys {
            if let Some(queue) = state.queues.get_mut(key) {
                queue.retain(|ticket| *ticket != self.ticket);
                if queue.is_empty() {
                    state.queues.remove(key);
                }
            }
        }
    }
}

/// Lets other tasks run, such as the one that drops a write.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
