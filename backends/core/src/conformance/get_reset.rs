//! What `get` and `reset` do, and what they leave unchanged.

use super::Harness;
use super::subject::Subject;
use super::times::{MINUTE, NOW, START};
use crate::{Window, WindowId, WindowLength};

pub(super) fn get_changes_nothing<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`get` reads the value, the start and the metadata, and changes nothing";
    for counter in subject.each_window("read", NOW) {
        for _ in 0..3 {
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        let first = counter.first_hit(5, 5, NOW);
        for _ in 0..3 {
            counter.expect(&counter.get(NOW), &counter.uncounted(&first, 0), rule);
        }
        counter.expect(&counter.hit(2, 7, NOW), &counter.counted(&first, 2), rule);
        counter.expect(&counter.get(NOW), &counter.uncounted(&first, 2), rule);
    }
}

pub(super) fn reset_deletes_the_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`reset` deletes the counter, and an absent counter is no error";
    for counter in subject.each_window("deleted", NOW) {
        counter.reset(None, NOW);
        counter.first_hit(5, 5, NOW);
        for _ in 0..2 {
            counter.reset(None, NOW);
            counter.expect(&counter.get(NOW), &counter.absent(), rule);
        }
        // The next hit starts a new window.
        counter.first_hit(5, 5, NOW);
        counter.hit(1, 5, NOW);
        counter.reset(None, NOW);
        counter.first_hit(2, 5, NOW);
    }
}

pub(super) fn reset_leaves_all_other_counters<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`reset` deletes one counter, and leaves those of other windows, keys and namespaces";
    let minute = WindowLength::MINUTE;
    let windows = [
        Window::aligned(START, minute),
        Window::aligned(START, WindowLength::HOUR),
        Window::aligned(START, WindowLength::DAY),
        Window::FromFirstHit { length: minute },
        Window::FromFirstHit { length: WindowLength::HOUR },
        Window::Bucket { length: minute },
        Window::Bucket { length: WindowLength::HOUR },
    ];
    for deleted in 0..windows.len() {
        let of_key = windows.map(|window| subject.counter(window, format!("key {deleted}")));
        let mut counters = Vec::from(of_key);
        counters.push(subject.counter(windows[deleted], format!("key {deleted}+")));
        let namespace = format!("{}+", subject.namespace);
        counters.push(subject.counter_in(namespace, windows[deleted], format!("key {deleted}")));
        let firsts: Vec<_> = counters.iter().map(|counter| counter.first_hit(3, 5, START)).collect();
        counters[deleted].reset(None, START);
        for (position, (counter, first)) in counters.iter().zip(&firsts).enumerate() {
            let expected = if position == deleted { counter.absent() } else { counter.uncounted(first, 0) };
            counter.expect(&counter.get(START), &expected, rule);
        }
    }

    let one = subject.counter(Window::aligned(START, minute), "adjacent windows");
    let now = START.saturating_add(MINUTE);
    let next = one.with_window(Window::aligned(now, minute));
    let (before, after) = (one.first_hit(3, 5, START), next.first_hit(4, 5, now));
    next.reset(None, now);
    next.expect(&next.get(now), &next.absent(), rule);
    one.expect(&one.get(now), &one.uncounted(&before, 0), rule);
    let again = next.first_hit(4, 5, now);
    next.expect(&again, &after, rule);
    one.reset(None, now);
    one.expect(&one.get(now), &one.absent(), rule);
    next.expect(&next.get(now), &next.uncounted(&after, 0), rule);
}

pub(super) fn reset_of_a_window_id_leaves_all_other_windows<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "`reset` with a window id deletes the window from the first hit with that id, and no other";
    let counter = subject.counter(Window::FromFirstHit { length: WindowLength::MINUTE }, "window ids");
    let id = |window_id: u128| Some(WindowId(window_id));
    let start = |window_id, now| {
        let hit = counter.new_hit(3, 5, now).with_window_meta(WindowId(window_id), None);
        let first = counter.after_first(&hit, now);
        counter.expect(&counter.increment(&hit, now), &first, "the first hit starts a window");
        counter.uncounted(&first, 0)
    };

    counter.reset(id(1), NOW);
    let first = start(u128::MAX, NOW);
    for other in [0, 1, u128::from(u64::MAX), u128::MAX - 1] {
        counter.reset(id(other), NOW);
        counter.expect(&counter.get(NOW), &first, rule);
    }
    // A later hit in the window does not give the window its id.
    counter.increment(&counter.new_hit(1, 5, NOW).with_window_meta(WindowId(2), None), NOW);
    counter.reset(id(2), NOW);
    counter.expect(&counter.get(NOW), &counter.uncounted(&first, 1), rule);
    counter.reset(id(u128::MAX), NOW);
    counter.expect(&counter.get(NOW), &counter.absent(), rule);

    // The id of a window that has ended does not delete the next window.
    start(0, NOW);
    let later = NOW.saturating_add(MINUTE);
    let second = start(4, later);
    counter.reset(id(0), later);
    counter.expect(&counter.get(later), &second, rule);
    counter.reset(id(4), later);
    counter.expect(&counter.get(later), &counter.absent(), rule);
    start(5, later);
    counter.reset(None, later);
    counter.expect(&counter.get(later), &counter.absent(), "`reset` without a window id deletes any window");

    let rule = "`reset` with a window id deletes no aligned window and no bucket, since these have no id";
    let [aligned, _, bucket] = subject.each_kind("without ids", later);
    for counter in [aligned, bucket] {
        let hit = counter.new_hit(3, 5, later).with_window_meta(WindowId(6), None);
        let first = counter.increment(&hit, later);
        for window_id in [0, 6] {
            counter.reset(id(window_id), later);
            counter.expect(&counter.get(later), &counter.uncounted(&first, 0), rule);
        }
    }
}
