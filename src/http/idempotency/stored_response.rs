//! Stored responses: the status, some headers, the body and the trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

use super::body::{BufferedBody, BufferedRead, ReadStatus};
use super::key_header::IDEMPOTENCY_REPLAYED;

/// The response of a service in the form in which it is stored, or the reason why it cannot be.
///
/// It serializes like the response alone. The reason is reported as an error of the serialization:
/// `Idempotency` then records that the request is done without a result.
#[derive(Debug)]
pub(super) struct CapturedResponse(pub(super) Result<StoredResponse, String>);

/// A response in the form in which it is written to the backend.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredResponse {
    status: u16,
    headers: Vec<(String, EncodedBytes)>,
    body: EncodedBytes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<(String, EncodedBytes)>,
}

/// Bytes in JSON: as text if they are UTF-8, otherwise in Base64.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncodedBytes {
    Text(String),
    Base64(String),
}

impl EncodedBytes {
    fn encode(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn decode(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

impl CapturedResponse {
    /// Captures a response. `is_stored` selects the headers.
    pub(super) fn of<B: Body<Data = Bytes>>(
        parts: &Parts,
        body: &BufferedRead<B>,
        limit: usize,
        is_stored: impl Fn(&HeaderName) -> bool,
    ) -> Self {
        match body.status() {
            ReadStatus::OverLimit => return Self(Err(format!("the response body exceeds {limit} bytes"))),
            ReadStatus::CutOff => return Self(Err("the response body was cut off".to_owned())),
            ReadStatus::Complete => {}
        }
        let mut bytes = Vec::new();
        body.chunks().for_each(|chunk| bytes.extend_from_slice(chunk));
        Self(Ok(StoredResponse {
            status: parts.status.as_u16(),
            headers: encode_headers(&parts.headers, is_stored),
            body: EncodedBytes::encode(&bytes),
            trailers: body.trailers().map(|trailers| encode_headers(trailers, |_| true)).unwrap_or_default(),
        }))
    }
}

impl StoredResponse {
    /// Restores the response. Returns `None` if something else than this layer wrote it.
    pub(super) fn replay<B: Body>(self) -> Option<Response<BufferedBody<B>>> {
        let trailers = if self.trailers.is_empty() { None } else { Some(decode_headers(self.trailers)?) };
        let body = Bytes::from(self.body.decode()?);
        let mut response = Response::new(BufferedBody::full(body, trailers));
        *response.status_mut() = StatusCode::from_u16(self.status).ok()?;
        *response.headers_mut() = decode_headers(self.headers)?;
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    }
}

fn encode_headers(
    headers: &HeaderMap,
    is_stored: impl Fn(&HeaderName) -> bool,
) -> Vec<(String, EncodedBytes)> {
    let stored = headers.iter().filter(|(name, _)| is_stored(name));
    stored.map(|(name, value)| (name.as_str().to_owned(), EncodedBytes::encode(value.as_bytes()))).collect()
}

fn decode_headers(encoded: Vec<(String, EncodedBytes)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(encoded.len() + 1);
    for (name, value) in encoded {
        let value = HeaderValue::try_from(value.decode()?).ok()?;
        headers.append(HeaderName::try_from(name).ok()?, value);
    }
    Some(headers)
}

impl Serialize for CapturedResponse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(response) => response.serialize(serializer),
            Err(reason) => Err(S::Error::custom(reason)),
        }
    }
}

impl<'de> Deserialize<'de> for CapturedResponse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StoredResponse::deserialize(deserializer).map(|response| Self(Ok(response)))
    }
}
