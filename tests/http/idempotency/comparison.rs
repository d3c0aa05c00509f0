//! Which requests with one key are the same.

use http::{HeaderName, HeaderValue, Request, Response, Uri};
use limited::http::{BodyComparison, IdempotencyLayer};

use super::service::{Counting, Frames, Server, payment};
use super::{everywhere, layer, over_mock};
use crate::common::AnyBackend;

type Change = fn(&mut Request<Frames>);

/// Sends two requests with one key, and returns whether the second is replayed. It is a reused key
/// otherwise.
fn is_same<B: limited::Backend + 'static>(
    layer: &IdempotencyLayer<B>,
    first: Change,
    second: Change,
) -> bool {
    let server = Server::new(layer, Counting::numbered());
    let [first, second] = [first, second].map(|change| {
        let mut request = payment("alice", "key");
        change(&mut request);
        server.send(request)
    });
    assert_eq!((first.text(), server.calls()), ("payment 1", 1));
    if !second.is_replayed() {
        assert_eq!((second.status.as_u16(), second.reason().as_str()), (422, "idempotency-key-reused"));
    }
    second.is_replayed()
}

fn is_same_by_default(first: Change, second: Change) -> bool {
    is_same(&layer(over_mock().0), first, second)
}

fn set(request: &mut Request<Frames>, name: &'static str, value: &'static str) {
    request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
}

fn send_as(request: &mut Request<Frames>, content_type: &'static str, body: &'static str) {
    set(request, "content-type", content_type);
    *request.body_mut() = body.into();
}

#[test]
fn corrected_content_type_is_not_replayed() {
    everywhere(|idempotency, _| {
        let layer: IdempotencyLayer<AnyBackend> = layer(idempotency);
        for (status, corrected) in [(415, 201), (400, 422)] {
            let server = Server::new(
                &layer,
                Counting::new(move |_, request| {
                    let is_json = request.headers()["content-type"] == "application/json";
                    let status = if is_json { 201 } else { status };
                    Response::builder().status(status).body(Frames::default()).unwrap()
                }),
            );
            let send = |content_type: &'static str| {
                let mut request = payment("alice", &format!("key-{status}"));
                set(&mut request, "content-type", content_type);
                server.send(request).status.as_u16()
            };
            assert_eq!((send("text/plain"), send("application/json")), (status, corrected));
            assert_eq!(send("application/json"), corrected);
        }
    });
}

#[test]
fn content_type_and_encoding_belong_to_the_request() {
    let json: Change = |request| set(request, "content-type", "application/json");
    assert!(is_same_by_default(json, json));
    assert!(!is_same_by_default(|_| (), json));
    assert!(!is_same_by_default(json, |request| set(request, "content-type", "text/plain")));
    let gzip: Change = |request| set(request, "content-encoding", "gzip");
    assert!(is_same_by_default(gzip, gzip) && !is_same_by_default(|_| (), gzip));
    assert!(is_same_by_default(json, |request| {
        set(request, "content-type", "application/json");
        set(request, "accept", "text/html");
    }));
}

#[test]
fn chosen_headers_belong_to_the_request() {
    let version = HeaderName::from_static("api-version");
    let (one, two): (Change, Change) =
        (|request| set(request, "api-version", "1"), |request| set(request, "api-version", "2"));
    let json: Change = |request| set(request, "content-type", "application/json");
    assert!(is_same_by_default(one, two));
    let added = || layer(over_mock().0).compare_header(version.clone());
    assert!(!is_same(&added(), one, two) && is_same(&added(), one, one) && !is_same(&added(), |_| (), json));
    let replaced = || layer(over_mock().0).compared_headers([version.clone()]);
    assert!(!is_same(&replaced(), one, two) && is_same(&replaced(), |_| (), json));
}

#[test]
fn two_hosts_do_not_share_a_record() {
    let (one, two): (Change, Change) =
        (|request| set(request, "host", "a.example"), |request| set(request, "host", "b.example"));
    assert!(!is_same_by_default(one, two));
    assert!(is_same_by_default(one, |request| set(request, "host", "A.EXAMPLE")));
    // HTTP/2 has no `Host`.
    let http2: Change =
        |request| *request.uri_mut() = "https://a.example/payments?currency=eur".parse().unwrap();
    assert!(is_same_by_default(one, http2) && !is_same_by_default(two, http2));
    assert!(is_same(&layer(over_mock().0).compare_host(false), one, two));
}

#[test]
fn uri_that_a_framework_has_cut_is_compared_whole() {
    #[derive(Clone)]
    struct Original(Uri);
    let (charges, refunds): (Change, Change) = (
        |request| drop(request.extensions_mut().insert(Original("/charges/payments".parse().unwrap()))),
        |request| drop(request.extensions_mut().insert(Original("/refunds/payments".parse().unwrap()))),
    );
    assert!(is_same_by_default(charges, refunds), "without the hook the layer cannot know");
    let layer = || layer(over_mock().0).compare_uri(|parts| Some(&parts.extensions.get::<Original>()?.0));
    assert!(!is_same(&layer(), charges, refunds) && is_same(&layer(), refunds, refunds));
    // Without the extension, the URI of the request counts.
    assert!(is_same(&layer(), |_| (), |_| ()));
    assert!(!is_same(&layer(), |_| (), |request| *request.uri_mut() = "/refunds".parse().unwrap()));
}

#[test]
fn chosen_value_tells_requests_apart() {
    let (one, two): (Change, Change) = (
        |request| assert_eq!(request.extensions_mut().insert("route one"), None),
        |request| assert_eq!(request.extensions_mut().insert("route two"), None),
    );
    let layer =
        || layer(over_mock().0).compare_value(|parts| Some((*parts.extensions.get::<&str>()?).to_owned()));
    assert!(!is_same(&layer(), one, two) && !is_same(&layer(), |_| (), one));
    assert!(is_same(&layer(), one, one) && is_same(&layer(), |_| (), |_| ()));
}

#[test]
fn json_that_was_serialized_again_is_the_same_request_if_compared_by_value() {
    let one: Change = |request| send_as(request, "application/json", r#"{"cents":4200,"to":"bob"}"#);
    let other: Change = |request| send_as(request, "application/json", r#"{ "to": "bob", "cents": 4200.0 }"#);
    let wrong: Change = |request| send_as(request, "application/json", r#"{"cents":4201,"to":"bob"}"#);
    assert!(!is_same_by_default(one, other));
    for by in [BodyComparison::CanonicalJson, BodyComparison::ByContentType] {
        let layer = || layer(over_mock().0).compare_body(by);
        assert!(is_same(&layer(), one, other) && !is_same(&layer(), one, wrong));
    }
}

#[test]
fn form_with_another_boundary_is_the_same_request_if_compared_without_it() {
    let one: Change = |request| send_as(request, "multipart/form-data; boundary=x", "--x\r\n\r\n42\r\n--x--");
    let other: Change =
        |request| send_as(request, "multipart/form-data; boundary=y", "--y\r\n\r\n42\r\n--y--");
    let wrong: Change =
        |request| send_as(request, "multipart/form-data; boundary=x", "--x\r\n\r\n43\r\n--x--");
    assert!(!is_same_by_default(one, other));
    for by in [BodyComparison::Multipart, BodyComparison::ByContentType] {
        let layer = || layer(over_mock().0).compare_body(by);
        assert!(is_same(&layer(), one, other) && !is_same(&layer(), one, wrong));
    }
}

#[test]
fn chosen_function_decides_what_is_compared_of_a_body() {
    let layer =
        || layer(over_mock().0).compare_body_by(|_, body| body.starts_with(b"4").then(|| body[..2].to_vec()));
    assert!(is_same(&layer(), |_| (), |request| *request.body_mut() = "42 and more".into()));
    assert!(!is_same(&layer(), |_| (), |request| *request.body_mut() = "4100".into()));
    // If the function returns `None`, the bytes are compared.
    assert!(!is_same(
        &layer(),
        |request| *request.body_mut() = "50".into(),
        |request| *request.body_mut() = "51".into()
    ));
}
