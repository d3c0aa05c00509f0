//! Which key a request counts for.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::HeaderName;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::ClientAddress;
use crate::{InvalidKey, Key};

/// Which key a request counts for: its address, a secret, its path or route, anything else, or several together.
///
/// ```
/// use limited::Key;
/// use limited::http::{ClientAddress, KeyBy, TrustedProxies};
///
/// // The client's address, as the one proxy in front of the service has seen it.
/// let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
/// // By API key where there is one, by address where there is none; each route on its own.
/// let key = KeyBy::secret_header(http::HeaderName::from_static("x-api-key"))
///     .or(KeyBy::address(address))
///     .and(KeyBy::path());
///
/// let request = http::Request::get("/reports").header("x-forwarded-for", "192.0.2.7").body(())?;
/// let (parts, ()) = request.into_parts();
/// assert_eq!(key.key(&parts)?, Key::new().ip([192, 0, 2, 7]).part("path", "/reports"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # No two keys meet
///
/// What is put together is escaped, as [`Key::and`] does it: neither a value that holds a separator nor a missing one
/// makes the key of somebody else. A key of more than [`Key::MAX_LEN`] bytes, such as that of an endless path, is
/// replaced by its SHA-256, so that a long request is limited like any other.
///
/// # What a client can make up
///
/// A secret is counted before anybody has checked it. Whoever makes up a new API key for each request has a fresh key
/// each time; so does, by [path](Self::path), whoever makes up paths. Check credentials before the limit, or put a second
/// layer by [address](Self::address) around it. Nothing is ever taken from what a client says about its own address:
/// see [`ClientAddress`].
#[derive(Clone)]
pub struct KeyBy(Kind);

type Whole = dyn Fn(&Parts) -> Option<Key<'static>> + Send + Sync;
type Part = dyn Fn(&Parts, Key<'static>) -> Result<Key<'static>, NoKey> + Send + Sync;

#[derive(Clone)]
enum Kind {
    /// A key as the user makes it.
    Whole(Arc<Whole>),
    /// A part that is added to a key: what it is, and how.
    Part(Cow<'static, str>, Arc<Part>),
    All(Arc<[KeyBy; 2]>),
    First(Arc<[KeyBy; 2]>),
}

/// # What there is
impl KeyBy {
    /// By the address of the client: `ip:{address}`.
    pub fn address(address: ClientAddress) -> Self {
        Self::part("the client's address", move |parts, key| match address.group_of(parts) {
            Some(group) => Ok(key.ip(group)),
            None => Err(NoKey::missing("the client's address is not known")),
        })
    }

    /// By the secret in a header, such as an API key: `{header}:sha256={fingerprint}`, never the secret itself.
    ///
    /// A header that is missing or empty is no key. Nor is one that is there twice: which of the two counts would be
    /// for the client to choose; that is [`NoKey::Ambiguous`].
    ///
    /// For `Authorization: Bearer …` there is [`bearer_token`](Self::bearer_token).
    pub fn secret_header(name: HeaderName) -> Self {
        Self::part(format!("the header `{name}`"), move |parts, key| {
            let secret = only_value(parts, &name)?;
            Ok(key.secret(name.as_str(), secret))
        })
    }

    /// By the token of `Authorization: Bearer {token}` (RFC 6750): `bearer:sha256={fingerprint}`, never the token itself.
    ///
    /// However the scheme is written (`bearer`, `BEARER`), it is the same key.
    pub fn bearer_token() -> Self {
        Self::part("the bearer token", |parts, key| {
            let value = only_value(parts, &AUTHORIZATION)?;
            match value.split_at_checked(b"bearer".len()) {
                Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") && rest.starts_with(b" ") => {
                    Ok(key.secret("bearer", rest.trim_ascii()))
                }
                _ => Err(NoKey::missing("the header `authorization` holds no bearer token")),
            }
        })
    }

    /// By the path of the request, without its query: `path:{path}`.
    ///
    /// Paths are told apart as they are written. Where clients choose what is in them (`/users/7`), the
    /// [route](Self::route) is what to limit.
    pub fn path() -> Self {
        Self::part("the path", |parts, key| Ok(key.part("path", parts.uri.path())))
    }

    /// By the route that the framework has found: `route:{route}`.
    ///
    /// Frameworks leave it in an extension of the request, each in its own: with axum it is
    /// `KeyBy::route(|parts| Some(parts.extensions.get::<MatchedPath>()?.as_str()))`, in a layer of the router.
    pub fn route(route: impl Fn(&Parts) -> Option<&str> + Send + Sync + 'static) -> Self {
        Self::part("the route", move |parts, key| match route(parts) {
            Some(route) => Ok(key.part("route", route)),
            None => Err(NoKey::missing("the request has no route")),
        })
    }

    /// By anything: a user that a layer further out has signed in, a tenant in the host name.
    ///
    /// The key is taken as it is; put together with others, it is a part of its own: `key:{key}`.
    ///
    /// ```
    /// # use limited::{Key, http::KeyBy};
    /// #[derive(Clone)]
    /// struct Account { tenant: String, user: String }
    ///
    /// let key = KeyBy::with(|parts| {
    ///     let account = parts.extensions.get::<Account>()?;
    ///     Some(Key::new().tenant(&account.tenant).user(&account.user))
    /// });
    /// ```
    pub fn with(key: impl Fn(&Parts) -> Option<Key<'static>> + Send + Sync + 'static) -> Self {
        Self(Kind::Whole(Arc::new(key)))
    }

    fn part(
        what: impl Into<Cow<'static, str>>,
        add: impl Fn(&Parts, Key<'static>) -> Result<Key<'static>, NoKey> + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::Part(what.into(), Arc::new(add)))
    }
}

/// # Putting them together
impl KeyBy {
    /// By both: each pair of the two is a key of its own. There is none where one of them is missing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(Kind::All(Arc::new([self, other])))
    }

    /// By this one; where it is missing, by the other. What is [ambiguous](NoKey::Ambiguous) is not missing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(Kind::First(Arc::new([self, other])))
    }
}

/// # Reading
impl KeyBy {
    /// The key of a request.
    ///
    /// # Errors
    ///
    /// [`NoKey`], where the request has none.
    pub fn key(&self, parts: &Parts) -> Result<Key<'static>, NoKey> {
        let key = match &self.0 {
            Kind::Whole(whole) => whole(parts).ok_or_else(no_whole)?,
            _ => self.add(parts, Key::new())?,
        };
        match key.validate() {
            Ok(()) => Ok(key),
            Err(InvalidKey::Empty) => Err(no_whole()),
            Err(InvalidKey::TooLong { .. }) => Ok(Key::new().secret("long", key.as_str())),
        }
    }

    fn add(&self, parts: &Parts, key: Key<'static>) -> Result<Key<'static>, NoKey> {
        match &self.0 {
            Kind::Whole(whole) => Ok(key.part("key", whole(parts).ok_or_else(no_whole)?.as_str())),
            Kind::Part(_, add) => add(parts, key),
            Kind::All(both) => both.iter().try_fold(key, |key, one| one.add(parts, key)),
            Kind::First(both) => match both[0].add(parts, key.clone()) {
                Err(NoKey::Missing(_)) => both[1].add(parts, key),
                found => found,
            },
        }
    }
}

/// Why a request has no key. The message says what to send, and nothing that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoKey {
    /// What the key is made of is not there.
    #[error("{0}")]
    Missing(Cow<'static, str>),
    /// It is there more than once, and which one counts would be for the client to choose. Never let it pass unlimited.
    #[error("{0}")]
    Ambiguous(Cow<'static, str>),
}

impl NoKey {
    fn missing(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Missing(message.into())
    }
}

fn no_whole() -> NoKey {
    NoKey::missing("the request has nothing to count it by")
}

/// The value of a header that is there once, and not empty.
fn only_value<'a>(parts: &'a Parts, name: &HeaderName) -> Result<&'a [u8], NoKey> {
    let mut values = parts.headers.get_all(name).iter();
    let value = values.next().map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    if values.next().is_some() {
        return Err(NoKey::Ambiguous(
            format!("the header `{name}` is there more than once: send it once").into(),
        ));
    }
    if value.is_empty() {
        return Err(NoKey::missing(format!("the header `{name}` is missing")));
    }
    Ok(value)
}

impl fmt::Debug for KeyBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole(_) => f.write_str("a closure"),
            Kind::Part(what, _) => f.write_str(what),
            Kind::All(both) => write!(f, "({:?} and {:?})", both[0], both[1]),
            Kind::First(both) => write!(f, "({:?} or {:?})", both[0], both[1]),
        }
    }
}
