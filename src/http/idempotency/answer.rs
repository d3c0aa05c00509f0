//! Answers as they are kept: status, some headers, and the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use super::buffer::{BufferedBody, Extent, Read};
use super::header::IDEMPOTENCY_REPLAYED;

/// An answer that can be kept, or why not.
#[derive(Debug)]
pub(super) struct Answer(pub(super) Result<Kept, String>);

/// An answer as it is written to the backend.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    status: u16,
    headers: Vec<(String, Octets)>,
    body: Octets,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<(String, Octets)>,
}

/// Bytes in JSON: as they are, where they are text.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Octets {
    Text(String),
    Base64(String),
}

impl Octets {
    fn of(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

impl Answer {
    /// What is kept of an answer.
    pub(super) fn of<B: Body<Data = Bytes>>(
        parts: &Parts,
        body: &Read<B>,
        limit: usize,
        is_kept: impl Fn(&HeaderName) -> bool,
    ) -> Self {
        match body.extent() {
            Extent::OverLimit => return Self(Err(format!("the body has more than {limit} bytes"))),
            Extent::BrokenOff => return Self(Err("the body broke off".to_owned())),
            Extent::Whole => {}
        }
        let octets = body.chunks().fold(Vec::new(), |mut octets, chunk| {
            octets.extend_from_slice(chunk);
            octets
        });
        Self(Ok(Kept {
            status: parts.status.as_u16(),
            headers: written(&parts.headers, is_kept),
            body: Octets::of(&octets),
            trailers: body.trailers().map(|trailers| written(trailers, |_| true)).unwrap_or_default(),
        }))
    }
}

impl Kept {
    /// The answer once more; `None` where it is none that we wrote.
    pub(super) fn replay<B: Body>(self) -> Option<Response<BufferedBody<B>>> {
        let trailers = if self.trailers.is_empty() { None } else { Some(read(self.trailers)?) };
        let body = Bytes::from(self.body.into_bytes()?);
        let mut response = Response::new(BufferedBody::own(body, trailers));
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        *response.headers_mut() = read(self.headers)?;
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    }
}

fn written(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> Vec<(String, Octets)> {
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    kept.map(|(name, value)| (name.as_str().to_owned(), Octets::of(value.as_bytes()))).collect()
}

fn read(headers: Vec<(String, Octets)>) -> Option<HeaderMap> {
    let mut read = HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let value = HeaderValue::try_from(value.into_bytes()?).ok()?;
        read.append(HeaderName::try_from(name).ok()?, value);
    }
    Some(read)
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(kept) => kept.serialize(serializer),
            Err(reason) => Err(S::Error::custom(reason)),
        }
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Kept::deserialize(deserializer).map(|kept| Self(Ok(kept)))
    }
}
