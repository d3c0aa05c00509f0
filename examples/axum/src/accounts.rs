//! Accounts, and the layer that finds out which one a request belongs to.

use axum::extract::Request;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use limited::Key;
use limited::http::KeyExtractor;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The account of a request. A real service reads accounts from a database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Account(pub(crate) &'static str);

/// Each API key, and its account. Alice is replacing her key, so both belong to her account.
const KEYS: [(&str, Account); 3] =
    [("alice", Account("alice")), ("alice-2", Account("alice")), ("bob", Account("bob"))];

/// Adds the account to a request that has an API key. Rejects a key that does not exist: otherwise
/// each invented key would have limits of its own, and a claim for each payment.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    if let Some(sent) = request.headers().get(API_KEY) {
        let Some((_, account)) = KEYS.iter().find(|(key, _)| sent == key) else {
            return (StatusCode::UNAUTHORIZED, "unknown API key\n").into_response();
        };
        request.extensions_mut().insert(*account);
    }
    next.run(request).await
}

/// Extracts the account. Not the API key: a client that gets a new key and then retries a payment
/// would be another caller, and pay twice.
pub(crate) fn account() -> KeyExtractor {
    KeyExtractor::from_fn(|parts| Some(Key::new().user(parts.extensions.get::<Account>()?.0)))
}
