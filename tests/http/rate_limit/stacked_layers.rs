//! Several layers on one route.

use http::{Request, Response, StatusCode};
use limited::http::{KeyExtractor, RateLimitLayer};
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, limiter, request, send};

#[test]
fn each_layer_adds_its_policy_to_the_list_even_on_rejection() {
    let (per_second, _) = limiter("2/s");
    let (per_hour, clock) = limiter("3/hour");
    let burst = RateLimitLayer::new(per_second.clock(clock.clone()), by_peer())
        .policy_name("burst")
        .unwrap()
        .legacy_headers();
    let hourly = RateLimitLayer::new(per_hour, by_peer()).policy_name("hourly").unwrap().legacy_headers();
    let mut service = hourly.layer(burst.layer(service_fn(hello)));

    let response = send(&mut service, request("/"));
    assert_eq!(response.header("ratelimit-policy"), Some("\"burst\";q=2;w=1, \"hourly\";q=3;w=3600"));
    assert_eq!(response.header("ratelimit"), Some("\"burst\";r=1;t=1, \"hourly\";r=2;t=3600"));
    assert_eq!(response.header("x-ratelimit-remaining"), Some("1"));
    assert_eq!(response.header("x-ratelimit-limit"), Some("2"));

    send(&mut service, request("/"));
    let inner_rejects = send(&mut service, request("/"));
    assert_eq!(inner_rejects.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(inner_rejects.header("retry-after"), Some("1"));
    assert!(inner_rejects.text().ends_with(r#""violated-policies":["burst"]}"#), "{inner_rejects:?}");
    assert_eq!(inner_rejects.header("ratelimit"), Some("\"burst\";r=0;t=1, \"hourly\";r=0;t=3600"));

    let outer_rejects = send(&mut service, request("/"));
    assert_eq!(outer_rejects.header("retry-after"), Some("3600"));
    assert!(outer_rejects.text().ends_with(r#""violated-policies":["hourly"]}"#), "{outer_rejects:?}");
    assert_eq!(outer_rejects.header("ratelimit-policy"), Some("\"hourly\";q=3;w=3600"));
}

#[test]
fn policy_name_is_written_as_a_structured_fields_string() {
    let (limiter, _) = limiter("2/s");
    let layer = RateLimitLayer::new(limiter, by_peer()).policy_name(r#"a "b"\, c"#).unwrap();
    let response = send(&mut layer.layer(service_fn(hello)), request("/"));
    assert_eq!(response.header("ratelimit-policy"), Some(r#""a \"b\"\\, c";q=2;w=1"#));
}

#[test]
fn policy_name_that_no_header_can_contain_is_an_error() {
    let (limiter, _) = limiter("2/s");
    let error = RateLimitLayer::new(limiter, by_peer()).policy_name("a\r\nset-cookie: b").unwrap_err();
    assert_eq!(
        error.to_string(),
        r"invalid policy name `a\r\nset-cookie: b`; expected printable ASCII, not empty, since it goes into a header"
    );
}

#[test]
fn limit_headers_of_the_service_are_preserved() {
    let (limiter, _) = limiter("2/s");
    let upstream = service_fn(async |_: Request<String>| {
        let response = Response::builder().header("ratelimit", "\"upstream\";r=7");
        Ok::<_, std::convert::Infallible>(
            response.header("ratelimit", "\"other\";r=1").body(String::new()).unwrap(),
        )
    });
    let response = send(&mut RateLimitLayer::new(limiter, by_peer()).layer(upstream), request("/"));
    assert_eq!(response.header("ratelimit"), Some("\"upstream\";r=7, \"other\";r=1, \"default\";r=1;t=1"));
}

#[test]
fn layers_with_different_namespaces_count_separately() {
    let (base, _) = limiter("1/min");
    let read = RateLimitLayer::new(base.clone().namespace("read"), by_peer());
    let write = RateLimitLayer::new(base.clone().namespace("write"), by_peer());
    let shared = RateLimitLayer::new(base.clone(), KeyExtractor::from_fn(|_| Some("all".into())));
    let shared_too = RateLimitLayer::new(base, KeyExtractor::from_fn(|_| Some("all".into())));
    for (layer, status) in [(&read, 200), (&write, 200), (&read, 429), (&shared, 200), (&shared_too, 429)] {
        assert_eq!(send(&mut layer.layer(service_fn(hello)), request("/")).status, status);
    }
}
