//! Rules: quotas of their own for some of the requests.

use http::StatusCode;
use limited::http::{RateLimitLayer, RateLimitRule, RuleConflict};
use limited::{Algorithm, Limiter, ManualClock, Quota};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, request, send};

fn on(path: &'static str, name: &str, quota: Quota) -> RateLimitRule {
    RateLimitRule::new(name, quota, move |parts| parts.uri.path() == path).unwrap()
}

#[test]
fn page_views_do_not_spend_the_quota_of_the_login() {
    for algorithm in Algorithm::ALL {
        let limiter = Limiter::new(MemoryBackend::new()).clock(ManualClock::new()).algorithm(algorithm);
        let layer = RateLimitLayer::new(limiter.quota(Quota::per_minute(100)), by_peer());
        let layer = layer.rule(on("/login", "login", Quota::per_minute(2))).unwrap();
        let mut service = layer.layer(service_fn(hello));
        for _ in 0..3 {
            assert_eq!(send(&mut service, request("/")).status, StatusCode::OK);
        }
        let login = send(&mut service, request("/login"));
        assert_eq!(login.status, StatusCode::OK, "{algorithm}");
        assert_eq!(login.header("ratelimit-policy"), Some("\"login\";q=2;w=60"));
        assert!(login.header("ratelimit").unwrap().starts_with("\"login\";r=1;t="), "{login:?}");
        send(&mut service, request("/login"));
        let rejected = send(&mut service, request("/login"));
        assert_eq!(rejected.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(rejected.text().contains("the policy `login` allows 2/min"), "{rejected:?}");
        assert!(rejected.text().ends_with(r#""violated-policies":["login"]}"#), "{rejected:?}");
        let page = send(&mut service, request("/"));
        assert!(page.header("ratelimit").unwrap().starts_with("\"default\";r=96;t="), "{page:?}");
    }
}

#[test]
fn quota_of_each_request_shares_one_counter() {
    let (limiter, _) = limiter("100/min");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .quota(|parts| (parts.uri.path() == "/login").then(|| Quota::per_minute(2)));
    let mut service = layer.layer(service_fn(hello));
    for _ in 0..3 {
        send(&mut service, request("/"));
    }
    let login = send(&mut service, request("/login"));
    assert_eq!(login.status, StatusCode::TOO_MANY_REQUESTS, "the docs of `quota` warn of this");
}

#[test]
fn first_rule_that_applies_decides_and_its_quota_precedes_that_of_the_request() {
    let (limiter, _) = limiter("100/min");
    let any = RateLimitRule::new("any", Quota::per_minute(50), |_| true).unwrap();
    let layer = RateLimitLayer::new(limiter, by_peer())
        .quota(|_| Some(Quota::per_minute(7)))
        .policy_name("pages")
        .unwrap()
        .rule(on("/login", "login", Quota::per_minute(2)))
        .unwrap();
    let with_any = layer.clone().rule(any).unwrap();
    let policy = |layer: &RateLimitLayer<MemoryBackend>, path| {
        let response = send(&mut layer.layer(service_fn(hello)), request(path));
        response.header("ratelimit-policy").unwrap().to_owned()
    };
    assert_eq!(policy(&layer, "/login"), "\"login\";q=2;w=60");
    assert_eq!(policy(&layer, "/"), "\"pages\";q=7;w=60");
    assert_eq!(policy(&with_any, "/login"), "\"login\";q=2;w=60");
    assert_eq!(policy(&with_any, "/"), "\"any\";q=50;w=60");
}

#[test]
fn rules_count_in_namespaces_of_their_own() {
    let mock = MockBackend::new();
    let limiter = Limiter::new(mock.clone()).clock(ManualClock::new()).namespace("api");
    let layer = RateLimitLayer::new(limiter, by_peer())
        .rule(on("/a", "a", Quota::per_minute(2)))
        .and_then(|layer| layer.rule(on("/b", "b", Quota::per_minute(2)).namespace("shared")))
        .and_then(|layer| layer.rule(on("/c", "c", Quota::per_minute(2)).namespace("shared")))
        .unwrap();
    let mut service = layer.layer(service_fn(hello));
    for (path, remaining) in [("/", "99"), ("/a", "1"), ("/b", "1"), ("/c", "0"), ("/a", "0"), ("/", "98")] {
        let response = send(&mut service, request(path));
        let limit = response.header("ratelimit").unwrap();
        assert!(limit.contains(&format!(";r={remaining};")), "{path}: {limit}");
    }
    let namespaces: Vec<_> = mock.calls().iter().map(|call| call.namespace().to_owned()).collect();
    assert_eq!(namespaces, ["api", "api/a", "shared", "shared", "api/a", "api"]);
}

#[test]
fn rule_with_a_name_that_no_header_can_contain_is_an_error() {
    assert!(RateLimitRule::new("a\nb", Quota::per_minute(2), |_| true).is_err());
}

#[test]
fn rule_that_would_share_a_name_is_an_error() {
    let (limiter, _) = limiter("100/min");
    let layer = RateLimitLayer::new(limiter.namespace("api"), by_peer());
    let layer = layer.rule(on("/login", "login", Quota::per_minute(2))).unwrap();
    for name in ["login", "api"] {
        let rule = on("/reset", name, Quota::per_minute(9)).namespace("elsewhere");
        let error = layer.clone().rule(rule).unwrap_err();
        assert_eq!(error, RuleConflict::Name(name.to_owned()));
        assert!(
            error.to_string().starts_with(&format!("the layer already has a policy `{name}`; expected "))
        );
    }
    let error = layer.clone().policy_name("login").unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid policy name `login`; expected a name that no other policy of the layer has"
    );
    assert!(layer.clone().policy_name("api").is_ok(), "its own name");
    assert!(layer.policy_name("pages").unwrap().rule(on("/", "api", Quota::per_minute(9))).is_ok());
}

#[test]
fn rule_that_would_count_with_the_rest_of_the_layer_is_an_error() {
    for namespace in ["", "api"] {
        let (limiter, _) = limiter("100/min");
        let layer = RateLimitLayer::new(limiter.namespace(namespace), by_peer());
        let rule = on("/login", "login", Quota::per_minute(2));
        let error = layer.clone().rule(rule.clone().namespace(namespace)).unwrap_err();
        assert_eq!(error, RuleConflict::Namespace(namespace.to_owned()));
        assert!(layer.rule(rule.namespace("shared")).is_ok());
    }
}
