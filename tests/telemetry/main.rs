//! Telemetry: exactly what `telemetry.md` lists is recorded, and never a key in plain text.

#[path = "../common/mod.rs"]
mod common;
mod recorder;
mod subscriber;
mod table;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::block_on;
use common::stepping::{Running, poll, step};
use limited::backend::FinishResult;
use limited::http::{
    BufferedBody, ClientAddress, IdempotencyLayer, KeyExtractor, MissingKey, RateLimitLayer,
};
use limited::memory::{MemoryBackend, WhenFull};
use limited::telemetry::{DURATION_BUCKETS, describe_metrics, key_hash, record_memory};
use limited::{
    Algorithm, BackendError, DoOnce, Idempotency, Key, LimitedAttempt, Limiter, ManualClock, OnError, Quota,
    allow_all_now,
};
use limited_mock::{Fault, MockBackend, Operation};
use recorder::StoringRecorder;
use subscriber::{Entry, StoringSubscriber};
use tower::{Layer, ServiceExt, service_fn};

/// A part of every key. It must not be recorded.
const SECRET: &str = "alice@example.org";
const LEASE: Duration = Duration::from_secs(30);

/// Runs an action, and returns all metrics, spans and events that it records.
fn record(action: impl FnOnce()) -> (StoringRecorder, Vec<Entry>) {
    let (recorder, subscriber) = (StoringRecorder::default(), StoringSubscriber::default());
    tracing::subscriber::with_default(subscriber.clone(), || {
        metrics::with_local_recorder(&recorder, action);
    });
    (recorder, subscriber.entries())
}

/// Returns a mock whose next call of `operation` fails.
fn failing(operation: Operation, error: BackendError) -> MockBackend {
    let mock = MockBackend::new();
    mock.inject(Fault::error(error).on(operation));
    mock
}

fn denied() -> BackendError {
    BackendError::AccessDenied("no".into())
}

fn every_error() -> Vec<BackendError> {
    vec![
        BackendError::throttled("?"),
        BackendError::timed_out("?"),
        BackendError::unavailable("?"),
        BackendError::MissingTable("?".into()),
        denied(),
        BackendError::Misconfigured("?".into()),
        BackendError::invalid("?"),
        BackendError::Full { max_keys: 1 },
        BackendError::unsupported("?"),
        BackendError::Corrupt("?".into()),
        BackendError::Other("?".into()),
    ]
}

fn all_decisions() {
    for algorithm in Algorithm::ALL {
        let limiter = |backend| {
            let limiter = Limiter::new(backend).algorithm(algorithm).quota(Quota::per_minute(1));
            limiter.namespace("api").policy_name("public")
        };
        let mock = limiter(MockBackend::new());
        assert!(mock.allow_now(SECRET).unwrap().is_allowed());
        assert!(!block_on(mock.allow(SECRET)).unwrap().is_allowed());
        assert!(!block_on(mock.allow_n(SECRET, 7)).unwrap().is_allowed());
        assert!(!mock.peek_now(SECRET).unwrap().is_allowed());
        assert!(!block_on(mock.peek(SECRET)).unwrap().is_allowed());
        mock.reset_now(SECRET).unwrap();
        block_on(mock.reset(SECRET)).unwrap();
        let several = mock.clone().quotas("1/min; 2/hour".parse::<limited::Quotas>().unwrap());
        let decision = several.allow_now(SECRET).unwrap();
        several.refund_now(SECRET, &decision).unwrap();
        for (on_error, allowed) in [(OnError::Allow, true), (OnError::Deny, false)] {
            let broken = limiter(failing(Operation::Increment, denied())).on_error(on_error);
            assert_eq!(broken.allow_now(SECRET).unwrap().is_allowed(), allowed);
        }
        for error in every_error() {
            block_on(limiter(failing(Operation::Increment, error)).allow(SECRET)).unwrap_err();
        }
        let backend = MemoryBackend::new();
        let limiter = Limiter::new(backend).algorithm(algorithm).quota(Quota::per_minute(1));
        let limiter = limiter.namespace("api").policy_name("public");
        let decision = limiter.allow_now(SECRET).unwrap();
        assert!(limiter.clone().shadow(true).allow_now(SECRET).unwrap().is_shadowed());
        limiter.refund_now(SECRET, &decision).unwrap();
        let limiter = limiter.blocking(true);
        limiter.block_now(SECRET, LEASE).unwrap();
        assert!(limiter.allow_now(SECRET).unwrap().is_blocked());
        limiter.unblock_now(SECRET).unwrap();
        let _ = limiter.penalize_now(SECRET, 7).unwrap();
    }
}

fn all_attempts() {
    let attempts = LimitedAttempt::new(MockBackend::new(), 1, Duration::from_secs(60))
        .namespace("login")
        .policy_name("login");
    block_on(attempts.attempt(SECRET)).unwrap();
    attempts.attempt_now(SECRET).unwrap_err();
}

/// A result that cannot be serialized as JSON.
type NotSerializable = HashMap<(u8, u8), u8>;

fn all_idempotent_runs() {
    let clock = ManualClock::new();
    let over = |mock| Idempotency::new(mock).clock(clock.clone()).lease(LEASE).namespace("payments");
    let fine = async || Ok::<_, String>(SECRET.to_owned());
    let wrong = async || Err::<String, _>(SECRET.to_owned());
    let mock = over(MockBackend::new());
    let key = |name: &str| format!("{SECRET} {name}");

    for _ in 0..2 {
        block_on(mock.run(key("fine"), SECRET, fine)).unwrap();
        block_on(mock.run_storing_errors(key("stored error"), SECRET, wrong)).unwrap_err();
        let not_serializable = async || Ok::<NotSerializable, String>(HashMap::from([((1, 2), 3)]));
        block_on(mock.run(key("not serializable"), SECRET, not_serializable)).unwrap_err();
    }
    block_on(mock.run(key("fine"), "another", fine)).unwrap_err();
    block_on(mock.run(key("fine"), SECRET, async || Ok::<u8, String>(1))).unwrap_err();
    block_on(mock.run("", SECRET, fine)).unwrap_err();
    block_on(mock.run(key("wrong"), SECRET, wrong)).unwrap_err();
    block_on(mock.run(key("forgotten"), SECRET, async || {
        mock.forget(key("forgotten")).await.unwrap();
        fine().await
    }))
    .unwrap_err();
    block_on(mock.find(key("fine"))).unwrap();

    let mut slow: Running<'_, _> = Box::pin(mock.run(key("slow"), SECRET, async || {
        tracing::info!(target: "the handler", "begins");
        for _ in 0..3 {
            step().await;
        }
        fine().await
    }));
    assert!(poll(&mut slow).is_pending());
    block_on(mock.run(key("slow"), SECRET, fine)).unwrap_err();
    clock.advance(LEASE / 3);
    assert!(poll(&mut slow).is_pending());
    drop(slow);

    let lost = over(MockBackend::new());
    lost.backend()
        .inject(Fault::lease_status(limited::backend::LeaseStatus::Lost(None)).on(Operation::Renew));
    let mut overtaken: Running<'_, _> = Box::pin(lost.run(key("overtaken"), SECRET, async || {
        for _ in 0..3 {
            step().await;
        }
        fine().await
    }));
    assert!(poll(&mut overtaken).is_pending());
    clock.advance(LEASE / 3);
    while poll(&mut overtaken).is_pending() {}

    let stopping = over(MockBackend::new()).max_run_time(LEASE).stop_when_lost(true);
    let mut hanging: Running<'_, _> =
        Box::pin(stopping.run(key("hanging"), SECRET, std::future::pending::<Result<String, String>>));
    assert!(poll(&mut hanging).is_pending());
    clock.advance(LEASE);
    assert!(poll(&mut hanging).is_ready());

    let no_room = over(MockBackend::new());
    no_room.backend().inject(Fault::finish_result(FinishResult::Omitted { reason: "no room".into() }));
    block_on(no_room.run(key("large"), SECRET, fine)).unwrap_err();
    for operation in [Operation::Claim, Operation::Finish, Operation::Release] {
        let broken = over(failing(operation, denied()));
        let failing = operation == Operation::Release;
        let run =
            broken.run(key("broken"), SECRET, async || if failing { wrong().await } else { fine().await });
        block_on(run).unwrap_err();
    }
    block_on(over(failing(Operation::Find, denied())).find(SECRET)).unwrap_err();
    block_on(over(failing(Operation::Forget, denied())).forget(SECRET)).unwrap_err();
}

fn all_runs_of_do_once() {
    let over = |mock| DoOnce::new(mock).namespace("mail");
    let fine = async || Ok::<_, String>(());
    let mock = over(MockBackend::new());
    for _ in 0..2 {
        block_on(mock.run(SECRET, "welcome", fine)).unwrap();
    }
    block_on(mock.run(SECRET, "wrong", async || Err::<(), _>(SECRET))).unwrap_err();
    block_on(mock.run(&"x".repeat(2_000), SECRET, fine)).unwrap_err();
    block_on(mock.run(SECRET, "forgotten", async || {
        mock.clear(SECRET, "forgotten").await.unwrap();
        fine().await
    }))
    .unwrap_err();
    let mut slow: Running<'_, _> = Box::pin(mock.run(SECRET, "slow", step_once));
    assert!(poll(&mut slow).is_pending());
    block_on(mock.run(SECRET, "slow", fine)).unwrap_err();
    drop(slow);
    let clock = ManualClock::new();
    let stopping = over(MockBackend::new()).clock(clock.clone()).max_run_time(LEASE).stop_when_lost(true);
    let mut hanging: Running<'_, _> =
        Box::pin(stopping.run(SECRET, "hanging", std::future::pending::<Result<(), String>>));
    assert!(poll(&mut hanging).is_pending());
    clock.advance(LEASE);
    assert!(poll(&mut hanging).is_ready());
    block_on(mock.run_at_most_once(SECRET, "prize", fine)).unwrap();
    block_on(mock.mark_done(SECRET, "prize")).unwrap();
    for operation in [Operation::Claim, Operation::Finish] {
        block_on(over(failing(operation, denied())).run(SECRET, "broken", fine)).unwrap_err();
    }
}

async fn step_once() -> Result<(), String> {
    step().await;
    Ok(())
}

/// A service that accepts every request.
async fn accept(_: http::Request<()>) -> Result<http::Response<()>, Infallible> {
    Ok(http::Response::new(()))
}

/// Sends a request without a key through a layer, and returns the status.
fn request_without_key(layer: RateLimitLayer<MockBackend>) -> http::StatusCode {
    block_on(layer.layer(service_fn(accept)).oneshot(http::Request::new(()))).unwrap().status()
}

fn all_requests_without_keys() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MockBackend::new()).algorithm(algorithm);
        let layer = RateLimitLayer::new(limiter, KeyExtractor::bearer_token()).policy_name("public").unwrap();
        request_without_key(layer);
    }
    // The fault of the server: the peer address is not stored in the request.
    let by_peer = KeyExtractor::address(ClientAddress::peer());
    request_without_key(RateLimitLayer::new(Limiter::new(MockBackend::new()), by_peer));
}

/// Sends two requests through a layer that cannot know the caller, because the peer address is not
/// stored in the request.
fn requests_without_a_caller() {
    let by_peer = KeyExtractor::address(ClientAddress::peer());
    let layer = IdempotencyLayer::new(Idempotency::new(MockBackend::new()), by_peer);
    for _ in 0..2 {
        let service =
            service_fn(async |_: http::Request<BufferedBody<http_body_util::Empty<bytes::Bytes>>>| {
                Ok::<_, Infallible>(http::Response::new(http_body_util::Empty::<bytes::Bytes>::new()))
            });
        let request = http::Request::post("/").header("idempotency-key", format!("\"{SECRET}\""));
        let response = layer.layer(service).oneshot(request.body(http_body_util::Empty::new()).unwrap());
        assert_eq!(block_on(response).unwrap().status(), http::StatusCode::INTERNAL_SERVER_ERROR);
    }
}

/// Sends a request through two layers of one name.
fn duplicate_policy() {
    let layer = || RateLimitLayer::new(Limiter::new(MockBackend::new()), KeyExtractor::path());
    let _ = block_on(layer().layer(layer().layer(service_fn(accept))).oneshot(http::Request::new(())));
}

/// Sends a request whose refund fails.
fn failed_refund() {
    let mock = MockBackend::new();
    let layer = RateLimitLayer::new(Limiter::new(mock.clone()), KeyExtractor::path());
    let layer = layer.policy_name("public").unwrap().count_only(|_| false);
    let service = service_fn(async |request| {
        mock.fail_next(denied());
        accept(request).await
    });
    let _ = block_on(layer.layer(service).oneshot(http::Request::new(())));
    assert_eq!(layer.backend_errors(), 1);
}

/// Causes every metric, span and event.
fn everything() {
    all_decisions();
    all_requests_without_keys();
    requests_without_a_caller();
    duplicate_policy();
    failed_refund();
    all_attempts();
    all_idempotent_runs();
    all_runs_of_do_once();
    record_memory("main", &MemoryBackend::new());
}

/// The labels of each metric, and their values.
type Labels = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

#[test]
fn recorded_metrics_and_labels_are_exactly_the_documented_ones() {
    let (recorder, _) = record(everything);
    let mut emitted = Labels::new();
    for (name, labels) in recorder.ids() {
        for (label, value) in labels {
            emitted.entry(name.clone()).or_default().entry(label).or_default().insert(value);
        }
    }
    // The errors have the operations of the duration. Not every operation fails in this test.
    let documented = table::metrics();
    let operations = &documented["limited_backend_duration_seconds"].labels["operation"];
    let failed = emitted.get_mut("limited_backend_errors_total").unwrap();
    assert!(failed["operation"].is_subset(operations));
    failed.insert("operation".to_owned(), operations.clone());
    // The values of these labels are the user's names.
    for (metric, label, name) in [
        ("limited_decisions_total", "policy", "public"),
        ("limited_attempts_total", "policy", "login"),
        ("limited_keys", "backend", "main"),
        ("limited_claims", "backend", "main"),
        ("limited_evicted_keys_total", "backend", "main"),
    ] {
        let names = emitted.get_mut(metric).unwrap().insert(label.to_owned(), BTreeSet::new());
        assert_eq!(names, Some(BTreeSet::from([name.to_owned()])), "{metric}");
    }
    let documented: Labels = documented.into_iter().map(|(name, metric)| (name, metric.labels)).collect();
    assert_eq!(emitted, documented);
}

#[test]
fn described_kinds_and_units_are_the_documented_ones() {
    let (recorder, _) = record(describe_metrics);
    let described = recorder.described.lock().unwrap().clone();
    let documented = table::metrics();
    assert_eq!(described.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (name, metric) in documented {
        let (kind, unit) = described[&name];
        assert_eq!(kind, metric.kind);
        assert_eq!(unit == Some(metrics::Unit::Seconds), metric.unit == "seconds", "{name}");
    }
}

#[test]
fn recorded_spans_and_events_are_exactly_the_documented_ones() {
    let (_, entries) = record(everything);
    let documented = table::spans_and_events();
    let mut seen = BTreeSet::new();
    for entry in entries.into_iter().filter(|entry| entry.target != "the handler") {
        let kind = (entry.target.clone(), entry.level.clone(), entry.is_span, entry.message.clone());
        let row = documented.get(&kind).unwrap_or_else(|| panic!("not documented: {entry:?}"));
        let fields: BTreeSet<_> = entry.fields.iter().map(|(name, _)| (*name).to_owned()).collect();
        let missing: Vec<_> = row.fields.difference(&fields).collect();
        assert!(fields.is_subset(&row.fields), "{entry:?}");
        // The fields that are not always there.
        assert!(missing.iter().all(|field| ["retry_after", "policy"].contains(&field.as_str())), "{entry:?}");
        // An outcome that is a warning is recorded at no other level.
        let warned = documented.get(&(kind.0.clone(), "warn".to_owned(), false, kind.3.clone()));
        if let Some(outcomes) = warned.and_then(|warned| warned.outcomes.as_ref()) {
            assert_eq!(
                outcomes.contains(entry.field("outcome").unwrap()),
                entry.level == "warn",
                "{entry:?}"
            );
        }
        seen.insert(kind);
    }
    assert_eq!(seen, documented.into_keys().collect());
}

#[test]
fn keys_are_recorded_as_hashes_only() {
    let (recorder, entries) = record(everything);
    assert!(entries.len() > 200, "{}", entries.len());
    let text = format!("{entries:?} {:?}", recorder.ids());
    assert!(!text.contains(SECRET) && !text.contains("alice"), "a key is recorded in plain text");
    assert!(!text.contains("xxxx"), "a key that is too long is recorded in plain text");
    let hash = key_hash(&Key::from(SECRET));
    let refused =
        entries.iter().find(|entry| entry.target == "limited::decision" && entry.message == "refused");
    assert_eq!(refused.unwrap().field("key"), Some(hash.as_str()));
    assert_eq!(refused.unwrap().field("namespace"), Some("api"));
}

#[test]
fn handler_runs_in_the_span_of_its_claim() {
    let (_, entries) = record(all_idempotent_runs);
    let begins = entries.iter().find(|entry| entry.target == "the handler").unwrap();
    assert_eq!(begins.parents, ["claim"]);
}

#[test]
fn each_decision_run_and_call_is_counted_once() {
    let (recorder, _) = record(|| {
        let limiter = Limiter::new(MockBackend::new()).quota(Quota::per_minute(3));
        for _ in 0..5 {
            let _ = limiter.allow_now("key").unwrap();
        }
        let _ = limiter.peek_now("key").unwrap();
        let idempotency = Idempotency::new(Arc::new(MockBackend::new()));
        for _ in 0..3 {
            block_on(idempotency.run("key", &(), async || Ok::<_, String>(1))).unwrap();
        }
    });
    let decisions = |outcome| {
        let labels = [("algorithm", "fixed-window"), ("outcome", outcome)];
        recorder.count("limited_decisions_total", &labels)
    };
    assert_eq!((decisions("allowed"), decisions("refused")), (3, 2));
    let runs = |outcome| recorder.count("limited_idempotency_total", &[("outcome", outcome)]);
    assert_eq!((runs("executed"), runs("replayed")), (1, 2));
    let timed = recorder.histograms.lock().unwrap();
    let calls: Vec<_> = timed.iter().map(|(id, times)| (id.1[0].1.as_str(), times.len())).collect();
    assert_eq!(calls, [("claim", 3), ("finish", 1), ("get", 1), ("increment", 5)]);
    assert!(timed.values().flatten().all(|seconds| (0.0..60.0).contains(seconds)));
}

#[test]
fn hit_that_waits_is_counted_once_as_allowed() {
    for algorithm in Algorithm::ALL {
        let clock = ManualClock::new();
        let (recorder, entries) = record(|| {
            let limiter = Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(Quota::per_minute(1));
            let limiter = limiter.clock(clock.clone());
            assert!(limiter.allow_now(SECRET).unwrap().is_allowed());
            let mut waiting: Running<'_, _> = Box::pin(limiter.until_allowed(SECRET));
            assert!(poll(&mut waiting).is_pending());
            clock.advance(Duration::from_secs(180));
            let std::task::Poll::Ready(decision) = poll(&mut waiting) else { panic!("{algorithm}") };
            assert!(decision.unwrap().is_allowed());
            drop(limiter.until_allowed(SECRET));
        });
        let count = |outcome| {
            recorder
                .count("limited_decisions_total", &[("algorithm", algorithm.name()), ("outcome", outcome)])
        };
        assert_eq!((count("allowed"), count("refused")), (2, 0), "{algorithm}");
        let decisions = entries.iter().filter(|entry| entry.target == "limited::decision").count();
        assert_eq!(decisions, 2, "{algorithm}");
    }
}

#[test]
fn blocked_and_shadowed_hits_are_outcomes_of_their_own() {
    let (recorder, entries) = record(|| {
        let users = Limiter::new(MemoryBackend::new()).namespace("users").quota(Quota::per_minute(1));
        let tenants = users.clone().namespace("tenants").shadow(true);
        let users = users.blocking(true);
        let hits = [users.hit(SECRET), tenants.hit(SECRET)];
        assert!(!allow_all_now(&hits).unwrap().is_shadowed());
        users.block_now(SECRET, LEASE).unwrap();
        assert!(allow_all_now(&hits).unwrap().is_blocked());
        users.unblock_now(SECRET).unwrap();
        users.reset_now(SECRET).unwrap();
        // The limiter in shadow refuses, and the other one counts.
        assert!(allow_all_now(&hits).unwrap().is_shadowed());
    });
    let count = |outcome| {
        recorder.count("limited_decisions_total", &[("algorithm", "fixed-window"), ("outcome", outcome)])
    };
    assert_eq!([count("allowed"), count("blocked"), count("shadowed"), count("refused")], [3, 1, 2, 0]);
    let messages = entries.iter().filter(|entry| entry.target == "limited::decision");
    let messages: Vec<_> = messages.map(|entry| entry.message.as_str()).collect();
    assert_eq!(messages, ["allowed", "allowed", "blocked", "shadowed", "allowed", "shadowed"]);
}

#[test]
fn methods_without_a_future_record_the_same() {
    for algorithm in Algorithm::ALL {
        let limiter = || Limiter::new(MockBackend::new()).algorithm(algorithm);
        let immediate = record(|| {
            let limiter = limiter();
            let _ = (limiter.allow_now("key").unwrap(), limiter.peek_now("key").unwrap());
            limiter.reset_now("key").unwrap();
        });
        let awaited = record(|| {
            let limiter = limiter();
            let _ = (block_on(limiter.allow("key")).unwrap(), block_on(limiter.peek("key")).unwrap());
            block_on(limiter.reset("key")).unwrap();
        });
        assert_eq!(immediate.0.ids(), awaited.0.ids());
        let fields = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.fields).collect::<Vec<_>>();
        assert_eq!(fields(immediate.1), fields(awaited.1));
    }
}

#[test]
fn repeated_call_is_recorded_each_time() {
    let (recorder, entries) = record(|| {
        let mock = MockBackend::new();
        mock.inject(Fault::error(BackendError::timed_out("?")).on(Operation::Claim));
        let idempotency = Idempotency::new(mock);
        block_on(idempotency.run("key", &(), async || Ok::<_, String>(1))).unwrap();
    });
    assert_eq!(
        recorder.count("limited_backend_errors_total", &[("operation", "claim"), ("kind", "timed_out")]),
        1
    );
    assert_eq!(recorder.count("limited_idempotency_total", &[("outcome", "executed")]), 1);
    let failed: Vec<_> = entries.iter().filter(|entry| entry.level == "warn").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].field("retryable"), Some("true"));
}

#[test]
fn request_without_a_key_is_counted_whether_it_passes_or_not() {
    let layer = || {
        let limiter = Limiter::new(MockBackend::new()).algorithm(Algorithm::TokenBucket);
        RateLimitLayer::new(limiter, KeyExtractor::bearer_token())
    };
    let (recorder, entries) = record(|| {
        assert_eq!(request_without_key(layer()), 400);
        assert_eq!(request_without_key(layer().on_missing_key(MissingKey::Pass)), 200);
        assert_eq!(request_without_key(layer().policy_name("orders").unwrap()), 400);
    });
    let outcome = [("algorithm", "token-bucket"), ("outcome", "no_key")];
    let named = [outcome[0], outcome[1], ("policy", "orders")];
    assert_eq!(recorder.count("limited_decisions_total", &outcome), 2);
    assert_eq!(recorder.count("limited_decisions_total", &named), 1);
    let reasons: Vec<_> = entries.iter().map(|entry| entry.field("reason").unwrap()).collect();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().all(|reason| reason.contains("authorization")), "{reasons:?}");
    assert_eq!(entries.iter().filter_map(|entry| entry.field("policy")).collect::<Vec<_>>(), ["orders"]);
}

#[test]
fn peer_address_that_the_server_does_not_store_is_warned_of_once_and_counted_each_time() {
    let limiter = Limiter::new(MockBackend::new());
    let layer = RateLimitLayer::new(limiter, KeyExtractor::address(ClientAddress::peer()));
    let (recorder, entries) = record(|| {
        for _ in 0..3 {
            assert_eq!(request_without_key(layer.clone()), 500);
        }
    });
    let outcome = [("algorithm", "fixed-window"), ("outcome", "no_key")];
    assert_eq!(recorder.count("limited_decisions_total", &outcome), 3);
    assert_eq!(layer.missing_keys(), 3);
    let levels: Vec<_> = entries.iter().map(|entry| entry.level.as_str()).collect();
    assert_eq!(levels, ["warn", "debug", "debug"]);
    for entry in &entries {
        let reason = entry.field("reason").unwrap();
        assert!(reason.contains("no extension `PeerAddress` or `SocketAddr`"), "{reason}");
    }
}

#[test]
fn unnamed_layers_over_one_backend_are_warned_of_once() {
    let backend = Arc::new(MockBackend::new());
    let layer = || RateLimitLayer::new(Limiter::new(backend.clone()), KeyExtractor::path());
    let warnings = |outer: RateLimitLayer<_>, inner: RateLimitLayer<_>| {
        let service = outer.layer(inner.layer(service_fn(accept)));
        let (_, entries) = record(|| {
            for _ in 0..3 {
                let _ = block_on(service.clone().oneshot(http::Request::new(()))).unwrap();
            }
        });
        let is_warning = |entry: &&Entry| entry.target == "limited::http" && entry.level == "warn";
        entries.iter().filter(is_warning).map(|entry| entry.field("policy").unwrap().to_owned()).collect()
    };
    let warned: Vec<String> = warnings(layer(), layer());
    assert_eq!(warned, ["default"]);
    let warned: Vec<String> = warnings(layer(), layer().policy_name("hourly").unwrap());
    assert_eq!(warned, [""; 0]);
}

#[test]
fn metrics_tell_named_limiters_apart() {
    let (recorder, entries) = record(|| {
        let backend = Arc::new(MockBackend::new());
        let limiter = Limiter::new(backend.clone()).quota(Quota::per_minute(1));
        let search = limiter.clone().namespace("search").policy_name("search");
        let login = limiter.clone().namespace("login").policy_name("login");
        for limiter in [&search, &login, &login, &limiter.clone().policy_name(""), &limiter] {
            let _ = limiter.allow_now(SECRET).unwrap();
        }
        assert!(!login.with_quota(Quota::per_minute(1)).allow_now(SECRET).unwrap().is_allowed());
        let attempts = LimitedAttempt::new(backend, 1, Duration::from_secs(60));
        attempts.attempt_now("unnamed").unwrap();
        attempts.clone().policy_name("one-time code").attempt_now("named").unwrap();
        attempts.policy_name("one-time code").attempt_now("named").unwrap_err();
    });
    let decisions = |outcome, policy: Option<&'static str>| {
        let labels = [("algorithm", "fixed-window"), ("outcome", outcome)].into_iter();
        let labels: Vec<_> = labels.chain(policy.map(|policy| ("policy", policy))).collect();
        recorder.count("limited_decisions_total", &labels)
    };
    assert_eq!((decisions("allowed", Some("search")), decisions("refused", Some("search"))), (1, 0));
    assert_eq!((decisions("allowed", Some("login")), decisions("refused", Some("login"))), (1, 2));
    assert_eq!((decisions("allowed", None), decisions("refused", None)), (1, 1), "an empty name is none");
    let attempts = |labels: &[(&str, &str)]| recorder.count("limited_attempts_total", labels);
    let policy = ("policy", "one-time code");
    assert_eq!(attempts(&[("outcome", "allowed")]), 1);
    assert_eq!(attempts(&[("outcome", "allowed"), policy]), 1);
    assert_eq!(attempts(&[("outcome", "refused"), policy]), 1);
    let policies: Vec<_> = entries.iter().filter_map(|entry| entry.field("policy")).collect();
    assert_eq!(policies, ["search", "login", "login", "login", "one-time code", "one-time code"]);
}

#[test]
fn decision_over_several_limiters_is_counted_for_each_by_its_own_limits() {
    let (recorder, entries) = record(|| {
        let limiter = Limiter::new(MockBackend::new()).quota(Quota::per_minute(1));
        let users = limiter.clone().namespace("users").policy_name("users");
        let tenants = limiter.namespace("tenants").policy_name("tenants").quota(Quota::per_hour(5));
        for allowed in [true, false] {
            let decision = limited::allow_all_now([users.hit(SECRET), tenants.hit(SECRET)]).unwrap();
            assert_eq!(decision.is_allowed(), allowed);
        }
        users.backend().fail_next(denied());
        limited::allow_all_now([users.hit(SECRET), tenants.hit(SECRET)]).unwrap_err();
    });
    let decisions = |policy, outcome| {
        let labels = [("algorithm", "fixed-window"), ("outcome", outcome), ("policy", policy)];
        recorder.count("limited_decisions_total", &labels)
    };
    let outcomes = |policy| ["allowed", "refused", "failed"].map(|outcome| decisions(policy, outcome));
    assert_eq!((outcomes("users"), outcomes("tenants")), ([1, 1, 1], [2, 0, 1]));
    let policies: Vec<_> = entries.iter().filter_map(|entry| entry.field("policy")).collect();
    assert_eq!(policies, ["users", "tenants", "users", "tenants"]);
}

#[test]
fn gauges_report_what_a_memory_backend_knows() {
    let backend = MemoryBackend::builder().max_keys(2).when_full(WhenFull::EvictSoonest).build();
    let (recorder, _) = record(|| {
        let limiter = Limiter::new(backend.clone());
        for key in ["a", "b", "b", "c", "d"] {
            assert!(limiter.allow_now(key).unwrap().is_allowed());
        }
        block_on(DoOnce::new(backend.clone()).mark_done("mail", "welcome")).unwrap();
        record_memory("main", &backend);
        record_memory("empty", &MemoryBackend::new());
        record_memory("main", &backend);
    });
    let labels = |name: &str| vec![("backend".to_owned(), name.to_owned())];
    let gauges: Vec<_> = recorder.gauges.lock().unwrap().clone().into_iter().collect();
    let expected =
        [("claims", "empty", 0.0), ("claims", "main", 1.0), ("keys", "empty", 0.0), ("keys", "main", 2.0)];
    assert_eq!(
        gauges,
        expected.map(|(metric, name, value)| ((format!("limited_{metric}"), labels(name)), value))
    );
    assert_eq!(recorder.count("limited_evicted_keys_total", &[("backend", "main")]), 2);
    assert_eq!(recorder.count("limited_evicted_keys_total", &[("backend", "empty")]), 0);
}

#[test]
fn buckets_rise_from_a_call_in_memory_to_a_time_out() {
    assert!(DURATION_BUCKETS.is_sorted_by(|lower, higher| lower < higher));
    assert_eq!(DURATION_BUCKETS.first(), Some(&0.000_001));
    assert_eq!(DURATION_BUCKETS.last(), Some(&5.0));
}

#[test]
fn name_of_a_policy_does_not_change_what_is_counted() {
    let limiter = Limiter::new(Arc::new(MockBackend::new())).quota(Quota::per_minute(1));
    assert!(limiter.clone().policy_name("a").allow_now("key").unwrap().is_allowed());
    assert!(!limiter.policy_name("b").allow_now("key").unwrap().is_allowed());
}

#[test]
fn credentials_and_keys_of_http_requests_are_not_recorded() {
    use http_body_util::Full;

    type Body = Full<bytes::Bytes>;
    let (_, entries) = record(|| {
        let idempotency =
            IdempotencyLayer::new(Idempotency::new(MockBackend::new()), KeyExtractor::bearer_token());
        let limit = RateLimitLayer::new(
            Limiter::new(MockBackend::new()),
            KeyExtractor::bearer_token().and(KeyExtractor::path()),
        );
        let service = service_fn(async |_: http::Request<BufferedBody<Body>>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(SECRET)))
        });
        let service = limit.layer(idempotency.layer(service));
        for _ in 0..2 {
            let request = http::Request::post(format!("/{SECRET}"))
                .header("authorization", format!("Bearer {SECRET}"))
                .header("idempotency-key", format!("\"{SECRET}\""))
                .body(Body::from(SECRET));
            assert_eq!(block_on(service.clone().oneshot(request.unwrap())).unwrap().status(), 200);
        }
    });
    let targets: BTreeSet<_> = entries.iter().map(|entry| entry.target.as_str()).collect();
    assert!(targets.contains("limited::decision") && targets.contains("limited::idempotency"));
    assert!(!format!("{entries:?}").contains(SECRET));
}
