//! Quotas that change: a bucket keeps the time at which it is full, so a change gives no extra
//! tokens.

use std::time::Duration;

use limited::Algorithm::TokenBucket;
use limited::{Clock, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use proptest::prelude::*;

use crate::common::{AnyBackend, allow_n, block_on, in_memory, on_every_backend, peek};

/// Returns how many hits of cost 1 pass at once, at most a thousand.
fn burst(limiter: &Limiter<AnyBackend>, quota: Quota) -> usize {
    let hits =
        (0..1_000).take_while(|_| block_on(limiter.with_quota(quota).allow("key")).unwrap().is_allowed());
    hits.count()
}

#[test]
fn lowered_limit_is_no_fresh_bucket() {
    on_every_backend(TokenBucket, Quota::per_minute(10), |limiter, _| {
        let (ten, nine) = (Quota::per_minute(10), Quota::per_minute(9));
        assert_eq!(burst(&limiter, ten), 10);
        assert_eq!(burst(&limiter, nine), 0);
        assert_eq!(block_on(limiter.with_quota(nine).peek("key")).unwrap().remaining(), 0);
        assert_eq!(burst(&limiter, ten), 0);
    });
    let (limiter, _) = in_memory(TokenBucket, Quota::per_minute(10));
    assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
    assert!(!limiter.with_quota(Quota::per_minute(9)).allow_now("key").unwrap().is_allowed());
    assert!(!limiter.with_quota(Quota::per_minute(9)).peek_now("key").unwrap().is_allowed());
}

#[test]
fn limit_that_wanders_admits_no_more_than_the_highest() {
    on_every_backend(TokenBucket, Quota::per_second(100), |limiter, clock| {
        let mut admitted = 0;
        for step in 0..10_000_u64 {
            let quota = Quota::per_second(81 + step * 7 % 20);
            admitted += u64::from(block_on(limiter.with_quota(quota).allow("key")).unwrap().is_allowed());
            clock.advance(Duration::from_millis(1));
        }
        assert!((850..=100 + 10 * 100).contains(&admitted), "{admitted}");
    });
}

#[test]
fn raised_limit_takes_effect_at_once() {
    on_every_backend(TokenBucket, Quota::per_minute(10), |limiter, clock| {
        assert!(allow_n(&limiter, "key", 10).is_allowed());
        let wait = |quota| block_on(limiter.with_quota(quota).peek("key")).unwrap().retry_after().unwrap();
        assert_eq!(wait(Quota::per_minute(10)), Duration::from_secs(6));
        assert_eq!(wait(Quota::per_minute(20)), Duration::from_secs(3));
        clock.advance(Duration::from_secs(3));
        assert_eq!(burst(&limiter, Quota::per_minute(20)), 1);
        assert_eq!(burst(&limiter, Quota::per_minute(10)), 0);
    });
}

#[test]
fn used_share_stays_the_same_without_a_burst() {
    on_every_backend(TokenBucket, Quota::per_minute(60), |limiter, _| {
        assert!(allow_n(&limiter, "key", 15).is_allowed());
        for (limit, used) in [(60, 15), (4, 1), (40, 10), (120, 30), (1, 1)] {
            assert_eq!(peek(&limiter.clone().quota(Quota::per_minute(limit)), "key").used(), used, "{limit}");
        }
    });
}

#[test]
fn lowered_limit_with_a_burst_frees_at_most_the_share_of_the_limit() {
    on_every_backend(TokenBucket, Quota::per_second(100).burst(100), |limiter, _| {
        assert_eq!(burst(&limiter, Quota::per_second(100).burst(100)), 100);
        // 100 · (1 − 10 / 100): the bucket that refills more slowly is full at the same time.
        assert_eq!(burst(&limiter, Quota::per_second(10).burst(100)), 90);
        assert_eq!(burst(&limiter, Quota::per_second(10).burst(100)), 0);
    });
}

#[test]
fn bucket_that_fills_faster_after_a_change_waits_until_it_would_be_empty() {
    let old = Quota::per_minute(10).burst(100);
    on_every_backend(TokenBucket, old, |limiter, _| {
        assert_eq!(burst(&limiter, old), 100);
        for (quota, millis) in [
            (old, 6_000),
            (Quota::per_minute(100).burst(100), 540_600),
            (Quota::per_minute(10).burst(10), 546_000),
        ] {
            let wait = block_on(limiter.with_quota(quota).peek("key")).unwrap().retry_after();
            assert_eq!(wait, Some(Duration::from_millis(millis)), "{quota}");
        }
    });
}

#[test]
fn smaller_burst_does_not_free_the_bucket_of_a_larger_one() {
    let (large, small) = (Quota::per_minute(10).burst(1_000), Quota::per_minute(10).burst(1));
    on_every_backend(TokenBucket, large, |limiter, clock| {
        assert_eq!(burst(&limiter, large), 1_000);
        for _ in 0..10 {
            assert_eq!((burst(&limiter, small), burst(&limiter, large)), (0, 0));
            assert_eq!(peek(&limiter, "key").remaining(), 0);
            clock.advance(Duration::from_secs(6));
            assert_eq!((burst(&limiter, small), burst(&limiter, large)), (0, 1));
        }
    });
}

#[test]
fn reset_frees_a_bucket_whatever_quota_wrote_it() {
    on_every_backend(TokenBucket, Quota::per_minute(10), |limiter, _| {
        assert_eq!(burst(&limiter, Quota::per_minute(10)), 10);
        block_on(limiter.with_quota(Quota::per_minute(9)).reset("key")).unwrap();
        assert_eq!(burst(&limiter, Quota::per_minute(10)), 10);
    });
}

#[test]
fn changing_limits_use_one_entry_per_key() {
    let (memory, mock) = (MemoryBackend::new(), MockBackend::new());
    let limiter = Limiter::new(memory.clone()).algorithm(TokenBucket);
    let mocked = Limiter::new(mock.clone()).algorithm(TokenBucket);
    for limit in 1..=1_000 {
        let quota = Quota::per_minute(limit).burst(1_000_000);
        assert!(limiter.with_quota(quota).allow_now("key").unwrap().is_allowed());
        assert!(mocked.with_quota(quota).allow_now("key").unwrap().is_allowed());
    }
    assert_eq!((memory.len(), mock.counters()), (1, 1));
}

/// The parts of a nanosecond in which the model counts: every limit of the tests divides them.
const PARTS: u128 = 60;

/// The bucket by exact arithmetic: when it is full again, in parts of a nanosecond.
#[derive(Default)]
struct Model(u128);

impl Model {
    /// Decides about a hit at `now`.
    fn allows(&mut self, quota: Quota, cost: u64, now: u128) -> bool {
        let (length, unit) = (quota.window().as_nanos(), PARTS / u128::from(quota.limit()));
        let full_at = self.0.next_multiple_of(unit).max(now * PARTS) + u128::from(cost) * length * unit;
        let allowed = full_at <= now * PARTS + u128::from(quota.capacity()) * length * unit;
        if allowed {
            self.0 = full_at;
        }
        allowed
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    limit: u64,
    burst: Option<u64>,
    cost: u64,
    pause: u64,
}

fn steps(bursts: bool) -> impl Strategy<Value = Vec<Step>> {
    let limit = prop::sample::select(vec![1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60]);
    let burst = if bursts { prop::option::of(1..40_u64).boxed() } else { Just(None).boxed() };
    let pause = prop_oneof![3 => Just(0), 3 => 0..300_000_000_u64, 1 => 0..3_000_000_000_u64];
    let cost = prop_oneof![4 => Just(1), 1 => 1..20_u64];
    let step = (limit, burst, cost, pause);
    prop::collection::vec(
        step.prop_map(|(limit, burst, cost, pause)| Step { limit, burst, cost, pause }),
        1..120,
    )
}

fn quota(step: Step, length: u64) -> Quota {
    let quota = Quota::new(step.limit, Duration::from_nanos(length)).unwrap();
    step.burst.map_or(quota, |burst| quota.burst(burst))
}

/// A length that no limit divides, and two that some do.
fn length() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![1_000_000_007_u64, 1_000_000_000, 7_000_000])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn bucket_decides_like_exact_arithmetic_under_any_quotas(steps in steps(true), length in length()) {
        let clock = ManualClock::new();
        let (memory, mock) = (MemoryBackend::new(), MockBackend::new());
        let memory = Limiter::new(memory).algorithm(TokenBucket).clock(clock.clone());
        let mock = Limiter::new(mock).algorithm(TokenBucket).clock(clock.clone());
        let mut model = Model::default();
        for step in steps {
            clock.advance(Duration::from_nanos(step.pause));
            let quota = quota(step, length);
            let decision = memory.with_quota(quota).allow_n_now("key", step.cost).unwrap();
            prop_assert_eq!(&decision, &mock.with_quota(quota).allow_n_now("key", step.cost).unwrap());
            let expected = model.allows(quota, step.cost, clock.now().as_nanos().into());
            prop_assert_eq!(decision.is_allowed(), expected, "{:?}", step);
        }
    }

    #[test]
    fn no_sequence_of_quotas_gives_extra_tokens(steps in steps(true), length in length()) {
        let (limiter, clock) = in_memory(TokenBucket, Quota::per_second(1));
        // Σ cost / limit is at most (time + the longest time to fill) / length.
        let (mut spent, mut longest, mut start) = (0_u128, 0_u128, None);
        for step in steps {
            clock.advance(Duration::from_nanos(step.pause));
            let (quota, length) = (quota(step, length), u128::from(length));
            if limiter.with_quota(quota).allow_n_now("key", step.cost).unwrap().is_allowed() {
                let part = length * PARTS / u128::from(step.limit);
                start = start.or(Some(clock.now()));
                spent += u128::from(step.cost) * part;
                longest = longest.max(u128::from(quota.capacity()) * part);
                let time = clock.now().saturating_since(start.unwrap()).as_nanos() * PARTS;
                prop_assert!(spent <= time + longest);
            }
        }
    }

    #[test]
    fn quotas_without_a_burst_admit_no_more_than_the_highest_of_them(
        steps in steps(false), length in length(),
    ) {
        let (limiter, clock) = in_memory(TokenBucket, Quota::per_second(1));
        let (mut admitted, mut highest, start) = (0_u128, 0_u128, clock.now());
        for step in steps {
            clock.advance(Duration::from_nanos(step.pause));
            highest = highest.max(step.limit.into());
            if limiter.with_quota(quota(step, length)).allow_n_now("key", step.cost).unwrap().is_allowed() {
                admitted += u128::from(step.cost);
            }
            let time = clock.now().saturating_since(start).as_nanos();
            prop_assert!(admitted * u128::from(length) <= highest * (u128::from(length) + time));
        }
    }
}
