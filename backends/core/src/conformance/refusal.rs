//! Rule 5: a refused hit changes nothing, and returns the state.

use std::sync::Arc;

use super::Harness;
use super::subject::Subject;
use super::times::{NOW, SECOND, START};
use crate::{CounterState, Hit, Window, WindowId, WindowLength, WindowMeta};

pub(super) fn refused_hit_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a refused hit changes nothing";
    for counter in subject.each_window("present", NOW) {
        let first = counter.first_hit(3, 5, NOW);
        let unchanged = counter.uncounted(&first, 0);
        // More than the remainder, more than the whole limit, and much more than that.
        for cost in [3, 5, 6, 1_000] {
            counter.hit(cost, 5, NOW);
            counter.expect(&counter.get(NOW), &unchanged, rule);
        }
        counter.expect(&counter.hit(2, 5, NOW), &counter.counted(&first, 2), rule);
        for _ in 0..20 {
            counter.hit(1, 5, NOW);
        }
        counter.expect(&counter.get(NOW), &counter.uncounted(&first, 2), rule);
        // A hit that is refused by a lower limit takes nothing from a higher limit.
        counter.hit(1, 2, NOW);
        counter.expect(&counter.hit(1, 6, NOW), &counter.counted(&first, 3), rule);
    }
}

pub(super) fn refused_hit_creates_no_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a refused hit on an absent counter creates no counter, and starts no window";
    for counter in subject.each_window("absent", NOW) {
        for cost in [6, 1_000] {
            counter.expect(&counter.hit(cost, 5, NOW), &counter.absent(), rule);
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        counter.first_hit(5, 5, NOW);
    }
}

pub(super) fn refusal_returns_the_state<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a refused hit returns the value, the start and the metadata";
    for counter in subject.each_window("state", NOW) {
        let first = counter.first_hit(3, 5, NOW);
        counter.expect(&counter.hit(3, 5, NOW), &counter.uncounted(&first, 0), rule);
        counter.expect(&counter.hit(6, 5, NOW), &counter.uncounted(&first, 0), rule);
        counter.expect(&counter.hit(1, 2, NOW), &counter.uncounted(&first, 0), rule);
        counter.hit(2, 5, NOW);
        counter.expect(&counter.hit(1, 5, NOW), &counter.uncounted(&first, 2), rule);
    }
}

pub(super) fn only_the_first_hit_sets_start_id_and_metadata<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a window from the first hit keeps the start, id and metadata of its first counted hit, unchanged";
    let metadata = [None, Some(""), Some("paid"), Some("a \"quoted\"\nline, caf\u{e9} 💥 \0")];
    let window_ids = [0, 1, u128::from(u64::MAX), 10_u128.pow(38), u128::MAX].map(WindowId);
    for (position, (metadata, window_id)) in metadata
        .into_iter()
        .flat_map(|metadata| window_ids.map(|window_id| (metadata, window_id)))
        .enumerate()
    {
        let window = Window::FromFirstHit { length: WindowLength::MINUTE };
        let counter = subject.counter(window, format!("window {position}"));
        let hit = |cost, window_id, metadata| Hit::new(cost, 5).with_window_meta(window_id, metadata);

        counter.increment(&hit(6, WindowId(7), Some("refused")), START);
        let meta = Arc::new(WindowMeta { id: window_id, metadata: metadata.map(Into::into) });
        let first = CounterState::new(true, 2).with_start(NOW).with_meta(meta);
        counter.expect(&counter.increment(&hit(2, window_id, metadata), NOW), &first, rule);
        let later = NOW.saturating_add(SECOND);
        for (metadata, total) in [(Some("later"), 3), (None, 4), (metadata, 5)] {
            let counted = counter.counted(&first, total - 2);
            counter.expect(&counter.increment(&hit(1, WindowId(total), metadata), later), &counted, rule);
        }
        let full = counter.uncounted(&first, 3);
        let refused = hit(1, WindowId(8), Some("refused"));
        counter.expect(&counter.increment(&refused, later), &full, rule);
        counter.expect(&counter.get(later), &full, rule);
    }
}
