//! Handlers that hang, claims that are lost while a handler runs, and the number of calls that
//! wait.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use limited::backend::{Record, Sleep, Timestamp};
use limited::{BackendError, Claim, Clock, DoOnce, Idempotency, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::stepping::{Running, poll};
use crate::common::{AnyBackend, block_on};
use crate::{LEASE, PendingRun, RunResult, on_every_backend};

const MAX_RUN_TIME: Duration = Duration::from_secs(100);

fn everywhere(test: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    on_every_backend(|backend, clock| {
        test(Idempotency::new(backend).lease(LEASE).clock(clock.clone()), clock);
    });
}

/// Reports when it is dropped.
struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A handler that hangs.
#[derive(Default)]
struct Hanging {
    claim: Rc<Cell<Option<Claim>>>,
    is_dropped: Rc<Cell<bool>>,
}

impl Hanging {
    /// Starts a run of this handler, and polls it once.
    fn start<'a, B: limited::Backend>(&self, idempotency: &'a Idempotency<B>) -> PendingRun<'a, u32> {
        let (claim, on_drop) = (Rc::clone(&self.claim), OnDrop(Rc::clone(&self.is_dropped)));
        let mut run: PendingRun<'a, u32> = Box::pin(idempotency.run_with("key", &1, async move |granted| {
            let _on_drop = on_drop;
            claim.set(Some(granted));
            pending().await
        }));
        assert!(poll(&mut run).is_pending());
        run
    }

    fn claim(&self) -> Claim {
        self.claim.take().expect("the handler has started")
    }
}

fn run<B: limited::Backend>(idempotency: &Idempotency<B>, value: u32) -> RunResult<u32> {
    block_on(idempotency.run("key", &1, async || Ok(value)))
}

/// Advances the clock second by second while the run is pending.
fn pass(clock: &ManualClock, run: &mut PendingRun<'_, u32>, time: Duration) {
    for _ in 0..time.as_secs() {
        clock.advance(Duration::from_secs(1));
        assert!(poll(run).is_pending());
    }
}

#[test]
fn handler_that_hangs_keeps_its_key_no_longer_than_the_maximum_run_time() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.max_run_time(MAX_RUN_TIME);
        let end = clock.now().saturating_add(MAX_RUN_TIME);
        let handler = Hanging::default();
        let mut hanging = handler.start(&idempotency);
        let claim = handler.claim();
        pass(&clock, &mut hanging, MAX_RUN_TIME - Duration::from_secs(1));
        assert!(claim.is_held() && claim.expires_at() == end);
        match self::run(&idempotency, 2) {
            Err(RunError::InProgress { retry_after }) => assert_eq!(retry_after, Duration::from_secs(1)),
            other => panic!("{other:?}"),
        }
        pass(&clock, &mut hanging, Duration::from_secs(1));
        assert!(!claim.is_held() && !handler.is_dropped.get(), "by default the handler goes on");
        assert_eq!(self::run(&idempotency, 2).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn maximum_run_time_below_the_lease_shortens_it() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.max_run_time(LEASE / 3);
        let handler = Hanging::default();
        let mut hanging = handler.start(&idempotency);
        let record = block_on(idempotency.find("key")).unwrap();
        let Some(Record::InProgress(record)) = record else { panic!("{record:?}") };
        assert_eq!(record.expires_at, clock.now().saturating_add(LEASE / 3));
        pass(&clock, &mut hanging, LEASE / 3);
        assert_eq!(self::run(&idempotency, 2).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn renewals_stop_at_the_maximum_run_time() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone());
    let idempotency = idempotency.max_run_time(MAX_RUN_TIME);
    let handler = Hanging::default();
    let mut hanging = handler.start(&idempotency);
    pass(&clock, &mut hanging, MAX_RUN_TIME * 10);
    // After 10, 20, … 70 seconds, the last one up to the maximum.
    assert_eq!(mock.count(Operation::Renew), 7);
}

#[test]
fn late_result_is_recorded_if_no_other_call_took_over() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.max_run_time(MAX_RUN_TIME);
        let sleep = clock.clone();
        let mut late: PendingRun<'_, u32> = Box::pin(idempotency.run("key", &1, async || {
            sleep.sleep(MAX_RUN_TIME * 2).await;
            Ok(1)
        }));
        assert!(poll(&mut late).is_pending());
        pass(&clock, &mut late, MAX_RUN_TIME * 2 - Duration::from_secs(1));
        clock.advance(Duration::from_secs(1));
        assert!(matches!(poll(&mut late), Poll::Ready(Ok(Outcome::Executed(1)))));
        assert_eq!(self::run(&idempotency, 2).unwrap(), Outcome::Replayed(1));
    });
}

#[test]
fn handler_is_dropped_when_its_claim_is_lost_if_asked() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.max_run_time(MAX_RUN_TIME).stop_when_lost(true);
        let handler = Hanging::default();
        let mut hanging = handler.start(&idempotency);
        pass(&clock, &mut hanging, MAX_RUN_TIME - Duration::from_secs(1));
        assert!(!handler.is_dropped.get());
        clock.advance(Duration::from_secs(1));
        assert!(matches!(poll(&mut hanging), Poll::Ready(Err(RunError::Stopped))));
        assert!(handler.is_dropped.get());
        assert_eq!(self::run(&idempotency, 2).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn handler_is_dropped_when_its_record_is_removed_or_its_renewals_fail() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone()).stop_when_lost(true);
    let handler = Hanging::default();
    let mut hanging = handler.start(&idempotency);
    block_on(idempotency.forget("key")).unwrap();
    clock.advance(LEASE / 3);
    assert!(matches!(poll(&mut hanging), Poll::Ready(Err(RunError::Stopped))));

    let handler = Hanging::default();
    let mut hanging = handler.start(&idempotency);
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Renew).always());
    pass(&clock, &mut hanging, LEASE - Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert!(matches!(poll(&mut hanging), Poll::Ready(Err(RunError::Stopped))));
    assert!(handler.is_dropped.get());
}

#[test]
fn action_that_hangs_is_stopped_and_can_run_again() {
    on_every_backend(|backend, clock| {
        let once = DoOnce::new(backend).clock(clock.clone()).max_run_time(LEASE).stop_when_lost(true);
        let mut first: Running<'_, _> =
            Box::pin(once.run("user", "mail", async || pending::<Result<u32, String>>().await));
        assert!(poll(&mut first).is_pending());
        clock.advance(LEASE);
        let Poll::Ready(Err(error)) = poll(&mut first) else { panic!("the action still runs") };
        assert!(matches!(error, RunError::Stopped) && error.is_retryable(), "{error:?}");
        assert!(error.to_string().contains("was stopped because its claim was lost"), "{error}");
        assert!(!block_on(once.is_done("user", "mail")).unwrap());
        assert!(block_on(once.run("user", "mail", async || Ok::<_, String>(1))).is_ok());
    });
}

/// Counts how often it wakes.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn lost_completes_when_the_claim_is_lost() {
    for how in ["the lease expires", "a renewal is rejected", "the run is dropped"] {
        everywhere(|idempotency, clock| {
            println!("{how}");
            let handler = Hanging::default();
            let mut hanging = handler.start(&idempotency);
            let claim = handler.claim();
            // In another task.
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut lost = Box::pin(claim.lost());
            let mut poll_lost = || lost.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            assert!(!poll_lost() && !poll_lost());
            // A renewal prolongs the wait.
            pass(&clock, &mut hanging, LEASE * 2);
            assert!(!poll_lost());
            let before = woken.0.load(std::sync::atomic::Ordering::Relaxed);
            match how {
                // The run is not polled, so nothing renews the lease.
                "the lease expires" => clock.advance(LEASE),
                "a renewal is rejected" => {
                    block_on(idempotency.forget("key")).unwrap();
                    pass(&clock, &mut hanging, LEASE / 3);
                }
                _ => drop(hanging),
            }
            assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed) > before, "the task is not woken");
            assert!(poll_lost() && !claim.is_held());
        });
    }
}

/// A clock that has stopped. Others keep wakers themselves for a while.
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_767_225_600)
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(pending())
    }
}

#[test]
fn wait_for_the_loss_that_is_dropped_keeps_no_task_alive() {
    everywhere(|idempotency, _| {
        let idempotency = idempotency.clock(Stopped);
        let handler = Hanging::default();
        let _hanging = handler.start(&idempotency);
        let claim = handler.claim();
        let task = Arc::new(Woken::default());
        for _ in 0..3 {
            let waker = Waker::from(Arc::clone(&task));
            assert!(Box::pin(claim.lost()).as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(Arc::strong_count(&task), 1);
    });
}

#[test]
fn no_more_calls_wait_than_the_maximum() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.wait_timeout(LEASE / 3).max_waiting(2);
        let handler = Hanging::default();
        let _first = handler.start(&idempotency);
        let wait = || {
            let mut call: PendingRun<'_, u32> = Box::pin(idempotency.run("key", &1, async || Ok(2)));
            let is_waiting = poll(&mut call).is_pending();
            (call, is_waiting)
        };
        let clone = idempotency.clone();
        let (one, other) = (wait(), wait());
        assert!(one.1 && other.1);
        for idempotency in [&idempotency, &clone] {
            assert!(matches!(self::run(idempotency, 3), Err(RunError::InProgress { .. })));
        }
        drop(one);
        let mut again = wait();
        assert!(again.1 && !wait().1);
        // A wait that times out makes room too.
        clock.advance(LEASE / 3);
        assert!(matches!(poll(&mut again.0), Poll::Ready(Err(RunError::InProgress { .. }))));
        assert!(wait().1);
    });
}
