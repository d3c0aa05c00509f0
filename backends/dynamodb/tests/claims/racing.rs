//! Many at once: one of them.

use std::time::Duration;

use limited_core::{
    Acquisition, Backend, BackendError, ClaimKey, ClaimKind, ClaimRequest, Completion, FencingToken,
    FinishResult, Key, LeaseStatus, Owner, Record, Timestamp,
};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Fault, drawn};
use crate::table::{LEASE, NOON, Table, after, done};

const TASKS: usize = 64;

/// A key that processes race for.
struct Course {
    processes: [DynamoDbBackend; 4],
    key: Key<'static>,
    races: usize,
}

type Answer = (Owner, Result<Acquisition, BackendError>);

impl Course {
    fn new(table: &Table, name: String) -> Self {
        let process = || table.builder().operation_timeout(Duration::from_secs(60)).max_attempts(9).build();
        Self { processes: [(); 4].map(|()| process()), key: Key::from(name), races: 0 }
    }

    fn key(&self) -> ClaimKey<'_> {
        ClaimKey::new("race", ClaimKind::DoOnce, &self.key).unwrap()
    }

    /// Sixty-four tasks of four processes claim the key at once.
    async fn race(&mut self, now: Timestamp) -> Vec<Answer> {
        self.races += 1;
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let backend = self.processes[task % self.processes.len()].clone();
                let (owner, key) = (Owner((self.races * TASKS + task) as u128), self.key.clone());
                tokio::spawn(async move {
                    let on = ClaimKey::new("race", ClaimKind::DoOnce, &key).unwrap();
                    let request = ClaimRequest::new(owner, now.saturating_add(LEASE));
                    (owner, backend.claim(&on, &request, now).await)
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        answers
    }

    /// The same, where every claim is answered: one of them is granted, and all others are told of it.
    async fn won(&mut self, now: Timestamp) -> (Owner, FencingToken) {
        let answers = self.race(now).await;
        let granted = answers.iter().filter_map(|(owner, answer)| match answer {
            Ok(Acquisition::Acquired(grant)) => Some((*owner, grant.fencing_token)),
            _ => None,
        });
        let granted: Vec<_> = granted.collect();
        let [winner] = granted[..] else { panic!("granted to {granted:?}") };
        for (owner, answer) in answers.into_iter().filter(|(owner, _)| *owner != winner.0) {
            let Ok(Acquisition::Held(Record::InProgress(held))) = answer else {
                panic!("{owner:?}: {answer:?}")
            };
            assert_eq!((held.owner, held.fencing_token), winner);
        }
        winner
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_who_claim_at_once_one_is_granted_the_key() {
    let (table, _) = Table::new().await;
    for round in 0..12 {
        let mut course = Course::new(&table, format!("round {round}"));
        let backend = course.processes[0].clone();
        let mut fences = Vec::new();

        let (gives_up, fencing_token) = course.won(NOON).await;
        fences.push(fencing_token);
        assert_eq!(backend.release(&course.key(), gives_up, NOON).await.unwrap(), LeaseStatus::Owned);

        let (lapses, fencing_token) = course.won(NOON).await;
        fences.push(fencing_token);

        let (finishes, fencing_token) = course.won(after(LEASE)).await;
        fences.push(fencing_token);
        let lost = backend.finish(&course.key(), &done(lapses, "1"), after(LEASE)).await.unwrap();
        assert!(matches!(lost, FinishResult::Lost(Some(Record::InProgress(held))) if held.owner == finishes));
        let completion = Completion { expires: Some(after(2 * LEASE)), ..done(finishes, "2") };
        assert_eq!(
            backend.finish(&course.key(), &completion, after(LEASE)).await.unwrap(),
            FinishResult::Stored
        );
        for (owner, answer) in course.race(after(LEASE)).await {
            let Ok(Acquisition::Held(Record::Finished(found))) = answer else {
                panic!("{owner:?}: {answer:?}")
            };
            assert_eq!((found.owner, found.fencing_token), (finishes, fencing_token));
        }

        let (forgotten, fencing_token) = course.won(after(2 * LEASE)).await;
        fences.push(fencing_token);
        backend.forget(&course.key(), after(2 * LEASE)).await.unwrap();
        let (last, fencing_token) = course.won(after(2 * LEASE)).await;
        fences.push(fencing_token);
        assert_ne!(forgotten, last);
        assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn under_faults_one_at_most_is_granted_the_key_and_whoever_holds_it_finishes_it() {
    let faults = [
        Fault::CutAfter,
        Fault::CutBefore,
        Fault::Throttle,
        Fault::InternalError,
        Fault::DelayBefore(Duration::from_millis(50)),
    ];
    for round in 0..40 {
        let (table, _) = Table::new().await;
        table.wire.set_latency(Duration::from_millis(4));
        table.wire.set_faults(drawn(round, 40, &faults));
        let mut course = Course::new(&table, String::from("key"));
        let answers = course.race(NOON).await;
        table.wire.clear_faults();
        table.wire.settled().await;
        let mut granted = Vec::new();
        for (owner, answer) in answers {
            match answer {
                Ok(Acquisition::Acquired(_)) => granted.push(owner),
                Ok(Acquisition::Held(_)) => {}
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        let backend = &course.processes[0];
        let Some(Record::InProgress(held)) = backend.find(&course.key(), NOON).await.unwrap() else {
            panic!("somebody holds it")
        };
        assert!(granted.is_empty() || granted == [held.owner], "{granted:?}, and {held:?}");
        assert_eq!(held.fencing_token, FencingToken::seed(NOON).next(), "one grant");
        assert_eq!(
            backend.finish(&course.key(), &done(held.owner, "1"), NOON).await.unwrap(),
            FinishResult::Stored
        );
    }
}
