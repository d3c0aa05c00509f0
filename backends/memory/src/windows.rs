//! The aligned windows of one key: the latest few, and from when on nothing else is known.

use std::time::Duration;

use limited_core::{Hit, Tally, Timestamp, Window, WindowLength, forgotten_from, has_come, sliding};

/// How many windows are known at most. The current one and the one before decide a sliding window; one more keeps both
/// of them known when the clock jumps back into the window before.
const KNOWN: usize = 3;

/// The latest windows with hits, newest first.
///
/// A window that had to make room is closed, and with it all older ones: should the clock jump back into a closed
/// window, its count is unknown, so it refuses, and never admits extra. For windows no shorter than the allowed skew
/// that happens only past the time for which the contract wants a window known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Windows {
    known: [Counted; KNOWN],
    len: u8,
    /// The start of the newest window that is closed.
    closed: Option<u64>,
}

/// The count of the window that starts at `start` nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    start: u64,
    value: u128,
}

/// How an operation looks at windows: fixed, or sliding, where the window before must be known too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Fixed,
    Sliding,
}

/// The window that an operation is about, and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) start: Timestamp,
    pub(crate) length: WindowLength,
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl At {
    /// Whether a window that starts at `start` lies further ahead than any jump back within the allowed skew explains.
    /// Somebody's clock was wrong when it was counted in, and has been corrected since.
    fn is_implausible(&self, start: u64) -> bool {
        start > forgotten_from(self.now, self.length, self.skew).as_nanos()
    }
}

impl Windows {
    /// Counts `hit`, or leaves everything as it was.
    pub(crate) fn increment(&mut self, hit: &Hit<'_>, at: At, view: View) -> Tally {
        let (known, start) = match self.decidable(at, view) {
            Decidable::Here => (&*self, at.start),
            Decidable::Afresh => (&Self::default(), at.start),
            Decidable::From(start) => return self.tally(false, start, at, view),
        };
        let before = known.value_before(start, at.length, view);
        let weighed = match view {
            View::Fixed => *hit,
            View::Sliding => {
                sliding::weighed(hit, before, Window::Aligned { start, length: at.length }, at.now)
            }
        };
        match weighed.apply(known.value(start)) {
            Some(value) => {
                if !std::ptr::eq(known, self) {
                    *self = Self::default();
                }
                self.put(Counted { start: start.as_nanos(), value }, at);
                Tally::new(true, value).with_start(start).with_previous(before)
            }
            None => known.tally(false, start, at, view),
        }
    }

    /// Reads.
    pub(crate) fn get(&self, at: At, view: View) -> Tally {
        if has_come(forgotten_from(at.start, at.length, at.skew), at.now) {
            return Tally::new(false, 0).with_start(at.start);
        }
        match self.decidable(at, view) {
            Decidable::Here => self.tally(false, at.start, at, view),
            Decidable::Afresh => Tally::new(false, 0).with_start(at.start),
            Decidable::From(start) => self.tally(false, start, at, view),
        }
    }

    /// Forgets one window.
    pub(crate) fn remove(&mut self, start: Timestamp) {
        if let Some(index) = self.position(start.as_nanos()) {
            self.remove_at(index);
        }
    }

    /// Whether no window is known any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The start of the newest window that is known and starts by `latest`.
    pub(crate) fn newest(&self, latest: Timestamp) -> Option<Timestamp> {
        let mut starts = self.known().iter().map(|known| Timestamp::from_nanos(known.start));
        starts.find(|start| *start <= latest)
    }

    fn tally(&self, counted: bool, start: Timestamp, at: At, view: View) -> Tally {
        Tally::new(counted, self.value(start))
            .with_start(start)
            .with_previous(self.value_before(start, at.length, view))
    }

    fn known(&self) -> &[Counted] {
        &self.known[..usize::from(self.len)]
    }

    fn position(&self, start: u64) -> Option<usize> {
        self.known().iter().position(|window| window.start == start)
    }

    fn value(&self, start: Timestamp) -> u128 {
        self.position(start.as_nanos()).map_or(0, |index| self.known[index].value)
    }

    fn value_before(&self, start: Timestamp, length: WindowLength, view: View) -> u128 {
        match view {
            View::Fixed => 0,
            View::Sliding => match start.as_nanos().checked_sub(length.as_nanos()) {
                Some(before) => self.value(Timestamp::from_nanos(before)),
                None => 0,
            },
        }
    }

    /// Whether the window asked for can be decided on: it is not closed, and can be remembered.
    fn decidable(&self, at: At, view: View) -> Decidable {
        let asked = at.start.as_nanos();
        let mut earliest = asked;
        if let Some(closed) = self.closed {
            let windows = if view == View::Sliding { 2 } else { 1 };
            earliest = earliest.max(closed.saturating_add(windows * at.length.as_nanos()));
        }
        if let [newest, .., oldest] = self.known()
            && usize::from(self.len) == KNOWN
            && !at.is_implausible(newest.start)
        {
            earliest = earliest.max(oldest.start);
        }
        if earliest == asked {
            Decidable::Here
        } else if at.is_implausible(earliest) {
            Decidable::Afresh
        } else {
            Decidable::From(Timestamp::from_nanos(earliest))
        }
    }

    fn put(&mut self, window: Counted, at: At) {
        if let Some(index) = self.position(window.start) {
            self.known[index] = window;
            return;
        }
        if usize::from(self.len) == KNOWN {
            if at.is_implausible(self.known[0].start) {
                self.remove_at(0);
            } else {
                let oldest = self.known[KNOWN - 1].start;
                self.closed = self.closed.max(Some(oldest));
                self.remove_at(KNOWN - 1);
            }
        }
        let index = self.known().iter().take_while(|known| known.start > window.start).count();
        self.known[index..].rotate_right(1);
        self.known[index] = window;
        self.len += 1;
    }

    fn remove_at(&mut self, index: usize) {
        self.known[index..].rotate_left(1);
        self.known[KNOWN - 1] = Counted::default();
        self.len -= 1;
    }
}

/// Where a decision can be made.
enum Decidable {
    /// In the window asked for.
    Here,
    /// In the window asked for, once everything known, which lies implausibly far ahead, is forgotten.
    Afresh,
    /// In the window that starts there, at the earliest.
    From(Timestamp),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One hit: how far the clock moves on before it, how far back it is read, and the cost.
    #[derive(Clone, Debug)]
    struct Step {
        forward: u64,
        back: u64,
        cost: u8,
        view: View,
    }

    const CEILING: u128 = 20;
    const START: u64 = 1_767_225_600_000_000_000;

    fn steps(length: WindowLength) -> impl Strategy<Value = Vec<Step>> {
        let length = length.as_nanos();
        let step = (0..2 * length, 0..4 * length, 1..9_u8, any::<bool>(), any::<bool>());
        let step = step.prop_map(|(forward, back, cost, jumps, slides)| Step {
            forward: if cost < 7 { forward / 8 } else { forward },
            back: if jumps { back } else { 0 },
            cost,
            view: if slides { View::Sliding } else { View::Fixed },
        });
        prop::collection::vec(step, 1..60)
    }

    fn at(now: u64, length: WindowLength, skew: Duration) -> At {
        let now = Timestamp::from_nanos(now);
        let Window::Aligned { start, .. } = Window::aligned(now, length) else { unreachable!() };
        At { start, length, now, skew }
    }

    /// Every hit that was ever counted, by window.
    #[derive(Default)]
    struct Log(BTreeMap<u64, u128>);

    impl Log {
        fn value(&self, start: u64) -> u128 {
            self.0.get(&start).copied().unwrap_or(0)
        }

        fn admits(&self, step: &Step, at: At) -> bool {
            let (start, length) = (at.start.as_nanos(), u128::from(at.length.as_nanos()));
            let elapsed = u128::from(at.now.as_nanos() - start);
            let previous = match step.view {
                View::Fixed => 0,
                View::Sliding => self.value(start - at.length.as_nanos()),
            };
            let current = self.value(start) + u128::from(step.cost);
            current * length + previous * (length - elapsed) <= CEILING * length
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        /// What the contract wants known is known: then windows decide as a log of every hit does.
        #[test]
        fn windows_decide_like_a_log_for_as_long_as_a_window_stays_known(
            steps in steps(WindowLength::MINUTE),
        ) {
            let (length, skew) = (WindowLength::MINUTE, Duration::from_secs(5));
            let (mut windows, mut log, mut latest) = (Windows::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest.saturating_sub(step.back), length, skew);
                // Of a sliding window the one before has to be known too.
                let needed = at.start.as_nanos() - if step.view == View::Sliding { length.as_nanos() } else { 0 };
                let needed = Timestamp::from_nanos(needed);
                if Timestamp::from_nanos(latest) >= forgotten_from(needed, length, skew) {
                    continue;
                }
                let before = windows.clone();
                let expected = log.admits(&step, at);
                let tally = windows.increment(&Hit::new(step.cost.into(), CEILING), at, step.view);
                prop_assert_eq!(tally.counted, expected);
                prop_assert_eq!(tally.start, Some(at.start));
                if expected {
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else {
                    prop_assert_eq!(&windows, &before);
                }
                prop_assert_eq!(tally.value, log.value(at.start.as_nanos()));
                prop_assert_eq!(windows.get(at, View::Fixed).value, tally.value);
            }
        }

        /// Windows shorter than the allowed skew are not all remembered, but none admits extra.
        #[test]
        fn no_jump_back_within_the_allowed_skew_admits_extra(
            steps in steps(WindowLength::SECOND),
            skew in prop::sample::select(vec![0, 1, 3, 10]),
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut log, mut latest) = (Windows::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let furthest = latest - length.as_nanos() - u64::try_from(skew.as_nanos()).unwrap();
                let at = at(latest.saturating_sub(step.back).max(furthest), length, skew);
                let tally = windows.increment(&Hit::new(step.cost.into(), CEILING), at, step.view);
                if tally.counted {
                    prop_assert!(log.admits(&step, at));
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else if let Some(start) = tally.start && start > at.start {
                    // It says when it can decide, and then it can.
                    let later = At { start, now: start, ..at };
                    let tally = windows.clone().increment(&Hit::new(0, u128::MAX), later, step.view);
                    prop_assert_eq!(tally.start, Some(start));
                }
            }
        }

        #[test]
        fn a_prediction_says_what_the_hit_gets(
            steps in steps(WindowLength::SECOND),
            skew in 0..3_u64,
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut latest) = (Windows::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest - step.back, length, skew);
                let seen = windows.get(at, step.view);
                let tally = windows.increment(&Hit::new(1, CEILING), at, step.view);
                if !tally.counted {
                    prop_assert_eq!(seen, tally);
                } else {
                    prop_assert_eq!(seen.start, tally.start);
                    prop_assert_eq!(seen.value + 1, tally.value);
                    prop_assert_eq!(seen.previous, tally.previous);
                }
            }
        }

        #[test]
        fn no_time_panics(nows in prop::collection::vec(any::<u64>(), 1..40), skew: u64, length in 1..=100_u32) {
            let length = WindowLength::try_from(WindowLength::MAX.as_duration() / length).unwrap();
            let mut windows = Windows::default();
            for (index, now) in nows.into_iter().enumerate() {
                let view = if index % 2 == 0 { View::Fixed } else { View::Sliding };
                let at = at(now, length, Duration::from_nanos(skew));
                let _ = windows.increment(&Hit::new(u128::from(now), u128::MAX), at, view);
                let _ = windows.get(at, view);
            }
        }
    }

    #[test]
    fn a_clock_that_was_far_ahead_and_is_corrected_finds_the_key_working() {
        let (length, skew) = (WindowLength::MINUTE, Duration::from_secs(5));
        let day = WindowLength::DAY.as_nanos();
        let mut windows = Windows::default();
        let hit = Hit::new(1, CEILING);
        for minute in 0..4 {
            let ahead = at(START + day + minute * length.as_nanos(), length, skew);
            assert!(windows.increment(&hit, ahead, View::Fixed).counted);
        }
        for minute in 0..10 {
            let corrected = at(START + minute * length.as_nanos(), length, skew);
            for _ in 0..CEILING {
                assert!(windows.increment(&hit, corrected, View::Fixed).counted, "minute {minute}");
            }
            assert!(!windows.increment(&hit, corrected, View::Fixed).counted, "minute {minute}");
            assert!(!windows.increment(&hit, corrected, View::Sliding).counted, "minute {minute}");
        }
    }
}
