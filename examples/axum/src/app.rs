//! The routes, and the layers in front of them.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Path};
use axum::middleware::from_fn;
use axum::routing::get;
use limited::http::{ClientAddress, KeyExtractor, RateLimitLayer, TrustedProxies};
use limited::{Algorithm, Backend, Limiter, OnError, Quota};

use crate::accounts::{account, identify};
use crate::payments;

/// Builds the service over a backend, behind this number of proxies.
pub(crate) fn app(backend: Arc<dyn Backend>, proxies: usize) -> Result<Router, Box<dyn Error>> {
    let address =
        ClientAddress::peer_from(|parts| Some(parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip()))
            .x_forwarded_for(TrustedProxies::count(proxies));
    let caller = || account().or(KeyExtractor::address(address.clone()));

    // Each address, whatever API keys it sends: 200 requests at once, then 20 a second.
    let limiter = Limiter::new(Arc::clone(&backend))
        .namespace("address")
        .algorithm(Algorithm::TokenBucket)
        .quota(Quota::per_second(20).burst(200))
        .on_error(OnError::Allow);
    let by_address =
        RateLimitLayer::new(limiter, KeyExtractor::address(address.clone())).policy_name("address")?;

    // Each caller: 20 requests at once, then 5 a second. A failing backend stops no request.
    let limiter = Limiter::new(Arc::clone(&backend))
        .namespace("burst")
        .algorithm(Algorithm::TokenBucket)
        .quota(Quota::per_second(5).burst(20))
        .on_error(OnError::Allow);
    let burst =
        RateLimitLayer::new(limiter, caller()).policy_name("burst")?.on_backend_error(|error, parts| {
            eprintln!("{} {}: admitted without a limit: {error}", parts.method, parts.uri);
        });

    // And 100 an hour. A report costs 10, a health check nothing.
    let limiter = Limiter::new(Arc::clone(&backend))
        .namespace("hourly")
        .algorithm(Algorithm::SlidingWindow)
        .quota(Quota::per_hour(100))
        .on_error(OnError::Allow);
    let hourly =
        RateLimitLayer::new(limiter, caller()).policy_name("hourly")?.cost(|parts| match parts.uri.path() {
            "/health" => 0,
            "/reports" => 10,
            _ => 1,
        });

    Ok(Router::new()
        .route("/quotes/{symbol}", get(quote))
        .route("/reports", get(async || "a long report\n"))
        .route("/health", get(async || "ok\n"))
        .merge(payments::routes(backend, account()))
        // Not `layer`: that also wraps the fallback, so a request for an unknown path such as
        // `/favicon.ico` would use up the limits of the routes. The last one is outermost.
        .route_layer(hourly)
        .route_layer(burst)
        .route_layer(from_fn(identify))
        .route_layer(by_address))
}

async fn quote(Path(symbol): Path<String>) -> String {
    format!("{symbol} 42.00\n")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::response::Response;
    use limited::memory::MemoryBackend;
    use tower::ServiceExt;

    use super::*;

    async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let peer = ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711)));
        let mut request = Request::builder().method(method).uri(path).extension(peer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn get(app: &Router, path: &str) -> Response {
        send(app, "GET", path, &[]).await
    }

    #[tokio::test]
    async fn unknown_path_is_404_and_uses_up_no_limit() {
        let app = app(Arc::new(MemoryBackend::new()), 0).unwrap();
        for _ in 0..300 {
            let icon = get(&app, "/favicon.ico").await;
            assert_eq!(icon.status(), StatusCode::NOT_FOUND);
            assert!(!icon.headers().contains_key("ratelimit"));
        }
        let quote = get(&app, "/quotes/ACME").await;
        let left = quote.headers()["ratelimit"].to_str().unwrap();
        assert!(left.contains("\"hourly\";r=99;") && left.contains("\"burst\";r=19;"), "{left}");
    }

    #[tokio::test]
    async fn unknown_path_or_method_needs_no_idempotency_key() {
        let app = app(Arc::new(MemoryBackend::new()), 0).unwrap();
        let key = [("x-api-key", "alice"), ("idempotency-key", "order-981")];
        for headers in [&[][..], &key, &key] {
            for (method, path, status) in [("POST", "/paymentz", 404), ("PATCH", "/payments", 405)] {
                let response = send(&app, method, path, headers).await;
                assert_eq!(response.status(), status, "{method} {path} {headers:?}");
                assert!(!response.headers().contains_key("idempotency-replayed"));
            }
        }
        assert_eq!(send(&app, "POST", "/payments", &[]).await.status(), StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn reports_cost_10_and_both_policies_are_reported() {
        let app = app(Arc::new(MemoryBackend::new()), 0).unwrap();
        for _ in 0..10 {
            assert_eq!(get(&app, "/reports").await.status(), StatusCode::OK);
        }
        let rejected = get(&app, "/reports").await;
        assert_eq!(rejected.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            rejected.headers()["ratelimit-policy"],
            "\"hourly\";q=100;w=3600, \"burst\";q=5;w=1;limited-burst=20, \"address\";q=20;w=1;limited-burst=200"
        );
        assert_eq!(get(&app, "/health").await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn invented_api_keys_get_no_limits_of_their_own() {
        let app = app(Arc::new(MemoryBackend::new()), 0).unwrap();
        let mut statuses = Vec::new();
        for number in 0..220 {
            let key = format!("invented-{number}");
            let response = send(&app, "GET", "/quotes/ACME", &[("x-api-key", &key)]).await;
            statuses.push(response.status());
        }
        let (first, last) = statuses.split_at(200);
        assert!(first.iter().all(|status| *status == StatusCode::UNAUTHORIZED));
        assert_eq!(last.last(), Some(&StatusCode::TOO_MANY_REQUESTS));
    }

    #[tokio::test]
    async fn keys_of_one_account_share_its_limits() {
        let app = app(Arc::new(MemoryBackend::new()), 0).unwrap();
        for key in ["alice", "alice-2", "alice"] {
            send(&app, "GET", "/reports", &[("x-api-key", key)]).await;
        }
        let left = async |key| {
            let response = send(&app, "GET", "/quotes/ACME", &[("x-api-key", key)]).await;
            response.headers()["ratelimit"].to_str().unwrap().to_owned()
        };
        assert!(left("alice-2").await.contains("\"hourly\";r=69;"));
        assert!(left("bob").await.contains("\"hourly\";r=99;"));
    }
}
