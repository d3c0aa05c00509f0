//! Idempotency and do-once, on every backend that needs no server.

#[path = "../common/mod.rs"]
mod common;
mod crashes;
mod do_once;
mod faults;
mod idempotency;
mod lost_claims;
mod model;
mod parallel;
mod renewal;

use std::time::Duration;

use common::stepping::Running;
use common::{AnyBackend, backends};
use limited::{ManualClock, Outcome, RunError};

const LEASE: Duration = Duration::from_secs(30);
/// Between two polls, time enough for most pauses of a retry or a poll.
const PACE: Duration = Duration::from_millis(10);

/// The result of a run whose handler fails with a `String`.
type RunResult<T> = Result<Outcome<T>, RunError<String, T>>;
/// Such a run, polled by hand.
type PendingRun<'a, T> = Running<'a, RunResult<T>>;

/// Runs `test` on every backend.
fn on_every_backend(test: impl Fn(AnyBackend, ManualClock)) {
    for (name, backend) in backends() {
        println!("{name}");
        test(backend, ManualClock::new());
    }
}
