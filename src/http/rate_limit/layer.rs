//! The layer: its settings, and the services that it makes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use tower_layer::Layer;

use super::config::Config;
use super::keyed_limiter::KeyedLimiter;
use super::policy::PolicyGroup;
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
/// | has [cost](Self::cost) 0, or is [skipped](Self::skip) | the service's, without the headers of the layer |
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
/// # Several policies in one layer
///
/// A limiter with [several quotas](Limiter::quotas) has a policy for each. [`and`](Self::and) adds
/// the limiters of another layer, with keys and costs of their own. All of them decide in one step:
/// a request is counted by all policies, or by none. A response has one `RateLimit-Policy` and one
/// `RateLimit` list with all of them. A 429 names those that refuse, and asks to wait for the
/// longest.
///
/// A limiter in [shadow](Limiter::shadow) rejects nothing. No header and no body shows it, also if
/// it admits the request. The service can read
/// [`Decision::is_shadowed`](crate::Decision::is_shadowed).
///
/// # Several layers on one route
///
/// Prefer several policies in one layer, if the limiters share a backend and decide at the same
/// place. Layers can also be stacked, each with a [name](Self::policy_name). The headers are lists:
/// each layer appends its member to those of the inner layers. A request passes if every layer
/// admits it. The outer layer decides first. What it counted stays counted if an inner layer
/// rejects the request.
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
/// `axum::Extension<Decision>`. Of several policies it is a summary, with the decision of
/// [each](crate::Decision::limits). Of several layers it is the decision with the least remaining,
/// and never one in shadow if there is another. It is absent if nothing was decided: the cost is 0,
/// the request has no key, or the backend failed.
///
/// # What it costs
///
/// Per request: one decision of the limiter, one allocation for its future, one to store the
/// decision in the request, and a few for the key and the headers. [Rules](Self::rule) are tried
/// one after the other. Several policies are one [`increment_all`](crate::Backend::increment_all).
/// [`count_only`](Self::count_only) adds a refund for each request that does not count.
#[must_use = "a layer limits nothing until it wraps a service"]
pub struct RateLimitLayer<B> {
    /// Those of the layer and of its rules. The policies have their indexes.
    pub(super) limiters: Arc<[Limiter<B>]>,
    pub(super) config: Arc<Config>,
}

/// # Creating a layer
impl<B> RateLimitLayer<B> {
    /// Creates a layer that counts each request as 1 for its key.
    ///
    /// If the limiter has [several quotas](Limiter::quotas), a request passes if each of them
    /// admits it, and is counted by all of them or by none. Each is a policy of its own in the
    /// headers.
    pub fn new(limiter: Limiter<B>, key: KeyExtractor) -> Self {
        let on_error = limiter.get_on_error();
        // The layer has to see each error to count and report it. It applies the limiter's policy
        // itself.
        let limiter = limiter.on_error(OnError::Return);
        let name = limiter.policy().name().unwrap_or(limiter.get_namespace());
        let name = PolicyName::new(name).unwrap_or_default();
        let group = PolicyGroup::new(0, &limiter, name, None);
        let config = Arc::new(Config::new(KeyedLimiter::new(vec![group], key), on_error));
        Self { limiters: Arc::new([limiter]), config }
    }

    /// Sets the name of the policy in headers and bodies, and in [telemetry](crate::telemetry).
    /// Default: the [name](Limiter::policy_name) of the limiter, or else its namespace, or else
    /// `default`. A name that no header can contain is no default.
    ///
    /// If the limiter has several quotas, each policy is named after its window too: the policies
    /// of `10/s; 500/10min; 20000/day` are `api-second`, `api-10min` and `api-day` by the name
    /// `api`. [`policy_names`](Self::policy_names) sets other names.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicyName`] if a header cannot contain the name: it must be printable ASCII and
    /// not empty. Also if another policy of the layer has it.
    pub fn policy_name(self, name: impl Into<String>) -> Result<Self, InvalidPolicyName> {
        let name = PolicyName::new(name)?;
        let mut group = self.config.keyed[0].groups[0].clone();
        group.set_name(name.clone());
        let mut layer = self.with_first_group(group)?;
        let mut limiters = layer.limiters.to_vec();
        limiters[0] = limiters[0].clone().policy_name(name.as_str());
        layer.limiters = limiters.into();
        Ok(layer)
    }

    /// Sets the name of each policy in headers and bodies, in the order of the limiter's quotas.
    /// Default: names that follow from [`policy_name`](Self::policy_name).
    ///
    /// [Telemetry](crate::telemetry) keeps one name for the limiter, because it decides about all
    /// quotas at once.
    ///
    /// # Errors
    ///
    /// [`InvalidPolicyName`] if a header cannot contain a name, if there is not one name for each
    /// quota, or if another policy of the layer has one of them.
    pub fn policy_names<N: Into<String>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, InvalidPolicyName> {
        let names: Vec<PolicyName> = names.into_iter().map(PolicyName::new).collect::<Result<_, _>>()?;
        let mut group = self.config.keyed[0].groups[0].clone();
        if let Some(repeated) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name))
        {
            return Err(InvalidPolicyName::duplicate(repeated.1));
        }
        if names.len() != group.policies.len() {
            let names: Vec<_> = names.iter().map(PolicyName::as_str).collect();
            return Err(InvalidPolicyName::not_one_each(names.join(", ")));
        }
        group.set_names(names);
        self.with_first_group(group)
    }

    /// Replaces the policies of the first limiter, unless they have a name of another policy.
    fn with_first_group(self, group: PolicyGroup) -> Result<Self, InvalidPolicyName> {
        let is_taken = |name: &&PolicyName| self.config.groups().skip(1).any(|other| other.has_name(name));
        if let Some(taken) = group.names().find(is_taken) {
            return Err(InvalidPolicyName::duplicate(taken));
        }
        Ok(self.with(|config| config.keyed[0].groups[0] = group))
    }

    /// Sets the cost of each request. Default: 1. A request of cost 0 is not limited: it is not
    /// counted, and needs no key.
    pub fn cost(self, cost: impl Fn(&Parts) -> u64 + Send + Sync + 'static) -> Self {
        self.with_first(|limiter| limiter.cost = Some(Arc::new(cost)))
    }

    /// Sets the quota of each request, such as that of the customer's plan. `None` stands for the
    /// limiter's own quota, or for all of its quotas.
    ///
    /// All quotas with the same window length **share what they count**, as with
    /// [`Limiter::with_quota`]: a customer that changes plans keeps what was counted. Do not set
    /// the quotas of routes by this method. After three page views the first `/login`, with a quota
    /// of 2 a minute, would be rejected. [`rule`](Self::rule) counts routes apart.
    pub fn quota(self, quota: impl Fn(&Parts) -> Option<Quota> + Send + Sync + 'static) -> Self {
        self.with_first(|limiter| limiter.quota_of = Some(Arc::new(quota)))
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
        if *namespace == *limiter.get_namespace() {
            return Err(RuleConflict::Namespace(namespace.to_string()));
        }
        let limiter = limiter.namespace(namespace).quotas(rule.quotas).policy_name(rule.name.as_str());
        let group = PolicyGroup::new(self.limiters.len(), &limiter, rule.name, Some(rule.applies));
        let taken = group.names().find(|name| self.config.groups().any(|other| other.has_name(name)));
        if let Some(taken) = taken {
            return Err(RuleConflict::Name(taken.as_str().to_owned()));
        }
        self.limiters = self.limiters.iter().cloned().chain([limiter]).collect();
        Ok(self.with_first(|limiter| limiter.groups.push(group)))
    }

    /// Sets what happens to a request that has no key. Default: [`MissingKey::Reject`].
    ///
    /// The setting is about [keys that the client has not sent](crate::http::KeyError::Missing). If
    /// the server is [misconfigured](crate::http::KeyError::Misconfigured), the response is always
    /// 500.
    pub fn on_missing_key(self, missing_key: MissingKey) -> Self {
        self.with_first(|limiter| limiter.missing_key = missing_key)
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

    /// Returns how many requests had no key, over all services of this layer and its clones: those
    /// that were rejected, and those that [passed](MissingKey::Pass).
    pub fn missing_keys(&self) -> u64 {
        self.config.missing_keys.load(Ordering::Relaxed)
    }

    /// Returns how often the backend has failed, over all services of this layer and its clones.
    pub fn backend_errors(&self) -> u64 {
        self.config.backend_errors.load(Ordering::Relaxed)
    }

    pub(super) fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    /// Changes the limiter that the layer was created with.
    fn with_first(self, change: impl FnOnce(&mut KeyedLimiter)) -> Self {
        self.with(|config| change(&mut config.keyed[0]))
    }

    /// Changes all limiters that the layer has by now.
    pub(super) fn with_each(self, change: impl FnMut(&mut KeyedLimiter)) -> Self {
        self.with(|config| config.keyed.iter_mut().for_each(change))
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
