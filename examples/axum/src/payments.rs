//! Payments that a client can retry if it got no response.
//!
//! ```sh
//! curl -i http://127.0.0.1:3000/payments -H 'x-api-key: alice' -H 'idempotency-key: "order-981"' \
//!     --json '{"cents": 4200}'
//! ```
//!
//! A payment that is sent twice is paid once. The retry gets the first response.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{OriginalUri, Request, State};
use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use limited::http::{BodyComparison, IdempotencyLayer, KeyExtractor};
use limited::{Backend, Claim, Idempotency};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Deserialize)]
struct Payment {
    cents: u64,
}

#[derive(Serialize)]
struct Receipt {
    number: usize,
    cents: u64,
    /// Sent along with the charge, so that a bank can refuse a token below one that it has seen.
    fencing_token: u64,
}

/// Every payment, in cents. Stands for a remote bank.
type Ledger = Arc<Mutex<Vec<u64>>>;

/// Builds the routes of payments. `caller` identifies the callers.
pub(crate) fn routes(backend: Arc<dyn Backend>, caller: KeyExtractor) -> Router {
    let idempotency = Idempotency::new(backend)
        .namespace("payments")
        // A payment that hangs does not keep its key for as long as the service runs.
        .max_run_time(Duration::from_secs(60));
    let layer = IdempotencyLayer::new(idempotency, caller)
        // A client may serialize its payment again before it retries.
        .compare_body(BodyComparison::ByContentType)
        // The path that the client sent: `nest` would cut it, and two operations could be one.
        .compare_uri(|parts| Some(&parts.extensions.get::<OriginalUri>()?.0))
        // All that the routes have, so that another method gets 405, with or without a key.
        .methods([Method::POST])
        .max_request_body(10_000)
        .on_backend_error(|error| eprintln!("payments: {error}"));
    Router::new()
        .route("/payments", post(pay))
        .with_state(Ledger::default())
        // Not `layer`: that also wraps the fallback, which would respond to every unknown path of
        // the application after `merge`.
        .route_layer(layer)
        // Outside of the layer, so that a payment finishes and its response is stored even if the
        // client disconnects.
        .route_layer(from_fn(run_in_task))
}

async fn pay(
    State(ledger): State<Ledger>,
    Extension(claim): Extension<Claim>,
    Json(Payment { cents }): Json<Payment>,
) -> Response {
    if cents > 100_000 {
        // Stored like any other response: a retry is declined too, whatever the balance is by then.
        return (StatusCode::UNPROCESSABLE_ENTITY, "declined\n").into_response();
    }
    let number = {
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.push(cents);
        ledger.len()
    };
    let receipt = Receipt { number, cents, fencing_token: claim.fencing_token() };
    (StatusCode::CREATED, [(LOCATION, format!("/payments/{number}"))], Json(receipt)).into_response()
}

async fn run_in_task(request: Request, next: Next) -> Response {
    let response = tokio::spawn(next.run(request)).await;
    response.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::HeaderMap;
    use limited::memory::MemoryBackend;
    use tower::ServiceExt;

    use super::*;
    use crate::accounts::{account, identify};

    /// Returns the status, the headers and the body of the response to a payment.
    async fn send(routes: &Router, uri: &str, api_key: &str, json: &str) -> (u16, HeaderMap, String) {
        let request = Request::post(uri)
            .header("x-api-key", api_key)
            .header("idempotency-key", "\"order-981\"")
            .header("content-type", "application/json")
            .body(Body::from(json.to_owned()))
            .unwrap();
        let (parts, body) = routes.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, 10_000).await.unwrap();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn payments() -> Router {
        routes(Arc::new(MemoryBackend::new()), account())
    }

    #[tokio::test]
    async fn payment_sent_twice_is_paid_once() {
        let routes = payments().layer(from_fn(identify));
        let (status, headers, receipt) = send(&routes, "/payments", "alice", r#"{"cents":4200}"#).await;
        assert_eq!((status, &headers[LOCATION]), (201, &"/payments/1".parse().unwrap()));

        // Also with another API key of the account, and if the client serializes its payment again.
        for (api_key, json) in [("alice", r#"{"cents":4200}"#), ("alice-2", r#"{ "cents": 4200 }"#)] {
            let (status, headers, again) = send(&routes, "/payments", api_key, json).await;
            assert_eq!((status, &headers[LOCATION]), (201, &"/payments/1".parse().unwrap()));
            assert_eq!(
                (&headers["idempotency-replayed"], again),
                (&"true".parse().unwrap(), receipt.clone())
            );
        }

        assert_eq!(send(&routes, "/payments", "alice", r#"{"cents":1}"#).await.0, 422);
        assert_eq!(send(&routes, "/payments", "bob", r#"{"cents":4200}"#).await.1[LOCATION], "/payments/2");
    }

    #[tokio::test]
    async fn nested_payments_of_another_path_are_another_request() {
        let payments = payments();
        let routes = Router::new().nest("/v1", payments.clone()).nest("/v2", payments);
        let routes = routes.layer(from_fn(identify));
        assert_eq!(send(&routes, "/v1/payments", "alice", r#"{"cents":4200}"#).await.0, 201);
        assert_eq!(send(&routes, "/v2/payments", "alice", r#"{"cents":4200}"#).await.0, 422);
    }
}
