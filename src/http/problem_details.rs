//! Problem details (RFC 9457): the body of a response that a layer sends instead of the service.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The `Cache-Control` of each response of a layer's own. A proxy that caches every status would
/// otherwise send the rejection of one client to all clients.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Describes why a request was not served, as JSON.
#[derive(Clone, Debug)]
pub(super) struct ProblemDetails {
    status: StatusCode,
    kind: Option<Cow<'static, str>>,
    title: Cow<'static, str>,
    detail: Cow<'static, str>,
    members: Vec<(&'static str, Value)>,
}

impl ProblemDetails {
    /// Creates a problem without a type (`about:blank`): the status says everything.
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let title = status.canonical_reason().unwrap_or_default().into();
        Self { status, kind: None, title, detail: detail.into(), members: Vec::new() }
    }

    /// Sets the URI of the type, and the title of that type.
    pub(super) fn with_type(self, uri: impl Into<Cow<'static, str>>, title: &'static str) -> Self {
        Self { kind: Some(uri.into()), ..self.with_title(title) }
    }

    /// Replaces the title, which is that of the status by default.
    pub(super) fn with_title(self, title: &'static str) -> Self {
        Self { title: title.into(), ..self }
    }

    /// Adds a member that RFC 9457 does not define.
    pub(super) fn with_member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// Returns the explanation for humans.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns the response with this problem as its body. The order of the members is fixed.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let mut json = Vec::with_capacity(256);
        if let Some(kind) = &self.kind {
            write(&mut json, "type", kind);
        }
        write(&mut json, "title", &self.title);
        write(&mut json, "status", &self.status.as_u16());
        write(&mut json, "detail", &self.detail);
        for (name, value) in &self.members {
            write(&mut json, name, value);
        }
        json.push(b'}');

        let mut response = Response::new(Bytes::from(json));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        response
    }
}

/// Writes a member. Writing strings, numbers and JSON values to memory cannot fail.
fn write(json: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    json.push(if json.is_empty() { b'{' } else { b',' });
    let _ = serde_json::to_writer(&mut *json, name);
    json.push(b':');
    let _ = serde_json::to_writer(json, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: ProblemDetails) -> String {
        String::from_utf8(problem.into_response().into_body().to_vec()).unwrap()
    }

    #[test]
    fn members_are_written_in_a_fixed_order() {
        let problem = ProblemDetails::new(StatusCode::TOO_MANY_REQUESTS, "come \"later\"")
            .with_type("https://example.com/full", "Full")
            .with_member("violated-policies", vec!["a", "b"]);
        assert_eq!(
            body(problem),
            r#"{"type":"https://example.com/full","title":"Full","status":429,"detail":"come \"later\"","violated-policies":["a","b"]}"#
        );
        assert_eq!(
            body(ProblemDetails::new(StatusCode::BAD_REQUEST, "no key")),
            r#"{"title":"Bad Request","status":400,"detail":"no key"}"#
        );
    }
}
