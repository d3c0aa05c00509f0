//! Limited attempts against a simple model: a list of all windows ever started.

use std::time::Duration;

use limited::backend::MAX_CLOCK_SKEW;
use limited::{Attempt, AttemptError, Clock, LimitedAttempt, ManualClock, Timestamp};
use proptest::prelude::*;

use crate::common::{AnyBackend, backends, block_on, nanos};

/// One step of a test, for one of two keys.
#[derive(Clone, Debug)]
enum Step {
    /// Advances the clock by thousandths of the validity, and nanoseconds.
    Wait(u64, u64),
    /// Moves the clock to the end of the window of the key, plus or minus nanoseconds.
    WaitForEnd(i64),
    /// Moves the clock back by thousandths of the validity.
    JumpBack(u64),
    Attempt(Option<&'static str>),
    Peek,
    /// Clears one of all attempts made so far.
    Clear(prop::sample::Index),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        4 => (0..400_u64, 0..2_u64).prop_map(|(thousandths, nanos)| Step::Wait(thousandths, nanos)),
        3 => (-1..=1_i64).prop_map(Step::WaitForEnd),
        1 => (0..300_u64).prop_map(Step::JumpBack),
        12 => prop::sample::select(vec![None, Some(""), Some("a"), Some("b")]).prop_map(Step::Attempt),
        2 => Just(Step::Peek),
        3 => any::<prop::sample::Index>().prop_map(Step::Clear),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec((0..2_usize, step), 1..120)
}

/// A window, and whether it still exists.
#[derive(Debug)]
struct Window {
    key: usize,
    start: u64,
    used: u64,
    context: Option<&'static str>,
    /// The window was cleared, reset, or followed by another one.
    gone: bool,
}

#[derive(Debug)]
struct Model {
    max: u64,
    validity: u64,
    windows: Vec<Window>,
}

impl Model {
    /// Returns the index of the window of a key that has neither gone nor ended, and that starts no
    /// further ahead than the skew.
    fn open(&self, key: usize, now: u64) -> Option<usize> {
        let is_open = |window: &Window| {
            let is_live = now < window.start + self.validity && window.start <= now + nanos(MAX_CLOCK_SKEW);
            window.key == key && !window.gone && is_live
        };
        self.windows.iter().position(is_open)
    }

    fn end(&self, key: usize) -> Option<u64> {
        let windows = self.windows.iter().rev();
        windows
            .filter(|window| window.key == key && !window.gone)
            .map(|window| window.start + self.validity)
            .next()
    }

    /// Counts an attempt. Returns the index of its window, or the nanoseconds to wait.
    fn attempt(&mut self, key: usize, context: Option<&'static str>, now: u64) -> Result<usize, u64> {
        let index = self.open(key, now).unwrap_or_else(|| {
            self.delete(key);
            self.windows.push(Window { key, start: now, used: 0, context, gone: false });
            self.windows.len() - 1
        });
        let window = &mut self.windows[index];
        if window.used == self.max {
            return Err(window.start + self.validity - now);
        }
        window.used += 1;
        Ok(index)
    }

    fn delete(&mut self, key: usize) {
        self.windows.iter_mut().filter(|window| window.key == key).for_each(|window| window.gone = true);
    }
}

const KEYS: [&str; 2] = ["one", "other"];

fn check(
    backend: AnyBackend,
    max: u64,
    validity: Duration,
    steps: &[(usize, Step)],
) -> Result<(), TestCaseError> {
    let clock = ManualClock::new();
    let attempts = LimitedAttempt::new(backend, max, validity).clock(clock.clone());
    let mut model = Model { max, validity: nanos(validity), windows: Vec::new() };
    let mut made: Vec<(Attempt<AnyBackend>, usize)> = Vec::new();
    let mut latest = clock.now();
    for (key, step) in steps {
        let (key, name) = (*key, KEYS[*key]);
        latest = latest.max(clock.now());
        let now = clock.now().as_nanos();
        match step {
            Step::Wait(thousandths, more) => {
                clock.advance(Duration::from_nanos(nanos(validity) / 1000 * thousandths + more));
            }
            Step::WaitForEnd(around) => {
                if let Some(end) = model.end(key).and_then(|end| end.checked_add_signed(*around)) {
                    clock.set(Timestamp::from_nanos(end.max(now)));
                }
            }
            Step::JumpBack(thousandths) => {
                // At most as far as the backend keeps a window that has ended.
                let back = Duration::from_nanos(nanos(validity) / 1000 * thousandths);
                clock.rewind(back);
                clock.set(clock.now().max(latest.saturating_sub(validity)));
            }
            Step::Attempt(context) => {
                let attempt = match context {
                    Some(context) => block_on(attempts.attempt_with(name, context)),
                    None => block_on(attempts.attempt(name)),
                };
                match (attempt, model.attempt(key, *context, now)) {
                    (Ok(attempt), Ok(index)) => {
                        let window = &model.windows[index];
                        prop_assert_eq!(attempt.number(), window.used);
                        prop_assert_eq!(attempt.remaining(), max - window.used);
                        prop_assert_eq!(attempt.context(), window.context);
                        prop_assert_eq!(attempt.expires_at().as_nanos(), window.start + model.validity);
                        made.push((attempt, index));
                    }
                    (Err(AttemptError::TooManyAttempts { retry_after }), Err(wait)) => {
                        prop_assert_eq!(nanos(retry_after), wait);
                    }
                    (attempt, expected) => prop_assert!(false, "{:?} and not {:?}", attempt, expected),
                }
            }
            Step::Peek => {
                let seen = block_on(attempts.peek(name)).unwrap();
                let window = model.open(key, now).map(|index| &model.windows[index]);
                let used = window.map_or(0, |window| window.used);
                let end = window.map(|window| window.start + model.validity);
                prop_assert_eq!((seen.used(), seen.remaining()), (used, max - used));
                prop_assert_eq!(seen.context(), window.and_then(|window| window.context));
                prop_assert_eq!(seen.expires_at().map(Timestamp::as_nanos), end);
                let wait = end.filter(|_| used == max).map(|end| end - now);
                prop_assert_eq!(seen.retry_after().map(nanos), wait);
            }
            Step::Clear(choice) => {
                if !made.is_empty() {
                    let (attempt, index) = choice.get(&made);
                    block_on(attempt.clear()).unwrap();
                    model.windows[*index].gone = true;
                }
            }
            Step::Reset => {
                block_on(attempts.reset(name)).unwrap();
                model.delete(key);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn attempts_agree_with_the_model(
        steps in steps(),
        max in 1..6_u64,
        validity in prop::sample::select(vec![1_000_000, 1_000_001, 60_000_000_000, 3_600_000_000_000]),
    ) {
        for (name, backend) in backends() {
            check(backend, max, Duration::from_nanos(validity), &steps)
                .map_err(|error| TestCaseError::fail(format!("{name}: {error}")))?;
        }
    }
}
