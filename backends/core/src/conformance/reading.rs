//! What `get` and `reset` do, and what they leave alone.

use super::Harness;
use super::subject::{NOW, START, Subject};
use crate::{Window, WindowId, WindowLength};

const MINUTE: std::time::Duration = WindowLength::MINUTE.as_duration();

pub(super) fn a_get_counts_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a `get` reads the value, start and opening, counts nothing and opens nothing";
    for counter in subject.each_kind("read", NOW) {
        for _ in 0..3 {
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        let first = counter.first_hit(5, 5, NOW);
        for _ in 0..3 {
            counter.expect(&counter.get(NOW), &counter.then(&first, false, 0), rule);
        }
        counter.expect(&counter.hit(2, 7, NOW), &counter.then(&first, true, 2), rule);
        counter.expect(&counter.get(NOW), &counter.then(&first, false, 2), rule);
    }
}

pub(super) fn a_reset_forgets_the_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a `reset` forgets the counter, and to forget what is not there is no error";
    for counter in subject.each_kind("forgotten", NOW) {
        counter.reset(None, NOW);
        counter.first_hit(5, 5, NOW);
        for _ in 0..2 {
            counter.reset(None, NOW);
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        // A window that opens after it is a new one.
        counter.first_hit(5, 5, NOW);
        counter.hit(1, 5, NOW);
        counter.reset(None, NOW);
        counter.first_hit(2, 5, NOW);
    }
}

pub(super) fn a_reset_leaves_every_other_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a `reset` forgets one counter: those of other windows, keys and namespaces stay";
    let minute = WindowLength::MINUTE;
    let windows = [
        Window::aligned(START, minute),
        Window::aligned(START, WindowLength::HOUR),
        Window::aligned(START, WindowLength::DAY),
        Window::FromFirstHit { length: minute },
        Window::FromFirstHit { length: WindowLength::HOUR },
        Window::Bucket { limit: 5, length: minute },
        Window::Bucket { limit: 6, length: minute },
    ];
    for forgotten in 0..windows.len() {
        let of_key = windows.map(|window| subject.counter(window, format!("key {forgotten}")));
        let mut counters = Vec::from(of_key);
        counters.push(subject.counter(windows[forgotten], format!("key {forgotten}+")));
        let namespace = format!("{}+", subject.namespace);
        counters.push(subject.counter_of(namespace, windows[forgotten], format!("key {forgotten}")));
        let firsts: Vec<_> = counters.iter().map(|counter| counter.first_hit(3, 5, START)).collect();
        counters[forgotten].reset(None, START);
        for (position, (counter, first)) in counters.iter().zip(&firsts).enumerate() {
            let expected =
                if position == forgotten { counter.absent() } else { counter.then(first, false, 0) };
            counter.expect(&counter.get(START), &expected, rule);
        }
    }

    let one = subject.counter(Window::aligned(START, minute), "in a row");
    let now = START.saturating_add(MINUTE);
    let next = one.with_window(Window::aligned(now, minute));
    let (before, after) = (one.first_hit(3, 5, START), next.first_hit(4, 5, now));
    next.reset(None, now);
    next.expect(&next.get(now), &next.absent(), rule);
    one.expect(&one.get(now), &one.then(&before, false, 0), rule);
    let again = next.first_hit(4, 5, now);
    next.expect(&again, &after, rule);
    one.reset(None, now);
    one.expect(&one.get(now), &one.absent(), rule);
    next.expect(&next.get(now), &next.then(&after, false, 0), rule);
}

pub(super) fn a_reset_of_a_generation_leaves_every_other<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "a `reset` that names a generation forgets that generation of an opened window, and no other";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "generations");
    let named = |window_id: u128| Some(WindowId(window_id));
    let open = |window_id, now| {
        let hit = counter.asking(3, 5, now).with_window_meta(WindowId(window_id), None);
        let opened = counter.after_first(&hit, now);
        counter.expect(&counter.increment(&hit, now), &opened, "the first hit opens a window");
        counter.then(&opened, false, 0)
    };

    counter.reset(named(1), NOW);
    let first = open(u128::MAX, NOW);
    for other in [0, 1, u128::from(u64::MAX), u128::MAX - 1] {
        counter.reset(named(other), NOW);
        counter.expect(&counter.get(NOW), &first, rule);
    }
    // That a hit was counted in a window does not make its generation the window's.
    counter.increment(&counter.asking(1, 5, NOW).with_window_meta(WindowId(2), None), NOW);
    counter.reset(named(2), NOW);
    counter.expect(&counter.get(NOW), &counter.then(&first, false, 1), rule);
    counter.reset(named(u128::MAX), NOW);
    counter.expect(&counter.get(NOW), &counter.absent(), rule);

    // Who still holds the generation of a window that has ended takes nothing from the one after it.
    open(0, NOW);
    let later = NOW.saturating_add(MINUTE);
    let second = open(4, later);
    counter.reset(named(0), later);
    counter.expect(&counter.get(later), &second, rule);
    counter.reset(named(4), later);
    counter.expect(&counter.get(later), &counter.absent(), rule);
    open(5, later);
    counter.reset(None, later);
    counter.expect(&counter.get(later), &counter.absent(), "a `reset` without a generation forgets any");

    let rule =
        "a `reset` that names a generation forgets nothing that has none: no aligned window, and no bucket";
    let [aligned, _, bucket] = subject.each_kind("without generations", later);
    for counter in [aligned, bucket] {
        let hit = counter.asking(3, 5, later).with_window_meta(WindowId(6), None);
        let first = counter.increment(&hit, later);
        for window_id in [0, 6] {
            counter.reset(named(window_id), later);
            counter.expect(&counter.get(later), &counter.then(&first, false, 0), rule);
        }
    }
}
