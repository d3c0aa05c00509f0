//! The aligned windows of one key: the latest three.

use std::time::Duration;

use limited_core::{CounterState, Hit, Timestamp, Window, WindowLength, has_passed, retained_until, sliding};

/// How many windows are known. The current one and the one before decide a sliding window; one more keeps both of
/// them known when the clock jumps back into the window before.
pub(crate) const KNOWN: usize = 3;

/// The newest window with hits, and the two before it.
///
/// All older ones are closed: should the clock jump back into one, its count is unknown, so it refuses, and never
/// admits extra. For windows no shorter than the allowed skew that happens only past the time for which the contract
/// wants a window known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// The start of the newest window.
    pub(crate) newest: u64,
    /// What is counted in it, in the window before it, and in the one before that.
    pub(crate) counts: [u128; KNOWN],
}

/// How an operation looks at windows: fixed, or sliding, where the window before must be known too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowMode {
    Fixed,
    Sliding,
}

/// The window that an operation is about, and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowAt {
    pub(crate) start: Timestamp,
    pub(crate) length: WindowLength,
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

/// Whether a window that starts at `start` lies further ahead than any jump back within the allowed skew explains.
/// Somebody's clock was wrong when it was counted in, and has been corrected since.
pub(crate) fn is_implausible(start: Timestamp, length: WindowLength, now: Timestamp, skew: Duration) -> bool {
    start > retained_until(now, length, skew)
}

impl Windows {
    /// Counts `hit` in the windows of a key of which these are known, if any are: what it is told, and its windows from
    /// now on, where it is counted.
    pub(crate) fn increment(
        known: Option<&Self>,
        hit: &Hit<'_>,
        at: WindowAt,
        mode: WindowMode,
    ) -> (CounterState, Option<Self>) {
        let known = match Self::decidable(known, at, mode) {
            Decidable::Known => known,
            Decidable::StartOver => None,
            Decidable::ForgottenBefore(start) => return (Self::state(known, start, at, mode), None),
        };
        let before = Self::previous_value(known, at.start, at.length, mode);
        let with_previous = match mode {
            WindowMode::Fixed => *hit,
            WindowMode::Sliding => sliding::with_previous(
                hit,
                before,
                Window::Aligned { start: at.start, length: at.length },
                at.now,
            ),
        };
        match with_previous.apply(Self::value(known, at.start, at.length)) {
            Some(value) => {
                let state = CounterState::new(true, value).with_start(at.start).with_previous(before);
                (state, Some(Self::with(known, value, at)))
            }
            None => (Self::state(known, at.start, at, mode), None),
        }
    }

    /// Reads.
    pub(crate) fn get(known: Option<&Self>, at: WindowAt, mode: WindowMode) -> CounterState {
        if has_passed(retained_until(at.start, at.length, at.skew), at.now) {
            return CounterState::new(false, 0).with_start(at.start);
        }
        match Self::decidable(known, at, mode) {
            Decidable::Known => Self::state(known, at.start, at, mode),
            Decidable::StartOver => CounterState::new(false, 0).with_start(at.start),
            Decidable::ForgottenBefore(start) => Self::state(known, start, at, mode),
        }
    }

    /// Forgets one window.
    pub(crate) fn remove(&mut self, start: Timestamp, length: WindowLength) {
        if let Some(count) = self.age(start.as_nanos(), length).and_then(|age| self.counts.get_mut(age)) {
            *count = 0;
        }
    }

    /// Whether nothing is counted in any window, so that they are the same as none.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts == [0; KNOWN]
    }

    fn state(known: Option<&Self>, start: Timestamp, at: WindowAt, mode: WindowMode) -> CounterState {
        CounterState::new(false, Self::value(known, start, at.length))
            .with_start(start)
            .with_previous(Self::previous_value(known, start, at.length, mode))
    }

    /// How many windows before the newest one this one is; `None` of a later one.
    fn age(&self, start: u64, length: WindowLength) -> Option<usize> {
        let age = self.newest.checked_sub(start)? / length.as_nanos();
        Some(usize::try_from(age).unwrap_or(usize::MAX))
    }

    fn value(known: Option<&Self>, start: Timestamp, length: WindowLength) -> u128 {
        let count = |known: &Self| known.counts.get(known.age(start.as_nanos(), length)?).copied();
        known.and_then(count).unwrap_or(0)
    }

    fn previous_value(
        known: Option<&Self>,
        start: Timestamp,
        length: WindowLength,
        mode: WindowMode,
    ) -> u128 {
        match (mode, start.as_nanos().checked_sub(length.as_nanos())) {
            (WindowMode::Sliding, Some(before)) => Self::value(known, Timestamp::from_nanos(before), length),
            _ => 0,
        }
    }

    /// Whether the window asked for can be decided on: it is known, or later than all that are.
    fn decidable(known: Option<&Self>, at: WindowAt, mode: WindowMode) -> Decidable {
        let Some(known) = known else {
            return Decidable::Known;
        };
        let (lookup, length) = (at.start.as_nanos(), at.length.as_nanos());
        let back = |windows| known.newest.saturating_sub(windows * length);
        let earliest = back(if mode == WindowMode::Sliding { 1 } else { 2 });
        // Before the first window since the epoch there is none to know.
        if lookup >= earliest || (lookup < length && lookup >= back(2)) {
            Decidable::Known
        } else if is_implausible(Timestamp::from_nanos(known.newest), at.length, at.now, at.skew) {
            Decidable::StartOver
        } else {
            Decidable::ForgottenBefore(Timestamp::from_nanos(earliest))
        }
    }

    /// The windows once `value` is counted in the one asked for, which can be decided on.
    fn with(known: Option<&Self>, value: u128, at: WindowAt) -> Self {
        let lookup = at.start.as_nanos();
        let start_over = Self { newest: lookup, counts: [value, 0, 0] };
        let Some(known) = known else {
            return start_over;
        };
        if let Some(age) = known.age(lookup, at.length) {
            let mut after = *known;
            if let Some(count) = after.counts.get_mut(age) {
                *count = value;
            }
            return after;
        }
        let [newest, before, _] = known.counts;
        match (lookup - known.newest) / at.length.as_nanos() {
            1 => Self { newest: lookup, counts: [value, newest, before] },
            2 => Self { newest: lookup, counts: [value, 0, newest] },
            _ => start_over,
        }
    }
}

/// Where a decision can be made.
enum Decidable {
    /// In the window asked for.
    Known,
    /// In the window asked for, once everything known, which lies implausibly far ahead, is forgotten.
    StartOver,
    /// In the window that starts there, at the earliest.
    ForgottenBefore(Timestamp),
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
        mode: WindowMode,
    }

    /// The windows of one key, as a slot keeps them.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Key(Option<Windows>);

    impl Key {
        fn increment(&mut self, hit: &Hit<'_>, at: WindowAt, mode: WindowMode) -> CounterState {
            let (state, after) = Windows::increment(self.0.as_ref(), hit, at, mode);
            self.0 = after.or(self.0);
            state
        }

        fn get(&self, at: WindowAt, mode: WindowMode) -> CounterState {
            Windows::get(self.0.as_ref(), at, mode)
        }
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
            mode: if slides { WindowMode::Sliding } else { WindowMode::Fixed },
        });
        prop::collection::vec(step, 1..60)
    }

    fn at(now: u64, length: WindowLength, skew: Duration) -> WindowAt {
        let now = Timestamp::from_nanos(now);
        let Window::Aligned { start, .. } = Window::aligned(now, length) else { unreachable!() };
        WindowAt { start, length, now, skew }
    }

    /// Every hit that was ever counted, by window.
    #[derive(Default)]
    struct Log(BTreeMap<u64, u128>);

    impl Log {
        fn value(&self, start: u64) -> u128 {
            self.0.get(&start).copied().unwrap_or(0)
        }

        fn admits(&self, step: &Step, at: WindowAt) -> bool {
            let (start, length) = (at.start.as_nanos(), u128::from(at.length.as_nanos()));
            let elapsed = u128::from(at.now.as_nanos() - start);
            let previous = match step.mode {
                WindowMode::Fixed => 0,
                WindowMode::Sliding => self.value(start - at.length.as_nanos()),
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
            let (mut windows, mut log, mut latest) = (Key::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest.saturating_sub(step.back), length, skew);
                // Of a sliding window the one before has to be known too.
                let needed = at.start.as_nanos() - if step.mode == WindowMode::Sliding { length.as_nanos() } else { 0 };
                let needed = Timestamp::from_nanos(needed);
                if Timestamp::from_nanos(latest) >= retained_until(needed, length, skew) {
                    continue;
                }
                let before = windows.clone();
                let expected = log.admits(&step, at);
                let state = windows.increment(&Hit::new(step.cost.into(), CEILING), at, step.mode);
                prop_assert_eq!(state.counted, expected);
                prop_assert_eq!(state.start, Some(at.start));
                if expected {
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else {
                    prop_assert_eq!(&windows, &before);
                }
                prop_assert_eq!(state.value, log.value(at.start.as_nanos()));
                prop_assert_eq!(windows.get(at, WindowMode::Fixed).value, state.value);
            }
        }

        /// Windows shorter than the allowed skew are not all remembered, but none admits extra.
        #[test]
        fn no_jump_back_within_the_allowed_skew_admits_extra(
            steps in steps(WindowLength::SECOND),
            skew in prop::sample::select(vec![0, 1, 3, 10]),
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut log, mut latest) = (Key::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let furthest = latest - length.as_nanos() - u64::try_from(skew.as_nanos()).unwrap();
                let at = at(latest.saturating_sub(step.back).max(furthest), length, skew);
                let state = windows.increment(&Hit::new(step.cost.into(), CEILING), at, step.mode);
                if state.counted {
                    prop_assert!(log.admits(&step, at));
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else if let Some(start) = state.start && start > at.start {
                    // It says when it can decide, and then it can.
                    let later = WindowAt { start, now: start, ..at };
                    let state = windows.clone().increment(&Hit::new(0, u128::MAX), later, step.mode);
                    prop_assert_eq!(state.start, Some(start));
                }
            }
        }

        #[test]
        fn a_prediction_says_what_the_hit_gets(
            steps in steps(WindowLength::SECOND),
            skew in 0..3_u64,
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut latest) = (Key::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest - step.back, length, skew);
                let seen = windows.get(at, step.mode);
                let state = windows.increment(&Hit::new(1, CEILING), at, step.mode);
                if !state.counted {
                    prop_assert_eq!(seen, state);
                } else {
                    prop_assert_eq!(seen.start, state.start);
                    prop_assert_eq!(seen.value + 1, state.value);
                    prop_assert_eq!(seen.previous, state.previous);
                }
            }
        }

        #[test]
        fn no_time_panics(nows in prop::collection::vec(any::<u64>(), 1..40), skew: u64, length in 1..=100_u32) {
            let length = WindowLength::try_from(WindowLength::MAX.as_duration() / length).unwrap();
            let mut windows = Key::default();
            for (index, now) in nows.into_iter().enumerate() {
                let mode = if index % 2 == 0 { WindowMode::Fixed } else { WindowMode::Sliding };
                let at = at(now, length, Duration::from_nanos(skew));
                let _ = windows.increment(&Hit::new(u128::from(now), u128::MAX), at, mode);
                let _ = windows.get(at, mode);
            }
        }
    }

    #[test]
    fn a_clock_that_was_far_ahead_and_is_corrected_finds_the_key_working() {
        let (length, skew) = (WindowLength::MINUTE, Duration::from_secs(5));
        let day = WindowLength::DAY.as_nanos();
        let mut windows = Key::default();
        let hit = Hit::new(1, CEILING);
        for minute in 0..4 {
            let ahead = at(START + day + minute * length.as_nanos(), length, skew);
            assert!(windows.increment(&hit, ahead, WindowMode::Fixed).counted);
        }
        for minute in 0..10 {
            let corrected = at(START + minute * length.as_nanos(), length, skew);
            for _ in 0..CEILING {
                assert!(windows.increment(&hit, corrected, WindowMode::Fixed).counted, "minute {minute}");
            }
            assert!(!windows.increment(&hit, corrected, WindowMode::Fixed).counted, "minute {minute}");
            assert!(!windows.increment(&hit, corrected, WindowMode::Sliding).counted, "minute {minute}");
        }
    }
}
