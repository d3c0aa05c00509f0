//! Several policies in one layer: several quotas of a limiter, and several limiters.

use std::convert::Infallible;
use std::time::Duration;

use http::{HeaderName, Method, Request, Response, StatusCode};
use limited::http::{
    InvalidPolicyName, KeyExtractor, LayerConflict, MissingKey, RateLimitLayer, RateLimitRule, Rejection,
    RuleConflict,
};
use limited::{Algorithm, BackendError, Decision, Limiter, ManualClock, OnError, Quota, Quotas};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, mocked, request, send};
use crate::received::Received;

const TENANT: HeaderName = HeaderName::from_static("x-tenant");

fn quotas(text: &str) -> Quotas {
    text.parse().unwrap()
}

/// Creates limiters that share a backend, each in the namespace of its name, and their clock.
fn limiters<const N: usize>(named: [(&str, &str); N]) -> ([Limiter<MemoryBackend>; N], ManualClock) {
    let clock = ManualClock::new();
    let base = Limiter::new(MemoryBackend::new()).clock(clock.clone());
    (named.map(|(name, text)| base.clone().namespace(name).quotas(quotas(text))), clock)
}

fn by_tenant() -> KeyExtractor {
    KeyExtractor::secret_header(TENANT)
}

fn of_tenant(path: &str, tenant: &str) -> Request<String> {
    let mut request = request(path);
    request.headers_mut().insert(TENANT, tenant.parse().unwrap());
    request
}

/// Returns a layer by address and by tenant.
fn users_and_tenants(users: &str, tenants: &str) -> (RateLimitLayer<MemoryBackend>, ManualClock) {
    let ([users, tenants], clock) = limiters([("user", users), ("tenant", tenants)]);
    let tenants = RateLimitLayer::new(tenants, by_tenant());
    (RateLimitLayer::new(users, by_peer()).and(tenants).unwrap(), clock)
}

fn violated(response: &Received) -> Vec<String> {
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS, "{response:?}");
    let problem: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let names = problem["violated-policies"].as_array().unwrap().iter();
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_quota_of_a_limiter_is_a_policy_of_its_own() {
    let ([limiter], _) = limiters([("api", "2/s; 3/hour; 5/day")]);
    let mut service = RateLimitLayer::new(limiter, by_peer()).layer(service_fn(hello));
    let response = send(&mut service, request("/"));
    assert_eq!(
        response.header("ratelimit-policy"),
        Some(r#""api-second";q=2;w=1, "api-hour";q=3;w=3600, "api-day";q=5;w=86400"#)
    );
    assert_eq!(
        response.header("ratelimit"),
        Some(r#""api-second";r=1;t=1, "api-hour";r=2;t=3600, "api-day";r=4;t=86400"#)
    );
}

#[test]
fn refusal_by_one_quota_leaves_the_others_uncounted() {
    for algorithm in Algorithm::ALL {
        let ([limiter], clock) = limiters([("api", "2/s; 4/day")]);
        let mut service =
            RateLimitLayer::new(limiter.algorithm(algorithm), by_peer()).layer(service_fn(hello));
        for _ in 0..2 {
            assert_eq!(send(&mut service, request("/")).status, StatusCode::OK);
        }
        for _ in 0..3 {
            let refused = send(&mut service, request("/"));
            assert_eq!(violated(&refused), ["api-second"], "{algorithm}");
            let limits = refused.header("ratelimit").unwrap();
            assert!(limits.contains(r#""api-day";r=2;"#), "{algorithm}: {limits}");
        }
        clock.advance(Duration::from_secs(2));
        for _ in 0..2 {
            assert_eq!(send(&mut service, request("/")).status, StatusCode::OK, "{algorithm}");
        }
        clock.advance(Duration::from_secs(2));
        assert_eq!(violated(&send(&mut service, request("/"))), ["api-day"], "{algorithm}");
    }
}

#[test]
fn refusal_by_the_second_limiter_leaves_the_first_uncounted() {
    let (layer, _) = users_and_tenants("5/min", "2/hour");
    let mut service = layer.layer(service_fn(hello));
    for _ in 0..2 {
        assert_eq!(send(&mut service, of_tenant("/", "a")).status, StatusCode::OK);
    }
    for _ in 0..3 {
        let refused = send(&mut service, of_tenant("/", "a"));
        assert_eq!(violated(&refused), ["tenant"]);
        assert_eq!(refused.header("ratelimit"), Some("\"user\";r=3;t=60, \"tenant\";r=0;t=3600"));
    }
    let other = send(&mut service, of_tenant("/", "b"));
    assert_eq!(other.header("ratelimit"), Some("\"user\";r=2;t=60, \"tenant\";r=1;t=3600"));
}

#[test]
fn refusal_by_the_first_limiter_leaves_the_second_uncounted() {
    let (layer, _) = users_and_tenants("1/min", "9/hour");
    let mut service = layer.layer(service_fn(hello));
    send(&mut service, of_tenant("/", "a"));
    for _ in 0..3 {
        let refused = send(&mut service, of_tenant("/", "a"));
        assert_eq!(violated(&refused), ["user"]);
        assert_eq!(refused.header("ratelimit"), Some("\"user\";r=0;t=60, \"tenant\";r=8;t=3600"));
    }
}

#[test]
fn rejection_names_all_violated_policies_and_the_longest_wait() {
    let (layer, _) = users_and_tenants("1/min; 9/day", "1/hour");
    let layer = layer.legacy_headers().on_rejection(|rejection, parts| {
        let Rejection::Exceeded(exceeded) = rejection else { panic!("{rejection:?}") };
        assert_eq!(exceeded.policy(), "tenant", "it takes longest");
        assert_eq!(exceeded.violated_policies(), ["user-minute", "tenant"]);
        assert_eq!(exceeded.quota(), Quota::per_hour(1));
        assert_eq!(exceeded.decision().limits().len(), 3);
        rejection.response(parts)
    });
    let mut service = layer.layer(service_fn(hello));
    send(&mut service, of_tenant("/", "a"));
    let refused = send(&mut service, of_tenant("/", "a"));
    assert_eq!(violated(&refused), ["user-minute", "tenant"]);
    assert_eq!(refused.header("retry-after"), Some("3600"));
    assert!(refused.text().contains("the policy `tenant` allows 1/hour; retry in 3600 s"), "{refused:?}");
    assert_eq!(
        refused.header("ratelimit-policy"),
        Some("\"user-minute\";q=1;w=60, \"user-day\";q=9;w=86400, \"tenant\";q=1;w=3600")
    );
    assert_eq!(
        refused.header("ratelimit"),
        Some("\"user-minute\";r=0;t=60, \"user-day\";r=8;t=86400, \"tenant\";r=0;t=3600")
    );
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
}

#[test]
fn cost_that_one_limit_never_admits_has_no_retry_after() {
    let (layer, _) = users_and_tenants("1/min", "3/hour");
    let mut service = layer.cost(|parts| parts.uri.path().len() as u64).layer(service_fn(hello));
    send(&mut service, of_tenant("/", "a"));
    let refused = send(&mut service, of_tenant("/export", "a"));
    assert_eq!(violated(&refused), ["user"]);
    assert_eq!(refused.header("retry-after"), None);
    assert!(refused.text().contains("a request of cost 7 exceeds the maximum of 1 and is never admitted"));
}

#[test]
fn each_limiter_has_a_cost_of_its_own_and_0_takes_no_part() {
    let ([requests, tokens], _) = limiters([("requests", "10/min"), ("tokens", "1000/min")]);
    let tokens = RateLimitLayer::new(tokens, by_peer()).cost(|parts| match parts.uri.path() {
        "/models" => 0,
        _ => 400,
    });
    let layer = RateLimitLayer::new(requests, by_peer()).and(tokens).unwrap();
    let mut service = layer.layer(service_fn(hello));
    let completion = send(&mut service, request("/completions"));
    assert_eq!(completion.header("ratelimit"), Some("\"requests\";r=9;t=60, \"tokens\";r=600;t=60"));
    let models = send(&mut service, request("/models"));
    assert_eq!(models.header("ratelimit"), Some("\"requests\";r=8;t=60"));
    assert_eq!(models.header("ratelimit-policy"), Some("\"requests\";q=10;w=60"));
    send(&mut service, request("/completions"));
    assert_eq!(violated(&send(&mut service, request("/completions"))), ["tokens"]);
    assert_eq!(send(&mut service, request("/models")).header("ratelimit"), Some("\"requests\";r=6;t=60"));
}

#[test]
fn rule_and_quota_of_one_limiter_leave_the_other_as_it_is() {
    let ([users, tenants], _) = limiters([("user", "10/min"), ("tenant", "20/hour; 90/day")]);
    let login = RateLimitRule::new("login", quotas("2/min; 5/day"), |parts| parts.uri.path() == "/login");
    let tenants = RateLimitLayer::new(tenants, by_tenant())
        .quota(|parts| (parts.method == Method::PUT).then(|| Quota::per_hour(7)));
    let layer = RateLimitLayer::new(users, by_peer()).rule(login.unwrap()).unwrap().and(tenants).unwrap();
    let mut service = layer.layer(service_fn(hello));
    let login = send(&mut service, of_tenant("/login", "a"));
    assert_eq!(
        login.header("ratelimit-policy"),
        Some(
            r#""login-minute";q=2;w=60, "login-day";q=5;w=86400, "tenant-hour";q=20;w=3600, "tenant-day";q=90;w=86400"#
        )
    );
    let mut put = of_tenant("/", "a");
    *put.method_mut() = Method::PUT;
    let put = send(&mut service, put);
    assert_eq!(put.header("ratelimit-policy"), Some(r#""user";q=10;w=60, "tenant";q=7;w=3600"#));
    assert_eq!(
        put.header("ratelimit"),
        Some(r#""user";r=9;t=60, "tenant";r=5;t=3600"#),
        "it shares the hour"
    );
    send(&mut service, of_tenant("/login", "a"));
    assert_eq!(violated(&send(&mut service, of_tenant("/login", "a"))), ["login-minute"]);
}

#[test]
fn rule_of_the_other_layer_is_kept() {
    let ([users, tenants], _) = limiters([("user", "10/min"), ("tenant", "20/min")]);
    let export = RateLimitRule::new("export", Quota::per_minute(1), |parts| parts.uri.path() == "/export");
    let tenants = RateLimitLayer::new(tenants, by_tenant()).rule(export.unwrap()).unwrap();
    let layer = RateLimitLayer::new(users, by_peer()).and(tenants).unwrap();
    let late = RateLimitRule::new("late", Quota::per_minute(3), |parts| parts.uri.path() == "/late").unwrap();
    let mut service = layer.rule(late).unwrap().layer(service_fn(hello));
    for (path, limit) in [
        ("/export", r#""user";r=9;t=60, "export";r=0;t=60"#),
        ("/late", r#""late";r=2;t=60, "tenant";r=19;t=60"#),
        ("/", r#""user";r=8;t=60, "tenant";r=18;t=60"#),
    ] {
        assert_eq!(send(&mut service, of_tenant(path, "a")).header("ratelimit"), Some(limit), "{path}");
    }
    assert_eq!(violated(&send(&mut service, of_tenant("/export", "a"))), ["export"]);
}

#[test]
fn limiter_without_a_key_rejects_or_takes_no_part() {
    for (missing_key, expected) in [(MissingKey::Reject, None), (MissingKey::Pass, Some("\"user\";r=4;t=60"))]
    {
        let ([users, tenants], _) = limiters([("user", "5/min"), ("tenant", "2/hour")]);
        let tenants = RateLimitLayer::new(tenants, by_tenant()).on_missing_key(missing_key);
        let layer = RateLimitLayer::new(users, by_peer()).and(tenants).unwrap();
        let mut service = layer.layer(service_fn(hello));
        let response = send(&mut service, request("/"));
        assert_eq!(response.header("ratelimit"), expected, "{missing_key}");
        assert_eq!(response.status.as_u16(), if expected.is_some() { 200 } else { 400 });
        assert_eq!(layer.missing_keys(), 1);
        let counted = send(&mut service, of_tenant("/", "a"));
        let users_left = if expected.is_some() { 3 } else { 4 };
        let limit = format!("\"user\";r={users_left};t=60, \"tenant\";r=1;t=3600");
        assert_eq!(counted.header("ratelimit"), Some(limit.as_str()), "a rejected request is not counted");
    }
}

#[test]
fn request_without_any_key_passes_without_a_decision() {
    let ([users, tenants], _) = limiters([("user", "5/min"), ("tenant", "2/hour")]);
    let pass = |limiter, key| RateLimitLayer::new(limiter, key).on_missing_key(MissingKey::Pass);
    let layer = pass(users, KeyExtractor::bearer_token()).and(pass(tenants, by_tenant())).unwrap();
    let response = send(&mut layer.layer(service_fn(hello)), request("/"));
    assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 0));
    assert_eq!(layer.missing_keys(), 2);
}

#[test]
fn other_layer_skips_its_own_requests_and_later_switches_are_for_all() {
    let layer = || {
        let ([users, tenants], _) = limiters([("user", "5/min"), ("tenant", "2/hour")]);
        let tenants = RateLimitLayer::new(tenants, by_tenant()).skip(|parts| parts.uri.path() == "/free");
        RateLimitLayer::new(users, by_peer()).and(tenants).unwrap()
    };
    let limit = |layer: &RateLimitLayer<MemoryBackend>, path| {
        let response = send(&mut layer.layer(service_fn(hello)), of_tenant(path, "a"));
        response.header("ratelimit").map(str::to_owned)
    };
    assert_eq!(limit(&layer(), "/free").as_deref(), Some("\"user\";r=4;t=60"));
    assert_eq!(limit(&layer().skip(|_| true), "/"), None);
    assert_eq!(limit(&layer().enabled(false), "/"), None);
    let ([users, tenants], _) = limiters([("user", "5/min"), ("tenant", "2/hour")]);
    let off = RateLimitLayer::new(tenants, by_tenant()).enabled(false);
    let layer = RateLimitLayer::new(users, by_peer()).and(off).unwrap();
    assert_eq!(limit(&layer, "/").as_deref(), Some("\"user\";r=4;t=60"));
}

#[test]
fn three_layers_can_be_joined() {
    let ([users, tenants, all], _) = limiters([("user", "5/min"), ("tenant", "9/min"), ("all", "2/min")]);
    let all = RateLimitLayer::new(all, KeyExtractor::from_fn(|_| Some("all".into())));
    let layer = RateLimitLayer::new(users, by_peer())
        .and(RateLimitLayer::new(tenants, by_tenant()))
        .and_then(|layer| layer.and(all))
        .unwrap();
    let mut service = layer.layer(service_fn(hello));
    for tenant in ["a", "b"] {
        assert_eq!(send(&mut service, of_tenant("/", tenant)).status, StatusCode::OK);
    }
    let refused = send(&mut service, of_tenant("/", "c"));
    assert_eq!(violated(&refused), ["all"]);
    assert_eq!(refused.header("ratelimit"), Some(r#""user";r=3;t=60, "tenant";r=9;t=60, "all";r=0;t=60"#));
}

#[test]
fn service_reads_the_decision_of_each_limit() {
    let (layer, _) = users_and_tenants("5/min; 9/day", "2/hour");
    let remaining = service_fn(async |request: Request<String>| {
        let decision = request.extensions().get::<Decision>().unwrap();
        let limits: Vec<_> = decision.limits().iter().map(Decision::remaining).collect();
        Ok::<_, Infallible>(Response::new(format!("{} of {limits:?}", decision.remaining())))
    });
    assert_eq!(send(&mut layer.layer(remaining), of_tenant("/", "a")).text(), "1 of [4, 8, 1]");
}

#[test]
fn names_of_policies_can_be_set() {
    let ([limiter, other], _) = limiters([("api", "2/s; 3/hour"), ("other", "1/min")]);
    let layer = RateLimitLayer::new(limiter, by_peer());
    let policies = |layer: &RateLimitLayer<MemoryBackend>| {
        let response = send(&mut layer.layer(service_fn(hello)), request("/"));
        response.header("ratelimit-policy").unwrap().to_owned()
    };
    let renamed = layer.clone().policy_name("v2").unwrap();
    assert_eq!(policies(&renamed), "\"v2-second\";q=2;w=1, \"v2-hour\";q=3;w=3600");
    let named = renamed.policy_names(["burst", "hourly"]).unwrap();
    assert_eq!(policies(&named), "\"burst\";q=2;w=1, \"hourly\";q=3;w=3600");

    let message = |error: InvalidPolicyName| error.to_string();
    assert_eq!(
        message(layer.clone().policy_names(["a"]).unwrap_err()),
        "invalid policy name `a`; expected one name for each quota of the limiter"
    );
    assert!(
        message(layer.clone().policy_names(["a", "a"]).unwrap_err()).starts_with("invalid policy name `a`")
    );
    assert!(layer.clone().policy_names(["a", "\n"]).is_err());
    let joined = layer.and(RateLimitLayer::new(other, by_tenant())).unwrap();
    assert!(message(joined.clone().policy_names(["a", "other"]).unwrap_err()).contains("`other`"));
    assert!(message(joined.policy_name("other").unwrap_err()).contains("`other`"));
}

#[test]
fn rule_with_the_name_of_one_of_several_policies_is_an_error() {
    let ([limiter], _) = limiters([("api", "2/s; 3/hour")]);
    let layer = RateLimitLayer::new(limiter, by_peer());
    let rule = RateLimitRule::new("api-hour", Quota::per_minute(1), |_| true).unwrap();
    assert_eq!(layer.rule(rule).unwrap_err(), RuleConflict::Name("api-hour".to_owned()));
}

#[test]
fn layers_that_cannot_be_told_apart_or_decided_together_are_an_error() {
    let ([users, tenants], _) = limiters([("user", "5/min"), ("tenant", "2/hour")]);
    let layer = |limiter: &Limiter<MemoryBackend>| RateLimitLayer::new(limiter.clone(), by_peer());
    let error = layer(&users).and(layer(&tenants).policy_name("user").unwrap()).unwrap_err();
    assert_eq!(error, LayerConflict::Name("user".to_owned()));
    assert_eq!(
        error.to_string(),
        "both layers have a policy `user`; expected a name of its own for each policy"
    );

    let error = layer(&users).and(layer(&users).policy_name("again").unwrap()).unwrap_err();
    assert_eq!(error, LayerConflict::Namespace("user".to_owned()));
    assert!(
        format!("{error:?}")
            .starts_with("LayerConflict: both layers have a limiter with the namespace `user`;")
    );

    let ([stranger], _) = limiters([("stranger", "2/hour")]);
    assert_eq!(layer(&users).and(layer(&stranger)).unwrap_err(), LayerConflict::Backend);
    let rule = RateLimitRule::new("r", Quota::per_minute(1), |_| true).unwrap().namespace("tenant");
    let error = layer(&users).rule(rule).unwrap().and(layer(&tenants)).unwrap_err();
    assert_eq!(error, LayerConflict::Namespace("tenant".to_owned()));
}

#[test]
fn backend_failure_is_that_of_the_first_layer() {
    for (on_error, status) in [(OnError::Allow, 200), (OnError::Return, 503)] {
        let (limiter, mock) = mocked(Quota::per_minute(10));
        let tenants =
            RateLimitLayer::new(limiter.clone().namespace("tenant").on_error(OnError::Deny), by_tenant());
        let layer = RateLimitLayer::new(limiter.on_error(on_error), by_peer()).and(tenants).unwrap();
        mock.fail_next(BackendError::unavailable("down"));
        let response = send(&mut layer.layer(service_fn(hello)), of_tenant("/", "a"));
        assert_eq!(response.status.as_u16(), status);
        assert!(!response.headers.contains_key("ratelimit"), "{response:?}");
        assert_eq!(layer.backend_errors(), 1);
    }
}

#[test]
fn request_that_one_limiter_decides_about_is_a_plain_hit() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new()).quota(Quota::per_minute(9));
    let tenants = RateLimitLayer::new(limiter.clone().namespace("tenant"), by_tenant()).cost(|_| 0);
    let layer = RateLimitLayer::new(limiter.namespace("user"), by_peer()).and(tenants).unwrap();
    send(&mut layer.layer(service_fn(hello)), request("/"));
    let namespaces: Vec<_> = mock.calls().iter().map(|call| call.namespace().to_owned()).collect();
    assert_eq!(namespaces, ["user"]);
}
