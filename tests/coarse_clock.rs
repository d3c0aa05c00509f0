//! What a limiter decides by a clock that moves on in steps, and which of the system's clocks it reads.

mod common;

use std::time::Duration;

use common::{any_algorithm, calls, in_memory, nanos, small_quota};
use limited::{Algorithm, Clock, CoarseClock, Limiter, ManualClock, Quota, SystemClock, Timestamp};
use limited_core::Sleep;
use limited_mock::{Call, MockBackend};
use proptest::prelude::*;

/// A clock that reads the hands of another one every so often.
#[derive(Clone)]
struct Coarse(ManualClock, Duration);

impl Clock for Coarse {
    fn now(&self) -> Timestamp {
        let (now, step) = (self.0.now().as_nanos(), nanos(self.1));
        Timestamp::from_nanos(now - now % step)
    }

    fn resolution(&self) -> Duration {
        self.1
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }
}

/// The costs that were admitted, and when by the precise clock.
type Admitted = Vec<(u64, u64)>;

/// What was admitted from `from` until before `until`.
fn sum(admitted: &Admitted, from: u64, until: u64) -> u128 {
    admitted.iter().filter(|(at, _)| (from..until).contains(at)).map(|(_, cost)| u128::from(*cost)).sum()
}

/// What a precise clock may admit in any stretch, in that stretch and one step.
fn no_more_than_in_a_step_more(
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
                    // In a time t: at most burst + limit · t / window.
                    let time = u128::from(last - from + step);
                    let most =
                        u128::from(quota.capacity()) * u128::from(length) + u128::from(quota.limit()) * time;
                    let passed = sum(admitted, from, last + 1);
                    prop_assert!(passed * u128::from(length) <= most, "{passed} from {from} to {last}");
                }
            }
            // In each window, which by this clock ends up to a step late.
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
    fn it_decides_as_a_precise_one_would_have_less_than_a_step_ago(
        algorithm in any_algorithm(),
        quota in small_quota(),
        calls in calls(),
        step in 2..20_000_000_u64,
    ) {
        let (precise, then) = in_memory(algorithm, quota);
        let (limiter, clock) = in_memory(algorithm, quota);
        let coarse = Coarse(clock.clone(), Duration::from_nanos(step));
        let limiter = limiter.clock(coarse.clone());
        let mut admitted = Admitted::new();
        for call in calls {
            call.wait(&clock, quota);
            then.set(coarse.now());
            prop_assert!(clock.now().saturating_since(then.now()) < coarse.1);
            let decision = limiter.allow_n_now("key", call.cost).unwrap();
            let expected = precise.allow_n_now("key", call.cost).unwrap();
            prop_assert_eq!(decision.is_allowed(), expected.is_allowed());
            prop_assert_eq!(decision.remaining(), expected.remaining());
            prop_assert_eq!(decision.retry_after(), expected.retry_after().map(|wait| wait + coarse.1));
            if decision.is_allowed() {
                admitted.push((clock.now().as_nanos(), call.cost));
            }
        }
        no_more_than_in_a_step_more(algorithm, quota, step, &admitted)?;
    }
}

/// How many different times a limiter told its backend in a thousand decisions, and how many ticks passed meanwhile.
fn times_told(limiter: &Limiter<MockBackend>, quota: Quota) -> (usize, u128) {
    let already = limiter.backend().calls().len();
    let before = SystemClock.now();
    for _ in 0..1_000 {
        let _ = limiter.with_quota(quota).allow_now("key").unwrap();
    }
    let passed = SystemClock.now().saturating_since(before);
    let mut told: Vec<_> = limiter.backend().calls()[already..].iter().map(Call::now).collect();
    told.sort();
    told.dedup();
    (told.len(), passed.as_nanos() / CoarseClock.resolution().as_nanos())
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn the_coarse_clock_is_read_where_the_quota_is_long_against_its_ticks() {
    let coarse = [
        (Algorithm::FixedWindow, Quota::per_second(5)),
        (Algorithm::SlidingWindow, Quota::per_day(5)),
        (Algorithm::TokenBucket, Quota::per_minute(5)),
        (Algorithm::TokenBucket, Quota::per_hour(3_600).burst(2)),
    ];
    for (algorithm, quota) in coarse {
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm);
        let (told, ticks) = times_told(&limiter, quota);
        assert!(told as u128 <= ticks + 2, "{algorithm}, {quota}: {told} times in {ticks} ticks");
        let (told, ticks) = times_told(&limiter.clock(SystemClock), quota);
        assert!(told as u128 > ticks + 2, "{algorithm}, {quota}, precise: {told} times in {ticks} ticks");
    }
    let precise = [
        (Algorithm::FixedWindow, Quota::new(5, Duration::from_millis(999)).unwrap()),
        (Algorithm::SlidingWindow, Quota::new(5, Duration::from_millis(1)).unwrap()),
        (Algorithm::TokenBucket, Quota::per_second(1_000).burst(1)),
    ];
    for (algorithm, quota) in precise {
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm);
        let (told, ticks) = times_told(&limiter, quota);
        assert!(told as u128 > ticks + 2, "{algorithm}, {quota}: {told} times in {ticks} ticks");
    }
}
