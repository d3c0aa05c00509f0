//! Of many concurrent claims, one is granted.

use std::time::Duration;

use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, FencingToken, FinishResult, Key, LeaseStatus,
    Owner, Record, Result, Timestamp,
};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Fault, drawn};
use crate::table::{LEASE, NOON, Table, after, done};

const TASKS: usize = 64;

/// A key that several processes claim.
struct Race {
    processes: [DynamoDbBackend; 4],
    key: Key<'static>,
    rounds: usize,
}

type ClaimResult = (Owner, Result<Acquisition>);

impl Race {
    fn new(table: &Table, name: String) -> Self {
        let process = || table.builder().operation_timeout(Duration::from_secs(60)).max_attempts(9).build();
        Self { processes: [(); 4].map(|()| process()), key: Key::from(name), rounds: 0 }
    }

    fn key(&self) -> ClaimKey<'_> {
        ClaimKey::new("race", ClaimKind::DoOnce, &self.key).unwrap()
    }

    /// Lets 64 tasks of four processes claim the key at once.
    async fn claim_all(&mut self, now: Timestamp) -> Vec<ClaimResult> {
        self.rounds += 1;
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let backend = self.processes[task % self.processes.len()].clone();
                let (owner, key) = (Owner((self.rounds * TASKS + task) as u128), self.key.clone());
                tokio::spawn(async move {
                    let on = ClaimKey::new("race", ClaimKind::DoOnce, &key).unwrap();
                    let request = ClaimRequest::new(owner, now.saturating_add(LEASE));
                    (owner, backend.claim(&on, &request, now).await)
                })
            })
            .collect();
        let mut results = Vec::new();
        for task in tasks {
            results.push(task.await.unwrap());
        }
        results
    }

    /// Lets all tasks claim the key, and returns the one winner. All others get the winner's
    /// record.
    async fn winner(&mut self, now: Timestamp) -> (Owner, FencingToken) {
        let results = self.claim_all(now).await;
        let granted = results.iter().filter_map(|(owner, result)| match result {
            Ok(Acquisition::Acquired(grant)) => Some((*owner, grant.fencing_token)),
            _ => None,
        });
        let granted: Vec<_> = granted.collect();
        let [winner] = granted[..] else { panic!("granted to {granted:?}") };
        for (owner, result) in results.into_iter().filter(|(owner, _)| *owner != winner.0) {
            let Ok(Acquisition::Held(Record::InProgress(held))) = result else {
                panic!("{owner:?}: {result:?}")
            };
            assert_eq!((held.owner, held.fencing_token), winner);
        }
        winner
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_concurrent_claims_is_granted() {
    let (table, _) = Table::new().await;
    for round in 0..12 {
        let mut race = Race::new(&table, format!("round {round}"));
        let backend = race.processes[0].clone();
        let mut tokens = Vec::new();

        let (releases, fencing_token) = race.winner(NOON).await;
        tokens.push(fencing_token);
        assert_eq!(backend.release(&race.key(), releases, NOON).await.unwrap(), LeaseStatus::Owned);

        let (lapses, fencing_token) = race.winner(NOON).await;
        tokens.push(fencing_token);

        let (finishes, fencing_token) = race.winner(after(LEASE)).await;
        tokens.push(fencing_token);
        let lost = backend.finish(&race.key(), &done(lapses, "1"), after(LEASE)).await.unwrap();
        assert!(matches!(lost, FinishResult::Lost(Some(Record::InProgress(held))) if held.owner == finishes));
        let completion = done(finishes, "2").with_expiry(after(2 * LEASE));
        assert_eq!(
            backend.finish(&race.key(), &completion, after(LEASE)).await.unwrap(),
            FinishResult::Stored
        );
        for (owner, result) in race.claim_all(after(LEASE)).await {
            let Ok(Acquisition::Held(Record::Finished(found))) = result else {
                panic!("{owner:?}: {result:?}")
            };
            assert_eq!((found.owner, found.fencing_token), (finishes, fencing_token));
        }

        let (forgotten, fencing_token) = race.winner(after(2 * LEASE)).await;
        tokens.push(fencing_token);
        backend.forget(&race.key(), after(2 * LEASE)).await.unwrap();
        let (last, fencing_token) = race.winner(after(2 * LEASE)).await;
        tokens.push(fencing_token);
        assert_ne!(forgotten, last);
        assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_one_claim_is_granted_under_faults_and_its_owner_finishes() {
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
        let mut race = Race::new(&table, String::from("key"));
        let results = race.claim_all(NOON).await;
        table.wire.clear_faults();
        table.wire.drained().await;
        let mut granted = Vec::new();
        for (owner, result) in results {
            match result {
                Ok(Acquisition::Acquired(_)) => granted.push(owner),
                Ok(Acquisition::Held(_)) => {}
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        let backend = &race.processes[0];
        let Some(Record::InProgress(held)) = backend.find(&race.key(), NOON).await.unwrap() else {
            panic!("a claim is in progress")
        };
        assert!(granted.is_empty() || granted == [held.owner], "{granted:?}, and {held:?}");
        assert_eq!(held.fencing_token, FencingToken::seed(NOON).next(), "the key was granted once");
        assert_eq!(
            backend.finish(&race.key(), &done(held.owner, "1"), NOON).await.unwrap(),
            FinishResult::Stored
        );
    }
}
