//! Idempotency, do-once and limited attempts on DynamoDB, in virtual time: several processes, lost
//! responses, and crashes at every millisecond of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use limited::backend::{Record, StoredResult};
use limited::{AttemptError, Clock, DoOnce, Done, Idempotency, LimitedAttempt, Outcome, RunError, Timestamp};
use limited_dynamodb::DynamoDbBackend;
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Fault, Wire, client};

const LEASE: Duration = Duration::from_secs(30);

/// The runtime's time, which advances only while every task waits.
#[derive(Clone, Copy)]
struct VirtualClock(Instant);

impl VirtualClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(1_795_262_400).saturating_add(self.0.elapsed())
    }

    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn sleep(&self, duration: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        // The runtime's timer has a resolution of 1 ms and rounds up.
        Box::pin(sleep(duration))
    }
}

/// Returns a wire with a latency, and backends of `count` processes over it.
async fn processes(count: usize) -> (Wire, Vec<DynamoDbBackend>) {
    let wire = Wire::new();
    let processes: Vec<_> = (0..count).map(|_| DynamoDbBackend::new(client(&wire))).collect();
    processes[0].create_tables().await.unwrap();
    wire.clear();
    wire.set_latency(Duration::from_millis(3));
    (wire, processes)
}

#[tokio::test(start_paused = true)]
async fn one_of_64_callers_in_four_processes_executes_and_all_get_its_result() {
    for round in 0..10 {
        let (_wire, processes) = processes(4).await;
        let clock = VirtualClock::new();
        let runs = Arc::new(AtomicU32::new(0));
        let callers: Vec<_> = (0..64)
            .map(|caller| {
                let idempotency = Idempotency::new(processes[caller % 4].clone()).clock(clock);
                let idempotency = idempotency.wait_timeout(LEASE).read_before_claim(caller % 8 < 4);
                let runs = Arc::clone(&runs);
                tokio::spawn(async move {
                    sleep(Duration::from_millis(caller as u64 % (1 + round))).await;
                    let run = idempotency.run("order", &"request", async || {
                        runs.fetch_add(1, Ordering::Relaxed);
                        sleep(Duration::from_millis(40)).await;
                        Ok::<_, String>(format!("\"bytes\" of {caller}: \u{20ac}\0"))
                    });
                    run.await.unwrap()
                })
            })
            .collect();
        let mut outcomes = Vec::new();
        for caller in callers {
            outcomes.push(caller.await.unwrap());
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        assert_eq!(outcomes.iter().filter(|outcome| !outcome.is_replayed()).count(), 1);
        assert!(outcomes.iter().all(|outcome| outcome.get() == outcomes[0].get()), "{outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_of_64_callers_in_four_processes_does_it_once_and_three_attempts_pass() {
    let (_wire, processes) = processes(4).await;
    let clock = VirtualClock::new();
    let callers: Vec<_> = (0..64)
        .map(|caller| {
            let backend = processes[caller % 4].clone();
            tokio::spawn(async move {
                let attempts = LimitedAttempt::new(backend.clone(), 3, LEASE).clock(clock);
                let attempt = match attempts.attempt(("login", "user")).await {
                    Ok(attempt) => Some(attempt.number()),
                    Err(AttemptError::TooManyAttempts { .. }) => None,
                    Err(error) => panic!("{error}"),
                };
                let once = DoOnce::new(backend).clock(clock).wait_timeout(LEASE);
                let done = once.run("user", "mail", async || {
                    sleep(Duration::from_millis(40)).await;
                    Ok::<_, String>(())
                });
                (attempt, matches!(done.await.unwrap(), Done::Executed { .. }))
            })
        })
        .collect();
    let (mut attempts, mut done) = (Vec::new(), 0);
    for caller in callers {
        let (attempt, now) = caller.await.unwrap();
        attempts.extend(attempt);
        done += u32::from(now);
    }
    attempts.sort_unstable();
    assert_eq!((attempts, done), (vec![1, 2, 3], 1));
}

#[tokio::test(start_paused = true)]
async fn slow_handler_keeps_its_claim_and_crashed_handler_loses_it() {
    let (wire, processes) = processes(2).await;
    let clock = VirtualClock::new();
    let [one, other] =
        [0, 1].map(|index| Idempotency::new(processes[index].clone()).clock(clock).lease(LEASE));
    let slow = tokio::spawn({
        let one = one.clone();
        async move {
            let handler = async || {
                sleep(LEASE * 10).await;
                Ok::<_, String>(1)
            };
            one.run("slow", &(), handler).await
        }
    });
    sleep(LEASE * 9).await;
    let result = other.run("slow", &(), async || Ok::<_, String>(2)).await;
    assert!(matches!(result, Err(RunError::InProgress { .. })), "{result:?}");
    assert_eq!(slow.await.unwrap().unwrap(), Outcome::Executed(1));

    wire.clear();
    let crashed = one.run("crashed", &(), async || {
        sleep(LEASE).await;
        Ok::<_, String>(1)
    });
    assert!(timeout(LEASE / 2, crashed).await.is_err());
    // It was renewed once, after a third of the lease, and ends one lease after that.
    sleep(LEASE * 5 / 6 - Duration::from_millis(100)).await;
    let result = other.run("crashed", &(), async || Ok::<_, String>(2)).await;
    assert!(matches!(result, Err(RunError::InProgress { .. })), "{result:?}");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(other.run("crashed", &(), async || Ok::<_, String>(2)).await.unwrap(), Outcome::Executed(2));
}

/// A run takes two requests of 3 ms and a handler of 6 ms, and a little more for each lost
/// response.
#[tokio::test(start_paused = true)]
async fn run_dropped_at_any_millisecond_leaves_its_key_free_in_progress_or_finished() {
    let mut found = [0; 3];
    for lost in 0..4_u32 {
        let (wire, processes) = processes(2).await;
        let clock = VirtualClock::new();
        let [one, other] =
            [0, 1].map(|index| Idempotency::new(processes[index].clone()).clock(clock).lease(LEASE));
        for milliseconds in 0..60 {
            let key = format!("key {milliseconds}");
            for _ in 0..lost {
                wire.push_fault_on("UpdateItem", Fault::CutAfter);
            }
            let returned = AtomicU32::new(0);
            let run = one.run(&key, &"request", async || {
                sleep(Duration::from_millis(6)).await;
                returned.fetch_add(1, Ordering::Relaxed);
                Ok::<_, String>(1)
            });
            let run = timeout(Duration::from_millis(milliseconds), run).await;
            // If too many responses are lost, the run ends before its handler runs.
            let completed = matches!(run, Ok(Ok(_)));
            wire.clear_faults();
            // By now, all requests in flight have arrived.
            sleep(Duration::from_millis(10)).await;
            let run_again =
                async |result: u32| other.run(&key, &"request", async || Ok::<_, String>(result)).await;
            match other.find(&key).await.unwrap() {
                Some(Record::Finished(finished)) => {
                    found[0] += 1;
                    assert_eq!(returned.load(Ordering::Relaxed), 1);
                    assert_eq!(finished.result, StoredResult::Value("1".into()));
                    assert_eq!(run_again(2).await.unwrap(), Outcome::Replayed(1));
                }
                Some(Record::InProgress(record)) => {
                    found[1] += 1;
                    assert!(!completed);
                    let result = run_again(2).await;
                    assert!(matches!(result, Err(RunError::InProgress { .. })), "{result:?}");
                    sleep(record.expires_at.saturating_since(clock.now())).await;
                    assert_eq!(run_again(3).await.unwrap(), Outcome::Executed(3));
                    assert_eq!(run_again(4).await.unwrap(), Outcome::Replayed(3));
                }
                None => {
                    found[2] += 1;
                    assert!(!completed);
                    assert_eq!(returned.load(Ordering::Relaxed), 0);
                    assert_eq!(run_again(2).await.unwrap(), Outcome::Executed(2));
                }
            }
        }
    }
    // A request arrives as soon as it is sent, so few runs are dropped before their claim.
    assert!(found[0] >= 50 && found[1] >= 50, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn result_too_large_for_an_item_is_reported_and_the_handler_does_not_run_again() {
    let (wire, processes) = processes(1).await;
    let idempotency = Idempotency::new(processes[0].clone()).clock(VirtualClock::new());
    let runs = AtomicU32::new(0);
    let run = async || {
        let handler = async || {
            runs.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>("x".repeat(450_000))
        };
        idempotency.run("large", &(), handler).await
    };
    wire.clear();
    match run().await {
        Err(RunError::NotStored { outcome: Some(Ok(result)), .. }) => {
            assert_eq!(result.len(), 450_000);
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
    assert_eq!(wire.count("UpdateItem"), 2, "the size is computed before the result is sent");
    for _ in 0..2 {
        assert!(matches!(run().await, Err(RunError::NotStored { outcome: None, .. })));
    }
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}
