//! The whole stack: a limit per client, then idempotency, then a service.

mod exchange;
mod model;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use limited::http::{
    BufferedBody, ClientAddress, IdempotencyLayer, KeyExtractor, MissingKey, RateLimitLayer,
};
use limited::memory::MemoryBackend;
use limited::{Algorithm, Clock, Idempotency, Limiter, ManualClock, Quota};
use proptest::prelude::*;
use tower::{Layer, service_fn};

use self::exchange::{step, templates};
use self::model::{KeyModel, LIMIT_WINDOW, LimitModel, is_rejected};
use super::fuzz;
use crate::client::{Frames, Received, send};

/// A service with one response, and the body that it should get.
#[derive(Default)]
struct Script {
    /// Taken by the call.
    response: Mutex<Option<Response<Frames>>>,
    sent: Mutex<Vec<u8>>,
}

impl Script {
    async fn respond(
        self: Arc<Self>,
        request: Request<BufferedBody<Frames>>,
    ) -> Result<Response<Frames>, Infallible> {
        let response = self.response.lock().unwrap().take().expect("one call per request");
        let (parts, body) = request.into_parts();
        let received = Received::from(Response::new(body)).await;
        // The layer has read the body of a request with a key. It hands the others through.
        if is_keyed(&parts.method) && parts.headers.contains_key("idempotency-key") {
            assert_eq!((received.body, received.is_cut_off), (self.sent.lock().unwrap().clone(), false));
        }
        Ok(response)
    }
}

/// Returns whether the layer looks for a key.
fn is_keyed(method: &Method) -> bool {
    [Method::POST, Method::PATCH].contains(method)
}

#[test]
fn stack_admits_at_most_the_limit_and_executes_each_key_once() {
    let steps = prop::collection::vec(step(), 1..12);
    let case = (templates(), steps, 1..6_u64, prop::sample::select(Algorithm::ALL.to_vec()), any::<bool>());
    fuzz(&case, |(templates, steps, limit, algorithm, passes_missing_keys)| {
        let clock = ManualClock::new();
        let started = clock.now();
        let quota = Quota::new(limit, LIMIT_WINDOW).unwrap();
        let limiter =
            Limiter::new(MemoryBackend::new()).clock(clock.clone()).quota(quota).algorithm(algorithm);
        let address = || KeyExtractor::address(ClientAddress::peer());
        let idempotency = Idempotency::new(MemoryBackend::new()).clock(clock.clone());
        let missing_key = if passes_missing_keys { MissingKey::Pass } else { MissingKey::Reject };
        let idempotency = IdempotencyLayer::new(idempotency, address()).on_missing_key(missing_key);

        let script = Arc::new(Script::default());
        let service = Arc::clone(&script);
        let service = service_fn(move |request| Arc::clone(&service).respond(request));
        let mut stack = RateLimitLayer::new(limiter, address()).layer(idempotency.layer(service));

        let mut limits = LimitModel { algorithm, limit, admitted: HashMap::new() };
        let mut keys = KeyModel { templates: &templates, known: HashMap::new() };
        for step in steps {
            clock.advance(step.pause);
            let index = step.template.index(templates.len());
            let template = &templates[index];
            *script.response.lock().unwrap() = Some(step.response());
            *script.sent.lock().unwrap() = template.body.data();

            let response = send(&mut stack, template.request(step.client));

            let is_called = script.response.lock().unwrap().is_none();
            let is_admitted = is_called || response.is_replayed() || !is_rejected(&response);
            limits.check(step.client, clock.now().saturating_since(started), is_admitted);
            if is_called {
                let expected = (step.status, step.body.data(), step.body.is_cut_off);
                assert_eq!((response.status.as_u16(), response.body.clone(), response.is_cut_off), expected);
            }
            if is_admitted && let Some(key) = template.known_key().filter(|_| is_keyed(&template.method)) {
                keys.check((step.client, key), index, is_called, &response);
            }
        }
    });
}
