//! The fast path `try_increment` agrees with `increment`.

use std::time::Duration;

use super::Harness;
use super::kinds::{KINDS, each_kind};
use super::probe::CounterProbe;
use super::random::Random;
use super::subject::Subject;
use super::times::NOW;
use crate::{Hit, Operation, Timestamp, Window, WindowLength};

impl<'h, H: Harness> Subject<'h, H> {
    /// Creates a subject that counts through `try_increment` first; `None` if the backend has no
    /// fast path.
    ///
    /// The harness may return the same backend again, so the namespace has to differ from that of
    /// the first subject.
    pub(super) fn with_fast_path(&self, namespace: &'static str) -> Option<Self> {
        self.has_fast_path().then(|| {
            let mut subject = Subject::new(self.harness, namespace);
            subject.uses_fast_path = true;
            subject
        })
    }

    /// Returns whether `try_increment` or `try_increment_all` handles a hit on a stored counter of
    /// any kind.
    pub(super) fn has_fast_path(&self) -> bool {
        // The earliest time, so that the backend forgets nothing because of it.
        let now = Timestamp::EPOCH;
        let key = "has a fast path";
        let sliding =
            self.counter(Window::aligned(now, WindowLength::MINUTE), format!("{key}, sliding")).sliding();
        self.each_kind(key, now).into_iter().chain([sliding]).any(|counter| {
            // An error here shows in the checks too.
            let _ = counter.increment_by_future(&counter.new_hit(1, 5, now), now);
            counter.increment_by_fast_path(&counter.new_hit(1, 5, now), now).is_some()
                || self.increment_all_by_fast_path(&[(&counter, counter.new_hit(1, 5, now))], now).is_some()
        })
    }
}

/// Counts the same hits on two counters: on one through `try_increment` if it handles the hit, on
/// the other through `increment` alone.
pub(super) fn try_increment_agrees_with_increment<H: Harness>(subject: &Subject<'_, H>) {
    for kind in 0..KINDS.len() {
        run_hits(subject, kind, false);
    }
    // Only the aligned window slides.
    run_hits(subject, 0, true);
}

/// Counts on windows of one kind, which end and start again as time goes on.
fn run_hits<H: Harness>(subject: &Subject<'_, H>, kind: usize, is_sliding: bool) {
    let mut random = Random::new(kind as u64);
    let mut now = NOW;
    for step in 0..64 {
        now = now.saturating_add(Duration::from_millis(random.below(8_000)));
        let window = each_kind(now, WindowLength::MINUTE)[kind];
        let [fast, plain] = ["fast path", "increment"].map(|path| {
            let counter = subject.counter(window, format!("{path}, {}, sliding: {is_sliding}", KINDS[kind]));
            if is_sliding { counter.sliding() } else { counter }
        });
        let (cost, limit) = (random.below(9).into(), u128::from(10 + random.below(30)));
        let metadata = [None, Some(""), Some("metadata")][step % 3];
        let hit = fast.new_hit(cost, limit, now);
        let hit = hit.with_window_meta(hit.window_id, metadata);
        compare(&fast, &plain, &hit, now);
        if step % 20 == 19 {
            fast.reset(None, now);
            plain.reset(None, now);
        }
    }
}

#[track_caller]
fn compare<H: Harness>(
    fast: &CounterProbe<'_, H>,
    plain: &CounterProbe<'_, H>,
    hit: &Hit<'_>,
    now: Timestamp,
) {
    let before = fast.get(now);
    let result = fast.increment_by_fast_path(hit, now).unwrap_or_else(|| {
        fast.expect(&fast.get(now), &before, "`try_increment` that returns `None` has counted nothing");
        fast.increment_by_future(hit, now)
    });
    let seen = fast.expect_ok(Operation::Increment, result);
    let expected = plain.expect_ok(Operation::Increment, plain.increment_by_future(hit, now));
    fast.expect(&seen, &expected, "`try_increment` returns the result that `increment` returns");
    let state = plain.get(now);
    fast.expect(&fast.get(now), &state, "`try_increment` leaves the state that `increment` leaves");
}
