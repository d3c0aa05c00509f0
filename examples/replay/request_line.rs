//! Request lines of an access log.

use std::borrow::Cow;

/// The first line of a request as it was sent. It may be anything, not only HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a>(Cow<'a, str>);

impl<'a> RequestLine<'a> {
    pub(crate) const fn new(line: Cow<'a, str>) -> Self {
        Self(line)
    }

    pub(crate) fn method(&self) -> Option<&str> {
        self.parts().map(|(method, _)| method)
    }

    /// Returns the target without the query string.
    pub(crate) fn path(&self) -> Option<&str> {
        let (_, target) = self.parts()?;
        target.split(['?', '#']).next().filter(|path| !path.is_empty())
    }

    /// Returns method and target, if this is a request line (RFC 9112, section 3). Clients do send
    /// targets with spaces, although they are invalid: the protocol at the end shows where the
    /// target ends.
    fn parts(&self) -> Option<(&str, &str)> {
        let (method, rest) = self.0.split_once(' ')?;
        let target = match rest.rsplit_once(' ') {
            Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
            _ => rest,
        };
        let is_token =
            method.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        (!method.is_empty() && is_token).then_some((method, target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_path_of_any_request_line() {
        for (request, method, path) in [
            ("POST /login HTTP/1.1", Some("POST"), Some("/login")),
            ("GET /", Some("GET"), Some("/")),
            ("GET /a b?c HTTP/1.0", Some("GET"), Some("/a b")),
            ("GET /?q HTTP/2.0", Some("GET"), Some("/")),
            ("GET ?q HTTP/2.0", Some("GET"), None),
            ("GET http://example.com/x?y HTTP/1.1", Some("GET"), Some("http://example.com/x")),
            ("CONNECT example.com:443 HTTP/1.1", Some("CONNECT"), Some("example.com:443")),
            ("OPTIONS * HTTP/1.1", Some("OPTIONS"), Some("*")),
            ("\x16\x03\x01 \x02", None, None),
            ("quit", None, None),
            ("", None, None),
        ] {
            let line = RequestLine::new(request.into());
            assert_eq!((line.method(), line.path()), (method, path), "{request}");
        }
    }
}
