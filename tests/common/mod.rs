//! Shared by the integration tests: every backend that needs no server, and strategies for
//! proptest.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod claim_model;
pub(crate) mod stepping;

use std::sync::{Arc, Barrier};
use std::time::Duration;

use limited::backend::Sleep;
use limited::{Algorithm, Backend, Clock, Decision, Limiter, ManualClock, Quota, Timestamp};
use limited_mock::MockBackend;
use proptest::prelude::*;

pub(crate) use pollster::block_on;

/// A backend that is chosen at run time.
pub(crate) type AnyBackend = Arc<dyn Backend>;

/// Returns every backend that needs no server, empty, with its name.
pub(crate) fn backends() -> Vec<(&'static str, AnyBackend)> {
    vec![("memory", Arc::new(limited_memory::MemoryBackend::new())), ("mock", Arc::new(MockBackend::new()))]
}

/// Runs `test` on every backend, by one algorithm.
pub(crate) fn on_every_backend(
    algorithm: Algorithm,
    quota: Quota,
    test: impl Fn(Limiter<AnyBackend>, ManualClock),
) {
    for (name, backend) in backends() {
        println!("{name}, {algorithm}");
        let clock = ManualClock::new();
        let limiter = Limiter::new(backend).quota(quota).algorithm(algorithm);
        test(limiter.clock(clock.clone()), clock);
    }
}

/// Runs `test` on every backend, by every algorithm.
pub(crate) fn everywhere(quota: Quota, test: impl Fn(Limiter<AnyBackend>, ManualClock)) {
    for algorithm in Algorithm::ALL {
        on_every_backend(algorithm, quota, &test);
    }
}

/// Returns a limiter in memory, and its clock.
pub(crate) fn in_memory(
    algorithm: Algorithm,
    quota: Quota,
) -> (Limiter<limited_memory::MemoryBackend>, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::new(limited_memory::MemoryBackend::new());
    (limiter.quota(quota).algorithm(algorithm).clock(clock.clone()), clock)
}

/// Awaits [`Limiter::allow_n`].
pub(crate) fn allow_n(limiter: &Limiter<AnyBackend>, key: &str, cost: u64) -> Decision {
    block_on(limiter.allow_n(key, cost)).unwrap()
}

/// Awaits [`Limiter::peek`].
pub(crate) fn peek(limiter: &Limiter<AnyBackend>, key: &str) -> Decision {
    block_on(limiter.peek(key)).unwrap()
}

/// A clock that follows a [`ManualClock`] in steps.
#[derive(Clone)]
pub(crate) struct SteppedClock {
    pub(crate) clock: ManualClock,
    pub(crate) step: Duration,
}

impl Clock for SteppedClock {
    fn now(&self) -> Timestamp {
        let now = self.clock.now().as_nanos();
        Timestamp::from_nanos(now - now % nanos(self.step))
    }

    fn resolution(&self) -> Duration {
        self.step
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.clock.sleep(duration)
    }
}

const THREADS: u64 = 16;

/// Runs `call` in 16 threads, so many times in each, and returns the sum of the results. The
/// arguments are the number of the thread and the number of the call in it.
pub(crate) fn in_parallel(calls_per_thread: u64, call: impl Fn(u64, u64) -> u64 + Sync) -> u64 {
    let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (barrier, call) = (&barrier, &call);
                scope.spawn(move || {
                    barrier.wait();
                    (0..calls_per_thread).map(|number| call(thread, number)).sum::<u64>()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).expect("a duration of less than 584 years")
}

/// Returns whether the clock can advance by this duration.
pub(crate) fn is_within_reach(clock: &ManualClock, wait: Duration) -> bool {
    wait <= Timestamp::MAX.saturating_since(clock.now())
}

pub(crate) fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(Algorithm::ALL.to_vec())
}

/// Counts of every order of magnitude. The smallest and the largest are more frequent.
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
    const MIN: u64 = 1_000_000;
    const MAX: u64 = 36_600 * 86_400 * 1_000_000_000;
    prop_oneof![
        1 => Just(MIN),
        1 => Just(MAX),
        2 => prop::sample::select(vec![1, 60, 3_600, 86_400]).prop_map(|seconds| seconds * 1_000_000_000),
        4 => (0..42_u32, any::<u64>()).prop_map(|(shift, nanos)| (nanos >> shift).clamp(MIN, MAX)),
    ]
    .prop_map(Duration::from_nanos)
}

/// All quotas, some with a burst.
pub(crate) fn any_quota() -> impl Strategy<Value = Quota> {
    (any_count(), any_window(), prop::option::of(any_count())).prop_map(|(limit, window, burst)| {
        let quota = Quota::new(limit, window).unwrap();
        burst.map_or(quota, |burst| quota.burst(burst))
    })
}

/// Quotas that a few hits exhaust.
pub(crate) fn small_quota() -> impl Strategy<Value = Quota> {
    let window = prop_oneof![Just(7), Just(10), Just(1_000), 1..5_000_u64].prop_map(Duration::from_millis);
    (1..12_u64, window, prop::option::of(1..20_u64)).prop_map(|(limit, window, burst)| {
        let quota = Quota::new(limit, window).unwrap();
        burst.map_or(quota, |burst| quota.burst(burst))
    })
}

/// One call: the pause before it, in 1/1000 of the window, and its cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) pause: u64,
    pub(crate) cost: u64,
}

/// Calls in quick succession, with occasional pauses of up to two and a half windows.
pub(crate) fn calls() -> impl Strategy<Value = Vec<Call>> {
    let pause = prop_oneof![3 => Just(0), 4 => 0..200_u64, 1 => 0..2_500_u64, 1 => Just(1_000)];
    let cost = prop_oneof![4 => Just(1), 3 => 1..6_u64, 1 => 1..30_u64];
    prop::collection::vec((pause, cost).prop_map(|(pause, cost)| Call { pause, cost }), 1..80)
}

impl Call {
    /// Advances the clock by the pause, and sometimes by one more nanosecond, so that calls do not
    /// only happen at round times.
    pub(crate) fn wait(self, clock: &ManualClock, quota: Quota) {
        let pause =
            quota.window().as_nanos() * u128::from(self.pause) / 1_000 + u128::from(self.pause % 3 == 1);
        clock.advance(Duration::from_nanos(u64::try_from(pause).unwrap()));
    }
}
