//! One write in flight per key.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::PendingHit;
use crate::{BackendError, CounterState, Result};

/// The result of each hit of a batch, in the order of the hits.
pub type Results<S = CounterState> = Vec<Result<S>>;

type SharedWrite<S> = Shared<BoxFuture<'static, Arc<Results<S>>>>;

/// Coalesces the writes to each key `K`: one is in flight, and hits that arrive meanwhile are
/// written together next.
///
/// `K` identifies what is written, such as a row or an item. A key without a write in flight takes
/// no memory.
///
/// `H` is what is submitted, a hit by default, and `S` its result.
///
/// A write is a future that its waiters share, not a spawned task: the waiting callers poll it, so
/// no runtime is needed, and a runtime that ends leaves no task behind.
pub struct WriteCoalescer<K, H = PendingHit, S = CounterState>(Mutex<HashMap<K, Weak<KeyQueue<H, S>>>>);

/// The last batch of a key, and its write.
struct KeyQueue<H, S>(Mutex<LastBatch<H, S>>);

type LastBatch<H, S> = Option<(Arc<Batch<H>>, SharedWrite<S>)>;

/// Hits that wait for the write before theirs. `None` once their own write has begun; a cancelled
/// hit is `None` inside.
struct Batch<H>(Mutex<Option<Vec<Option<H>>>>);

impl<K, H, S> WriteCoalescer<K, H, S>
where
    K: Clone + Eq + Hash,
    H: Clone + Send + 'static,
    S: Clone + Send + Sync + 'static,
{
    /// Submits `hit` to the next write to `key`, and waits for its result.
    ///
    /// `write` is called once per batch, after the previous write to `key` has ended. It gets the
    /// hits of the batch in the order in which they arrived. It returns one result for each of
    /// them, in the same order. It is called for the first hit of a batch only, so every caller
    /// must pass an equivalent `write` for equal keys.
    ///
    /// # Cancellation
    ///
    /// If this future is dropped before the write of its batch has begun, the hit is not written.
    /// If it is dropped later, the hit may be written; the other hits of the batch are not
    /// affected. If all waiters of a write are dropped and no batch waits behind it, the write is
    /// dropped too, and the next hit on the key starts a new one. A request that the dropped write
    /// had sent may still arrive. To be safe from that, number the writes of a key, and let the
    /// server ignore a lower number.
    ///
    /// # Errors
    ///
    /// The errors that `write` returns. [`Other`](BackendError::Other) for all hits of the batch if
    /// `write` panics; [`Unavailable`](BackendError::Unavailable) if `write` returns no result for
    /// this hit.
    pub async fn submit<F>(
        &self,
        key: &K,
        hit: H,
        write: impl FnOnce(Vec<H>) -> F + Send + 'static,
    ) -> Result<S>
    where
        F: Future<Output = Results<S>> + Send + 'static,
    {
        let mut pending = self.enqueue(key, hit, write);
        let results = pending.write.clone().await;
        pending.completed = true;
        results.get(pending.index).cloned().unwrap_or_else(|| Err(no_result()))
    }

    fn enqueue<'a, F>(
        &'a self,
        key: &'a K,
        hit: H,
        write: impl FnOnce(Vec<H>) -> F + Send + 'static,
    ) -> PendingWrite<'a, K, H, S>
    where
        F: Future<Output = Results<S>> + Send + 'static,
    {
        let queue = self.queue(key);
        let mut last = lock(&queue.0);
        let joined = match &*last {
            Some((batch, future)) => batch.add(&hit).map(|index| (Arc::clone(batch), future.clone(), index)),
            None => None,
        };
        let (batch, future, index) = joined.unwrap_or_else(|| {
            let previous = last.take().map(|(_, write)| write).filter(|write| write.peek().is_none());
            let batch = Arc::new(Batch(Mutex::new(Some(vec![Some(hit)]))));
            let future = write_after(previous, Arc::clone(&batch), write).boxed().shared();
            *last = Some((Arc::clone(&batch), future.clone()));
            (batch, future, 0)
        });
        drop(last);
        PendingWrite {
            coalescer: self,
            key,
            queue: Some(queue),
            batch,
            write: future,
            index,
            completed: false,
        }
    }

    fn queue(&self, key: &K) -> Arc<KeyQueue<H, S>> {
        let mut queues = lock(&self.0);
        if let Some(queue) = queues.get(key).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(KeyQueue(Mutex::default()));
        queues.insert(key.clone(), Arc::downgrade(&queue));
        queue
    }
}

impl<K, H, S> Default for WriteCoalescer<K, H, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, H, S> fmt::Debug for WriteCoalescer<K, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteCoalescer").finish_non_exhaustive()
    }
}

/// Waits for the previous write, then writes the hits of the batch that were not cancelled.
async fn write_after<H, S, F>(
    previous: Option<SharedWrite<S>>,
    batch: Arc<Batch<H>>,
    write: impl FnOnce(Vec<H>) -> F + Send + 'static,
) -> Arc<Results<S>>
where
    S: Clone,
    F: Future<Output = Results<S>> + Send + 'static,
{
    if let Some(previous) = previous {
        previous.await;
    }
    let entries = lock(&batch.0).take().unwrap_or_default();
    let is_pending: Vec<bool> = entries.iter().map(Option::is_some).collect();
    let hits: Vec<H> = entries.into_iter().flatten().collect();
    let count = hits.len();
    // Without the catch, a panic would leave the other waiters without a result.
    let results =
        if count == 0 { Ok(Vec::new()) } else { AssertUnwindSafe(write(hits)).catch_unwind().await };
    let panicked = |_| vec![Err(BackendError::Other("the write panicked".into())); count];
    let mut results = results.unwrap_or_else(panicked).into_iter();
    // A cancelled hit keeps its index, so that the indexes of the others stay valid.
    let result =
        |is_pending: bool| is_pending.then(|| results.next()).flatten().unwrap_or_else(|| Err(no_result()));
    Arc::new(is_pending.into_iter().map(result).collect())
}

fn no_result() -> BackendError {
    BackendError::unavailable("the write returned no result for this hit")
}

impl<H: Clone> Batch<H> {
    /// Adds the hit and returns its index, unless the write has begun.
    fn add(&self, hit: &H) -> Option<usize> {
        let mut entries = lock(&self.0);
        let entries = entries.as_mut()?;
        entries.push(Some(hit.clone()));
        Some(entries.len() - 1)
    }
}

impl<H> Batch<H> {
    fn cancel(&self, index: usize) {
        if let Some(entry) = lock(&self.0).as_mut().and_then(|entries| entries.get_mut(index)) {
            *entry = None;
        }
    }
}

/// A submitted hit that waits for its write. Cancels the hit if dropped before.
struct PendingWrite<'a, K: Eq + Hash, H, S> {
    coalescer: &'a WriteCoalescer<K, H, S>,
    key: &'a K,
    queue: Option<Arc<KeyQueue<H, S>>>,
    batch: Arc<Batch<H>>,
    write: SharedWrite<S>,
    /// The index of the hit in its batch.
    index: usize,
    completed: bool,
}

impl<K: Eq + Hash, H, S> Drop for PendingWrite<'_, K, H, S> {
    fn drop(&mut self) {
        if !self.completed {
            self.batch.cancel(self.index);
        }
        // The map is locked, so no one else can get this queue: its last user removes it.
        let mut queues = lock(&self.coalescer.0);
        let unused = self.queue.take().and_then(Arc::into_inner);
        if unused.is_some() {
            queues.remove(self.key);
        }
        // The queue's write is dropped outside the lock, because its drop runs the backend's code.
        drop(queues);
        drop(unused);
    }
}

/// Locks, ignoring poison: no lock of this module is held across code that can panic halfway
/// through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::{Hit, Timestamp};

    fn hit(cost: u128) -> PendingHit {
        PendingHit::new(&Hit::new(cost, 100), Timestamp::EPOCH)
    }

    /// Counts the write, and returns the cost of each hit once the gate is open.
    async fn write(writes: &AtomicUsize, gate: &Mutex<bool>, hits: Vec<PendingHit>) -> Results {
        writes.fetch_add(1, Ordering::Relaxed);
        std::future::poll_fn(|_| if *lock(gate) { Poll::Ready(()) } else { Poll::Pending }).await;
        hits.iter().map(|hit| Ok(CounterState::new(true, hit.cost))).collect()
    }

    #[test]
    fn hits_behind_a_write_are_written_together_and_leave_no_queue() {
        let coalescer = Arc::new(WriteCoalescer::default());
        let (writes, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(false)));
        let submit = |cost| {
            let (coalescer, writes, gate) = (Arc::clone(&coalescer), Arc::clone(&writes), Arc::clone(&gate));
            async move {
                let write = move |hits| async move { write(&writes, &gate, hits).await };
                coalescer.submit(&"key", hit(cost), write).await
            }
        };
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(submit(1));
        assert!(first.as_mut().poll(&mut context).is_pending());
        let mut others: Vec<_> = (2..10).map(|cost| Box::pin(submit(cost))).collect();
        for other in &mut others {
            assert!(other.as_mut().poll(&mut context).is_pending());
        }
        // One is dropped before its write begins: it is not counted, and the others are not
        // affected.
        drop(others.remove(3));
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        *lock(&gate) = true;
        assert!(matches!(first.as_mut().poll(&mut context), Poll::Ready(Ok(state)) if state.value == 1));
        for (other, cost) in others.iter_mut().zip([2, 3, 4, 6, 7, 8, 9]) {
            let Poll::Ready(Ok(state)) = other.as_mut().poll(&mut context) else {
                panic!("the write has ended")
            };
            assert_eq!(state.value, cost);
        }
        assert_eq!(writes.load(Ordering::Relaxed), 2, "all waiting hits were one write");
        assert!(lock(&coalescer.0).is_empty(), "a key without a write has no queue");
    }

    #[test]
    fn concurrent_threads_leave_no_queue() {
        let coalescer = WriteCoalescer::default();
        for round in 0..300 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let write = |hits: Vec<PendingHit>| async move {
                            hits.iter().map(|_| Ok(CounterState::new(true, 1))).collect::<Results>()
                        };
                        drive(coalescer.submit(&round, hit(1), write)).unwrap()
                    });
                }
            });
        }
        assert!(lock(&coalescer.0).is_empty(), "{} queues left", lock(&coalescer.0).len());
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
    fn panic_of_a_write_is_an_error_of_its_hits() {
        let coalescer: WriteCoalescer<&str> = WriteCoalescer::default();
        let write = |_| async { panic!("as the test wants") };
        let result = drive(coalescer.submit(&"key", hit(1), write));
        assert!(matches!(result, Err(BackendError::Other(_))));
        assert!(lock(&coalescer.0).is_empty());
    }

    #[test]
    fn missing_result_is_an_error_of_its_hit() {
        let coalescer: WriteCoalescer<&str> = WriteCoalescer::default();
        let result = drive(coalescer.submit(&"key", hit(1), |_| async { Vec::new() }));
        assert!(matches!(result, Err(BackendError::Unavailable(_))));
    }

    #[test]
    fn cancelled_hits_leave_no_queue() {
        let coalescer: WriteCoalescer<&str> = WriteCoalescer::default();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut submit = pin!(coalescer.submit(&"key", hit(1), |_| std::future::pending()));
            assert!(submit.as_mut().poll(&mut context).is_pending());
            assert_eq!(lock(&coalescer.0).len(), 1);
        }
        assert!(lock(&coalescer.0).is_empty());
    }
}
