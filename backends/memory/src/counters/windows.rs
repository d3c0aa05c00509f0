//! The aligned windows of one key: the latest three.

use std::time::Duration;

use limited_core::{
    Counter, CounterState, Hit, Refund, Timestamp, Window, WindowLength, has_passed, retained_until, sliding,
};

/// Number of known windows. The current and the previous window decide a hit on a sliding counter.
/// The third keeps both known if the clock jumps back into the previous window.
pub(crate) const KNOWN: usize = 3;

/// The newest window with hits, and the two windows before it.
///
/// All older windows are closed. If the clock jumps back into one, its count is unknown. Hits are
/// then refused, and nothing extra is admitted. If windows are at least as long as the maximum
/// clock skew, that happens only after the time until which the contract retains a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// The start of the newest window.
    pub(crate) newest: u64,
    /// The counts of the newest window, the previous one, and the one before that.
    pub(crate) counts: [u128; KNOWN],
}

/// Whether an operation counts one window, or weighs the previous window too, which must then be
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowMode {
    Fixed,
    Sliding,
}

impl WindowMode {
    #[inline(always)]
    pub(crate) const fn of(counter: &Counter<'_>) -> Self {
        if counter.is_sliding() { Self::Sliding } else { Self::Fixed }
    }
}

/// The clock as an operation reads it, and how far it may jump back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl Reading {
    pub(crate) const fn in_window(
        self,
        start: Timestamp,
        length: WindowLength,
        mode: WindowMode,
    ) -> WindowAt {
        WindowAt { start, length, mode, reading: self }
    }
}

/// The aligned window that an operation acts on, and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowAt {
    pub(crate) start: Timestamp,
    pub(crate) length: WindowLength,
    pub(crate) mode: WindowMode,
    pub(crate) reading: Reading,
}

/// In which window a hit can be decided.
enum Decidable {
    /// In the requested window.
    Known,
    /// In the requested window, after all known windows are forgotten: they lie implausibly far
    /// ahead.
    StartOver,
    /// In the window with this start, at the earliest.
    ForgottenBefore(Timestamp),
}

impl Windows {
    /// Returns the windows of an absent counter.
    pub(crate) const fn empty(newest: Timestamp) -> Self {
        Self { newest: newest.as_nanos(), counts: [0; KNOWN] }
    }

    /// Returns the result of `hit`, and the windows after it if it is counted.
    pub(crate) fn increment(&self, hit: &Hit<'_>, at: WindowAt) -> (CounterState, Option<Self>) {
        let WindowAt { start, length, mode, reading } = at;
        let known = match self.decidable(at) {
            Decidable::Known => *self,
            Decidable::StartOver => Self::empty(start),
            Decidable::ForgottenBefore(earliest) => return (self.state(earliest, at), None),
        };
        let previous = known.previous_value(start, at);
        let hit = match mode {
            WindowMode::Fixed => *hit,
            WindowMode::Sliding => {
                sliding::with_previous(hit, previous, Window::Aligned { start, length }, reading.now)
            }
        };
        match hit.apply(known.value(start, length)) {
            Some(value) => {
                let state = CounterState::new(true, value).with_start(start).with_previous(previous);
                (state, Some(known.with(value, start, length)))
            }
            None => (known.state(start, at), None),
        }
    }

    /// Reads the requested window.
    pub(crate) fn get(&self, at: WindowAt) -> CounterState {
        let is_expired = has_passed(retained_until(at.start, at.length, at.reading.skew), at.reading.now);
        match self.decidable(at) {
            _ if is_expired => CounterState::new(false, 0).with_start(at.start),
            Decidable::Known => self.state(at.start, at),
            Decidable::StartOver => CounterState::new(false, 0).with_start(at.start),
            Decidable::ForgottenBefore(earliest) => self.state(earliest, at),
        }
    }

    /// Returns part of a charge to the requested window. Returns whether that window is known, has
    /// a count and accepts the refund.
    pub(crate) fn refund(&mut self, refund: &Refund, at: WindowAt) -> bool {
        let is_expired = has_passed(retained_until(at.start, at.length, at.reading.skew), at.reading.now);
        let age = self.age(at.start.as_nanos(), at.length);
        let Some(count) = age.and_then(|age| self.counts.get_mut(age)) else { return false };
        let is_found = !is_expired && *count > 0 && refund.accepts(*count);
        if is_found {
            *count = refund.apply(*count);
        }
        is_found
    }

    /// Forgets the count of one window.
    pub(crate) fn remove(&mut self, start: Timestamp, length: WindowLength) {
        if let Some(count) = self.age(start.as_nanos(), length).and_then(|age| self.counts.get_mut(age)) {
            *count = 0;
        }
    }

    /// Returns whether no window has a count, so that the counter equals an absent one.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts == [0; KNOWN]
    }

    /// Returns when the windows may be removed.
    pub(crate) fn retained_until(&self, length: WindowLength, reading: Reading) -> Timestamp {
        if self.is_implausible(length, reading) {
            Timestamp::EPOCH
        } else {
            retained_until(Timestamp::from_nanos(self.newest), length, reading.skew)
        }
    }

    /// Returns whether the newest window lies further ahead than a jump back within the maximum
    /// clock skew explains. The clock was then wrong when that window was counted, and has been
    /// corrected since.
    fn is_implausible(&self, length: WindowLength, Reading { now, skew }: Reading) -> bool {
        Timestamp::from_nanos(self.newest) > retained_until(now, length, skew)
    }

    fn state(&self, start: Timestamp, at: WindowAt) -> CounterState {
        CounterState::new(false, self.value(start, at.length))
            .with_start(start)
            .with_previous(self.previous_value(start, at))
    }

    /// Returns how many windows the newest one is after this one, or `None` if this one is later.
    fn age(&self, start: u64, length: WindowLength) -> Option<usize> {
        let age = self.newest.checked_sub(start)? / length.as_nanos();
        Some(usize::try_from(age).unwrap_or(usize::MAX))
    }

    fn value(&self, start: Timestamp, length: WindowLength) -> u128 {
        let age = self.age(start.as_nanos(), length);
        age.and_then(|age| self.counts.get(age)).copied().unwrap_or(0)
    }

    /// Returns the value of the window before `start`, or 0 if the counter does not slide.
    fn previous_value(&self, start: Timestamp, at: WindowAt) -> u128 {
        match (at.mode, start.as_nanos().checked_sub(at.length.as_nanos())) {
            (WindowMode::Sliding, Some(previous)) => self.value(Timestamp::from_nanos(previous), at.length),
            _ => 0,
        }
    }

    /// Returns whether the requested window can be decided: it is known, or later than all known
    /// ones.
    fn decidable(&self, at: WindowAt) -> Decidable {
        let (requested, length) = (at.start.as_nanos(), at.length.as_nanos());
        let back = |windows| self.newest.saturating_sub(windows * length);
        let earliest = back(if at.mode == WindowMode::Sliding { 1 } else { 2 });
        // The first window since the epoch has no previous window that must be known.
        if requested >= earliest || (requested < length && requested >= back(2)) {
            Decidable::Known
        } else if self.is_implausible(at.length, at.reading) {
            Decidable::StartOver
        } else {
            Decidable::ForgottenBefore(Timestamp::from_nanos(earliest))
        }
    }

    /// Returns the windows after `value` is counted in the window at `start`, which is decidable.
    fn with(&self, value: u128, start: Timestamp, length: WindowLength) -> Self {
        let start = start.as_nanos();
        if let Some(age) = self.age(start, length) {
            let mut after = *self;
            if let Some(count) = after.counts.get_mut(age) {
                *count = value;
            }
            return after;
        }
        let [newest, previous, _] = self.counts;
        let counts = match (start - self.newest) / length.as_nanos() {
            1 => [value, newest, previous],
            2 => [value, 0, newest],
            _ => [value, 0, 0],
        };
        Self { newest: start, counts }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    struct Step {
        /// How far the clock advances before the hit.
        forward: u64,
        /// How far back the clock is read.
        back: u64,
        cost: u8,
        mode: WindowMode,
    }

    /// The windows of one key, as a slot stores them.
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Key(Option<Windows>);

    impl Key {
        fn windows(&self, at: WindowAt) -> Windows {
            self.0.unwrap_or(Windows::empty(at.start))
        }

        fn increment(&mut self, hit: &Hit<'_>, at: WindowAt) -> CounterState {
            let (state, after) = self.windows(at).increment(hit, at);
            self.0 = after.or(self.0);
            state
        }

        fn get(&self, at: WindowAt) -> CounterState {
            self.windows(at).get(at)
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

    fn at(now: u64, length: WindowLength, skew: Duration, mode: WindowMode) -> WindowAt {
        let now = Timestamp::from_nanos(now);
        let Window::Aligned { start, .. } = Window::aligned(now, length) else { unreachable!() };
        Reading { now, skew }.in_window(start, length, mode)
    }

    /// The sum of all counted hits, by window.
    #[derive(Default)]
    struct Log(BTreeMap<u64, u128>);

    impl Log {
        fn value(&self, start: u64) -> u128 {
            self.0.get(&start).copied().unwrap_or(0)
        }

        fn admits(&self, step: &Step, at: WindowAt) -> bool {
            let (start, length) = (at.start.as_nanos(), u128::from(at.length.as_nanos()));
            let elapsed = u128::from(at.reading.now.as_nanos() - start);
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

        /// As long as the contract retains a window, the windows decide like a log of every hit.
        #[test]
        fn retained_windows_decide_like_a_log_of_all_hits(steps in steps(WindowLength::MINUTE)) {
            let (length, skew) = (WindowLength::MINUTE, Duration::from_secs(5));
            let (mut windows, mut log, mut latest) = (Key::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest.saturating_sub(step.back), length, skew, step.mode);
                // A sliding window needs the previous one too.
                let needed = at.start.as_nanos() - if step.mode == WindowMode::Sliding { length.as_nanos() } else { 0 };
                let needed = Timestamp::from_nanos(needed);
                if Timestamp::from_nanos(latest) >= retained_until(needed, length, skew) {
                    continue;
                }
                let before = windows.clone();
                let expected = log.admits(&step, at);
                let state = windows.increment(&Hit::new(step.cost.into(), CEILING), at);
                prop_assert_eq!(state.counted, expected);
                prop_assert_eq!(state.start, Some(at.start));
                if expected {
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else {
                    prop_assert_eq!(&windows, &before);
                }
                prop_assert_eq!(state.value, log.value(at.start.as_nanos()));
                prop_assert_eq!(windows.get(WindowAt { mode: WindowMode::Fixed, ..at }).value, state.value);
            }
        }

        /// Windows shorter than the maximum clock skew may be forgotten early, but admit nothing
        /// extra.
        #[test]
        fn jump_back_within_the_skew_admits_nothing_extra(
            steps in steps(WindowLength::SECOND),
            skew in prop::sample::select(vec![0, 1, 3, 10]),
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut log, mut latest) = (Key::default(), Log::default(), START);
            for step in steps {
                latest += step.forward;
                let furthest = latest - length.as_nanos() - u64::try_from(skew.as_nanos()).unwrap();
                let at = at(latest.saturating_sub(step.back).max(furthest), length, skew, step.mode);
                let state = windows.increment(&Hit::new(step.cost.into(), CEILING), at);
                if state.counted {
                    prop_assert!(log.admits(&step, at));
                    *log.0.entry(at.start.as_nanos()).or_default() += u128::from(step.cost);
                } else if let Some(start) = state.start && start > at.start {
                    // From the reported start on, a hit is decided.
                    let later = WindowAt { start, reading: Reading { now: start, skew }, ..at };
                    let state = windows.clone().increment(&Hit::new(0, u128::MAX), later);
                    prop_assert_eq!(state.start, Some(start));
                }
            }
        }

        #[test]
        fn get_returns_the_state_that_the_next_hit_finds(
            steps in steps(WindowLength::SECOND),
            skew in 0..3_u64,
        ) {
            let (length, skew) = (WindowLength::SECOND, Duration::from_secs(skew));
            let (mut windows, mut latest) = (Key::default(), START);
            for step in steps {
                latest += step.forward;
                let at = at(latest - step.back, length, skew, step.mode);
                let seen = windows.get(at);
                let state = windows.increment(&Hit::new(1, CEILING), at);
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
                let at = at(now, length, Duration::from_nanos(skew), mode);
                let _ = windows.increment(&Hit::new(u128::from(now), u128::MAX), at);
                let _ = windows.get(at);
            }
        }
    }

    #[test]
    fn key_counted_by_a_wrong_clock_starts_over_once_the_clock_is_corrected() {
        let (length, skew) = (WindowLength::MINUTE, Duration::from_secs(5));
        let day = WindowLength::DAY.as_nanos();
        let mut windows = Key::default();
        let hit = Hit::new(1, CEILING);
        for minute in 0..4 {
            let ahead = at(START + day + minute * length.as_nanos(), length, skew, WindowMode::Fixed);
            assert!(windows.increment(&hit, ahead).counted);
        }
        for minute in 0..10 {
            let corrected = at(START + minute * length.as_nanos(), length, skew, WindowMode::Fixed);
            for _ in 0..CEILING {
                assert!(windows.increment(&hit, corrected).counted, "minute {minute}");
            }
            assert!(!windows.increment(&hit, corrected).counted, "minute {minute}");
            let sliding = WindowAt { mode: WindowMode::Sliding, ..corrected };
            assert!(!windows.increment(&hit, sliding).counted, "minute {minute}");
        }
    }
}
