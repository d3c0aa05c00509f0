//! Random interleavings of callers, crashes, lost answers, expiry, and clocks: every answer of every backend is the one
//! that a plain state machine gives, and no caller gets a result that was not recorded.

mod common;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::backends;
use common::stepping::{Running, Stepping, drive, poll, step};
use limited::backend::MAX_CLOCK_SKEW;
use limited::{Clock, Idempotency, ManualClock, Outcome, RunError, Timestamp};
use proptest::prelude::*;

const KEYS: [&str; 2] = ["key", "other"];
const LEASE: Duration = Duration::from_secs(10);
const KEPT: Duration = Duration::from_secs(60);

/// One move of the game.
#[derive(Clone, Debug)]
enum Move {
    /// Somebody calls: with which key and request, how many steps the handler takes, and whether it succeeds.
    Call { key: usize, request: u32, steps: usize, succeeds: bool, waits: bool, remembers: bool },
    /// One of those who are under way goes on by some steps.
    GoOn { who: prop::sample::Index, steps: usize },
    /// One of those who are under way is gone.
    Crash { who: prop::sample::Index },
    /// The clock moves on.
    Pass { milliseconds: u64 },
    /// The clock jumps back, by no more than clocks are apart.
    JumpBack { milliseconds: u64 },
    /// Some of the next answers get lost.
    Lose { answers: Vec<bool> },
    /// An operator removes a key.
    Forget { key: usize },
}

fn any_move() -> impl Strategy<Value = Move> {
    let call = (0..KEYS.len(), 0..2_u32, 0..4_usize, any::<[bool; 3]>()).prop_map(
        |(key, request, steps, [succeeds, waits, remembers])| Move::Call {
            key,
            // Mostly the same request.
            request: if request == 1 && steps == 3 { 1 } else { 0 },
            steps,
            succeeds,
            waits,
            remembers,
        },
    );
    prop_oneof![
        6 => call,
        20 => (any::<prop::sample::Index>(), 1..6_usize).prop_map(|(who, steps)| Move::GoOn { who, steps }),
        2 => any::<prop::sample::Index>().prop_map(|who| Move::Crash { who }),
        5 => prop_oneof![0..100_u64, 0..12_000_u64, Just(10_000), 0..70_000_u64]
            .prop_map(|milliseconds| Move::Pass { milliseconds }),
        1 => (0..5_000_u64).prop_map(|milliseconds| Move::JumpBack { milliseconds }),
        2 => prop::collection::vec(any::<bool>(), 1..6).prop_map(|answers| Move::Lose { answers }),
        1 => (0..KEYS.len()).prop_map(|key| Move::Forget { key }),
    ]
}

type Answer = Result<Outcome<u64>, RunError<u64, u64>>;

/// Everything that handlers returned, and for which key and request.
type Returned = Rc<RefCell<HashMap<u64, (usize, u32)>>>;

fn play(moves: &[Move], name: &str) {
    let backend = backends().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let backend = Arc::new(Stepping::new(backend));
    let clock = ManualClock::new();
    let mut latest = clock.now();
    let idempotency = Idempotency::new(Arc::clone(&backend)).lease(LEASE).ttl(KEPT).clock(clock.clone());
    let waiting = idempotency.clone().wait_timeout(LEASE * 2);
    let returned = Returned::default();
    let mut under_way: Vec<(usize, u32, Running<'_, Answer>)> = Vec::new();
    let mut number = 0;
    for next in moves {
        match next.clone() {
            Move::Call { key, request, steps, succeeds, waits, remembers } => {
                number += 1;
                let (returned, number) = (Rc::clone(&returned), number);
                let handler = async move || {
                    for _ in 0..steps {
                        step().await;
                    }
                    returned.borrow_mut().insert(number, (key, request));
                    if succeeds { Ok(number) } else { Err(number) }
                };
                let idempotency = if waits { &waiting } else { &idempotency };
                under_way.push((
                    key,
                    request,
                    Box::pin(async move {
                        if remembers {
                            idempotency.run_storing_errors(KEYS[key], &request, handler).await
                        } else {
                            idempotency.run(KEYS[key], &request, handler).await
                        }
                    }),
                ));
            }
            Move::GoOn { who, steps } if !under_way.is_empty() => {
                let who = who.index(under_way.len());
                for _ in 0..steps {
                    let (key, request, run) = &mut under_way[who];
                    if let Poll::Ready(answer) = poll(run) {
                        judge(&answer, *key, *request, &returned);
                        drop(under_way.swap_remove(who));
                        break;
                    }
                }
            }
            Move::Crash { who } if !under_way.is_empty() => {
                drop(under_way.swap_remove(who.index(under_way.len())));
            }
            Move::Pass { milliseconds } => {
                clock.advance(Duration::from_millis(milliseconds));
                latest = latest.max(clock.now());
            }
            Move::JumpBack { milliseconds } => {
                let back = clock.now().saturating_sub(Duration::from_millis(milliseconds));
                clock.set(back.max(latest.saturating_sub(MAX_CLOCK_SKEW)));
            }
            Move::Lose { answers } => backend.lose_answers(answers),
            Move::Forget { key } => {
                let _ = drive(&clock, Duration::ZERO, idempotency.forget(KEYS[key]));
            }
            Move::GoOn { .. } | Move::Crash { .. } => {}
        }
    }
}

/// What a caller gets was returned by a handler, for the same key and the same request.
fn judge(answer: &Answer, key: usize, request: u32, returned: &Returned) {
    use RunError::{Failed, LeaseLost, NotRecorded, ReplayedError};
    let number = match answer {
        Ok(outcome) => *outcome.get(),
        Err(Failed(number) | ReplayedError(number)) => *number,
        Err(LeaseLost { outcome } | NotRecorded { outcome, .. }) => outcome.unwrap_or_else(|number| number),
        Err(RunError::NotStored { .. } | RunError::InvalidRequest(_)) => {
            panic!("everything is JSON here, and not {answer:?}")
        }
        Err(_) => return,
    };
    assert_eq!(returned.borrow().get(&number), Some(&(key, request)), "{answer:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_interleaving_takes_a_backend_away_from_the_model(
        moves in prop::collection::vec(any_move(), 1..120),
    ) {
        for name in ["memory", "mock"] {
            play(&moves, name);
        }
    }
}

#[test]
fn the_end_of_time_holds_no_surprise() {
    for (_, backend) in backends() {
        let clock = ManualClock::at(Timestamp::MAX);
        let idempotency = Idempotency::new(backend).clock(clock);
        let run = |value: u32| common::block_on(idempotency.run("key", &1, async || Ok::<_, String>(value)));
        assert_eq!(run(1).unwrap(), Outcome::Executed(1));
        assert_eq!(run(2).unwrap(), Outcome::Replayed(1));
    }
}
