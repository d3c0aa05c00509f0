//! Idempotency: the handler runs once per key, and every call returns its result.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use limited::backend::{Cause, Record, StoredResult};
use limited::{BackendError, Idempotency, InvalidKey, Key, ManualClock, Outcome, RunError};
use limited_mock::{Fault, MockBackend, Operation};
use serde::{Deserialize, Serialize};

use crate::common::stepping::{drive, poll, step};
use crate::common::{AnyBackend, block_on};
use crate::{PACE, PendingRun, RunResult, on_every_backend};

const DAY: Duration = Duration::from_secs(86_400);

/// Runs `test` on every backend.
fn everywhere(test: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    on_every_backend(|backend, clock| test(Idempotency::new(backend).clock(clock.clone()), clock));
}

/// A handler that counts its runs, and returns the count.
#[derive(Clone, Default)]
struct Runs(Rc<Cell<u32>>);

impl Runs {
    async fn succeed(self) -> Result<u32, String> {
        self.0.set(self.0.get() + 1);
        Ok(self.0.get())
    }

    async fn fail(self) -> Result<u32, String> {
        self.0.set(self.0.get() + 1);
        Err(format!("declined {}", self.0.get()))
    }

    fn count(&self) -> u32 {
        self.0.get()
    }
}

fn run(idempotency: &Idempotency<AnyBackend>, key: &str, request: u32, runs: &Runs) -> RunResult<u32> {
    block_on(idempotency.run(key, &request, || runs.clone().succeed()))
}

fn fail(idempotency: &Idempotency<AnyBackend>, key: &str, request: u32, runs: &Runs) -> RunResult<u32> {
    block_on(idempotency.run(key, &request, || runs.clone().fail()))
}

#[test]
fn first_call_executes_and_later_calls_replay() {
    everywhere(|idempotency, _| {
        let runs = Runs::default();
        assert_eq!(run(&idempotency, "key", 1, &runs).unwrap(), Outcome::Executed(1));
        for _ in 0..3 {
            assert_eq!(run(&idempotency, "key", 1, &runs).unwrap(), Outcome::Replayed(1));
        }
        assert_eq!(run(&idempotency, "other key", 1, &runs).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn result_of_any_shape_is_replayed_unchanged() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Receipt {
        id: String,
        lines: Vec<(String, i64)>,
        notes: Option<HashMap<String, f64>>,
    }
    let receipt = Receipt {
        id: "€ \"quoted\" \u{1F600} \0".into(),
        lines: vec![("a".into(), i64::MIN), (String::new(), i64::MAX)],
        notes: Some(HashMap::from([("tip".into(), 0.1)])),
    };
    everywhere(|idempotency, _| {
        let run = || idempotency.run("key", &(), async || Ok::<_, String>(receipt.clone()));
        assert_eq!(block_on(run()).unwrap(), Outcome::Executed(receipt.clone()));
        assert_eq!(block_on(run()).unwrap(), Outcome::Replayed(receipt.clone()));
        let nothing = || idempotency.run("nothing", &(), async || Ok::<(), String>(()));
        assert_eq!(block_on(nothing()).unwrap(), Outcome::Executed(()));
        assert_eq!(block_on(nothing()).unwrap(), Outcome::Replayed(()));
    });
}

#[test]
fn key_of_another_request_is_rejected() {
    everywhere(|idempotency, clock| {
        let runs = Runs::default();
        run(&idempotency, "key", 1, &runs).unwrap();
        assert!(matches!(run(&idempotency, "key", 2, &runs), Err(RunError::KeyReused)));
        // The same while the other request is in progress, without waiting: waiting cannot change
        // the result.
        let mut held: PendingRun<'_, u32> = Box::pin(idempotency.run("held", &1, async || {
            step().await;
            Ok(7)
        }));
        assert!(poll(&mut held).is_pending());
        let waiting = idempotency.clone().wait_timeout(DAY);
        assert!(matches!(run(&waiting, "held", 2, &runs), Err(RunError::KeyReused)));
        assert_eq!(runs.count(), 1);
        // The key is free again when its result has expired.
        clock.advance(DAY);
        assert_eq!(run(&idempotency, "key", 2, &runs).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn key_in_progress_reports_the_remaining_lease() {
    everywhere(|idempotency, clock| {
        let runs = Runs::default();
        let mut held: PendingRun<'_, u32> = Box::pin(idempotency.run("key", &1, async || {
            step().await;
            Ok(7)
        }));
        assert!(poll(&mut held).is_pending());
        clock.advance(Duration::from_secs(9));
        match run(&idempotency, "key", 1, &runs) {
            Err(RunError::InProgress { retry_after }) => {
                assert_eq!(retry_after, Duration::from_secs(21));
            }
            other => panic!("{other:?}"),
        }
        let _ = poll(&mut held);
        assert_eq!(run(&idempotency, "key", 1, &runs).unwrap(), Outcome::Replayed(7));
        assert_eq!(runs.count(), 0);
    });
}

#[test]
fn error_releases_the_key() {
    everywhere(|idempotency, _| {
        let runs = Runs::default();
        assert!(
            matches!(fail(&idempotency, "key", 1, &runs), Err(RunError::Failed(error)) if error == "declined 1")
        );
        // The key is free for other requests too.
        assert!(matches!(fail(&idempotency, "key", 2, &runs), Err(RunError::Failed(_))));
        assert_eq!(run(&idempotency, "key", 3, &runs).unwrap(), Outcome::Executed(3));
    });
}

#[test]
fn stored_error_is_replayed() {
    everywhere(|idempotency, clock| {
        let runs = Runs::default();
        let fail =
            |request: u32| block_on(idempotency.run_storing_errors("key", &request, || runs.clone().fail()));
        assert!(matches!(fail(1), Err(RunError::Failed(error)) if error == "declined 1"));
        for _ in 0..2 {
            assert!(matches!(fail(1), Err(RunError::ReplayedError(error)) if error == "declined 1"));
        }
        assert!(matches!(fail(2), Err(RunError::KeyReused)));
        // A call that does not store errors cannot read a stored error.
        assert!(matches!(run(&idempotency, "key", 1, &runs), Err(RunError::Decode(_))));
        clock.advance(DAY);
        assert!(matches!(fail(1), Err(RunError::Failed(error)) if error == "declined 2"));
        let success = || block_on(idempotency.run_storing_errors("good", &1, || runs.clone().succeed()));
        assert_eq!(success().unwrap(), Outcome::Executed(3));
        assert_eq!(success().unwrap(), Outcome::Replayed(3));
    });
}

#[test]
fn result_expires_after_the_ttl() {
    everywhere(|idempotency, clock| {
        let idempotency = idempotency.ttl(Duration::from_secs(60));
        let runs = Runs::default();
        run(&idempotency, "key", 1, &runs).unwrap();
        clock.advance(Duration::from_nanos(59_999_999_999));
        assert_eq!(run(&idempotency, "key", 1, &runs).unwrap(), Outcome::Replayed(1));
        clock.advance(Duration::from_nanos(1));
        assert_eq!(block_on(idempotency.find("key")).unwrap(), None);
        assert_eq!(run(&idempotency, "key", 1, &runs).unwrap(), Outcome::Executed(2));
    });
}

#[test]
fn namespaces_and_kinds_of_claims_are_independent() {
    everywhere(|idempotency, clock| {
        let runs = Runs::default();
        run(&idempotency, "key", 1, &runs).unwrap();
        let other = idempotency.clone().namespace("other");
        assert_eq!(run(&other, "key", 1, &runs).unwrap(), Outcome::Executed(2));
        let once = limited::DoOnce::new(Arc::clone(idempotency.backend())).clock(clock);
        assert!(!block_on(once.is_done("", "key")).unwrap());
        assert!(matches!(run(&idempotency, "", 1, &runs), Err(RunError::InvalidKey(InvalidKey::Empty))));
    });
}

#[test]
fn request_that_is_not_json_sends_no_claim() {
    let mock = MockBackend::new();
    let idempotency = Idempotency::new(mock.clone());
    let outcome = block_on(idempotency.run("key", &Unwritable, async || Ok::<_, String>(1)));
    assert!(matches!(outcome, Err(RunError::InvalidRequest(_))), "{outcome:?}");
    assert_eq!(mock.total(), 0);
}

/// A value that can be neither serialized nor deserialized.
#[derive(Clone, Debug, PartialEq)]
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it is a secret"))
    }
}

impl<'de> Deserialize<'de> for Unwritable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("it is a secret"))
    }
}

#[test]
fn result_that_cannot_be_stored_is_an_error_and_the_handler_never_runs_again() {
    everywhere(|idempotency, _| {
        let runs = Cell::new(0);
        let run = || {
            block_on(idempotency.run("key", &1, async || {
                runs.set(runs.get() + 1);
                Ok::<_, String>(Unwritable)
            }))
        };
        match run() {
            Err(RunError::NotStored { reason, outcome: Some(Ok(Unwritable)) }) => {
                assert!(reason.contains("it is a secret"), "{reason}");
            }
            other => panic!("the first call must get the value of its handler: {other:?}"),
        }
        for _ in 0..2 {
            assert!(matches!(run(), Err(RunError::NotStored { outcome: None, .. })));
        }
        assert_eq!(runs.get(), 1);
        let record = block_on(idempotency.find("key")).unwrap().unwrap();
        assert!(
            matches!(&record, Record::Finished(finished) if matches!(finished.result, StoredResult::Omitted { .. })),
            "{record:?}"
        );
    });
}

#[test]
fn stored_result_of_another_type_is_a_decode_error() {
    everywhere(|idempotency, _| {
        block_on(idempotency.run("key", &1, async || Ok::<_, String>("text".to_owned()))).unwrap();
        let runs = Runs::default();
        assert!(matches!(run(&idempotency, "key", 1, &runs), Err(RunError::Decode(_))));
        assert_eq!(runs.count(), 0);
    });
}

#[test]
fn record_of_another_function_is_a_reused_key() {
    everywhere(|idempotency, _| {
        let call = |name: Option<&'static str>| {
            let call = idempotency.call("order-981", &4_200);
            let call = if let Some(name) = name { call.function_name(name) } else { call };
            block_on(call.run(async || Ok::<_, String>(name.unwrap_or_default().to_owned())))
        };
        assert_eq!(call(Some("charge")).unwrap(), Outcome::Executed("charge".to_owned()));
        assert!(matches!(call(Some("ship")), Err(RunError::KeyReused)));
        assert!(matches!(call(None), Err(RunError::KeyReused)));
        assert_eq!(call(Some("charge")).unwrap(), Outcome::Replayed("charge".to_owned()));
    });
}

#[test]
fn record_of_another_tenant_is_a_reused_key() {
    everywhere(|idempotency, _| {
        let call = |tenant: &'static str| {
            let call = idempotency.call("order-981", &4_200).tenant(tenant);
            block_on(call.run(async || Ok::<_, String>(tenant.to_owned())))
        };
        assert_eq!(call("acme").unwrap(), Outcome::Executed("acme".to_owned()));
        assert!(matches!(call("umbrella"), Err(RunError::KeyReused)));
        assert_eq!(call("acme").unwrap(), Outcome::Replayed("acme".to_owned()));
    });
}

#[test]
fn metadata_of_a_call_is_stored_with_the_record() {
    let mock = MockBackend::new();
    let idempotency = Idempotency::new(mock.clone());
    let call = || {
        idempotency.call(Key::new().tenant("42").user("7"), &"request").function_name("charge").tenant("t")
    };
    let outcome = block_on(call().status_code(200).store_request(true).run_with(async |claim| {
        claim.set_status_code(201);
        Ok::<_, String>(claim.fencing_token())
    }));
    assert!(outcome.unwrap().into_inner() > 0);
    let claim = &mock.calls_of(Operation::Claim)[0];
    let request = claim.claim_request().unwrap();
    assert_eq!(request.metadata.function_name, Some("charge"));
    assert_eq!(request.metadata.tenant, Some("t"));
    assert_eq!(request.metadata.request, Some("\"request\""));
    let Some(Record::Finished(finished)) =
        block_on(idempotency.find(Key::new().tenant("42").user("7"))).unwrap()
    else {
        panic!("the record must be finished")
    };
    assert_eq!(finished.status_code, Some(201));
    assert_eq!(mock.total(), 3);
    // By default the request is not stored.
    block_on(idempotency.run("key", &"secret", async || Ok::<_, String>(1))).unwrap();
    assert!(!format!("{:?}", mock.calls()).contains("secret"));
}

#[test]
fn run_costs_two_requests_and_replay_costs_one() {
    let mock = MockBackend::new();
    let idempotency = Idempotency::new(mock.clone());
    let run = |idempotency: &Idempotency<MockBackend>| {
        mock.clear_calls();
        block_on(idempotency.run("key", &1, async || Ok::<_, String>(1))).unwrap();
        mock.calls().iter().map(limited_mock::Call::operation).collect::<Vec<_>>()
    };
    assert_eq!(run(&idempotency), [Operation::Claim, Operation::Finish]);
    assert_eq!(run(&idempotency), [Operation::Claim]);
    let reading = idempotency.clone().read_before_claim(true);
    assert_eq!(run(&reading), [Operation::Find]);
    block_on(idempotency.forget("key")).unwrap();
    assert_eq!(run(&reading), [Operation::Find, Operation::Claim, Operation::Finish]);
}

#[test]
fn backend_error_before_the_handler_prevents_the_run() {
    let mock = MockBackend::new();
    let idempotency = Idempotency::new(mock.clone());
    for error in [BackendError::throttled("slow down"), BackendError::MissingTable("idempotency".into())] {
        mock.fail_next(error);
        let runs = Runs::default();
        let outcome = block_on(idempotency.run("key", &1, || runs.clone().succeed()));
        assert!(matches!(outcome, Err(RunError::Backend(_))), "{outcome:?}");
        assert_eq!(runs.count(), 0);
    }
}

#[test]
fn claim_whose_response_was_lost_is_recognised() {
    let mock = MockBackend::new();
    mock.inject(Fault::lost_response().on(Operation::Claim));
    let idempotency = Idempotency::new(mock.clone());
    let runs = Runs::default();
    assert_eq!(
        block_on(idempotency.run("key", &1, || runs.clone().succeed())).unwrap(),
        Outcome::Executed(1)
    );
    assert_eq!(mock.count(Operation::Claim), 2);
}

#[test]
fn failed_final_write_is_sent_again() {
    for fault in [
        Fault::lost_response(),
        Fault::repeated_write(),
        Fault::error(BackendError::throttled("slow down")),
        Fault::error(BackendError::unavailable("an outage")),
    ] {
        let (mock, clock) = (MockBackend::new(), ManualClock::new());
        let idempotency = Idempotency::new(mock.clone()).clock(clock.clone());
        mock.inject(fault.clone().on(Operation::Finish).times(3));
        let run = idempotency.run("key", &1, async || Ok::<_, String>(7));
        assert_eq!(drive(&clock, PACE, run).unwrap(), Outcome::Executed(7));
        mock.clear_faults();
        let run = idempotency.run("key", &1, async || Ok::<_, String>(8));
        assert_eq!(drive(&clock, PACE, run).unwrap(), Outcome::Replayed(7));

        mock.inject(fault.on(Operation::Release).times(3));
        let run = idempotency.run("failing", &1, async || Err::<u32, _>("declined".to_owned()));
        assert!(matches!(drive(&clock, PACE, run), Err(RunError::Failed(_))));
        mock.clear_faults();
        let run = idempotency.run("failing", &1, async || Ok::<_, String>(9));
        assert_eq!(drive(&clock, PACE, run).unwrap(), Outcome::Executed(9));
    }
}

#[test]
fn result_of_an_unconfirmed_record_is_returned_in_not_recorded() {
    let (mock, clock) = (MockBackend::new(), ManualClock::new());
    let idempotency = Idempotency::new(mock.clone()).clock(clock.clone());
    mock.inject(Fault::error(BackendError::unavailable("an outage")).on(Operation::Finish).always());
    match drive(&clock, PACE, idempotency.run("key", &1, async || Ok::<_, String>(7))) {
        Err(RunError::NotRecorded { outcome: Ok(7), error: BackendError::Unavailable(_) }) => {}
        other => panic!("{other:?}"),
    }
    let again = || idempotency.run("key", &1, async || Ok::<_, String>(8));
    assert!(matches!(block_on(again()), Err(RunError::InProgress { .. })));
    mock.clear_faults();
    clock.advance(Duration::from_secs(30));
    assert_eq!(block_on(again()).unwrap(), Outcome::Executed(8));
}

#[test]
fn error_message_states_what_to_do_and_source_is_kept() {
    let error: RunError<std::io::Error> = RunError::KeyReused;
    assert_eq!(
        error.to_string(),
        "the idempotency key belongs to another request; use a new key for each request"
    );
    let error: RunError<std::io::Error, String> = RunError::NotRecorded {
        outcome: Ok("a secret".into()),
        error: BackendError::unavailable(Cause::with_source("an outage", "cable cut")),
    };
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "cable cut");
    assert!(error.is_retryable());
    assert!(error.to_string().ends_with("an outage"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}
