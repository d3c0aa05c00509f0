//! Stored responses: the status, some headers, the body and the trailers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;
use serde::{Deserialize, Serialize};

use super::body::{BufferedBody, BufferedRead, ReadStatus};
use super::config::Config;
use super::key_header::IDEMPOTENCY_REPLAYED;
use crate::idempotency::Codec;

/// The response of a service in the form in which it is stored, or the reason why it cannot be.
/// `Idempotency` then records that the request is done without a result.
#[derive(Debug)]
pub(super) struct CapturedResponse {
    pub(super) response: Result<StoredResponse, String>,
    max_bytes: usize,
}

/// Writes captured responses, and reads stored ones.
pub(super) const CODEC: Codec<CapturedResponse> = Codec {
    write: CapturedResponse::to_json,
    read: |json| {
        serde_json::from_str(json)
            .map(|response| CapturedResponse { response: Ok(response), max_bytes: usize::MAX })
    },
};

/// A response in the form in which it is written to the backend.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredResponse {
    status: u16,
    headers: Vec<(String, EncodedBytes)>,
    body: EncodedBytes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<(String, EncodedBytes)>,
}

/// Bytes in JSON: as text if they are UTF-8 and that is not longer, otherwise in Base64.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncodedBytes {
    Text(String),
    Base64(String),
}

impl EncodedBytes {
    fn encode(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) if json_length(text) <= bytes.len().div_ceil(3).saturating_mul(4) => {
                Self::Text(text.to_owned())
            }
            _ => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    fn decode(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

/// Returns the length of a text in JSON, without its quotes.
fn json_length(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

impl CapturedResponse {
    /// Captures a response.
    pub(super) fn of<B: Body<Data = Bytes>>(parts: &Parts, body: &BufferedRead<B>, config: &Config) -> Self {
        let response = match body.status() {
            ReadStatus::OverLimit => {
                Err(format!("its body exceeds the limit of {} bytes", config.max_response_body))
            }
            ReadStatus::CutOff => Err("its body was cut off".to_owned()),
            ReadStatus::Complete => Ok(StoredResponse::of(parts, body, config)),
        };
        Self { response, max_bytes: config.max_stored_response() }
    }

    fn to_json(&self) -> Result<String, String> {
        let json = serde_json::to_string(self.response.as_ref().map_err(Clone::clone)?)
            .map_err(|error| error.to_string())?;
        if json.len() > self.max_bytes {
            return Err(format!(
                "with its headers and trailers it takes {} bytes, more than the limit of {}",
                json.len(),
                self.max_bytes
            ));
        }
        Ok(json)
    }
}

impl StoredResponse {
    fn of<B: Body<Data = Bytes>>(parts: &Parts, body: &BufferedRead<B>, config: &Config) -> Self {
        let trailers =
            body.trailers().map(|trailers| encode_headers(trailers, |name| config.stores_trailer(name)));
        Self {
            status: parts.status.as_u16(),
            headers: encode_headers(&parts.headers, |name| config.stores_header(name)),
            body: EncodedBytes::encode(body.data()),
            trailers: trailers.unwrap_or_default(),
        }
    }

    /// Restores the response. Returns `None` if it has another format.
    ///
    /// Another writer of the store, or a layer with other settings, may have stored a header that
    /// this layer does not store. It is not replayed.
    pub(super) fn replay<B: Body>(self, config: &Config) -> Option<Response<BufferedBody<B>>> {
        let trailers = decode_headers(self.trailers, |name| config.stores_trailer(name))?;
        let trailers = (!trailers.is_empty()).then_some(trailers);
        let body = Bytes::from(self.body.decode()?);
        let mut response = Response::new(BufferedBody::full(body, trailers));
        // No server sends an informational status as the last response.
        let status = StatusCode::from_u16(self.status).ok().filter(|status| !status.is_informational())?;
        *response.status_mut() = status;
        *response.headers_mut() = decode_headers(self.headers, |name| config.stores_header(name))?;
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

fn decode_headers(
    encoded: Vec<(String, EncodedBytes)>,
    is_stored: impl Fn(&HeaderName) -> bool,
) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(encoded.len() + 1);
    for (name, value) in encoded {
        let value = HeaderValue::try_from(value.decode()?).ok()?;
        let name = HeaderName::try_from(name).ok()?;
        if is_stored(&name) {
            headers.append(name, value);
        }
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_longer_in_json_than_in_base64_is_stored_in_base64() {
        for (bytes, is_text) in [
            (vec![b'a'; 60_000], true),
            (vec![0; 60_000], false),
            (vec![b'"'; 60_000], false),
            (b"{\"a\":1}\n".to_vec(), true),
            (Vec::new(), true),
            (vec![0xff], false),
        ] {
            let encoded = EncodedBytes::encode(&bytes);
            assert_eq!(matches!(encoded, EncodedBytes::Text(_)), is_text);
            // A third more, and the name of the form.
            assert!(serde_json::to_string(&encoded).unwrap().len() <= bytes.len().div_ceil(3) * 4 + 16);
            assert_eq!(encoded.decode(), Some(bytes));
        }
    }

    proptest! {
        #[test]
        fn length_in_json_is_exact(text: String) {
            prop_assert_eq!(json_length(&text) + 2, serde_json::to_string(&text).unwrap().len());
        }
    }
}
