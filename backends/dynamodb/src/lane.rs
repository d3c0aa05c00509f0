//! One write in flight per key: hits that arrive meanwhile travel together in the next one.
//!
//! A write is a future that its waiters share, not a spawned task: whoever waits drives it, and it needs no runtime of
//! its own. When all of them leave it is dropped with them; the next write to the key has a higher number, so that a
//! request which is still on its way is not applied after it.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use limited_core::{BackendError, CounterState};

use crate::batch::Waiting;
use crate::item::ItemKey;

/// What each hit of a batch is answered, in order.
pub(crate) type Answers = Vec<Result<CounterState, BackendError>>;

type SharedWrite = Shared<BoxFuture<'static, Arc<Answers>>>;

/// The lanes of all keys that are being written. A key at rest has none.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<HashMap<ItemKey, Weak<Lane>>>);

/// The writes of one key, one behind the other.
#[derive(Default)]
struct Lane(Mutex<Option<(Arc<Batch>, SharedWrite)>>);

/// Hits that wait for the write before theirs; closed once their own begins.
struct Batch(Mutex<Option<Vec<Option<Waiting>>>>);

impl Lanes {
    /// Lets `hit` travel to `key`, and waits for its answer. `write` is called for each batch, when its turn comes.
    pub(crate) async fn travel<F>(
        self: &Arc<Self>,
        key: &ItemKey,
        hit: Waiting,
        write: impl FnOnce(Vec<Waiting>) -> F + Send + 'static,
    ) -> Result<CounterState, BackendError>
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        let mut ticket = self.board(key, hit, write);
        let answers = ticket.write.clone().await;
        ticket.arrived = true;
        // Those who left before the write began are not in it any more, but keep their seat.
        answers.get(ticket.seat).cloned().unwrap_or_else(|| {
            Err(BackendError::unavailable("the write ended without an answer for this hit"))
        })
    }

    fn board<F>(
        self: &Arc<Self>,
        key: &ItemKey,
        hit: Waiting,
        write: impl FnOnce(Vec<Waiting>) -> F + Send + 'static,
    ) -> Ticket
    where
        F: Future<Output = Answers> + Send + 'static,
    {
        let lane = self.lane(key);
        let mut last = lock(&lane.0);
        let boarded = match &*last {
            Some((batch, future)) => batch.add(&hit).map(|seat| (Arc::clone(batch), future.clone(), seat)),
            None => None,
        };
        let (batch, future, seat) = boarded.unwrap_or_else(|| {
            let before = last.take().map(|(_, write)| write).filter(|write| write.peek().is_none());
            let batch = Arc::new(Batch(Mutex::new(Some(vec![Some(hit)]))));
            let future = after(before, Arc::clone(&batch), write).boxed().shared();
            *last = Some((Arc::clone(&batch), future.clone()));
            (batch, future, 0)
        });
        drop(last);
        Ticket {
            lanes: Arc::clone(self),
            key: key.clone(),
            lane: Some(lane),
            batch,
            write: future,
            seat,
            arrived: false,
        }
    }

    fn lane(&self, key: &ItemKey) -> Arc<Lane> {
        let mut lanes = lock(&self.0);
        if let Some(lane) = lanes.get(key).and_then(Weak::upgrade) {
            return lane;
        }
        let lane = Arc::new(Lane::default());
        lanes.insert(key.clone(), Arc::downgrade(&lane));
        lane
    }
}

/// Waits for the write before, then writes those that are still there.
async fn after<F>(
    before: Option<SharedWrite>,
    batch: Arc<Batch>,
    write: impl FnOnce(Vec<Waiting>) -> F + Send + 'static,
) -> Arc<Answers>
where
    F: Future<Output = Answers> + Send + 'static,
{
    if let Some(before) = before {
        before.await;
    }
    let seats = lock(&batch.0).take().unwrap_or_default();
    let taken: Vec<bool> = seats.iter().map(Option::is_some).collect();
    let hits: Vec<Waiting> = seats.into_iter().flatten().collect();
    let count = hits.len();
    // A panic would leave the other waiters without an answer.
    let answers =
        if count == 0 { Ok(Vec::new()) } else { AssertUnwindSafe(write(hits)).catch_unwind().await };
    let panicked = |_| vec![Err(BackendError::Other("the write panicked".into())); count];
    let mut answers = answers.unwrap_or_else(panicked).into_iter();
    let gone = || Err(BackendError::unavailable("the caller left before the write began"));
    Arc::new(
        taken
            .into_iter()
            .map(|taken| if taken { answers.next().unwrap_or_else(gone) } else { gone() })
            .collect(),
    )
}

impl Batch {
    /// Takes a seat, if the write has not begun.
    fn add(&self, hit: &Waiting) -> Option<usize> {
        let mut seats = lock(&self.0);
        let seats = seats.as_mut()?;
        seats.push(Some(hit.clone()));
        Some(seats.len() - 1)
    }

    fn leave(&self, seat: usize) {
        if let Some(seat) = lock(&self.0).as_mut().and_then(|seats| seats.get_mut(seat)) {
            *seat = None;
        }
    }
}

/// A hit's place in a lane. A caller that goes away leaves it.
struct Ticket {
    lanes: Arc<Lanes>,
    key: ItemKey,
    lane: Option<Arc<Lane>>,
    batch: Arc<Batch>,
    write: SharedWrite,
    seat: usize,
    arrived: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.arrived {
            self.batch.leave(self.seat);
        }
        // Nobody can come by the lane while the map is locked, so that the last one out closes it.
        let mut lanes = lock(&self.lanes.0);
        let closed = self.lane.take().and_then(Arc::into_inner);
        if closed.is_some() {
            lanes.remove(&self.key);
        }
        drop(lanes);
        drop(closed);
    }
}

/// Locks. What our locks protect is whole at every step, so poison is no news.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use limited_core::{Hit, Timestamp};

    use super::*;

    fn key() -> ItemKey {
        ItemKey { identifier: "key".into(), window_time: "2026-11-21T12:00:00Z/PT1M".into() }
    }

    fn hit(cost: u128) -> Waiting {
        Waiting::new(&Hit::new(cost, 100), Timestamp::EPOCH)
    }

    /// Counts a write of these hits, once somebody lets it.
    async fn write(writes: &AtomicUsize, gate: &Mutex<bool>, hits: Vec<Waiting>) -> Answers {
        writes.fetch_add(1, Ordering::Relaxed);
        std::future::poll_fn(|_| if *lock(gate) { Poll::Ready(()) } else { Poll::Pending }).await;
        hits.iter().map(|hit| Ok(CounterState::new(true, hit.cost))).collect()
    }

    #[test]
    fn hits_travel_together_behind_a_write_and_leave_nothing_when_they_are_there() {
        let lanes = Arc::new(Lanes::default());
        let (writes, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(false)));
        let travel = |cost| {
            let (lanes, writes, gate) = (Arc::clone(&lanes), Arc::clone(&writes), Arc::clone(&gate));
            async move {
                let write = move |hits| async move { write(&writes, &gate, hits).await };
                lanes.travel(&key(), hit(cost), write).await
            }
        };
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(travel(1));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let mut others: Vec<_> = (2..10).map(|cost| Box::pin(travel(cost))).collect();
        for other in &mut others {
            assert!(other.as_mut().poll(&mut context).is_pending());
        }
        // One of them leaves before its write begins: it is not counted, and nobody else is affected.
        drop(others.remove(3));
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        *lock(&gate) = true;
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Ok(tally)) if tally.value == 1));
        for (other, cost) in others.iter_mut().zip([2, 3, 4, 6, 7, 8, 9]) {
            let Poll::Ready(Ok(tally)) = other.as_mut().poll(&mut context) else { panic!("it is there") };
            assert_eq!(tally.value, cost);
        }
        assert_eq!(writes.load(Ordering::Relaxed), 2, "all that waited travelled together");
        assert!(lock(&lanes.0).is_empty(), "a key at rest has no lane");
    }

    #[test]
    fn threads_that_arrive_together_leave_no_lane_behind() {
        let lanes = Arc::new(Lanes::default());
        for round in 0..300 {
            let key = ItemKey { identifier: "key".into(), window_time: round.to_string() };
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let write = |hits: Vec<Waiting>| async move {
                            hits.iter().map(|_| Ok(CounterState::new(true, 1))).collect::<Answers>()
                        };
                        drive(lanes.travel(&key, hit(1), write)).unwrap()
                    });
                }
            });
        }
        assert!(lock(&lanes.0).is_empty(), "{} lanes left behind", lock(&lanes.0).len());
    }

    fn drive<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return done;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_write_that_panics_answers_everybody() {
        let lanes = Arc::new(Lanes::default());
        let write = |_| async { panic!("as the test wants") };
        let answer = drive(lanes.travel(&key(), hit(1), write));
        assert!(matches!(answer, Err(BackendError::Other(_))));
        assert!(lock(&lanes.0).is_empty());
    }

    #[test]
    fn when_all_leave_the_lane_closes() {
        let lanes = Arc::new(Lanes::default());
        let mut context = Context::from_waker(Waker::noop());
        {
            let key = key();
            let mut travel = pin!(lanes.travel(&key, hit(1), |_| std::future::pending()));
            assert!(travel.as_mut().poll(&mut context).is_pending());
            assert_eq!(lock(&lanes.0).len(), 1);
        }
        assert!(lock(&lanes.0).is_empty());
    }
}
