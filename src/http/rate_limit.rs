//! The layer that limits requests.

mod future;
mod rules;
mod service;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_layer::Layer;

pub use self::future::RateLimitFuture;
use self::rules::Rules;
pub use self::service::RateLimit;
use super::headers::PolicyName;
use super::refusal::Respond;
use super::{InvalidPolicyName, KeyBy, Refusal};
use crate::{Error, Limiter, OnError, Quota};

/// Limits the requests to a service, over any backend.
///
/// ```
/// use http::{Request, Response};
/// use limited::http::{ClientAddress, KeyBy, PeerAddress, RateLimitLayer};
/// use limited::{Limiter, ManualClock, Quota};
/// use tower::{Service, ServiceExt, service_fn};
/// use tower_layer::Layer;
///
/// # type Error = Box<dyn std::error::Error>;
/// # pollster::block_on(async {
/// let limiter = Limiter::new(limited::memory::MemoryBackend::new()).quota(Quota::per_minute(2));
/// # let limiter = limiter.clock(ManualClock::new());
/// let layer = RateLimitLayer::new(limiter, KeyBy::address(ClientAddress::peer()));
///
/// let hello = service_fn(async |_: Request<()>| Ok::<_, Error>(Response::new(String::from("hello"))));
/// let mut service = layer.layer(hello);
///
/// for (status, left) in [(200, 1), (200, 0), (429, 0)] {
///     let request = Request::get("/").extension(PeerAddress([192, 0, 2, 7].into())).body(())?;
///     let response = service.ready().await?.call(request).await?;
///     assert_eq!(response.status(), status);
///     assert_eq!(response.headers()["ratelimit-policy"], "\"default\";q=2;w=60");
///     assert_eq!(response.headers()["ratelimit"], format!("\"default\";r={left};t=60"));
/// }
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
///
/// # What happens to a request
///
/// | | answer |
/// |---|---|
/// | its [cost](Self::cost) is 0 | the service's, as it is |
/// | it has [no key](KeyBy) | 400, or the service's: [`without_key`](Self::without_key) |
/// | it is within the limit | the service's, with `RateLimit-Policy` and `RateLimit` |
/// | it is above | 429 with the same and `Retry-After`; the service is not called |
/// | the backend fails | 503, or the service's, as the limiter's [`OnError`] has it; never 429 |
///
/// [`Refusal`] has the answers in detail, also those to gRPC calls. The body of a request is not looked at.
///
/// # When the backend fails
///
/// The limiter's own policy holds: with [`OnError::Allow`] requests are let through, without headers about limits, since
/// nothing is known; with [`OnError::Return`] (the default) and [`OnError::Deny`] the answer is 503. Either way it is
/// never silent: [`backend_errors`](Self::backend_errors) counts, [`on_backend_error`](Self::on_backend_error) is called,
/// and with the features `tracing` and `metrics` the limiter tells, as [`observability`](crate::observability) says.
///
/// # Several on one route
///
/// Layers stack, each with a [name](Self::named): the headers are lists, to which each layer adds its member after those
/// of the layers further in. A request passes if every layer lets it. The outer one asks first; what it has counted stays
/// counted where an inner one refuses.
///
/// Two layers count in the same place where their limiters do, as those say: limiters with the same namespace and length of
/// window share what they count for a key. So give limiters that stand for different things a
/// [namespace](Limiter::namespace) each.
///
/// # What it costs
///
/// Per request one decision of the limiter, one allocation for its future, and a few for the key and the headers.
#[must_use = "a layer limits nothing until it is put in front of a service"]
pub struct RateLimitLayer<B> {
    limiter: Limiter<B>,
    rules: Arc<Rules>,
}

/// What a request is answered with that has [no key](super::NoKey::Missing).
///
/// What is [ambiguous](super::NoKey::Ambiguous) is always refused: letting it pass would be the way around the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WithoutKey {
    /// 400, saying what is missing.
    #[default]
    Refuse,
    /// The service's own answer: requests without a key are not limited.
    Pass,
}

/// # Making a layer
impl<B> RateLimitLayer<B> {
    /// A layer that counts a request as one, for its key; a policy named `default`.
    pub fn new(limiter: Limiter<B>, key: KeyBy) -> Self {
        let (quota, algorithm, on_error) = limiter.settings();
        // The layer sees each failure itself: it is counted, and told, before the limiter's policy is carried out.
        let limiter = limiter.on_error(OnError::Return);
        Self { limiter, rules: Arc::new(Rules::new(key, quota, algorithm, on_error)) }
    }

    /// Names the policy, in headers and answers.
    ///
    /// # Errors
    ///
    /// For what cannot be in a header: names are printable ASCII.
    pub fn named(self, name: impl Into<String>) -> Result<Self, InvalidPolicyName> {
        let name = PolicyName::new(name)?;
        Ok(self.with(|rules| rules.set_name(name)))
    }

    /// What a request costs. 0 is for requests that are not limited: they are neither counted, nor need they a key.
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.cost = Some(Arc::new(cost)))
    }

    /// The quota of a request, such as that of the customer's plan; where there is `None`, the limiter's own.
    ///
    /// As with [`allow_with`](Limiter::allow_with), windows of the same length are counted in the same place.
    pub fn quota(self, quota: impl Fn(&Parts) -> Option<Quota> + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.quota_of = Some(Arc::new(quota)))
    }

    /// What to do with a request that has no key: refused with 400, unless set.
    pub fn without_key(self, without_key: WithoutKey) -> Self {
        self.with(|rules| rules.without_key = without_key)
    }

    /// Answers refused requests by a function of your own; [`Refusal::response`] is the usual answer.
    ///
    /// The layer adds the headers about limits, and `Retry-After` where it is missing and waiting helps.
    ///
    /// ```
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// # use limited::http::{ClientAddress, KeyBy, RateLimitLayer, Refusal};
    /// # let limiter = Limiter::new(MemoryBackend::new());
    /// # let key = KeyBy::address(ClientAddress::peer());
    /// let layer = RateLimitLayer::new(limiter, key).refuse_with(|refusal, parts| match refusal {
    ///     Refusal::Exceeded(_) if parts.uri.path() == "/" => {
    ///         let mut response = http::Response::new("<h1>Slow down</h1>".into());
    ///         *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    ///         response
    ///     }
    ///     other => other.response(parts),
    /// });
    /// ```
    pub fn refuse_with<T: Into<Bytes>>(
        self,
        respond: impl Fn(&Refusal<'_>, &Parts) -> Response<T> + Send + Sync + 'static,
    ) -> Self {
        self.with(|rules| rules.respond = Some(Respond::new(respond)))
    }

    /// Calls a function each time the backend fails, whatever is answered then: to log it, to raise an alarm.
    pub fn on_backend_error(self, told: impl Fn(&Error, &Parts) + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.on_backend_error = Some(Arc::new(told)))
    }

    /// Writes the older `X-RateLimit-Limit`, `-Remaining` and `-Reset` too. They hold one policy: of several layers that
    /// write them, the one with the least left. There is no standard for them; the reset is in seconds from now.
    pub fn old_headers(self) -> Self {
        self.with(|rules| rules.old_headers = true)
    }

    /// How often the backend has failed, in all services that this layer, or a clone of it, has made.
    pub fn backend_errors(&self) -> u64 {
        self.rules.backend_errors.load(Ordering::Relaxed)
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl<B, S> Layer<S> for RateLimitLayer<B> {
    type Service = RateLimit<S, B>;

    fn layer(&self, inner: S) -> RateLimit<S, B> {
        RateLimit::new(inner, self.limiter.clone(), Arc::clone(&self.rules))
    }
}

impl<B> Clone for RateLimitLayer<B> {
    fn clone(&self) -> Self {
        Self { limiter: self.limiter.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<B> fmt::Debug for RateLimitLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("limiter", &self.limiter).field("rules", &self.rules).finish()
    }
}
