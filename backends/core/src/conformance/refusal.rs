//! Rule 5: a refused hit leaves the state as it was, and its answer tells that state.

use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use super::subject::{NOW, START, Subject};
use crate::{CounterState, Hit, Window, WindowId, WindowLength, WindowMeta};

pub(super) fn a_refused_hit_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a refused hit leaves the state as it was";
    for counter in subject.each_kind("present", NOW) {
        let first = counter.first_hit(3, 5, NOW);
        let unchanged = counter.then(&first, false, 0);
        // Over what is left, over the whole limit, and far over it.
        for cost in [3, 5, 6, 1_000] {
            counter.hit(cost, 5, NOW);
            counter.expect(&counter.get(NOW), &unchanged, rule);
        }
        counter.expect(&counter.hit(2, 5, NOW), &counter.then(&first, true, 2), rule);
        for _ in 0..20 {
            counter.hit(1, 5, NOW);
        }
        counter.expect(&counter.get(NOW), &counter.then(&first, false, 2), rule);
        // A limiter with a lower limit refuses, and takes nothing from those with a higher one.
        counter.hit(1, 2, NOW);
        counter.expect(&counter.hit(1, 6, NOW), &counter.then(&first, true, 3), rule);
    }
}

pub(super) fn a_refused_hit_leaves_an_absent_counter_absent<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: a refused hit leaves an absent counter absent, and opens no window";
    for counter in subject.each_kind("absent", NOW) {
        for cost in [6, 1_000] {
            counter.expect(&counter.hit(cost, 5, NOW), &counter.absent(), rule);
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        counter.first_hit(5, 5, NOW);
    }
}

pub(super) fn a_refusal_answers_with_the_state<H: Harness>(subject: &Subject<'_, H>) {
    let rule =
        "rule 5: a refusal answers with the value, start and opening, so that nobody has to read again";
    for counter in subject.each_kind("state", NOW) {
        let first = counter.first_hit(3, 5, NOW);
        counter.expect(&counter.hit(3, 5, NOW), &counter.then(&first, false, 0), rule);
        counter.expect(&counter.hit(6, 5, NOW), &counter.then(&first, false, 0), rule);
        counter.expect(&counter.hit(1, 2, NOW), &counter.then(&first, false, 0), rule);
        counter.hit(2, 5, NOW);
        counter.expect(&counter.hit(1, 5, NOW), &counter.then(&first, false, 2), rule);
    }
}

pub(super) fn only_the_first_hit_names_a_window<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 5: an opened window keeps the start, generation and note of its first counted hit, to the letter";
    let notes = [None, Some(""), Some("paid"), Some("a \"quoted\"\nline, caf\u{e9} 💥 \0")];
    let window_ids = [0, 1, u128::from(u64::MAX), 10_u128.pow(38), u128::MAX].map(WindowId);
    for (position, (metadata, window_id)) in
        notes.into_iter().flat_map(|metadata| window_ids.map(|window_id| (metadata, window_id))).enumerate()
    {
        let window = Window::FromFirstHit { length: WindowLength::MINUTE };
        let counter = subject.counter(window, format!("opened {position}"));
        let hit = |cost, window_id, metadata| Hit::new(cost, 5).with_window_meta(window_id, metadata);

        counter.increment(&hit(6, WindowId(7), Some("refused")), START);
        let meta = Arc::new(WindowMeta { id: window_id, metadata: metadata.map(Into::into) });
        let first = CounterState::new(true, 2).with_start(NOW).with_meta(meta);
        counter.expect(&counter.increment(&hit(2, window_id, metadata), NOW), &first, rule);
        let later = NOW.saturating_add(Duration::from_secs(1));
        for (metadata, total) in [(Some("later"), 3), (None, 4), (metadata, 5)] {
            let counted = counter.then(&first, true, total - 2);
            counter.expect(&counter.increment(&hit(1, WindowId(total), metadata), later), &counted, rule);
        }
        let full = counter.then(&first, false, 3);
        let refused = hit(1, WindowId(8), Some("refused"));
        counter.expect(&counter.increment(&refused, later), &full, rule);
        counter.expect(&counter.get(later), &full, rule);
    }
}
