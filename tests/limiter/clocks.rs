//! Clocks that jump back, clocks that advance in steps, and which clock of the system is read.

use std::collections::BTreeMap;
use std::time::Duration;

use limited::{Algorithm, Clock, CoarseClock, Limiter, Quota, SystemClock, Timestamp};
use limited_memory::MemoryBackend;
use limited_mock::{Call, MockBackend};
use proptest::prelude::*;

use crate::common::{SteppedClock, any_algorithm, calls, in_memory, nanos, small_quota};

const NANOSECOND: Duration = Duration::from_nanos(1);

/// Windows of 10 ms. They are shorter than the maximum clock skew, so that the backend forgets some
/// of them before a clock could jump back to them.
fn quota() -> Quota {
    Quota::new(5, Duration::from_millis(10)).unwrap()
}

#[test]
fn forgotten_window_refuses_until_a_known_one_begins() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (limiter, clock) = in_memory(algorithm, quota());
        for _ in 0..6 {
            assert!(limiter.allow_n_now("key", 2).unwrap().is_allowed());
            clock.advance(Duration::from_millis(10));
        }
        clock.rewind(Duration::from_millis(56));
        let seen = limiter.peek_now("key").unwrap();
        assert_eq!((seen.is_allowed(), seen.remaining()), (false, 0), "{algorithm}");
        let refused = limiter.allow_now("key").unwrap();
        assert!(!refused.is_allowed(), "{algorithm}");
        assert_eq!(refused, seen);
        let wait = refused.retry_after().unwrap();
        assert!(wait > Duration::from_millis(10), "{algorithm}: {wait:?}");
        clock.advance(wait - NANOSECOND);
        assert!(!limiter.allow_now("key").unwrap().is_allowed(), "{algorithm}: a nanosecond before {wait:?}");
        clock.advance(NANOSECOND);
        assert!(limiter.allow_now("key").unwrap().is_allowed(), "{algorithm}: after {wait:?}");
    }
}

#[test]
fn retry_after_skips_known_windows_that_are_full() {
    let (limiter, clock) = in_memory(Algorithm::FixedWindow, quota());
    for _ in 0..6 {
        assert!(limiter.allow_n_now("key", 5).unwrap().is_allowed());
        clock.advance(Duration::from_millis(10));
    }
    // The latest three windows are known: those that began 30, 20 and 10 ms ago.
    clock.rewind(Duration::from_millis(60));
    assert_eq!(limiter.allow_now("key").unwrap().retry_after(), Some(Duration::from_millis(40)));
}

#[test]
fn windows_start_over_after_a_correction_by_hours() {
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let (limiter, clock) = in_memory(algorithm, quota());
        clock.advance(Duration::from_secs(36_000));
        for _ in 0..6 {
            assert!(limiter.allow_n_now("key", 2).unwrap().is_allowed());
            clock.advance(Duration::from_millis(10));
        }
        clock.rewind(Duration::from_secs(36_000));
        for _ in 0..20 {
            let admitted = (0..9).filter(|_| limiter.allow_now("key").unwrap().is_allowed()).count();
            assert_eq!(admitted, 5, "{algorithm}");
            clock.advance(Duration::from_millis(20));
        }
    }
}

/// Counts on another key, so that the backend removes what it may forget.
fn sweep(limiter: &Limiter<MemoryBackend>) {
    assert!(limiter.allow_now("other key").is_ok());
}

/// Ten hits 59 s into a minute, a removal at `latest`, and a jump back to `now`. Returns how many
/// hits are admitted then.
fn admitted_after_removal(algorithm: Algorithm, latest: Duration, now: Duration) -> usize {
    let (limiter, clock) = in_memory(algorithm, Quota::per_minute(10));
    clock.advance(Duration::from_secs(59));
    assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
    clock.advance(latest - Duration::from_secs(59));
    sweep(&limiter);
    clock.rewind(latest - now);
    (0..20).filter(|_| limiter.allow_now("key").unwrap().is_allowed()).count()
}

#[test]
fn jump_back_within_the_skew_finds_the_weight_of_a_window_that_may_be_removed() {
    let seconds = Duration::from_secs;
    // At 124.999999999 s the window is still retained, and from 125 s on it is not.
    for (latest, now, admitted) in [
        (seconds(80), seconds(80), 3),
        (seconds(85), seconds(80), 3),
        (seconds(123), seconds(118), 9),
        (seconds(125) - NANOSECOND, seconds(120) - NANOSECOND, 9),
        (seconds(125), seconds(120), 10),
    ] {
        let found = admitted_after_removal(Algorithm::SlidingWindow, latest, now);
        assert_eq!(found, admitted, "{latest:?} and {now:?}");
    }
}

#[test]
fn jump_back_beyond_the_skew_loses_a_weight_but_no_count() {
    let seconds = Duration::from_secs;
    // Three are right. The weight is forgotten, and the window admits no more than the limit.
    assert_eq!(admitted_after_removal(Algorithm::SlidingWindow, seconds(125), seconds(80)), 10);
    // Back in the window of the hits, which is full.
    for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let latest = seconds(125) - NANOSECOND;
        assert_eq!(admitted_after_removal(algorithm, latest, seconds(60) - NANOSECOND), 0, "{algorithm}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Times are up to one window and the maximum skew before the latest one, and the backend
    /// removes what it may forget.
    #[test]
    fn jumps_back_admit_no_more_than_promised(
        slides: bool,
        steps in prop::collection::vec((0..90_000_u64, prop_oneof![0..=5_000_u64, 0..=65_000_u64], 1..12_u8), 1..40),
    ) {
        let algorithm = if slides { Algorithm::SlidingWindow } else { Algorithm::FixedWindow };
        let (limiter, clock) = in_memory(algorithm, Quota::per_minute(10));
        let length = 60_000;
        let mut admitted = BTreeMap::<u64, u64>::new();
        clock.advance(Duration::from_secs(120));
        for (forward, back, hits) in steps {
            clock.advance(Duration::from_millis(forward));
            sweep(&limiter);
            clock.rewind(Duration::from_millis(back));
            let now = clock.now().as_nanos() / 1_000_000;
            let (window, left) = (now / length, length - now % length);
            for _ in 0..hits {
                if !limiter.allow_now("key").unwrap().is_allowed() {
                    continue;
                }
                *admitted.entry(window).or_default() += 1;
                let [current, previous] = [window, window - 1].map(|window| admitted.get(&window).copied().unwrap_or(0));
                prop_assert!(current <= 10, "no aligned window admits more than the limit");
                if slides && back <= 5_000 {
                    prop_assert!(current * length + previous * left <= 10 * length);
                }
            }
            clock.advance(Duration::from_millis(back));
        }
    }
}

#[test]
fn bucket_continues_by_the_clock_before_a_jump_back_within_the_skew() {
    let (limiter, clock) = in_memory(Algorithm::TokenBucket, quota());
    for _ in 0..5 {
        assert!(limiter.allow_n_now("key", 5).unwrap().is_allowed());
        clock.rewind(Duration::from_secs(1));
        // A token takes two milliseconds, by the clock before the jump.
        let wait = limiter.allow_now("key").unwrap().retry_after().unwrap();
        assert!(wait.as_micros().abs_diff(2_000) <= 100, "{wait:?}");
        clock.advance(wait);
        assert!(limiter.allow_now("key").unwrap().is_allowed());
        assert!(!limiter.allow_now("key").unwrap().is_allowed());
        clock.advance(Duration::from_secs(3_600));
    }
}

#[test]
fn thread_that_was_suspended_learns_no_lead() {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Returns the first time once, and the second from then on.
    struct Suspended([Timestamp; 2], AtomicU64);
    impl Clock for Suspended {
        fn now(&self) -> Timestamp {
            self.0[usize::from(self.1.fetch_add(1, Ordering::Relaxed) > 0)]
        }
        fn resolution(&self) -> Duration {
            NANOSECOND
        }
        fn sleep(&self, duration: Duration) -> limited::backend::Sleep {
            SystemClock.sleep(duration)
        }
    }
    let (other, clock) = in_memory(Algorithm::TokenBucket, quota());
    let before = clock.now();
    clock.advance(Duration::from_secs(1));
    let suspended = Suspended([before, clock.now()], AtomicU64::new(0));
    let limiter = other.clone().clock(suspended);
    assert!(other.allow_n_now("key", 5).unwrap().is_allowed());
    assert!(!limiter.allow_now("key").unwrap().is_allowed());
    assert!(!limiter.allow_now("key").unwrap().is_allowed(), "it counts by a clock that no process has");
}

/// The times of the admitted hits, by the precise clock, and their costs.
type Admitted = Vec<(u64, u64)>;

/// Returns the cost admitted from `from` to before `until`.
fn sum(admitted: &Admitted, from: u64, until: u64) -> u128 {
    admitted.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, cost)| u128::from(*cost)).sum()
}

/// Checks that any stretch of time admits no more than a precise clock may admit in that stretch
/// and one step.
fn check_bounds(
    algorithm: Algorithm,
    quota: Quota,
    step: u64,
    admitted: &Admitted,
) -> Result<(), TestCaseError> {
    let length = nanos(quota.window());
    for &(from, _) in admitted {
        match algorithm {
            Algorithm::TokenBucket => {
                for &(last, _) in admitted.iter().filter(|(at, _)| *at >= from) {
                    // At most burst + limit · t / window in a time t.
                    let time = u128::from(last - from + step);
                    let most =
                        u128::from(quota.capacity()) * u128::from(length) + u128::from(quota.limit()) * time;
                    let passed = sum(admitted, from, last + 1);
                    prop_assert!(passed * u128::from(length) <= most, "{passed} from {from} to {last}");
                }
            }
            // At most the limit in each window. By this clock a window ends up to one step late.
            _ => {
                let start = from - from % length;
                let passed = sum(admitted, start + step, start + length);
                prop_assert!(passed <= quota.limit().into(), "{passed} in the window of {start}");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn stepped_clock_decides_as_a_precise_one_did_less_than_a_step_ago(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
        step in 2..20_000_000_u64,
    ) {
        let (precise, precise_clock) = in_memory(algorithm, quota);
        let (limiter, clock) = in_memory(algorithm, quota);
        let stepped = SteppedClock { clock: clock.clone(), step: Duration::from_nanos(step) };
        let limiter = limiter.clock(stepped.clone());
        let mut admitted = Admitted::new();
        for call in calls {
            call.wait(&clock, quota);
            precise_clock.set(stepped.now());
            prop_assert!(clock.now().saturating_since(precise_clock.now()) < stepped.step);
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            let expected = precise.allow_n_now("key", call.cost).unwrap();
            prop_assert_eq!(decision.is_allowed(), expected.is_allowed());
            prop_assert_eq!(decision.remaining(), expected.remaining());
            prop_assert_eq!(decision.retry_after(), expected.retry_after().map(|wait| wait + stepped.step));
            if decision.is_allowed() {
                admitted.push((clock.now().as_nanos(), call.cost));
            }
        }
        check_bounds(algorithm, quota, step, &admitted)?;
    }
}

/// Returns how many different times the backend got in a thousand decisions, and how many ticks of
/// the coarse clock passed meanwhile.
fn distinct_times(limiter: &Limiter<MockBackend>, quota: Quota) -> (usize, u128) {
    let first = limiter.backend().calls().len();
    let before = SystemClock.now();
    for _ in 0..1_000 {
        let _ = limiter.with_quota(quota).allow_now("key").unwrap();
    }
    let passed = SystemClock.now().saturating_since(before);
    let mut times: Vec<_> = limiter.backend().calls()[first..].iter().map(Call::now).collect();
    times.sort();
    times.dedup();
    (times.len(), passed.as_nanos() / CoarseClock.resolution().as_nanos())
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn coarse_clock_is_read_if_its_ticks_are_short_compared_with_the_quota() {
    let coarse = [
        (Algorithm::FixedWindow, Quota::per_second(5)),
        (Algorithm::SlidingWindow, Quota::per_day(5)),
        (Algorithm::TokenBucket, Quota::per_minute(5)),
        (Algorithm::TokenBucket, Quota::per_hour(3_600).burst(2)),
    ];
    for (algorithm, quota) in coarse {
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm);
        let (times, ticks) = distinct_times(&limiter, quota);
        assert!(times as u128 <= ticks + 2, "{algorithm}, {quota}: {times} times in {ticks} ticks");
        let (times, ticks) = distinct_times(&limiter.clock(SystemClock), quota);
        assert!(times as u128 > ticks + 2, "{algorithm}, {quota}, precise: {times} times in {ticks} ticks");
    }
    let precise = [
        (Algorithm::FixedWindow, Quota::new(5, Duration::from_millis(999)).unwrap()),
        (Algorithm::SlidingWindow, Quota::new(5, Duration::from_millis(1)).unwrap()),
        (Algorithm::TokenBucket, Quota::per_second(1_000).burst(1)),
    ];
    for (algorithm, quota) in precise {
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm);
        let (times, ticks) = distinct_times(&limiter, quota);
        assert!(times as u128 > ticks + 2, "{algorithm}, {quota}: {times} times in {ticks} ticks");
    }
}
