//! Failures are distinguished, and a write whose response is lost counts once.

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod errors;
mod lost_responses;
mod random;
mod retries;

use limited::{BackendError, Error, Limiter, ManualClock, Quota};
use limited_dynamodb::DynamoDbBackend;

use crate::support::Wire;

async fn limiter(wire: &Wire) -> Limiter<DynamoDbBackend> {
    Limiter::new(wire.backend().await).clock(ManualClock::new()).quota(Quota::per_minute(10))
}

fn backend_error(error: Error) -> BackendError {
    match error {
        Error::Backend(error) => error,
        other => panic!("{other} is not an error of the backend"),
    }
}
