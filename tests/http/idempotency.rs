//! The idempotency layer: a request is executed once per caller and key, and every retry gets the
//! same response.

mod comparison;
mod concurrency;
mod disconnects;
mod failures;
mod future;
mod keys;
mod records;
mod replays;
mod requests;
mod service;
mod small_frames;
mod waiting;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use limited::http::{BufferedBody, IdempotencyLayer, KeyExtractor};
use limited::{Idempotency, ManualClock};
use limited_mock::MockBackend;

use self::service::Frames;
use crate::common::AnyBackend;
use crate::common::stepping::step;

const LEASE: Duration = Duration::from_secs(30);

/// A service that is pending once, then responds with `slow`.
async fn slowly(_: Request<BufferedBody<Frames>>) -> Result<Response<Frames>, Infallible> {
    step().await;
    Ok(Response::new("slow".into()))
}

/// Runs a test over every backend. Duplicates do not wait.
fn everywhere(test: impl Fn(Idempotency<AnyBackend>, ManualClock)) {
    waiting::everywhere(|idempotency, clock| test(idempotency.wait_timeout(Duration::ZERO), clock));
}

/// Creates a layer that identifies callers by their bearer tokens.
fn layer<B>(idempotency: Idempotency<B>) -> IdempotencyLayer<B> {
    IdempotencyLayer::new(idempotency, KeyExtractor::bearer_token())
}

fn over_mock() -> (Idempotency<Arc<MockBackend>>, Arc<MockBackend>) {
    let mock = Arc::new(MockBackend::new());
    let idempotency = Idempotency::new(Arc::clone(&mock)).clock(ManualClock::new()).lease(LEASE);
    (idempotency.wait_timeout(Duration::ZERO), mock)
}
