//! Leases: renewed while the handler runs, taken over after a crash, and awaited by other calls.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use limited::backend::Record;
use limited::{BackendError, Claim, Clock, Idempotency, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};

use crate::common::stepping::{poll, step};
use crate::common::{AnyBackend, block_on};
use crate::{LEASE, PendingRun, RunResult, on_every_backend};

/// Runs `test` on every backend.
fn everywhere(test: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    on_every_backend(|backend, clock| {
        test(Idempotency::new(backend).lease(LEASE).clock(clock.clone()), clock);
    });
}

/// A handler that runs until the test ends it, and that shows its claim.
#[derive(Clone, Default)]
struct Handler {
    claim: Rc<RefCell<Option<Claim>>>,
    result: Rc<RefCell<Option<Result<u32, String>>>>,
    runs: Rc<Cell<u32>>,
}

impl Handler {
    async fn run(self, claim: Claim) -> Result<u32, String> {
        self.runs.set(self.runs.get() + 1);
        *self.claim.borrow_mut() = Some(claim);
        loop {
            if let Some(result) = self.result.borrow_mut().take() {
                return result;
            }
            step().await;
        }
    }

    fn end(&self, result: Result<u32, String>) {
        *self.result.borrow_mut() = Some(result);
    }

    fn claim(&self) -> Claim {
        self.claim.borrow().clone().expect("the handler has not started")
    }
}

/// Starts a run and polls it once.
fn begin<'a, B: limited::Backend>(idempotency: &'a Idempotency<B>, handler: &Handler) -> PendingRun<'a, u32> {
    let handler = handler.clone();
    let mut run: PendingRun<'a, u32> = Box::pin(idempotency.run_with("key", &1, |claim| handler.run(claim)));
    assert!(poll(&mut run).is_pending());
    run
}

/// Runs a handler that returns `result` at once.
fn run<B: limited::Backend>(idempotency: &Idempotency<B>, result: Result<u32, String>) -> RunResult<u32> {
    block_on(idempotency.run("key", &1, async || result))
}

/// Polls a run to its end.
fn end<T>(run: &mut PendingRun<'_, T>) -> RunResult<T> {
    for _ in 0..100 {
        if let Poll::Ready(outcome) = poll(run) {
            return outcome;
        }
    }
    panic!("the run is still pending after 100 polls");
}

#[test]
fn slow_handler_keeps_its_claim_while_renewals_succeed() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        for _ in 0..100 {
            clock.advance(LEASE / 3);
            assert!(poll(&mut run).is_pending());
            let other = self::run(&idempotency, Ok(2));
            assert!(matches!(other, Err(RunError::InProgress { .. })), "{other:?}");
            assert!(handler.claim().is_held());
            assert_eq!(handler.claim().expires_at(), clock.now().saturating_add(LEASE));
        }
        handler.end(Ok(1));
        assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
        assert!(!handler.claim().is_held(), "the claim is held after the end of its run");
        assert_eq!(self::run(&idempotency, Ok(2)).unwrap(), Outcome::Replayed(1));
    });
}

#[test]
fn lease_is_renewed_after_each_third_and_more_often_after_failures() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone());
    let handler = Handler::default();
    let mut run = begin(&idempotency, &handler);
    let pass = |run: &mut PendingRun<'_, u32>, time: Duration| {
        clock.advance(time);
        assert!(poll(run).is_pending());
        mock.count(Operation::Renew)
    };
    assert_eq!(pass(&mut run, LEASE / 3 - Duration::from_nanos(1)), 0);
    assert_eq!(pass(&mut run, Duration::from_nanos(1)), 1);
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Renew).times(2));
    assert_eq!(pass(&mut run, LEASE / 3), 2);
    assert_eq!(pass(&mut run, LEASE / 12), 3);
    assert_eq!(pass(&mut run, LEASE / 12), 4);
    assert_eq!(pass(&mut run, LEASE / 12), 4);
    assert_eq!(pass(&mut run, LEASE / 4), 5);
    // A renewal whose response was lost took effect nevertheless.
    mock.inject(Fault::lost_response().on(Operation::Renew));
    assert_eq!(pass(&mut run, LEASE / 3), 6);
    handler.end(Ok(1));
    assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
    assert_eq!(mock.count(Operation::Renew), 6);
}

#[test]
fn claim_of_a_crashed_handler_expires_after_one_lease() {
    everywhere(|idempotency, clock| {
        drop(begin(&idempotency, &Handler::default()));
        clock.advance(LEASE - Duration::from_nanos(1));
        match self::run(&idempotency, Ok(2)) {
            Err(RunError::InProgress { retry_after }) => {
                assert_eq!(retry_after, Duration::from_nanos(1));
            }
            other => panic!("{other:?}"),
        }
        clock.advance(Duration::from_nanos(1));
        assert_eq!(self::run(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn expired_lease_that_was_not_taken_over_still_belongs_to_its_owner() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        clock.advance(LEASE * 3);
        assert!(!handler.claim().is_held());
        handler.end(Ok(1));
        assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
    });
}

/// Combines everything that a stale owner may do with everything that the newer owner may have
/// done.
#[test]
fn stale_owner_cannot_complete_fail_or_release_the_newer_claim() {
    for newer in ["in progress", "done", "failed", "crashed"] {
        for stale in ["succeeds", "fails", "renews", "crashes"] {
            everywhere(|idempotency, clock| {
                println!("newer owner: {newer}, stale owner: {stale}");
                let (first, second) = (Handler::default(), Handler::default());
                let mut run = begin(&idempotency, &first);
                clock.advance(LEASE);
                let mut takeover = begin(&idempotency, &second);
                assert!(second.claim().fencing_token() > first.claim().fencing_token());
                match newer {
                    "done" => {
                        second.end(Ok(2));
                        assert_eq!(end(&mut takeover).unwrap(), Outcome::Executed(2));
                    }
                    "failed" => {
                        second.end(Err("declined".into()));
                        assert!(end(&mut takeover).is_err());
                    }
                    "crashed" => {
                        let gone = std::mem::replace(&mut takeover, Box::pin(std::future::pending()));
                        drop(gone);
                    }
                    _ => {}
                }
                let before = block_on(idempotency.find("key")).unwrap();
                match stale {
                    "succeeds" => {
                        first.end(Ok(1));
                        let outcome = end(&mut run);
                        let lost = matches!(outcome, Err(RunError::LeaseLost { outcome: Ok(1) }));
                        assert!(lost, "{outcome:?}");
                    }
                    "fails" => {
                        first.end(Err("timed out".into()));
                        let outcome = end(&mut run);
                        // After the newer owner released the key, no other owner holds it.
                        let lost = matches!(outcome, Err(RunError::LeaseLost { outcome: Err(_) }));
                        let failed = matches!(outcome, Err(RunError::Failed(_)));
                        assert!(if newer == "failed" { failed } else { lost }, "{outcome:?}");
                    }
                    "renews" => {
                        assert!(poll(&mut run).is_pending());
                        assert!(!first.claim().is_held());
                    }
                    _ => drop(run),
                }
                assert_eq!(block_on(idempotency.find("key")).unwrap(), before);
                if newer == "in progress" {
                    second.end(Ok(2));
                    assert_eq!(end(&mut takeover).unwrap(), Outcome::Executed(2));
                    assert_eq!(self::run(&idempotency, Ok(3)).unwrap(), Outcome::Replayed(2));
                }
            });
        }
    }
}

#[test]
fn forgotten_key_is_lost_to_its_owner() {
    everywhere(|idempotency, _| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        block_on(idempotency.forget("key")).unwrap();
        handler.end(Ok(1));
        assert!(matches!(end(&mut run), Err(RunError::LeaseLost { outcome: Ok(1) })));
        assert_eq!(self::run(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn waiting_call_returns_the_result_of_the_first() {
    everywhere(|idempotency, clock| {
        let waiting = idempotency.clone().wait_timeout(Duration::from_secs(10));
        let (first, second) = (Handler::default(), Handler::default());
        let mut run = begin(&idempotency, &first);
        let mut waiter = begin(&waiting, &second);
        for _ in 0..9 {
            clock.advance(Duration::from_secs(1));
            assert!(poll(&mut waiter).is_pending());
        }
        first.end(Ok(1));
        assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(end(&mut waiter).unwrap(), Outcome::Replayed(1));
        assert_eq!(second.runs.get(), 0);
    });
}

#[test]
fn waiting_call_stops_at_its_timeout() {
    everywhere(|idempotency, clock| {
        let waiting = idempotency.clone().wait_timeout(Duration::from_secs(10));
        let run = begin(&idempotency, &Handler::default());
        let mut waiter = begin(&waiting, &Handler::default());
        clock.advance(Duration::from_secs(10));
        match end(&mut waiter) {
            Err(RunError::InProgress { retry_after }) => {
                assert_eq!(retry_after, Duration::from_secs(20));
            }
            other => panic!("{other:?}"),
        }
        drop(run);
    });
}

#[test]
fn waiting_call_runs_its_handler_if_the_first_fails_or_crashes() {
    for crashes in [false, true] {
        everywhere(|idempotency, clock| {
            let waiting = idempotency.clone().wait_timeout(LEASE * 2);
            let (first, second) = (Handler::default(), Handler::default());
            let mut run = begin(&idempotency, &first);
            let mut waiter = begin(&waiting, &second);
            if crashes {
                drop(run);
                clock.advance(LEASE);
            } else {
                first.end(Err("declined".into()));
                assert!(end(&mut run).is_err());
                clock.advance(Duration::from_secs(1));
            }
            second.end(Ok(2));
            assert_eq!(end(&mut waiter).unwrap(), Outcome::Executed(2));
            assert_eq!((first.runs.get(), second.runs.get()), (1, 1));
        });
    }
}

#[test]
fn waiting_call_polls_at_growing_intervals() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).clock(clock.clone());
    let run = begin(&idempotency, &Handler::default());
    mock.clear_calls();
    let waiting = idempotency.clone().wait_timeout(Duration::from_secs(10));
    let mut waiter = begin(&waiting, &Handler::default());
    let mut milliseconds = 0;
    while poll(&mut waiter).is_pending() {
        clock.advance(Duration::from_millis(1));
        milliseconds += 1;
    }
    assert_eq!(milliseconds, 10_000);
    assert_eq!((mock.count(Operation::Claim), mock.count(Operation::Find)), (1, 16));
    drop(run);
}

#[test]
fn lease_of_zero_still_excludes_others() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.lease(Duration::ZERO);
        let run = begin(&idempotency, &Handler::default());
        assert!(matches!(self::run(&idempotency, Ok(2)), Err(RunError::InProgress { .. })));
        clock.advance(Duration::from_millis(1));
        assert_eq!(self::run(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
        drop(run);
    });
}

#[test]
fn fencing_token_rises_with_every_run() {
    everywhere(|idempotency, clock| {
        let mut last = 0;
        for round in 0..40 {
            let handler = Handler::default();
            let mut run = begin(&idempotency, &handler);
            let token = handler.claim().fencing_token();
            assert!(token > last, "round {round}");
            last = token;
            match round % 4 {
                0 => {
                    handler.end(Err("declined".into()));
                    assert!(end(&mut run).is_err());
                }
                1 => {
                    drop(run);
                    clock.advance(LEASE);
                }
                2 => {
                    handler.end(Ok(1));
                    assert!(end(&mut run).is_ok());
                    clock.advance(Duration::from_secs(86_400));
                }
                _ => {
                    drop(run);
                    block_on(idempotency.forget("key")).unwrap();
                    clock.rewind(Duration::from_secs(5));
                }
            }
        }
    });
}

#[test]
fn record_contains_owner_token_and_time_of_its_claim() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        let Some(Record::InProgress(record)) = block_on(idempotency.find("key")).unwrap() else {
            panic!("the record must be in progress")
        };
        assert_eq!(record.fencing_token.0, handler.claim().fencing_token());
        assert_eq!(record.expires_at, clock.now().saturating_add(LEASE));
        handler.end(Ok(1));
        end(&mut run).unwrap();
        let Some(Record::Finished(finished)) = block_on(idempotency.find("key")).unwrap() else {
            panic!("the record must be finished")
        };
        assert_eq!(
            (finished.fencing_token, finished.owner, finished.at),
            (record.fencing_token, record.owner, clock.now())
        );
    });
}

#[test]
fn runs_are_send() {
    fn assert_send<T: Send>(_: &T) {}
    let idempotency = Idempotency::new(MockBackend::new());
    let run = idempotency.run_with("key", &"request", async |claim: Claim| {
        assert_send(&claim);
        Ok::<_, String>(1)
    });
    assert_send(&run);
    let once = limited::DoOnce::new(MockBackend::new());
    assert_send(&once.run("user", "mail", async || Ok::<_, String>(1)));
    assert_send(&once.run_at_most_once("user", "mail", async || Ok::<_, String>(1)));
    assert_send(&once.mark_done("user", "mail"));
}
