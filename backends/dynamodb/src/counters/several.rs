//! Coalescing of transactions: hits on a set of counters that wait are written together.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use limited_core::{CounterState, Result};

use super::item::ItemKey;
use super::transaction::PendingHits;
use super::turns::{Turn, Turns, WeakTurn};
use super::write::panicked;

/// How many sets of counters are kept before those without a waiting batch are removed.
const MIN_SWEEP: usize = 64;

/// The batches that wait for their turn, by the items they write.
///
/// Hits that arrive on exactly the items of a waiting batch join it. One transaction then counts
/// them all.
#[derive(Default)]
pub(super) struct Batches(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: HashMap<Arc<[ItemKey]>, (Weak<Batch>, WeakTurn)>,
    sweep_at: usize,
}

/// Requests that wait for their turn, and their results.
#[derive(Default)]
struct Batch {
    /// `None` once the write has begun; a cancelled request is `None` inside.
    requests: Mutex<Option<Vec<Option<PendingHits>>>>,
    results: OnceLock<Vec<Option<Result<Vec<CounterState>>>>>,
}

impl Batches {
    /// Submits hits on these items, which are sorted and distinct, and waits for their result.
    ///
    /// `write` is called once per batch, in its turn, with the requests that were not cancelled. It
    /// returns the states of each. If this future is dropped before that, nothing is written.
    pub(super) async fn submit<F>(
        &self,
        turns: &Arc<Turns>,
        keys: Arc<[ItemKey]>,
        hits: PendingHits,
        write: impl FnOnce(Vec<PendingHits>) -> F + Send + 'static,
    ) -> Result<Vec<CounterState>>
    where
        F: Future<Output = Result<Vec<Vec<CounterState>>>> + Send + 'static,
    {
        let (mut waiter, turn) = self.join(turns, keys, hits, write);
        turn.await;
        waiter.is_completed = true;
        let results = waiter.batch.results.get();
        let result = results.and_then(|results| results.get(waiter.index)).cloned().flatten();
        result.unwrap_or_else(|| Err(panicked()))
    }

    fn join<F>(
        &self,
        turns: &Arc<Turns>,
        keys: Arc<[ItemKey]>,
        hits: PendingHits,
        write: impl FnOnce(Vec<PendingHits>) -> F + Send + 'static,
    ) -> (Waiter, Turn)
    where
        F: Future<Output = Result<Vec<Vec<CounterState>>>> + Send + 'static,
    {
        let mut state = lock(&self.0);
        if let Some((batch, turn)) = state.waiting.get(&keys)
            && let (Some(batch), Some(turn)) = (batch.upgrade(), turn.upgrade())
            && let Some(requests) = &mut *lock(&batch.requests)
        {
            requests.push(Some(hits));
            let index = requests.len() - 1;
            return (Waiter { batch: Arc::clone(&batch), index, is_completed: false }, turn);
        }
        let batch =
            Arc::new(Batch { requests: Mutex::new(Some(vec![Some(hits)])), results: OnceLock::new() });
        let running = Arc::clone(&batch);
        let turn = turns.queue(Arc::clone(&keys), async move { running.run(write).await });
        if let Some(weak) = turn.downgrade() {
            state.waiting.insert(keys, (Arc::downgrade(&batch), weak));
        }
        state.sweep();
        (Waiter { batch, index: 0, is_completed: false }, turn)
    }
}

impl State {
    /// Removes the batches that have begun, each time the map has doubled.
    fn sweep(&mut self) {
        if self.waiting.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.waiting
                .retain(|_, (batch, _)| batch.upgrade().is_some_and(|batch| lock(&batch.requests).is_some()));
            self.sweep_at = 2 * self.waiting.len();
        }
    }
}

impl Batch {
    async fn run<F>(&self, write: impl FnOnce(Vec<PendingHits>) -> F)
    where
        F: Future<Output = Result<Vec<Vec<CounterState>>>>,
    {
        let entries = lock(&self.requests).take().unwrap_or_default();
        let is_pending: Vec<bool> = entries.iter().map(Option::is_some).collect();
        let requests: Vec<PendingHits> = entries.into_iter().flatten().collect();
        if requests.is_empty() {
            return;
        }
        let written = write(requests).await;
        let mut written = written.map(Vec::into_iter);
        let result = |is_pending: bool| {
            is_pending.then(|| match &mut written {
                Ok(states) => states.next().ok_or_else(panicked),
                Err(error) => Err(error.clone()),
            })
        };
        let results = is_pending.into_iter().map(result).collect();
        // Nothing else sets it.
        let _ = self.results.set(results);
    }
}

/// Cancels its request if it is dropped before the write has begun.
struct Waiter {
    batch: Arc<Batch>,
    index: usize,
    is_completed: bool,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.is_completed {
            return;
        }
        if let Some(requests) = &mut *lock(&self.batch.requests)
            && let Some(request) = requests.get_mut(self.index)
        {
            *request = None;
        }
    }
}

/// Locks, ignoring poison: no code that holds a lock panics between two changes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
