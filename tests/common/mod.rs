//! What the tests of behaviour share: every backend that needs no server, and quotas over their whole range.
#![allow(dead_code, reason = "each test takes what it needs")]

pub(crate) mod claim_model;
pub(crate) mod stepping;

use std::sync::Arc;
use std::time::Duration;

use limited::{Algorithm, Backend, Clock, Decision, Limiter, ManualClock, Quota, Timestamp};
use limited_mock::MockBackend;
use proptest::prelude::*;

pub(crate) use pollster::block_on;

/// A backend picked at run time.
pub(crate) type AnyBackend = Arc<dyn Backend>;

/// Every backend that needs no server, empty.
pub(crate) fn backends() -> Vec<(&'static str, AnyBackend)> {
    vec![("memory", Arc::new(limited_memory::MemoryBackend::new())), ("mock", Arc::new(MockBackend::new()))]
}

/// Lets `behaviour` hold on every backend and under every algorithm.
pub(crate) fn everywhere(quota: Quota, behaviour: impl Fn(Limiter<AnyBackend>, ManualClock)) {
    for algorithm in Algorithm::ALL {
        for (name, backend) in backends() {
            println!("{name}, {algorithm}");
            let clock = ManualClock::new();
            let limiter = Limiter::new(backend).quota(quota).algorithm(algorithm);
            behaviour(limiter.clock(clock.clone()), clock);
        }
    }
}

/// A limiter over memory, and its clock.
pub(crate) fn in_memory(
    algorithm: Algorithm,
    quota: Quota,
) -> (Limiter<limited_memory::MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(limited_memory::MemoryBackend::new());
    (limiter.quota(quota).algorithm(algorithm).clock(clock.clone()), clock)
}

/// [`Limiter::allow_n`], waited for.
pub(crate) fn allow_n(limiter: &Limiter<AnyBackend>, key: &str, cost: u64) -> Decision {
    block_on(limiter.allow_n(key, cost)).unwrap()
}

/// [`Limiter::peek`], waited for.
pub(crate) fn peek(limiter: &Limiter<AnyBackend>, key: &str) -> Decision {
    block_on(limiter.peek(key)).unwrap()
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a duration of less than 584 years")
}

/// Whether the clock can be moved on by so much.
pub(crate) fn is_within_reach(clock: &ManualClock, wait: Duration) -> bool {
    wait <= Timestamp::MAX.saturating_since(clock.now())
}

pub(crate) fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

/// Counts of every order of magnitude, the borders more often than others.
pub(crate) fn any_count() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0..20_u64,
        1 => Just(u64::MAX),
        1 => u64::MAX - 20..u64::MAX,
        2 => (0..64_u32, any::<u64>()).prop_map(|(shift, count)| count >> shift),
    ]
}

/// Windows from 1 ms to 100 years, of every order of magnitude.
pub(crate) fn any_window() -> impl Strategy<Value = Duration> {
    const SHORTEST: u64 = 1_000_000;
    const LONGEST: u64 = 36_600 * 86_400 * 1_000_000_000;
    prop_oneof![
        1 => Just(SHORTEST),
        1 => Just(LONGEST),
        2 => prop::sample::select(vec![1, 60, 3_600, 86_400]).prop_map(|seconds| seconds * 1_000_000_000),
        4 => (0..42_u32, any::<u64>()).prop_map(|(shift, nanos)| (nanos >> shift).clamp(SHORTEST, LONGEST)),
    ]
    .prop_map(Duration::from_nanos)
}

/// Quotas over their whole range, some with a burst.
pub(crate) fn any_quota() -> impl Strategy<Value = Quota> {
    (any_count(), any_window(), prop::option::of(any_count())).prop_map(|(limit, window, burst)| {
        let quota = Quota::new(limit, window).unwrap();
        burst.map_or(quota, |burst| quota.burst(burst))
    })
}

/// Quotas that a few hits use up.
pub(crate) fn small_quota() -> impl Strategy<Value = Quota> {
    let window = prop_oneof![Just(7), Just(10), Just(1_000), 1..5_000_u64].prop_map(Duration::from_millis);
    (1..12_u64, window, prop::option::of(1..20_u64)).prop_map(|(limit, window, burst)| {
        let quota = Quota::new(limit, window).unwrap();
        burst.map_or(quota, |burst| quota.burst(burst))
    })
}

/// One call: how long after the last one, in 1/1000 of the window, and the cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) pause: u64,
    pub(crate) cost: u64,
}

/// Calls that crowd, and now and then pause for up to two and a half windows.
pub(crate) fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![3 => Just(0), 4 => 0..200_u64, 1 => 0..2_500_u64, 1 => Just(1_000)];
    let cost = prop_oneof![4 => Just(1), 3 => 1..6_u64, 1 => 1..30_u64];
    prop::collection::vec((pause, cost).prop_map(|(pause, cost)| Call { pause, cost }), 1..80)
}

impl Call {
    /// Lets the pause pass, and a nanosecond now and then, so that calls do not only come at even times.
    pub(crate) fn wait(self, clock: &ManualClock, quota: Quota) {
        let pause =
            quota.window().as_nanos() * u128::from(self.pause) / 1_000 + u128::from(self.pause % 3 == 1);
        clock.advance(Duration::from_nanos(u64::try_from(pause).unwrap()));
    }
}
