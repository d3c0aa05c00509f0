//! Sets of hits on several counters of the backend under test.

use super::Harness;
use super::probe::CounterProbe;
use super::subject::Subject;
use super::times::NOW;
use crate::{Backend, Counter, CounterState, Hit, Operation, Result, Timestamp, Window, WindowLength};

/// A counter and a hit on it.
pub(super) type ProbeHit<'p, 's, H> = (&'p CounterProbe<'s, H>, Hit<'static>);

impl<H: Harness> Subject<'_, H> {
    /// Counts several hits, which has to succeed. Uses the fast path first if the subject does.
    #[track_caller]
    pub(super) fn increment_all(&self, hits: &[ProbeHit<'_, '_, H>], now: Timestamp) -> Vec<CounterState> {
        match self.try_increment_all(hits, now) {
            Ok(states) => {
                assert!(
                    states.len() == hits.len(),
                    "`increment_all` returns one state for each hit\n  expected {}\n  but saw  {states:?}",
                    hits.len()
                );
                states
            }
            Err(error) => panic!("`{}` has to succeed here, but failed: {error}", Operation::IncrementAll),
        }
    }

    pub(super) fn try_increment_all(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        let fast = self.uses_fast_path.then(|| self.increment_all_by_fast_path(hits, now)).flatten();
        fast.unwrap_or_else(|| self.increment_all_by_future(hits, now))
    }

    pub(super) fn increment_all_by_future(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        with_counters(hits, |hits| self.block_on(self.backend.increment_all(hits, now)))
    }

    /// Calls `try_increment_all`, with a state that has to stay in the list.
    pub(super) fn increment_all_by_fast_path(
        &self,
        hits: &[ProbeHit<'_, '_, H>],
        now: Timestamp,
    ) -> Option<Result<Vec<CounterState>>> {
        let first = CounterState::new(false, 7);
        let mut states = vec![first.clone()];
        let result = with_counters(hits, |hits| self.backend.try_increment_all(hits, now, &mut states));
        let is_kept = states.first() == Some(&first) && (result.is_some() || states.len() == 1);
        assert!(
            is_kept,
            "`try_increment_all` appends the states; if it returns `None`, it appends none\n  but saw {states:?}"
        );
        result.map(|result| result.map(|()| states.split_off(1)))
    }
}

fn with_counters<H: Harness, R>(
    hits: &[ProbeHit<'_, '_, H>],
    operation: impl FnOnce(&[(Counter<'_>, Hit<'_>)]) -> R,
) -> R {
    let keys: Vec<_> = hits.iter().map(|(counter, _)| counter.new_key()).collect();
    let hits = hits.iter().zip(&keys).map(|((counter, hit), key)| (counter.counter(key), *hit));
    operation(&hits.collect::<Vec<_>>())
}

/// Returns a counter of each kind, a sliding one, and one of the same key and another length.
pub(super) fn mixed<'s, H: Harness>(subject: &'s Subject<'_, H>, key: &str) -> Vec<CounterProbe<'s, H>> {
    let mut counters = subject.each_window(key, NOW);
    counters.push(counters[0].with_window(Window::aligned(NOW, WindowLength::HOUR)));
    let sliding = Window::aligned(NOW, WindowLength::MINUTE);
    counters.push(subject.counter(sliding, format!("{key}, sliding")).sliding());
    counters
}

pub(super) fn hits_of<'p, 's, H: Harness>(
    counters: &'p [CounterProbe<'s, H>],
    cost: u128,
    limit: u128,
    now: Timestamp,
) -> Vec<ProbeHit<'p, 's, H>> {
    let hit = |counter: &CounterProbe<'_, H>| {
        let hit = counter.new_hit(cost, limit, now);
        hit.with_window_meta(hit.window_id, Some("one of several"))
    };
    counters.iter().map(|counter| (counter, hit(counter))).collect()
}

/// Fails the check unless a counter that was not counted has its state of before. A backend that
/// counts one hit after the other and refunds may have started a window of value 0.
#[track_caller]
pub(super) fn expect_unchanged<H: Harness>(
    counter: &CounterProbe<'_, H>,
    seen: &CounterState,
    before: &CounterState,
    now: Timestamp,
    rule: &str,
) {
    let floor = counter.floor(now);
    if counter.subject.harness.increments_all_at_once() || before.value > floor {
        return counter.expect(seen, before, rule);
    }
    let is_same = seen.counted == before.counted && seen.value.max(floor) == before.value.max(floor);
    assert!(is_same, "{rule}\n  expected {before:?}\n  but saw  {seen:?}\n  of {counter}");
}
