//! Requests without a key: of the client's fault, and of the server's.

use http::{HeaderName, Method, Request, StatusCode};
use limited::Quota;
use limited::http::{ClientAddress, KeyError, KeyExtractor, MissingKey, RateLimitLayer};
use tower::service_fn;
use tower_layer::Layer;

use super::{by_peer, hello, mocked, send};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn bare() -> Request<String> {
    Request::get("/").body(String::new()).unwrap()
}

fn error(key: &KeyExtractor) -> KeyError {
    key.extract(&bare().into_parts().0).unwrap_err()
}

#[test]
fn client_that_sends_no_key_gets_400_by_default_and_can_pass() {
    let (limiter, mock) = mocked(Quota::per_minute(10));
    let layer = RateLimitLayer::new(limiter, KeyExtractor::secret_header(API_KEY));
    let response = send(&mut layer.layer(service_fn(hello)), bare());
    assert_eq!(response.status, StatusCode::BAD_REQUEST);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        response.text(),
        r#"{"title":"Bad Request","status":400,"detail":"the header `x-api-key` is missing"}"#
    );
    assert_eq!(response.headers.len(), 2, "{:?}", response.headers);

    let layer = layer.on_missing_key(MissingKey::Pass);
    let response = send(&mut layer.layer(service_fn(hello)), bare());
    assert_eq!((response.status, response.headers.len()), (StatusCode::OK, 0));
    assert_eq!(mock.total(), 0);
    assert_eq!(layer.missing_keys(), 2);
}

#[test]
fn peer_address_that_the_server_does_not_store_is_500_and_never_passes() {
    for key in [by_peer(), KeyExtractor::address(ClientAddress::peer_from(|_| None))] {
        for missing_key in [MissingKey::Reject, MissingKey::Pass] {
            let (limiter, mock) = mocked(Quota::per_minute(10));
            let layer = RateLimitLayer::new(limiter, key.clone()).on_missing_key(missing_key);
            let mut service = layer.layer(service_fn(hello));
            let response = send(&mut service, bare());
            assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(
                response.text(),
                concat!(
                    r#"{"title":"Internal Server Error","status":500,"detail":"the server is misconfigured "#,
                    r#"and cannot identify its clients; the request is not at fault"}"#
                )
            );
            let mut call = bare();
            *call.method_mut() = Method::POST;
            call.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            assert_eq!(send(&mut service, call).header("grpc-status"), Some("13"), "INTERNAL");
            assert_eq!((mock.total(), layer.missing_keys()), (0, 2));
        }
    }
}

#[test]
fn misconfiguration_names_the_missing_extension_for_the_log_only() {
    let reason = |key: &KeyExtractor| match error(key) {
        KeyError::Misconfigured(reason) => reason.into_owned(),
        other => panic!("{other:?}"),
    };
    let missing = reason(&by_peer());
    assert!(missing.contains("`PeerAddress`") && missing.contains("`SocketAddr`"), "{missing}");
    let by_closure = KeyExtractor::address(ClientAddress::peer_from(|_| None));
    assert!(reason(&by_closure).contains("`into_make_service_with_connect_info::<SocketAddr>()`"));
    assert!(!error(&by_closure).to_string().contains("ConnectInfo"));
}

#[test]
fn fault_of_the_server_is_not_blamed_on_the_client_in_combinations() {
    let secret = || KeyExtractor::secret_header(API_KEY);
    for key in [secret().or(by_peer()), by_peer().or(secret()), by_peer().and(secret())] {
        assert!(matches!(error(&key), KeyError::Misconfigured(_)), "{key:?}");
    }
    assert!(matches!(error(&secret().and(by_peer())), KeyError::Missing(_)));
    let own = KeyExtractor::try_from_fn(|_| Err(KeyError::Misconfigured("no session".into())));
    for key in [own.clone(), secret().or(own.clone()), own.clone().and(secret())] {
        assert_eq!(error(&key), KeyError::Misconfigured("no session".into()));
    }
    let with_key = Request::get("/").header(API_KEY, "mine").body(()).unwrap().into_parts().0;
    assert_eq!(by_peer().or(secret()).extract(&with_key), secret().extract(&with_key));
    assert_eq!(secret().or(by_peer()).extract(&with_key), secret().extract(&with_key));
}
