//! Waiting: a place in the queue of a bucket, and one try after the other for windows.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use limited::Algorithm::{FixedWindow, SlidingWindow, TokenBucket};
use limited::backend::{Counter, CounterState, Hit, Refund, Result, Sleep, WindowId, async_trait};
use limited::{
    Backend, BackendError, Clock, Decision, Error, Limiter, ManualClock, OnError, Quota, Quotas, Timestamp,
};
use limited_memory::MemoryBackend;
use proptest::prelude::*;

use crate::common::block_on;
use crate::common::stepping::{Running, poll, step};

const MILLI: Duration = Duration::from_millis(1);

/// A backend in memory that counts its calls. If it is slow, each call is pending once.
#[derive(Default)]
struct Counting {
    memory: MemoryBackend,
    is_slow: bool,
    hits: AtomicUsize,
    refunds: AtomicUsize,
}

impl Counting {
    async fn step(&self) {
        if self.is_slow {
            step().await;
        }
    }
}

#[async_trait]
impl Backend for Counting {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.hits.fetch_add(1, Relaxed);
        self.step().await;
        self.memory.increment(counter, hit, now).await
    }

    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        self.hits.fetch_add(1, Relaxed);
        self.step().await;
        self.memory.increment_all(hits, now).await
    }

    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        self.refunds.fetch_add(1, Relaxed);
        self.step().await;
        self.memory.refund(counter, refund, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.memory.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.memory.reset(counter, window, now).await
    }
}

/// A clock that knows when its sleepers wake up.
#[derive(Clone, Default)]
struct Alarms {
    clock: ManualClock,
    ends: Arc<Mutex<BTreeSet<Timestamp>>>,
}

impl Alarms {
    /// Moves to the next time at which a sleeper wakes up.
    fn advance_to_next(&self) -> bool {
        let next = self.ends.lock().unwrap().pop_first();
        if let Some(next) = next {
            self.clock.set(next.max(self.clock.now()));
        }
        next.is_some()
    }
}

impl Clock for Alarms {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.ends.lock().unwrap().insert(self.clock.now().saturating_add(duration));
        self.clock.sleep(duration)
    }
}

type Shared = Limiter<Arc<Counting>>;

fn bucket(quota: Quota) -> (Shared, Arc<Counting>, Alarms) {
    let (backend, clock) = (Arc::new(Counting::default()), Alarms::default());
    let limiter = Limiter::new(Arc::clone(&backend)).algorithm(TokenBucket).quota(quota);
    (limiter.clock(clock.clone()), backend, clock)
}

type Waiting<'a> = Running<'a, std::result::Result<Decision, Error>>;

fn wait(limiter: &Shared, cost: u64) -> Waiting<'_> {
    Box::pin(limiter.until_allowed_n("key", cost))
}

fn wait_within(limiter: &Shared, longest: Duration) -> Waiting<'_> {
    Box::pin(limiter.until_allowed_within("key", longest))
}

fn is_pending(waiting: &mut Waiting<'_>) -> bool {
    poll(waiting).is_pending()
}

/// Starts a call, which has to wait.
fn queued(limiter: &Shared, cost: u64) -> Waiting<'_> {
    let mut waiting = wait(limiter, cost);
    assert!(is_pending(&mut waiting), "the call does not wait");
    waiting
}

/// Lets all calls end, and returns for each its number and the time since `start`, in order.
fn admissions(alarms: &Alarms, start: Timestamp, waiting: Vec<Waiting<'_>>) -> Vec<(usize, Duration)> {
    let mut waiting: Vec<_> = waiting.into_iter().enumerate().collect();
    let mut admitted = Vec::new();
    loop {
        waiting.retain_mut(|(number, waiting)| match poll(waiting) {
            Poll::Ready(decision) => {
                assert!(decision.unwrap().is_allowed());
                admitted.push((*number, alarms.now().saturating_since(start)));
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() || !alarms.advance_to_next() {
            assert!(waiting.is_empty(), "{} calls never end", waiting.len());
            return admitted;
        }
    }
}

#[test]
fn hundred_waiting_callers_are_a_hundred_calls_in_order() {
    let (limiter, backend, clock) = bucket(Quota::per_second(10).burst(4));
    let waiting = (0..100).map(|_| wait(&limiter, 1)).collect();
    let admitted = admissions(&clock, clock.now(), waiting);
    // Four at once, and then one each 100 ms.
    let expected: Vec<_> = (3..103_u32).map(|number| 100 * MILLI * (number.max(6) - 6)).enumerate().collect();
    assert_eq!(admitted, expected);
    assert_eq!((backend.hits.load(Relaxed), backend.refunds.load(Relaxed)), (100, 0));
}

#[test]
fn caller_wakes_at_the_nanosecond_of_its_token() {
    // A token takes 333,333,333.3 ns.
    let (limiter, _, clock) = bucket(Quota::per_second(3).burst(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let mut waiting = queued(&limiter, 1);
    clock.clock.advance(Duration::from_nanos(333_333_333));
    assert!(is_pending(&mut waiting));
    clock.clock.advance(Duration::from_nanos(1));
    let Poll::Ready(Ok(decision)) = poll(&mut waiting) else { panic!("the token is there") };
    assert_eq!((decision.is_allowed(), decision.remaining(), decision.used()), (true, 0, 1));
    assert_eq!(decision.retry_after(), None);
}

#[test]
fn large_cost_is_not_overtaken_by_small_ones() {
    let (limiter, backend, clock) = bucket(Quota::per_second(10));
    let costs = [10, 1, 10, 1, 1, 7];
    let waiting = costs.iter().map(|cost| wait(&limiter, *cost)).collect();
    let admitted = admissions(&clock, clock.now(), waiting);
    let expected = [0, 1, 11, 12, 13, 20].map(|tenths| 100 * MILLI * tenths);
    assert_eq!(admitted, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!(backend.hits.load(Relaxed), costs.len());
}

#[test]
fn limiters_of_several_processes_share_one_queue() {
    let (one, backend, clock) = bucket(Quota::per_second(1).burst(1));
    let other = Limiter::new(Arc::clone(&backend)).algorithm(TokenBucket);
    let other = other.quota(Quota::per_second(1).burst(1)).clock(clock.clone());
    let waiting = (0..6).map(|number| wait(if number % 2 == 0 { &one } else { &other }, 1)).collect();
    let admitted = admissions(&clock, clock.now(), waiting);
    assert_eq!(
        admitted,
        (0..6).map(|number| (number, Duration::from_secs(number as u64))).collect::<Vec<_>>()
    );
    assert_eq!(backend.hits.load(Relaxed), 6);
}

#[test]
fn wait_beyond_the_bound_is_refused_at_once_and_charges_nothing() {
    let (limiter, backend, _) = bucket(Quota::per_second(10).burst(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let decision =
        block_on(limiter.until_allowed_within("key", 100 * MILLI - Duration::from_nanos(1))).unwrap();
    assert!(!decision.is_allowed());
    assert_eq!(decision.retry_after(), Some(100 * MILLI));
    assert_eq!(backend.hits.load(Relaxed), 2);
    assert_eq!(block_on(limiter.peek("key")).unwrap().reset_after(), 100 * MILLI);

    let mut waiting = wait_within(&limiter, 100 * MILLI);
    assert!(is_pending(&mut waiting), "a wait of the bound is not longer than the bound");
}

#[test]
fn bound_of_zero_decides_like_allow() {
    let (limiter, backend, _) = bucket(Quota::per_second(10).burst(1));
    for allowed in [true, false] {
        let decision = block_on(limiter.until_allowed_within("key", Duration::ZERO)).unwrap();
        assert_eq!(decision.is_allowed(), allowed);
    }
    assert_eq!(backend.hits.load(Relaxed), 2);
}

#[test]
fn longest_bound_waits_for_anything_that_is_admitted_at_all() {
    let (limiter, _, _) = bucket(Quota::per_day(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let mut waiting = wait_within(&limiter, Duration::MAX);
    assert!(is_pending(&mut waiting));
    let decision = block_on(limiter.until_allowed("key")).unwrap();
    assert!(!decision.is_allowed(), "the next place is two days ahead, and the bound is 24 hours");
}

#[test]
fn cost_that_never_fits_is_refused_at_once() {
    for algorithm in [TokenBucket, FixedWindow, SlidingWindow] {
        let (limiter, backend, _) = bucket(Quota::per_second(10));
        let limiter = limiter.algorithm(algorithm);
        let decision = block_on(limiter.until_allowed_n("key", 11)).unwrap();
        assert_eq!((decision.is_allowed(), decision.retry_after()), (false, None), "{algorithm}");
        assert_eq!(backend.hits.load(Relaxed), 1, "{algorithm}");
        assert_eq!(block_on(limiter.peek("key")).unwrap().remaining(), 10, "{algorithm}");
        assert!(matches!(block_on(limiter.until_allowed_n("key", 0)), Err(Error::ZeroCost)));
        assert!(matches!(block_on(limiter.until_allowed("")), Err(Error::InvalidKey(_))));
    }
}

#[test]
fn allow_is_refused_while_there_is_a_queue() {
    let (limiter, _, clock) = bucket(Quota::per_second(1).burst(2));
    assert!(block_on(limiter.until_allowed_n("key", 2)).unwrap().is_allowed());
    let mut waiting = queued(&limiter, 2);
    clock.clock.advance(Duration::from_secs(1));
    let decision = block_on(limiter.allow("key")).unwrap();
    assert_eq!((decision.is_allowed(), decision.retry_after()), (false, Some(Duration::from_secs(2))));
    clock.clock.advance(Duration::from_secs(1));
    assert!(!is_pending(&mut waiting));
}

#[test]
fn queue_is_not_lifted_as_that_of_a_wrong_clock() {
    let (limiter, _, clock) = bucket(Quota::per_second(1).burst(1));
    let start = clock.now();
    let mut waiting: Vec<_> = (0..60).map(|_| wait(&limiter, 1)).collect();
    for waiting in &mut waiting {
        let _ = poll(waiting);
    }
    // The bucket is 60 s ahead: far more than its capacity and twice the skew explain.
    assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
    assert_eq!(block_on(limiter.peek("key")).unwrap().reset_after(), Duration::from_secs(60));
    waiting.push(queued(&limiter, 1));
    let admitted = admissions(&clock, start, waiting.split_off(1));
    assert_eq!(admitted.last(), Some(&(59, Duration::from_secs(60))));
}

#[test]
fn dropped_last_place_is_returned_in_full() {
    let (limiter, backend, clock) = bucket(Quota::per_second(1).burst(1));
    let start = clock.now();
    let first = wait(&limiter, 1);
    let mut waiting = vec![first, wait(&limiter, 1), wait(&limiter, 1)];
    for waiting in &mut waiting {
        let _ = poll(waiting);
    }
    clock.clock.advance(1_500 * MILLI);
    drop(waiting.pop());
    assert_eq!(backend.refunds.load(Relaxed), 1);
    waiting.push(queued(&limiter, 1));
    let admitted = admissions(&clock, start, waiting.split_off(2));
    assert_eq!(admitted, [(0, Duration::from_secs(2))], "the next caller has the time of the dropped one");
}

#[test]
fn dropped_places_are_returned_from_the_end() {
    let (limiter, _, clock) = bucket(Quota::per_second(1).burst(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let (one, two, three) = (queued(&limiter, 1), queued(&limiter, 1), queued(&limiter, 1));
    drop(three);
    drop(two);
    let admitted = admissions(&clock, clock.now(), vec![one, queued(&limiter, 1)]);
    assert_eq!(admitted, [(0, Duration::from_secs(1)), (1, Duration::from_secs(2))]);
}

#[test]
fn dropped_place_in_the_middle_stays_charged() {
    let (limiter, _, clock) = bucket(Quota::per_second(1).burst(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let (middle, last) = (queued(&limiter, 1), queued(&limiter, 1));
    drop(middle);
    let admitted = admissions(&clock, clock.now(), vec![last, queued(&limiter, 1)]);
    // Otherwise both would be admitted after 2 s, and the burst is 1.
    assert_eq!(admitted, [(0, Duration::from_secs(2)), (1, Duration::from_secs(3))]);
}

#[test]
fn admitted_call_returns_nothing_when_it_is_dropped() {
    let (limiter, backend, clock) = bucket(Quota::per_second(1).burst(1));
    admissions(&clock, clock.now(), vec![wait(&limiter, 1), wait(&limiter, 1)]);
    assert_eq!(backend.refunds.load(Relaxed), 0);
    assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
}

#[test]
fn backend_that_has_to_wait_is_not_called_by_a_dropped_future() {
    let backend = Arc::new(Counting { is_slow: true, ..Counting::default() });
    let clock = Alarms::default();
    let limiter =
        Limiter::new(Arc::clone(&backend)).algorithm(TokenBucket).quota(Quota::per_second(1).burst(1));
    let limiter = limiter.clock(clock.clone());
    let mut first = queued(&limiter, 1);
    assert!(!is_pending(&mut first));
    let mut waiting = queued(&limiter, 1);
    assert!(is_pending(&mut waiting));
    drop(waiting);
    assert_eq!((backend.hits.load(Relaxed), backend.refunds.load(Relaxed)), (2, 0));
    let mut next = queued(&limiter, 1);
    assert!(is_pending(&mut next));
    clock.clock.advance(1_999 * MILLI);
    assert!(is_pending(&mut next), "the place stays charged");
    clock.clock.advance(MILLI);
    assert!(!is_pending(&mut next));
}

#[test]
fn decision_after_waiting_can_be_refunded_in_full() {
    let (limiter, _, clock) = bucket(Quota::per_second(1).burst(1));
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let mut waiting = queued(&limiter, 1);
    clock.clock.advance(Duration::from_secs(1));
    let Poll::Ready(Ok(decision)) = poll(&mut waiting) else { panic!("the token is there") };
    block_on(limiter.refund("key", &decision)).unwrap();
    assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
    assert!(!block_on(limiter.allow("key")).unwrap().is_allowed());
}

#[test]
fn several_buckets_are_one_place_and_the_longest_wait() {
    let (limiter, backend, clock) = bucket(Quota::default());
    let limiter = limiter.quotas("2/s; 3/min".parse::<Quotas>().unwrap());
    let start = clock.now();
    let waiting = (0..4).map(|_| wait(&limiter, 1)).collect();
    let admitted = admissions(&clock, start, waiting);
    let expected = [0, 0, 500, 20_000].map(|millis| MILLI * millis);
    assert_eq!(admitted, expected.into_iter().enumerate().collect::<Vec<_>>());
    assert_eq!(backend.hits.load(Relaxed), 4);

    drop(queued(&limiter, 1));
    assert_eq!(backend.refunds.load(Relaxed), 2);
    let admitted = admissions(&clock, start, vec![wait(&limiter, 1)]);
    assert_eq!(admitted, [(0, Duration::from_secs(40))]);
}

#[test]
fn window_is_tried_again_after_retry_after_and_a_jitter() {
    for algorithm in [FixedWindow, SlidingWindow] {
        let (limiter, backend, clock) = bucket(Quota::new(2, Duration::from_secs(10)).unwrap());
        let limiter = limiter.algorithm(algorithm);
        assert!(block_on(limiter.until_allowed_n("key", 2)).unwrap().is_allowed());
        let retry_after = block_on(limiter.allow("key")).unwrap().retry_after().unwrap();
        let admitted = admissions(&clock, clock.now(), vec![wait(&limiter, 1)]);
        let [(0, waited)] = admitted[..] else { panic!("one call: {admitted:?}") };
        assert!(
            (retry_after..=retry_after + Duration::from_secs(1)).contains(&waited),
            "{algorithm}, {waited:?}"
        );
        assert_eq!(backend.hits.load(Relaxed), 4, "{algorithm}");
    }
}

#[test]
fn waiting_for_a_window_ends_with_the_bound() {
    let (limiter, backend, clock) = bucket(Quota::new(1, Duration::from_secs(10)).unwrap());
    let limiter = limiter.algorithm(FixedWindow);
    assert!(block_on(limiter.until_allowed("key")).unwrap().is_allowed());
    let refused = block_on(limiter.until_allowed_within("key", Duration::from_secs(9))).unwrap();
    assert_eq!((refused.is_allowed(), backend.hits.load(Relaxed)), (false, 2));

    // Another caller is faster, and the next window is beyond the bound.
    let mut waiting = wait_within(&limiter, Duration::from_secs(10));
    assert!(is_pending(&mut waiting));
    clock.clock.advance(Duration::from_secs(10));
    assert!(block_on(limiter.allow("key")).unwrap().is_allowed());
    let Poll::Ready(Ok(decision)) = poll(&mut waiting) else { panic!("the bound has passed") };
    assert!(!decision.is_allowed());
}

#[test]
fn failed_backend_ends_the_wait() {
    let mock = limited_mock::MockBackend::new();
    for algorithm in limited::Algorithm::ALL {
        let limiter = Limiter::new(mock.clone()).algorithm(algorithm);
        mock.fail_next(BackendError::throttled("slow down"));
        assert!(matches!(block_on(limiter.until_allowed("key")), Err(Error::Backend(_))));
        for (on_error, allowed) in [(OnError::Allow, true), (OnError::Deny, false)] {
            mock.fail_next(BackendError::throttled("slow down"));
            let decision = block_on(limiter.clone().on_error(on_error).until_allowed("key")).unwrap();
            assert_eq!((decision.is_allowed(), decision.is_degraded()), (allowed, true));
        }
    }
}

#[test]
fn quota_of_the_call_decides_how_long_it_waits() {
    let (limiter, _, clock) = bucket(Quota::per_second(1));
    let fast = limiter.with_quota(Quota::per_second(10).burst(1));
    let waiting: Vec<Waiting<'_>> = (0..3).map(|_| Box::pin(fast.until_allowed("key")) as _).collect();
    let admitted = admissions(&clock, clock.now(), waiting);
    assert_eq!(
        admitted,
        [0, 1, 2].map(|number| 100 * MILLI * number).into_iter().enumerate().collect::<Vec<_>>()
    );
}

/// What happens next in the property.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A call of this cost that waits for at most so many milliseconds.
    Wait(u64, u64),
    /// A call of this cost that does not wait.
    Allow(u64),
    /// The call that started last, of those that wait, is dropped.
    DropLast,
    /// The first of the calls that wait is dropped.
    DropFirst,
    /// So many milliseconds and a nanosecond pass.
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1..6_u64, 0..20_000_u64).prop_map(|(cost, longest)| Event::Wait(cost, longest)),
        2 => (1..4_u64).prop_map(Event::Allow),
        2 => Just(Event::DropLast),
        1 => Just(Event::DropFirst),
        4 => (0..900_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_stretch_of_time_has_more_than_the_burst_and_the_rate(
        limit in 1..20_u64, burst in 5..12_u64, events in events(),
    ) {
        let quota = Quota::per_second(limit).burst(burst);
        let (limiter, _, alarms) = bucket(quota);
        let mut waiting: Vec<(u64, Waiting<'_>)> = Vec::new();
        let mut admitted: Vec<(Timestamp, u64)> = Vec::new();
        // The last event lets every call end.
        for event in events.into_iter().chain([Event::Pass(100_000)]) {
            match event {
                Event::Wait(cost, longest) => {
                    let longest = MILLI * u32::try_from(longest).unwrap();
                    let mut call: Waiting<'_> =
                        Box::pin(limiter.until_allowed_n_within("key", cost, longest));
                    match poll(&mut call) {
                        Poll::Ready(Ok(decision)) if decision.is_allowed() => {
                            admitted.push((alarms.now(), cost));
                        }
                        Poll::Ready(decision) => {
                            // It is refused only if its wait is longer than the bound.
                            prop_assert!(decision.unwrap().retry_after().unwrap() > longest);
                        }
                        Poll::Pending => waiting.push((cost, call)),
                    }
                }
                Event::Allow(cost) => {
                    if block_on(limiter.allow_n("key", cost)).unwrap().is_allowed() {
                        admitted.push((alarms.now(), cost));
                    }
                }
                Event::DropLast => drop(waiting.pop()),
                Event::DropFirst if waiting.is_empty() => {}
                Event::DropFirst => drop(waiting.remove(0)),
                Event::Pass(millis) => {
                    let end = alarms.now().saturating_add(Duration::from_nanos(millis * 1_000_000 + 1));
                    loop {
                        let next = alarms.ends.lock().unwrap().first().copied();
                        let next = next.filter(|next| *next <= end);
                        alarms.clock.set(next.unwrap_or(end).max(alarms.now()));
                        if next.is_some() {
                            alarms.ends.lock().unwrap().pop_first();
                        }
                        waiting.retain_mut(|(cost, call)| match poll(call) {
                            Poll::Ready(decision) => {
                                assert!(decision.unwrap().is_allowed());
                                admitted.push((alarms.now(), *cost));
                                false
                            }
                            Poll::Pending => true,
                        });
                        if next.is_none() {
                            break;
                        }
                    }
                }
            }
        }
        prop_assert!(waiting.is_empty(), "{} calls never end", waiting.len());
        for (index, (start, _)) in admitted.iter().enumerate() {
            let mut sum = 0;
            for (end, cost) in &admitted[index..] {
                sum += cost * 1_000_000_000;
                let elapsed = u64::try_from(end.saturating_since(*start).as_nanos()).unwrap();
                // The start is rounded up to a nanosecond, so it is late by less than one.
                prop_assert!(sum < burst * 1_000_000_000 + limit * (elapsed + 1));
            }
        }
    }
}
