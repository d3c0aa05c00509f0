//! Rate limits in front of axum routes.
//!
//! All use `route_layer`. `layer` would wrap the fallback too, and let unknown paths use up limits.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, MatchedPath};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get as route;
use limited::http::{ClientAddress, KeyExtractor, RateLimitLayer, TrustedProxies};
use limited::mock::MockBackend;
use limited::{BackendError, Limiter};
use reqwest::header::HeaderName;

use crate::{client, count, get, get_concurrently, header, limiter, listen, raw};

fn peer() -> ClientAddress {
    ClientAddress::peer_from(|parts| Some(parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()))
}

fn hello() -> Router {
    Router::new().route("/", route(async || "hello"))
}

async fn serve(router: Router) -> SocketAddr {
    let (listener, address) = listen().await;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_match_the_documented_bytes() {
    let (limiter, clock) = limiter("1/min");
    let address = serve(
        hello().route_layer(RateLimitLayer::new(limiter, KeyExtractor::address(peer())).legacy_headers()),
    )
    .await;
    clock.advance(Duration::from_millis(1_500));
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    let (status, headers, body) = raw(address, request).await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert_eq!(
        headers,
        [
            "connection: close",
            "content-length: 5",
            "content-type: text/plain; charset=utf-8",
            "ratelimit-policy: \"default\";q=1;w=60",
            "ratelimit: \"default\";r=0;t=59",
            "x-ratelimit-limit: 1",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 59",
        ]
    );
    assert_eq!(body, "hello");

    let (status, headers, body) = raw(address, request).await;
    assert_eq!(status, "HTTP/1.1 429 Too Many Requests");
    assert_eq!(
        headers,
        [
            "cache-control: no-store",
            "connection: close",
            "content-length: 203",
            "content-type: application/problem+json",
            "ratelimit-policy: \"default\";q=1;w=60",
            "ratelimit: \"default\";r=0;t=59",
            "retry-after: 59",
            "x-ratelimit-limit: 1",
            "x-ratelimit-remaining: 0",
            "x-ratelimit-reset: 59",
        ]
    );
    assert_eq!(
        body,
        concat!(
            r#"{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"Quota Exceeded","#,
            r#""status":429,"detail":"the policy `default` allows 1/min; retry in 59 s","#,
            r#""violated-policies":["default"]}"#
        )
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_limit_of_64_concurrent_clients_pass_in_each_window() {
    let (limiter, clock) = limiter("10/min");
    let address =
        serve(hello().route_layer(RateLimitLayer::new(limiter, KeyExtractor::address(peer())))).await;
    let clients: Vec<_> = (0..64).map(|_| client()).collect();
    for round in 0..5 {
        let responses = get_concurrently(&clients, address, "/").await;
        assert_eq!((count(&responses, 200), count(&responses, 429)), (10, 54), "round {round}");

        let wait: u64 =
            header(responses.iter().find(|response| response.status() == 429).unwrap(), "retry-after")
                .unwrap()
                .parse()
                .unwrap();
        clock.advance(Duration::from_secs(wait - 1));
        assert_eq!(
            get(&clients[0], address, "/").await.status(),
            429,
            "one second less than `retry-after` is enough"
        );
        clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_a_proxy_are_distinguished_and_forged_entries_ignored() {
    let (limiter, _) = limiter("1/min");
    let address = peer().x_forwarded_for(TrustedProxies::networks(["127.0.0.0/8", "10.0.0.0/8"]).unwrap());
    let address =
        serve(hello().route_layer(RateLimitLayer::new(limiter, KeyExtractor::address(address)))).await;
    let client = client();
    for (forwarded_for, status) in [
        (&["192.0.2.7"][..], 200),
        (&["192.0.2.8"], 200),
        (&["192.0.2.7"], 429),
        (&["203.0.113.1, 192.0.2.7"], 429),
        (&["203.0.113.2", "192.0.2.7"], 429),
        (&["203.0.113.3, 192.0.2.7, 10.0.0.5"], 429),
        (&["203.0.113.4", "192.0.2.7:1234", "10.0.0.5:99"], 429),
        (&["\"203.0.113.5, ::ffff:192.0.2.7"], 429),
        (&["2001:db8::1"], 200),
        (&["[2001:db8::ffff]:80"], 429),
    ] {
        let mut request = client.get(format!("http://{address}/"));
        for line in forwarded_for {
            request = request.header("x-forwarded-for", *line);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{forwarded_for:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_route_and_each_api_key_is_limited_separately() {
    const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
    let (per_route, clock) = limiter("2/min");
    let (hourly, _) = limiter("5/hour");
    let by_key = || KeyExtractor::secret_header(API_KEY);
    let matched = KeyExtractor::route(|parts| Some(parts.extensions.get::<MatchedPath>()?.as_str()));
    let per_route = RateLimitLayer::new(per_route, by_key().and(matched)).policy_name("route").unwrap();
    let hourly = RateLimitLayer::new(hourly.clock(clock), by_key()).policy_name("hourly").unwrap();
    let router = Router::new()
        .route("/users/{id}", route(async || "user"))
        .route("/reports", route(async || "report"))
        .route_layer(per_route)
        .route_layer(hourly);
    let address = serve(router).await;

    let client = client();
    let send = async |key: &str, path: &str| {
        let request = client.get(format!("http://{address}{path}")).header(API_KEY, key);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), header(&response, "ratelimit").unwrap_or_default().to_owned())
    };
    assert_eq!(send("a", "/users/1").await, (200, "\"route\";r=1;t=60, \"hourly\";r=4;t=3600".to_owned()));
    assert_eq!(send("a", "/users/2").await.0, 200);
    assert_eq!(send("a", "/users/3").await, (429, "\"route\";r=0;t=60, \"hourly\";r=2;t=3600".to_owned()));
    assert_eq!(send("a", "/reports").await.0, 200);
    assert_eq!(send("b", "/users/1").await.0, 200);
    assert_eq!(send("a", "/reports").await.0, 200);
    assert_eq!(send("a", "/reports").await, (429, "\"hourly\";r=0;t=3600".to_owned()));

    let without_key = get(&client, address, "/reports").await;
    assert_eq!(without_key.status(), 400);
    assert_eq!(
        without_key.text().await.unwrap(),
        r#"{"title":"Bad Request","status":400,"detail":"the header `x-api-key` is missing"}"#
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_path_of_a_merged_application_does_not_use_up_the_limit() {
    let (limiter, _) = limiter("3/min");
    let layer = RateLimitLayer::new(limiter, KeyExtractor::address(peer()));
    let pay = Router::new().route("/pay", route(async || "paid")).route_layer(layer);
    let address = serve(hello().merge(pay)).await;
    let client = client();
    for _ in 0..5 {
        let icon = get(&client, address, "/favicon.ico").await;
        assert_eq!((icon.status().as_u16(), header(&icon, "ratelimit")), (404, None));
    }
    let paid = get(&client, address, "/pay").await;
    assert_eq!((paid.status().as_u16(), header(&paid, "ratelimit")), (200, Some("\"default\";r=2;t=60")));
    assert_eq!(header(&get(&client, address, "/").await, "ratelimit"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backend_failure_is_503() {
    let mock = MockBackend::new();
    mock.fail_next(BackendError::unavailable("an outage"));
    let layer = RateLimitLayer::new(Limiter::new(mock), KeyExtractor::address(peer()));
    let address = serve(hello().route_layer(layer.clone())).await;
    let client = client();
    let response = get(&client, address, "/").await;
    assert_eq!((response.status().as_u16(), header(&response, "ratelimit")), (503, None));
    assert_eq!(header(&response, "content-type"), Some("application/problem+json"));
    assert_eq!(layer.backend_errors(), 1);
    assert_eq!(get(&client, address, "/").await.status(), 200);
}

/// Responds with 401, unless the password is right.
async fn login(headers: HeaderMap) -> StatusCode {
    let is_right = headers.get("x-password").is_some_and(|password| password == "correct horse");
    if is_right { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_failed_logins_count_and_no_more_are_tried_than_the_limit() {
    let (limiter, clock) = limiter("3/hour");
    let layer = RateLimitLayer::new(limiter, KeyExtractor::address(peer()))
        .count_only(|response| response.status == StatusCode::UNAUTHORIZED);
    let address = serve(Router::new().route("/", route(login)).route_layer(layer.clone())).await;
    let with_password = async |client: &reqwest::Client| {
        let request = client.get(format!("http://{address}/")).header("x-password", "correct horse");
        request.send().await.unwrap()
    };
    for _ in 0..5 {
        let response = with_password(&client()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "ratelimit"), Some("\"default\";r=3;t=3600"));
    }

    let clients: Vec<_> = (0..12).map(|_| client()).collect();
    let responses = get_concurrently(&clients, address, "/").await;
    assert_eq!((count(&responses, 401), count(&responses, 429)), (3, 9));
    assert_eq!(with_password(&client()).await.status(), 429);
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(with_password(&client()).await.status(), 200);
    assert_eq!(layer.backend_errors(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_tokens_are_limited_in_one_step() {
    let (limiter, _) = limiter("20/min");
    let tokens = limiter.clone().quota("1000/min".parse().unwrap()).namespace("tokens");
    let tokens = RateLimitLayer::new(tokens, KeyExtractor::address(peer())).cost(|_| 300);
    let layer = RateLimitLayer::new(limiter.namespace("requests"), KeyExtractor::address(peer()));
    let address = serve(hello().route_layer(layer.and(tokens).unwrap().dimension_headers())).await;

    let clients: Vec<_> = (0..12).map(|_| client()).collect();
    let responses = get_concurrently(&clients, address, "/").await;
    assert_eq!((count(&responses, 200), count(&responses, 429)), (3, 9), "the tokens are enough for 3");
    let refused = get(&client(), address, "/").await;
    assert_eq!(header(&refused, "ratelimit"), Some("\"requests\";r=17;t=60, \"tokens\";r=100;t=60"));
    assert_eq!(header(&refused, "x-ratelimit-remaining-requests"), Some("17"), "refusals spend none");
    assert_eq!(header(&refused, "x-ratelimit-reset-tokens"), Some("1m0s"));
    assert!(refused.text().await.unwrap().ends_with("\"violated-policies\":[\"tokens\"]}"));
}
