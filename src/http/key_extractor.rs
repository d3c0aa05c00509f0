//! Extracts the key that a request counts for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::ClientAddress;
use crate::{InvalidKey, Key};

/// Extracts the key that a request counts for: a client address, a secret, a path, a route, or
/// several together.
///
/// ```
/// use limited::Key;
/// use limited::http::{ClientAddress, KeyExtractor, TrustedProxies};
///
/// // The client address, as reported by the one proxy in front of the service.
/// let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
/// // The API key, or the address if there is none; each path counts separately.
/// let extractor = KeyExtractor::secret_header(http::HeaderName::from_static("x-api-key"))
///     .or(KeyExtractor::address(address))
///     .and(KeyExtractor::path());
///
/// let request = http::Request::get("/reports").header("x-forwarded-for", "192.0.2.7").body(())?;
/// let (parts, ()) = request.into_parts();
/// assert_eq!(extractor.extract(&parts)?, Key::new().ip([192, 0, 2, 7]).part("path", "/reports"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Distinct keys
///
/// The parts of a key are escaped, as [`Key::part`] does it. So no value, not even one that
/// contains a separator, makes the key of another request. A key above [`Key::MAX_LEN`] bytes, such
/// as that of a very long path, is replaced by its SHA-256 hash. A long request is therefore
/// limited like any other.
///
/// # What a client can invent
///
/// A secret counts before anyone has verified it. A client that invents a new API key for each
/// request gets a new key each time. The same holds for [paths](Self::path). Verify credentials
/// outside of this layer, or put a second layer by [address](Self::address) around it. Addresses
/// cannot be invented: see [`ClientAddress`].
#[derive(Clone)]
pub struct KeyExtractor(Kind);

type CustomFn = dyn Fn(&Parts) -> Result<Key<'static>, KeyError> + Send + Sync;
type PartFn = dyn Fn(&Parts, Key<'static>) -> Result<Key<'static>, KeyError> + Send + Sync;

#[derive(Clone)]
enum Kind {
    /// A complete key, made by the user's closure.
    Custom(Arc<CustomFn>),
    /// A description, and a function that adds one part to a key.
    Part(Cow<'static, str>, Arc<PartFn>),
}

/// # Extractors
impl KeyExtractor {
    /// Extracts the client address: `ip:{address}`, or `ip:{network}/{bits}` for IPv6. This is the
    /// key that [`Key::ip_network`] makes of the client and its
    /// [prefix](ClientAddress::ipv6_prefix), such as for a [reset](crate::Limiter::reset).
    ///
    /// A request whose peer is unknown is [`KeyError::Misconfigured`]: the server has not stored
    /// the address where [`ClientAddress`] reads it.
    pub fn address(address: ClientAddress) -> Self {
        Self::part("the client address", move |parts, key| match address.of(parts) {
            Some(client) => Ok(key.ip_network(client, address.prefix_bits())),
            // The server always knows its peer, so no request can lack it.
            None => Err(KeyError::Misconfigured(address.missing_peer().into())),
        })
    }

    /// Extracts the hash of the secret in a header, such as an API key: `{header}:sha256={hash}`.
    /// The secret itself is not part of the key.
    ///
    /// A header that is missing or empty is [`KeyError::Missing`]. A header that was sent twice is
    /// [`KeyError::Ambiguous`]: otherwise the client could choose which of the values counts.
    ///
    /// For `Authorization: Bearer …` use [`bearer_token`](Self::bearer_token).
    pub fn secret_header(name: HeaderName) -> Self {
        Self::part(format!("the header `{name}`"), move |parts, key| {
            let secret = single_value(parts, &name)?;
            Ok(key.secret(name.as_str(), secret))
        })
    }

    /// Extracts the hash of the token in `Authorization: Bearer {token}` (RFC 6750):
    /// `bearer:sha256={hash}`. The token itself is not part of the key.
    ///
    /// The case of the scheme (`bearer`, `BEARER`) makes no difference.
    ///
    /// A new token is a new key. Do not identify the callers of an
    /// [`IdempotencyLayer`](super::IdempotencyLayer#callers) by tokens that expire: a retry with a
    /// refreshed token would be executed again. Use the account behind the token, with
    /// [`from_fn`](Self::from_fn).
    pub fn bearer_token() -> Self {
        Self::part("the bearer token", |parts, key| {
            let value = single_value(parts, &AUTHORIZATION)?;
            match value.split_at_checked(b"bearer".len()) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ") => {
                    Ok(key.secret("bearer", rest.trim_ascii()))
                }
                _ => Err(KeyError::missing("the header `authorization` has no bearer token")),
            }
        })
    }

    /// Extracts the path of the request, without its query: `path:{path}`.
    ///
    /// Paths are compared as written. If clients choose a part of the path (`/users/7`), limit by
    /// [route](Self::route) instead. In axum, `Router::nest` removes the prefix, so
    /// `/v1/charges/payments` and `/v1/refunds/payments` are one path to a layer of the nested
    /// router. Put the layer outside of `nest`, or read axum's `OriginalUri` by
    /// [`from_fn`](Self::from_fn).
    pub fn path() -> Self {
        Self::part("the path", |parts, key| Ok(key.part("path", parts.uri.path())))
    }

    /// Extracts the route that the framework matched: `route:{route}`.
    ///
    /// Each framework stores the route in an extension of its own. With axum, in a layer of the
    /// router:
    /// `KeyExtractor::route(|parts| Some(parts.extensions.get::<MatchedPath>()?.as_str()))`. The
    /// repository compiles this line in `tests/e2e`.
    ///
    /// Use `Router::route_layer`. With `Router::layer` a request to a path without a route has
    /// [no key](KeyError::Missing), and gets 400 and not 404.
    pub fn route(route: impl Fn(&Parts) -> Option<&str> + Send + Sync + 'static) -> Self {
        Self::part("the route", move |parts, key| match route(parts) {
            Some(route) => Ok(key.part("route", route)),
            None => Err(KeyError::missing("the request has no route")),
        })
    }

    /// Extracts whatever the closure returns, such as a user that an outer layer has authenticated.
    ///
    /// On its own the key is used unchanged. Combined with others it becomes one escaped part:
    /// `key:{key}`.
    ///
    /// ```
    /// # use limited::{Key, http::KeyExtractor};
    /// #[derive(Clone)]
    /// struct Account { tenant: String, user: String }
    ///
    /// let extractor = KeyExtractor::from_fn(|parts| {
    ///     let account = parts.extensions.get::<Account>()?;
    ///     Some(Key::new().tenant(&account.tenant).user(&account.user))
    /// });
    /// ```
    pub fn from_fn(key: impl Fn(&Parts) -> Option<Key<'static>> + Send + Sync + 'static) -> Self {
        Self::try_from_fn(move |parts| key(parts).ok_or_else(no_key))
    }

    /// Extracts whatever the closure returns, as [`from_fn`](Self::from_fn) does. The closure also
    /// says who is at fault if there is no key.
    ///
    /// ```
    /// # use limited::{Key, http::{KeyError, KeyExtractor}};
    /// # #[derive(Clone)]
    /// # struct Session { user: Option<String> }
    /// let extractor = KeyExtractor::try_from_fn(|parts| match parts.extensions.get::<Session>() {
    ///     Some(Session { user: Some(user) }) => Ok(Key::new().user(user)),
    ///     // The client gets 400.
    ///     Some(_) => Err(KeyError::Missing("log in first".into())),
    ///     // The client gets 500, and the log a warning.
    ///     None => Err(KeyError::Misconfigured("no extension `Session`; add the layer of sessions".into())),
    /// });
    /// ```
    pub fn try_from_fn(
        key: impl Fn(&Parts) -> Result<Key<'static>, KeyError> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Custom(Arc::new(key)))
    }

    fn part(
        description: impl Into<Cow<'static, str>>,
        add: impl Fn(&Parts, Key<'static>) -> Result<Key<'static>, KeyError> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Part(description.into(), Arc::new(add)))
    }
}

/// # Combining extractors
impl KeyExtractor {
    /// Combines both keys: each pair of values counts separately. If one of the two is missing, so
    /// is the pair.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self::part(format!("({self:?} and {other:?})"), move |parts, key| {
            other.add(parts, self.add(parts, key)?)
        })
    }

    /// Uses the other extractor if this one's key is missing. An [ambiguous](KeyError::Ambiguous)
    /// key is not missing.
    ///
    /// An error of the server is not missing either. If this extractor is
    /// [misconfigured](KeyError::Misconfigured), so is the combination. Otherwise a limit by
    /// address would silently become one by a header that clients invent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self::part(format!("({self:?} or {other:?})"), move |parts, key| match self.add(parts, key.clone()) {
            Err(KeyError::Missing(_)) => other.add(parts, key),
            result => result,
        })
    }
}

/// # Extracting
impl KeyExtractor {
    /// Returns the key of a request.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the request has no key.
    pub fn extract(&self, parts: &Parts) -> Result<Key<'static>, KeyError> {
        let key = match &self.0 {
            Kind::Custom(custom) => custom(parts)?,
            Kind::Part(_, add) => add(parts, Key::new())?,
        };
        if key.validate() == Err(InvalidKey::Empty) { Err(no_key()) } else { Ok(hash_if_too_long(key)) }
    }

    fn add(&self, parts: &Parts, key: Key<'static>) -> Result<Key<'static>, KeyError> {
        match &self.0 {
            Kind::Custom(custom) => Ok(key.part("key", custom(parts)?.as_str())),
            Kind::Part(_, add) => add(parts, key),
        }
    }
}

/// Replaces a key that is too long for a backend by its SHA-256 hash.
fn hash_if_too_long(key: Key<'static>) -> Key<'static> {
    match key.validate() {
        Err(InvalidKey::TooLong { .. }) => hash(&key),
        _ => key,
    }
}

/// Replaces a key of more than `max` bytes by its SHA-256 hash.
pub(super) fn hash_if_longer(key: Key<'static>, max: usize) -> Key<'static> {
    if key.as_str().len() > max { hash(&key) } else { key }
}

fn hash(key: &Key<'_>) -> Key<'static> {
    Key::new().secret("long", key.as_str())
}

/// Why a request has no key. The message is meant for the client: it says what to send. It repeats
/// nothing that the client sent, and nothing about the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The request lacks what the key is made of.
    #[error("{0}")]
    Missing(Cow<'static, str>),
    /// The header was sent more than once, so the client could choose which value counts. Never let
    /// such a request pass unlimited.
    #[error("{0}")]
    Ambiguous(Cow<'static, str>),
    /// The server lacks what the key is made of, such as the address of the peer. No request can
    /// have a key then, and no client can do anything about it. The text is for the log, and names
    /// what is missing. It is not part of the message.
    #[error("the server is misconfigured and cannot identify its clients; the request is not at fault")]
    Misconfigured(Cow<'static, str>),
}

impl KeyError {
    fn missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing(message.into())
    }
}

fn no_key() -> KeyError {
    KeyError::missing("the request has no key")
}

/// What a layer does with a request that has [no key](KeyError::Missing).
///
/// A request with an [ambiguous](KeyError::Ambiguous) key is always rejected: if it could pass,
/// clients would use that to get around the limit. If the server is
/// [misconfigured](KeyError::Misconfigured), every request is rejected: otherwise the limit would
/// be off without anyone noticing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingKey {
    /// Responds with 400 and says what is missing.
    #[default]
    Reject,
    /// Sends the request to the service, as if there were no layer.
    Pass,
}

limited_core::named_setting!(MissingKey, "behaviour without a key" {
    Reject => "reject",
    Pass => "pass",
});

/// Returns the value of a header that was sent once and is not empty.
fn single_value<'a>(parts: &'a Parts, name: &HeaderName) -> Result<&'a [u8], KeyError> {
    let mut values = parts.headers.get_all(name).iter();
    let value = values.next().map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    if values.next().is_some() {
        return Err(KeyError::Ambiguous(
            format!("the header `{name}` was sent more than once; send it once").into(),
        ));
    }
    if value.is_empty() {
        return Err(KeyError::missing(format!("the header `{name}` is missing")));
    }
    Ok(value)
}

impl fmt::Debug for KeyExtractor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Custom(_) => f.write_str("a closure"),
            Kind::Part(description, _) => f.write_str(description),
        }
    }
}
