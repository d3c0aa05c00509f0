//! The layer: its settings, and the services that it makes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_layer::Layer;

use super::config::{Config, UpstreamHeaders};
use super::{RateLimitRule, RateLimitService, RuleConflict};
use crate::http::ratelimit_headers::PolicyName;
use crate::http::{InvalidPolicyName, KeyExtractor, MissingKey, Rejection};
use crate::{Error, Limiter, OnError, Quota};

/// Limits the requests to a service.
///
/// ```
/// use http::{Request, Response};
/// use limited::http::{ClientAddress, KeyExtractor, PeerAddress, RateLimitLayer};
/// use limited::{Limiter, ManualClock, Quota};
/// use tower::{Service, ServiceExt, service_fn};
/// use tower_layer::Layer;
///
/// # type Error = Box<dyn std::error::Error>;
/// # pollster::block_on(async {
/// let limiter = Limiter::new(limited::memory::MemoryBackend::new()).quota(Quota::per_minute(2));
/// # let limiter = limiter.clock(ManualClock::new());
/// let layer = RateLimitLayer::new(limiter, KeyExtractor::address(ClientAddress::peer()));
///
/// let hello = service_fn(async |_: Request<()>| Ok::<_, Error>(Response::new(String::from("hello"))));
/// let mut service = layer.layer(hello);
///
/// for (status, remaining) in [(200, 1), (200, 0), (429, 0)] {
///     let request = Request::get("/").extension(PeerAddress([192, 0, 2, 7].into())).body(())?;
///     let response = service.ready().await?.call(request).await?;
///     assert_eq!(response.status(), status);
///     assert_eq!(response.headers()["ratelimit-policy"], "\"default\";q=2;w=60");
///     assert_eq!(response.headers()["ratelimit"], format!("\"default\";r={remaining};t=60"));
/// }
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
///
/// # What happens to a request
///
/// | the request | the response |
/// |---|---|
/// | has [cost](Self::cost) 0, or is a [skipped preflight](Self::skip_preflights) | the service's, without the headers of the layer |
/// | has [no key](KeyExtractor) | 400, or the service's: [`on_missing_key`](Self::on_missing_key) |
/// | cannot have a key, because the server is [misconfigured](crate::http::KeyError::Misconfigured) | 500 |
/// | is within the limit | the service's, with `RateLimit-Policy` and `RateLimit` |
/// | is above the limit | 429 with the same headers and `Retry-After`; the service is not called |
/// | arrives while the backend fails | 503, or the service's, according to the limiter's [`OnError`]; never 429 |
///
/// [`Rejection`] describes the responses in detail, also those to gRPC calls. The layer does not
/// read the request body.
///
/// # When the backend fails
///
/// The limiter's policy applies. With [`OnError::Allow`] the layer admits the request. The response
/// then gets no headers about limits, because nothing is known. With [`OnError::Return`] (the
/// default) and [`OnError::Deny`] the layer responds with 503.
///
/// A failure is never silent: [`backend_errors`](Self::backend_errors) counts it, and
/// [`on_backend_error`](Self::on_backend_error) is called. With the features `tracing` and
/// `metrics` the limiter reports it too: see [`telemetry`](crate::telemetry).
///
/// # Several layers on one route
///
/// Layers can be stacked, each with a [name](Self::policy_name). The headers are lists: each layer
/// appends its member to those of the inner layers. A request passes if every layer admits it. The
/// outer layer decides first. What it counted stays counted if an inner layer rejects the request.
/// [`limited::http`](crate::http#the-order-of-layers) says which layer is the outer one.
///
/// Limiters with the same namespace and window length share what they count for a key, and so do
/// their layers: each request then counts twice. Give limiters with different purposes a
/// [namespace](Limiter::namespace) each. It is also the default name of the policy. Two layers
/// without a namespace are both named `default`. The outer layer notices the equal names in the
/// response, and [warns](crate::telemetry) once.
///
/// # What the service can read
///
/// The extensions of an admitted request contain the [`Decision`](crate::Decision), such as for
/// `axum::Extension<Decision>`. Of several layers it is the decision with the least remaining. It
/// is absent if nothing was decided: the cost is 0, the request has no key, or the backend failed.
///
/// # What it costs
///
/// Per request: one decision of the limiter, one allocation for its future, one to store the
/// decision in the request, and a few for the key and the headers. [Rules](Self::rule) are tried
/// one after the other.
#[must_use = "a layer limits nothing until it wraps a service"]
pub struct RateLimitLayer<B> {
    /// One for each policy. The first is that of the layer, the others are those of its rules.
    limiters: Arc<[Limiter<B>]>,
    config: Arc<Config>,
}

/// # Creating a layer
impl<B> RateLimitLayer<B> {
    /// Creates a layer that counts each request as 1 for its key.
    pub fn new(limiter: Limiter<B>, key: KeyExtractor) -> Self {
        let (quota, algorithm) = (limiter.get_quota(), limiter.get_algorithm());
        let on_error = limiter.get_on_error();
        // The layer has to see each error to count and report it. It applies the limiter's policy
        // itself.
        let limiter = limiter.on_error(OnError::Return);
        let name = limiter.policy().name().unwrap_or(limiter.get_namespace());
        let name = PolicyName::new(name).unwrap_or_default();
        let config = Arc::new(Config::new(name, key, quota, algorithm, on_error));
        Self { limiters: Arc::new([limiter]), config }
    }

    /// Sets the name of the policy in headers and bodies, and in [telemetry](crate::telemetry).
    /// Default: the [name](Limiter::policy_name) of the limiter, or else its namespace, or else
    /// `default`. A name that no header can contain is no default.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicyName`] if a header cannot contain the name: it must be printable ASCII and
    /// not empty. Also if a [rule](Self::rule) of the layer has it.
    pub fn policy_name(self, name: impl Into<String>) -> Result<Self, InvalidPolicyName> {
        let name = PolicyName::new(name)?;
        if self.config.rule_names().any(|rule| *rule == name) {
            return Err(InvalidPolicyName::duplicate(&name));
        }
        let mut limiters = self.limiters.to_vec();
        limiters[0] = limiters[0].clone().policy_name(name.as_str());
        Ok(Self { limiters: limiters.into(), ..self }.with(|config| config.set_name(name)))
    }

    /// Sets the cost of each request. Default: 1. A request of cost 0 is not limited: it is not
    /// counted, and needs no key.
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with(|config| config.cost = Some(Arc::new(cost)))
    }

    /// Sets the quota of each request, such as that of the customer's plan. `None` stands for the
    /// limiter's own quota.
    ///
    /// All quotas with the same window length **share what they count**, as with
    /// [`Limiter::with_quota`]: a customer that changes plans keeps what was counted. Do not set
    /// the quotas of routes by this method. After three page views the first `/login`, with a quota
    /// of 2 a minute, would be rejected. [`rule`](Self::rule) counts routes apart.
    pub fn quota(self, quota: impl Fn(&Parts) -> Option<Quota> + Send + Sync + 'static) -> Self {
        self.with(|config| config.quota_of = Some(Arc::new(quota)))
    }

    /// Adds a rule: requests that it applies to have its quota, and are counted apart from all
    /// others. If several rules apply, the first that was added does.
    ///
    /// ```
    /// use http::{Request, Response};
    /// use limited::http::{ClientAddress, KeyExtractor, PeerAddress, RateLimitLayer, RateLimitRule};
    /// use limited::{Limiter, Quota, memory::MemoryBackend};
    /// use tower::{Service, ServiceExt, service_fn};
    /// use tower_layer::Layer;
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// # pollster::block_on(async {
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(100));
    /// # let limiter = limiter.clock(limited::ManualClock::new());
    /// let login = RateLimitRule::new("login", Quota::per_minute(2), |parts| parts.uri.path() == "/login")?;
    /// let layer = RateLimitLayer::new(limiter, KeyExtractor::address(ClientAddress::peer())).rule(login)?;
    ///
    /// let hello = service_fn(async |_: Request<()>| Ok::<_, Error>(Response::new(String::from("hello"))));
    /// let mut service = layer.layer(hello);
    ///
    /// // The page views do not spend the quota of the login.
    /// for (path, remaining) in [
    ///     ("/", "\"default\";r=99;t=60"),
    ///     ("/", "\"default\";r=98;t=60"),
    ///     ("/", "\"default\";r=97;t=60"),
    ///     ("/login", "\"login\";r=1;t=60"),
    /// ] {
    ///     let request = Request::get(path).extension(PeerAddress([192, 0, 2, 7].into())).body(())?;
    ///     let response = service.ready().await?.call(request).await?;
    ///     assert_eq!(response.headers()["ratelimit"], remaining);
    /// }
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// The rule has the algorithm, the clock and the [`OnError`] of the limiter, and the key and
    /// the [cost](Self::cost) of the layer. Its quota takes precedence over [`quota`](Self::quota).
    ///
    /// # Errors
    ///
    /// [`RuleConflict`] if the rule would not be counted apart, or if clients could not tell it
    /// apart: the layer or one of its rules has the name of the rule, or the limiter of the layer
    /// has its [namespace](RateLimitRule::namespace).
    pub fn rule(mut self, rule: RateLimitRule) -> Result<Self, RuleConflict> {
        let limiter = self.limiters[0].clone();
        let namespace = rule.namespace_in(limiter.get_namespace());
        if self.config.has_policy(&rule.name) {
            return Err(RuleConflict::Name(rule.name.as_str().to_owned()));
        }
        if *namespace == *limiter.get_namespace() {
            return Err(RuleConflict::Namespace(namespace.to_string()));
        }
        let limiter = limiter.namespace(namespace).quota(rule.quota).policy_name(rule.name.as_str());
        self.limiters = self.limiters.iter().cloned().chain([limiter]).collect();
        Ok(self.with(|config| config.add_rule(rule)))
    }

    /// Sets what happens to a request that has no key. Default: [`MissingKey::Reject`].
    ///
    /// The setting is about [keys that the client has not sent](crate::http::KeyError::Missing). If
    /// the server is [misconfigured](crate::http::KeyError::Misconfigured), the response is always
    /// 500.
    pub fn on_missing_key(self, missing_key: MissingKey) -> Self {
        self.with(|config| config.missing_key = missing_key)
    }

    /// Sets the function that responds to rejected requests. Default: [`Rejection::response`].
    ///
    /// The layer adds the headers about limits. It also adds `Cache-Control: no-store` if there is
    /// no `Cache-Control`, and `Retry-After` if that is missing and waiting helps.
    ///
    /// ```
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// # use limited::http::{ClientAddress, KeyExtractor, RateLimitLayer, Rejection};
    /// # let limiter = Limiter::new(MemoryBackend::new());
    /// # let key = KeyExtractor::address(ClientAddress::peer());
    /// let layer = RateLimitLayer::new(limiter, key).on_rejection(|rejection, parts| match rejection {
    ///     Rejection::Exceeded(_) if parts.uri.path() == "/" => {
    ///         let mut response = http::Response::new("<h1>Slow down</h1>".into());
    ///         *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
    ///         response
    ///     }
    ///     other => other.response(parts),
    /// });
    /// ```
    pub fn on_rejection<T: Into<Bytes>>(
        self,
        respond: impl Fn(&Rejection<'_>, &Parts) -> Response<T> + Send + Sync + 'static,
    ) -> Self {
        let respond =
            move |rejection: &Rejection<'_>, parts: &Parts| respond(rejection, parts).map(Into::into);
        self.with(|config| config.respond = Some(Arc::new(respond)))
    }

    /// Sets a function that is called whenever the backend fails, whatever the response: to log it
    /// or to raise an alarm.
    pub fn on_backend_error(self, callback: impl Fn(&Error, &Parts) + Send + Sync + 'static) -> Self {
        self.with(|config| config.on_backend_error = Some(Arc::new(callback)))
    }

    /// Sets the maximum of `Retry-After`, in whole seconds and at least 1 s. Default: 2,147,483 s,
    /// which is 24.8 days. `Duration::MAX` lifts it.
    ///
    /// The default is the longest wait for which a timer of 32 bits, in milliseconds, does not
    /// overflow. Many clients have such a timer, and retry immediately if it does: axios-retry
    /// 4.5.0 and got 14.6.6 wait for 20 days as they should, and not at all for 30 days. A client
    /// that waits for the maximum and is still early is rejected once more.
    ///
    /// After a rejection the seconds in `RateLimit` and the legacy reset have the same maximum.
    /// After an admission they are exact, since they ask no client to wait.
    /// `grpc-retry-pushback-ms` has a [maximum of its own](Rejection#grpc).
    pub fn max_retry_after(self, max: Duration) -> Self {
        self.with(|config| config.max_retry_after = max.as_secs().max(1))
    }

    /// Sets what happens to headers about limits that a response already has: from the service, or
    /// from an inner layer. Default: [`UpstreamHeaders::Append`].
    ///
    /// Set [`UpstreamHeaders::Replace`] in front of another server that has limits of its own. Its
    /// headers may have the name of your policy, or another unit: some servers write
    /// `X-RateLimit-Reset` as a Unix time, and this layer writes seconds from now. Of stacked
    /// layers, set it on the innermost: it also removes what inner layers wrote.
    pub fn upstream_headers(self, upstream_headers: UpstreamHeaders) -> Self {
        self.with(|config| config.upstream_headers = upstream_headers)
    }

    /// Does not limit preflights: `OPTIONS` requests with `Origin` and
    /// `Access-Control-Request-Method`. Default: they are limited like any other request.
    ///
    /// A browser sends a preflight before a request to another origin, without credentials. Without
    /// this setting, preflights spend the quota of the client's address. Call it if the service
    /// responds to preflights. It is not needed behind a CORS layer that does so:
    /// [the order of layers](crate::http#the-order-of-layers).
    pub fn skip_preflights(self) -> Self {
        self.with(|config| config.skips_preflights = true)
    }

    /// Sets whether the layer limits anything. Default: `true`. A layer that is disabled sends
    /// every request to the service, counts nothing, and changes no response.
    ///
    /// Use it instead of `ServiceBuilder::option_layer`, which requires layers that keep the type
    /// of the response. This layer changes the type of its body, to [`ResponseBody`].
    ///
    /// [`ResponseBody`]: crate::http::ResponseBody
    pub fn enabled(self, enabled: bool) -> Self {
        self.with(|config| config.is_enabled = enabled)
    }

    /// Also writes the legacy headers `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    ///
    /// They have room for one policy: of several layers, the one with the least remaining. No
    /// standard defines them. The reset is in seconds from now.
    pub fn legacy_headers(self) -> Self {
        self.with(|config| config.legacy_headers = true)
    }

    /// Returns how many requests had no key, over all services of this layer and its clones: those
    /// that were rejected, and those that [passed](MissingKey::Pass).
    pub fn missing_keys(&self) -> u64 {
        self.config.missing_keys.load(Ordering::Relaxed)
    }

    /// Returns how often the backend has failed, over all services of this layer and its clones.
    pub fn backend_errors(&self) -> u64 {
        self.config.backend_errors.load(Ordering::Relaxed)
    }

    fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }
}

impl<B, S> Layer<S> for RateLimitLayer<B> {
    type Service = RateLimitService<S, B>;

    fn layer(&self, inner: S) -> RateLimitService<S, B> {
        RateLimitService::new(inner, Arc::clone(&self.limiters), Arc::clone(&self.config))
    }
}

impl<B> Clone for RateLimitLayer<B> {
    fn clone(&self) -> Self {
        Self { limiters: Arc::clone(&self.limiters), config: Arc::clone(&self.config) }
    }
}

impl<B> fmt::Debug for RateLimitLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("limiter", &self.limiters[0])
            .field("config", &self.config)
            .finish()
    }
}
