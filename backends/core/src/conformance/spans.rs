//! Spans: from a start to an end, such as a month of a calendar.

use super::Harness;
use super::clock::count_on_other_keys;
use super::probe::CounterProbe;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{NANOSECOND, NOW, START, just_before};
use crate::{Timestamp, Window, WindowLength};

/// The end of January.
const END: Timestamp = Timestamp::from_secs(START.as_secs() + 31 * 86_400);

/// The end of February.
const NEXT_END: Timestamp = Timestamp::from_secs(END.as_secs() + 28 * 86_400);

fn span<'s, H: Harness>(
    subject: &'s Subject<'_, H>,
    key: &str,
    start: Timestamp,
    end: Timestamp,
) -> CounterProbe<'s, H> {
    subject.counter(Window::Span { start, end }, key)
}

pub(super) fn span_counts_from_its_start_to_its_end<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Spans) {
        return;
    }
    let rule = "rule 15: a span counts as one window from its start to its end, and returns its start";
    let (january, february) = (span(subject, "month", START, END), span(subject, "month", END, NEXT_END));
    january.expect(&january.get(START), &january.absent(), rule);
    let first = january.first_hit(2, 5, START);
    january.expect(&january.hit(2, 5, NOW), &january.counted(&first, 2), rule);
    january.expect(&january.hit(2, 5, just_before(END)), &january.uncounted(&first, 2), rule);
    january.expect(&january.hit(1, 5, just_before(END)), &january.counted(&first, 3), rule);
    february.expect(&february.get(END), &february.absent(), rule);
    january.expect(&january.get(END), &january.uncounted(&first, 3), rule);
    let next = february.first_hit(5, 5, END);
    february.expect(&february.hit(1, 5, just_before(NEXT_END)), &february.uncounted(&next, 0), rule);
}

pub(super) fn start_and_end_identify_a_span<H: Harness>(subject: &Subject<'_, H>) {
    if subject.lacks(Skip::Spans) {
        return;
    }
    let rule = "rule 15: spans with another start or end are other counters, and so is an aligned window of equal length";
    let day = Timestamp::from_secs(START.as_secs() + 86_400);
    let counters = [
        span(subject, "identity", START, END),
        span(subject, "identity", START, day),
        span(subject, "identity", START.saturating_add(NANOSECOND), END),
        span(subject, "identity", START, just_before(END)),
        subject.counter(Window::aligned(NOW, WindowLength::DAY), "identity"),
        subject.counter(Window::FromFirstHit { length: WindowLength::DAY }, "identity"),
    ];
    let mut states = Vec::new();
    for (counter, cost) in counters.iter().zip(1..) {
        states.push(counter.uncounted(&counter.first_hit(cost, 9, NOW), 0));
    }
    for (counter, state) in counters.iter().zip(&states) {
        counter.expect(&counter.get(NOW), state, rule);
    }
    counters[0].reset(None, NOW);
    states[0] = counters[0].absent();
    for (counter, state) in counters.iter().zip(&states) {
        counter.expect(&counter.get(NOW), state, rule);
    }
}

pub(super) fn span_is_retained_for_the_skew_after_its_end_and_then_refuses<H: Harness>(
    subject: &Subject<'_, H>,
) {
    if subject.lacks(Skip::Spans) {
        return;
    }
    let rule =
        "rule 15: a span is retained for the maximum skew after its end, and refuses every hit from then on";
    let skew = subject.harness.max_clock_skew();
    let counter = span(subject, "retained", START, END);
    let first = counter.first_hit(3, 5, NOW);
    let gone = END.saturating_add(skew);
    let last = just_before(gone);
    count_on_other_keys(subject, WindowLength::MINUTE, last);
    if !skew.is_zero() {
        counter.expect(&counter.get(last), &counter.uncounted(&first, 0), rule);
        counter.expect(&counter.hit(1, 5, last), &counter.counted(&first, 1), rule);
        counter.expect(&counter.hit(1, 5, just_before(END)), &counter.counted(&first, 2), rule);
    }
    for now in [gone, gone.saturating_add(NANOSECOND), NEXT_END] {
        for cost in [1, 6, 0] {
            counter.expect(&counter.hit(cost, 5, now), &counter.absent(), rule);
        }
        counter.expect(&counter.get(now), &counter.absent(), rule);
    }
    let fresh = span(subject, "never hit", START, END);
    fresh.expect(&fresh.hit(1, 5, gone), &fresh.absent(), rule);
}
