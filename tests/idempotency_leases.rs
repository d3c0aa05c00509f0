//! Leases: renewed while a handler runs, taken over where it does not, waited for where asked for.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use common::stepping::{Running, poll, step};
use common::{AnyBackend, backends, block_on};
use limited::backend::Record;
use limited::{BackendError, Claim, Clock, Idempotency, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};

const LEASE: Duration = Duration::from_secs(30);

type Run<'a, T> = Running<'a, Result<Outcome<T>, RunError<String, T>>>;

fn everywhere(behaviour: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        let clock = ManualClock::new();
        behaviour(Idempotency::new(backend).lease(LEASE).clock(clock.clone()), clock);
    }
}

/// What goes on in a handler: how it ends, once it is let, and the claim it was given.
#[derive(Clone, Default)]
struct Handler {
    claim: Rc<RefCell<Option<Claim>>>,
    ends: Rc<RefCell<Option<Result<u32, String>>>>,
    runs: Rc<Cell<u32>>,
}

impl Handler {
    async fn run(self, claim: Claim) -> Result<u32, String> {
        self.runs.set(self.runs.get() + 1);
        *self.claim.borrow_mut() = Some(claim);
        loop {
            if let Some(result) = self.ends.borrow_mut().take() {
                return result;
            }
            step().await;
        }
    }

    fn end(&self, result: Result<u32, String>) {
        *self.ends.borrow_mut() = Some(result);
    }

    fn claim(&self) -> Claim {
        self.claim.borrow().clone().expect("the handler was given its claim")
    }
}

/// A run that has come as far as its handler.
fn begin<'a, B: limited::Backend>(idempotency: &'a Idempotency<B>, handler: &Handler) -> Run<'a, u32> {
    let handler = handler.clone();
    let mut run: Run<'a, u32> = Box::pin(idempotency.run_with("key", &1, |claim| handler.run(claim)));
    assert!(poll(&mut run).is_pending());
    run
}

fn at_once<B: limited::Backend>(
    idempotency: &Idempotency<B>,
    result: Result<u32, String>,
) -> Result<Outcome<u32>, RunError<String, u32>> {
    block_on(idempotency.run("key", &1, async || result))
}

fn end<T>(run: &mut Run<'_, T>) -> Result<Outcome<T>, RunError<String, T>> {
    for _ in 0..100 {
        if let Poll::Ready(outcome) = poll(run) {
            return outcome;
        }
    }
    panic!("the run does not end");
}

#[test]
fn a_slow_handler_keeps_its_claim_as_long_as_its_renewals_arrive() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        for _ in 0..100 {
            clock.advance(LEASE / 3);
            assert!(poll(&mut run).is_pending());
            let taken = at_once(&idempotency, Ok(2));
            assert!(matches!(taken, Err(RunError::InProgress { .. })), "{taken:?}");
            assert!(handler.claim().is_held());
            assert_eq!(handler.claim().expires_at(), clock.now().saturating_add(LEASE));
        }
        handler.end(Ok(1));
        assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
        assert!(!handler.claim().is_held(), "after its end nothing is owned");
        assert_eq!(at_once(&idempotency, Ok(2)).unwrap(), Outcome::Replayed(1));
    });
}

#[test]
fn a_lease_is_renewed_three_times_and_more_often_where_that_fails() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).lease(LEASE).clock(clock.clone());
    let handler = Handler::default();
    let mut run = begin(&idempotency, &handler);
    let pass = |run: &mut Run<'_, u32>, time: Duration| {
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
    // A renewal whose answer was lost was made all the same.
    mock.inject(Fault::lost_response().on(Operation::Renew));
    assert_eq!(pass(&mut run, LEASE / 3), 6);
    handler.end(Ok(1));
    assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
    assert_eq!(mock.count(Operation::Renew), 6);
}

#[test]
fn a_crashed_handler_loses_its_claim_after_one_lease() {
    everywhere(|idempotency, clock| {
        drop(begin(&idempotency, &Handler::default()));
        clock.advance(LEASE - Duration::from_nanos(1));
        match at_once(&idempotency, Ok(2)) {
            Err(RunError::InProgress { retry_after }) => {
                assert_eq!(retry_after, Duration::from_nanos(1));
            }
            other => panic!("{other:?}"),
        }
        clock.advance(Duration::from_nanos(1));
        assert_eq!(at_once(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn a_lease_that_lapsed_and_that_nobody_took_is_still_the_owners() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        clock.advance(LEASE * 3);
        assert!(!handler.claim().is_held());
        handler.end(Ok(1));
        assert_eq!(end(&mut run).unwrap(), Outcome::Executed(1));
    });
}

/// The ways in which a stale owner may wake up, after the ways in which a newer one may have gone on.
#[test]
fn a_stale_owner_neither_completes_nor_fails_nor_frees_what_a_newer_one_holds() {
    for newer in ["in progress", "done", "failed", "crashed"] {
        for stale in ["succeeds", "fails", "renews", "crashes"] {
            everywhere(|idempotency, clock| {
                println!("the newer one {newer}, the stale one {stale}");
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
                        // Where nobody has the key any more, there is nobody it was lost to.
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
                    assert_eq!(at_once(&idempotency, Ok(3)).unwrap(), Outcome::Replayed(2));
                }
            });
        }
    }
}

#[test]
fn an_operator_who_forgets_a_key_takes_it_from_its_owner() {
    everywhere(|idempotency, _| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        block_on(idempotency.forget("key")).unwrap();
        handler.end(Ok(1));
        assert!(matches!(end(&mut run), Err(RunError::LeaseLost { outcome: Ok(1) })));
        assert_eq!(at_once(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn a_call_that_waits_gets_the_first_callers_result() {
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
fn a_call_waits_no_longer_than_it_was_told_to() {
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
fn a_call_that_waits_runs_its_handler_where_the_first_fails_or_crashes() {
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
fn waiting_is_reading_at_intervals_that_grow() {
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
fn a_lease_of_nothing_still_excludes() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.lease(Duration::ZERO);
        let run = begin(&idempotency, &Handler::default());
        assert!(matches!(at_once(&idempotency, Ok(2)), Err(RunError::InProgress { .. })));
        clock.advance(Duration::from_millis(1));
        assert_eq!(at_once(&idempotency, Ok(2)).unwrap(), Outcome::Executed(2));
        drop(run);
    });
}

#[test]
fn fencing_numbers_rise_with_every_run() {
    everywhere(|idempotency, clock| {
        let mut last = 0;
        for round in 0..40 {
            let handler = Handler::default();
            let mut run = begin(&idempotency, &handler);
            let number = handler.claim().fencing_token();
            assert!(number > last, "round {round}");
            last = number;
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
fn a_record_names_the_grant_that_made_it() {
    everywhere(|idempotency, clock| {
        let handler = Handler::default();
        let mut run = begin(&idempotency, &handler);
        let Some(Record::InProgress(record)) = block_on(idempotency.find("key")).unwrap() else {
            panic!("it is in progress")
        };
        assert_eq!(record.fencing_token.0, handler.claim().fencing_token());
        assert_eq!(record.expires_at, clock.now().saturating_add(LEASE));
        handler.end(Ok(1));
        end(&mut run).unwrap();
        let Some(Record::Finished(finished)) = block_on(idempotency.find("key")).unwrap() else {
            panic!("it is done")
        };
        assert_eq!(
            (finished.fencing_token, finished.owner, finished.at),
            (record.fencing_token, record.owner, clock.now())
        );
    });
}

#[test]
fn runs_travel_between_threads() {
    fn sendable<T: Send>(_: &T) {}
    let idempotency = Idempotency::new(MockBackend::new());
    let run = idempotency.run_with("key", &"request", async |claim: Claim| {
        sendable(&claim);
        Ok::<_, String>(1)
    });
    sendable(&run);
    let once = limited::DoOnce::new(MockBackend::new());
    sendable(&once.run("user", "mail", async || Ok::<_, String>(1)));
    sendable(&once.run_at_most_once("user", "mail", async || Ok::<_, String>(1)));
    sendable(&once.mark_done("user", "mail"));
}
