//! Problem details (RFC 9457), which a layer answers with where it lets nothing through.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What is wrong with a request, or with the service, as JSON.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    kind: Option<Cow<'static, str>>,
    title: Cow<'static, str>,
    detail: Cow<'static, str>,
    members: Vec<(&'static str, Value)>,
}

impl Problem {
    /// A problem that is just this status (`about:blank`).
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let title = status.canonical_reason().unwrap_or_default().into();
        Self { status, kind: None, title, detail: detail.into(), members: Vec::new() }
    }

    /// The URI of its type, and the title that goes with the type.
    pub(crate) fn of_type(self, uri: impl Into<Cow<'static, str>>, title: &'static str) -> Self {
        Self { kind: Some(uri.into()), ..self.titled(title) }
    }

    /// A title other than that of its status.
    pub(crate) fn titled(self, title: &'static str) -> Self {
        Self { title: title.into(), ..self }
    }

    /// A member of its own.
    pub(crate) fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// What is wrong, in words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The answer that says so. Its members are in a fixed order.
    pub(crate) fn into_response(self) -> Response<Bytes> {
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
        response
    }
}

/// Writes a member. Into memory that cannot fail, nor can texts, numbers and values as JSON.
fn write(json: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    json.push(if json.is_empty() { b'{' } else { b',' });
    let _ = serde_json::to_writer(&mut *json, name);
    json.push(b':');
    let _ = serde_json::to_writer(json, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(problem: Problem) -> String {
        String::from_utf8(problem.into_response().into_body().to_vec()).unwrap()
    }

    #[test]
    fn a_problem_is_json_in_a_fixed_order() {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "come \"later\"")
            .of_type("https://example.com/full", "Full")
            .member("violated-policies", vec!["a", "b"]);
        assert_eq!(
            body(problem),
            r#"{"type":"https://example.com/full","title":"Full","status":429,"detail":"come \"later\"","violated-policies":["a","b"]}"#
        );
        assert_eq!(
            body(Problem::new(StatusCode::BAD_REQUEST, "no key")),
            r#"{"title":"Bad Request","status":400,"detail":"no key"}"#
        );
    }
}
