//! One write in flight per key: hits that arrive meanwhile travel together in the next one.
//!
//! A write is a future that its waiters share, not a spawned task: whoever waits drives it, and it needs no runtime of
//! its own. When all of them leave it is dropped with them; the next write to the key has a higher number, so that a
//! request which is still on its way is not applied after it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use limited_core::{BackendError, Tally};

use crate::batch::Waiting;
use crate::item::ItemKey;

/// What each hit of a batch is answered, in order.
pub(crate) type Answers = Vec<Result<Tally, BackendError>>;

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
    ) -> Result<Tally, BackendError>
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
        Ticket { lanes: Arc::clone(self), key: key.clone(), lane, batch, write: future, seat, arrived: false }
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
    let mut answers = if hits.is_empty() { Vec::new() } else { write(hits).await }.into_iter();
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
    lane: Arc<Lane>,
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
        // Nobody can come by the lane while the map is locked, so that the last one out may close it.
        let mut lanes = lock(&self.lanes.0);
        if Arc::strong_count(&self.lane) == 1 {
            lanes.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
