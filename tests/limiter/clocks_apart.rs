//! Clocks of processes that share a backend, and that disagree or are wrong.

use std::sync::Arc;
use std::time::Duration;

use limited::Algorithm::{self, TokenBucket};
use limited::backend::MAX_CLOCK_SKEW;
use limited::{AttemptError, Clock, LimitedAttempt, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use limited_mock::{Call, MockBackend};
use proptest::prelude::*;

use crate::common::{AnyBackend, allow_n, backends, block_on, everywhere, peek, small_quota};

const YEAR: Duration = Duration::from_secs(31_536_000);

/// Two processes over one backend. The clock of the first is ahead.
struct Fleet {
    limiters: [Limiter<AnyBackend>; 2],
    clocks: [ManualClock; 2],
    random: u64,
}

impl Fleet {
    fn new(backend: AnyBackend, quota: Quota, ahead: Duration) -> Self {
        let (first, second) = (ManualClock::new(), ManualClock::new());
        first.advance(ahead);
        let limiter = |clock: &ManualClock| {
            Limiter::new(Arc::clone(&backend)).quota(quota).algorithm(TokenBucket).clock(clock.clone())
        };
        Self { limiters: [limiter(&first), limiter(&second)], clocks: [first, second], random: 1 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % below
    }

    fn advance(&self, time: Duration) {
        for clock in &self.clocks {
            clock.advance(time);
        }
    }

    fn allows(&self, process: usize) -> bool {
        allow_n(&self.limiters[process], "key", 1).is_allowed()
    }

    /// Takes the whole burst by the clock that is ahead, and then lets both processes ask every few
    /// milliseconds. Returns how much each admitted after the burst.
    fn run(&mut self, seconds: u64) -> [u64; 2] {
        self.run_for(Duration::from_secs(seconds))
    }

    fn run_for(&mut self, time: Duration) -> [u64; 2] {
        while self.allows(0) {}
        let (mut admitted, end) = ([0; 2], self.clocks[0].now().saturating_add(time));
        while self.clocks[0].now() < end {
            let process = usize::from(self.random(2) == 0);
            admitted[process] += u64::from(self.allows(process));
            let pause = self.random(10_000_000);
            self.advance(Duration::from_nanos(pause));
        }
        admitted
    }
}

impl Fleet {
    /// Takes the whole burst by the clock that is ahead, and then lets both processes call at one
    /// pace, the second half a pace after the first. Each call is late by up to `jitter`.
    fn run_in_step(&mut self, pace: Duration, jitter: Duration, time: Duration) -> [u64; 2] {
        while self.allows(0) {}
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap();
        // No multiple of the pace is the time between two tokens.
        let (pace, jitter, mut calls) = (nanos(pace) + 13_000, nanos(jitter), Vec::new());
        for start in (0..nanos(time)).step_by(usize::try_from(pace).unwrap()) {
            for (process, offset) in [(0, 0), (1, pace / 2)] {
                calls.push((start + offset + self.random(jitter.max(1)), process));
            }
        }
        calls.sort_unstable();
        let (mut admitted, mut now) = ([0; 2], 0);
        for (at, process) in calls {
            self.advance(Duration::from_nanos(at - now));
            now = at;
            admitted[process] += u64::from(self.allows(process));
        }
        admitted
    }
}

#[test]
fn process_behind_another_gets_its_share_of_a_bucket() {
    let cases = [
        (Quota::per_second(10), 2_000),
        (Quota::per_second(10), 5_000),
        (Quota::per_second(10), 300),
        (Quota::per_second(100).burst(10), 250),
        (Quota::per_second(100).burst(10), 2_000),
    ];
    for (quota, millis) in cases {
        for (name, backend) in backends() {
            let mut fleet = Fleet::new(backend, quota, Duration::from_millis(millis));
            let [ahead, behind] = fleet.run(60);
            let case = format!("{name}, {quota}, {millis} ms: {ahead} and {behind}");
            // The first process took the burst, so what is left is the rate.
            assert!(ahead + behind <= 60 * quota.limit(), "{case}");
            assert!(ahead + behind >= 57 * quota.limit(), "{case}");
            assert!(3 * behind >= ahead + behind, "{case}");
        }
    }
}

#[test]
fn lead_of_one_key_gives_another_key_the_tokens_of_the_difference() {
    for (name, backend) in backends() {
        let fleet = Fleet::new(backend, Quota::per_second(100), Duration::from_secs(1));
        let admitted = |key| (0..1_000).filter(|_| allow_n(&fleet.limiters[1], key, 1).is_allowed()).count();
        assert_eq!(admitted("other"), 100);
        while fleet.allows(0) {}
        assert!(!fleet.allows(1));
        // The clock that is ahead has never used this key. The bound is
        // `burst + limit · s / window`.
        let more = admitted("other");
        assert!((99..=100).contains(&more), "{name}: {more}");
    }
}

/// What the documentation of `Algorithm::TokenBucket` says about the share of a process behind.
#[test]
fn process_behind_that_calls_in_step_with_another_may_get_nothing() {
    let quota = Quota::per_second(10);
    let pace = Duration::from_millis(10);
    for (jitter, shares) in [(Duration::ZERO, 0..=10), (pace, 150..=300)] {
        let mut fleet = Fleet::new(Arc::new(MemoryBackend::new()), quota, Duration::from_secs(2));
        let [ahead, behind] = fleet.run_in_step(pace, jitter, Duration::from_secs(60));
        assert!((590..=600).contains(&(ahead + behind)), "{jitter:?}: {ahead} and {behind}");
        assert!(shares.contains(&behind), "{jitter:?}: {ahead} and {behind}");
    }
}

#[test]
fn process_far_behind_frees_the_bucket_for_the_others() {
    for (name, backend) in backends() {
        for (behind, admitted) in
            [(MAX_CLOCK_SKEW * 2, 10), (MAX_CLOCK_SKEW * 2 + Duration::from_secs(1), 110)]
        {
            let backend: AnyBackend = Arc::clone(&backend);
            let mut fleet = Fleet::new(backend, Quota::per_second(10), behind);
            fleet.limiters = fleet.limiters.map(|limiter| limiter.namespace(behind.as_secs().to_string()));
            let mut passed = 0;
            for _ in 0..10 {
                passed += (0..20).filter(|_| fleet.allows(0)).count() + usize::from(fleet.allows(1));
            }
            assert_eq!(passed, admitted, "{name}, {behind:?}");
        }
    }
}

#[test]
fn lead_is_forgotten_after_the_clocks_agree_again() {
    let mock = MockBackend::new();
    let quota = Quota::per_second(10);
    let mut fleet = Fleet::new(Arc::new(mock.clone()), quota, Duration::from_secs(2));
    fleet.run(5);
    fleet.clocks[1].advance(Duration::from_secs(2));
    // Two seconds are forgotten in 8,192, although each process learns the lead of the other.
    for _ in 0..1_640 {
        fleet.advance(Duration::from_millis(4_900));
        fleet.run_for(Duration::from_millis(100));
    }
    mock.clear_calls();
    fleet.run(5);
    for call in mock.calls() {
        assert_eq!(lead(&call, quota), Duration::ZERO);
    }
}

/// Returns by how much a hit was counted ahead of the time that the backend got.
fn lead(call: &Call, quota: Quota) -> Duration {
    let floor = call.hit().map_or(0, |hit| hit.floor / u128::from(quota.limit()));
    Duration::from_nanos(u64::try_from(floor).unwrap().saturating_sub(call.now().as_nanos()))
}

#[test]
fn lead_is_at_most_the_maximum_skew() {
    let mock = MockBackend::new();
    let quota = Quota::per_second(10);
    for ahead in [1, 4, 5, 6, 9, 10] {
        let backend: AnyBackend = Arc::new(mock.clone());
        let mut fleet = Fleet::new(backend, quota, Duration::from_secs(ahead));
        fleet.limiters = fleet.limiters.map(|limiter| limiter.namespace(ahead.to_string()));
        fleet.run(2);
        let leads = mock.calls().iter().map(|call| lead(call, quota)).max().unwrap();
        let expected = Duration::from_secs(ahead).min(MAX_CLOCK_SKEW);
        assert!(leads <= expected && leads > expected * 9 / 10, "{ahead} s: {leads:?}");
    }
}

#[test]
fn clones_learn_a_lead_from_each_other() {
    let quota = Quota::per_second(10);
    for (name, backend) in backends() {
        let fleet = Fleet::new(backend, quota, Duration::from_secs(2));
        for key in ["one", "other"] {
            while allow_n(&fleet.limiters[0], key, 1).is_allowed() {}
        }
        let behind = fleet.limiters[1].clone();
        assert!(!allow_n(&behind.clone(), "one", 1).is_allowed());
        let wait = peek(&behind, "other").retry_after().unwrap();
        assert!(wait < Duration::from_millis(110), "{name}: {wait:?}");
        assert_eq!(peek(&behind, "unused").reset_after(), Duration::ZERO, "{name}");
        // Windows count by the limiter's own clock.
        let window = behind.algorithm(Algorithm::FixedWindow);
        assert_eq!(allow_n(&window, "window", 1).reset_after(), Duration::from_secs(1), "{name}");
    }
}

#[test]
fn waiting_as_told_is_enough_for_the_process_behind() {
    for (name, backend) in backends() {
        for (quota, ahead) in [
            (Quota::per_second(10), 2_000),
            (Quota::per_minute(6), 4_000),
            (Quota::per_hour(10).burst(1), 5_000),
            (Quota::per_second(1_000).burst(1), 250),
        ] {
            let fleet = Fleet::new(Arc::clone(&backend), quota, Duration::from_millis(ahead));
            while fleet.allows(0) {}
            for _ in 0..20 {
                let told = allow_n(&fleet.limiters[1], "key", 1).retry_after().unwrap();
                let case = format!("{name}, {quota}: {told:?}");
                fleet.advance(told * 98 / 100);
                if told > Duration::from_millis(10) {
                    assert!(!peek(&fleet.limiters[1], "key").is_allowed(), "{case}");
                }
                fleet.advance(told - told * 98 / 100);
                assert!(fleet.allows(1), "{case}");
                while fleet.allows(1) {}
            }
            block_on(fleet.limiters[0].reset("key")).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn clocks_that_differ_admit_at_most_the_rate_of_the_difference_more(
        quota in small_quota(),
        offsets in prop::array::uniform3(0..5_000_000_000_u64),
        hits in prop::collection::vec((0..3_usize, 1..4_u64, 0..200_000_000_u64), 1..150),
    ) {
        let backend = MemoryBackend::new();
        let processes = offsets.map(|offset| {
            let clock = ManualClock::new();
            clock.advance(Duration::from_nanos(offset));
            let limiter = Limiter::new(backend.clone()).quota(quota).algorithm(TokenBucket);
            (limiter.clock(clock.clone()), clock)
        });
        let differ = offsets.iter().max().unwrap() - offsets.iter().min().unwrap();
        let (mut now, mut admitted) = (0, Vec::new());
        for (process, cost, pause) in hits {
            for (_, clock) in &processes {
                clock.advance(Duration::from_nanos(pause));
            }
            now += pause;
            if processes[process].0.allow_n_now("key", cost).unwrap().is_allowed() {
                admitted.push((now, cost));
            }
        }
        let length = quota.window().as_nanos();
        for (first, (from, _)) in admitted.iter().enumerate() {
            let mut passed = 0;
            for (until, cost) in &admitted[first..] {
                passed += u128::from(*cost);
                let flowed_in = u128::from(quota.limit()) * u128::from(until - from + differ);
                prop_assert!(passed * length <= u128::from(quota.capacity()) * length + flowed_in);
            }
        }
    }
}

#[test]
fn clock_that_was_a_year_ahead_locks_nothing_once_it_is_corrected() {
    let minute = Duration::from_secs(60);
    for quota in [Quota::per_second(10), Quota::per_minute(10), Quota::per_second(10).burst(3)] {
        everywhere(quota, |limiter, clock| {
            clock.advance(YEAR);
            assert!(allow_n(&limiter, "key", 1).is_allowed());
            clock.rewind(YEAR);
            let limit = peek(&limiter, "key").limit();
            assert_eq!(peek(&limiter, "key").remaining(), limit);
            for _ in 0..3 {
                let admitted = (0..20).filter(|_| allow_n(&limiter, "key", 1).is_allowed()).count();
                assert_eq!(admitted as u64, limit);
                // The next but one window, by sliding windows.
                clock.advance(2 * minute);
            }
        });
    }
    let (limiter, clock) = crate::common::in_memory(TokenBucket, Quota::per_second(10));
    clock.advance(YEAR);
    assert!(limiter.allow_now("key").unwrap().is_allowed());
    clock.rewind(YEAR);
    assert!(limiter.peek_now("key").unwrap().is_allowed());
    assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
}

#[test]
fn attempts_of_a_clock_that_was_a_year_ahead_do_not_count_once_it_is_corrected() {
    for (name, backend) in backends() {
        let clock = ManualClock::new();
        let attempts = LimitedAttempt::new(backend, 2, Duration::from_secs(60)).clock(clock.clone());
        clock.advance(YEAR);
        for _ in 0..2 {
            drop(block_on(attempts.attempt("user")).unwrap());
        }
        clock.rewind(YEAR);
        assert_eq!(block_on(attempts.peek("user")).unwrap().remaining(), 2, "{name}");
        let first = block_on(attempts.attempt("user")).unwrap();
        assert_eq!((first.number(), first.remaining()), (1, 1), "{name}");
        drop(block_on(attempts.attempt("user")).unwrap());
        let refused = block_on(attempts.attempt("user")).unwrap_err();
        assert!(
            matches!(refused, AttemptError::TooManyAttempts { retry_after } if retry_after <= Duration::from_secs(60)),
            "{name}: {refused}"
        );
        // Within the skew a window that starts ahead still counts.
        clock.rewind(MAX_CLOCK_SKEW);
        assert!(block_on(attempts.attempt("user")).is_err(), "{name}");
    }
}

#[test]
fn memory_backend_corrects_by_its_own_skew() {
    let backend = MemoryBackend::builder().max_clock_skew(Duration::from_secs(100)).build();
    let clock = ManualClock::new();
    let limiter =
        Limiter::new(backend).quota(Quota::per_second(10)).algorithm(TokenBucket).clock(clock.clone());
    for (jump, allowed) in [(90, false), (250, true)] {
        clock.advance(Duration::from_secs(jump + 1_000));
        assert!(limiter.allow_n_now("key", 10).unwrap().is_allowed());
        clock.rewind(Duration::from_secs(jump));
        assert_eq!(limiter.allow_now("key").unwrap().is_allowed(), allowed, "{jump} s");
    }
}
