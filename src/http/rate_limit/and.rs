//! Several limiters in one layer.

use std::fmt;

use super::RateLimitLayer;
use super::policy::PolicyGroup;

/// Why a layer cannot decide by the limiters of another one too.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerConflict {
    /// Both layers have a policy of this name.
    #[error("both layers have a policy `{0}`; expected a name of its own for each policy")]
    Name(String),
    /// Both layers have a limiter with this namespace.
    #[error("both layers have a limiter with the namespace `{}`; expected a namespace of its own for each limiter", .0.escape_debug())]
    Namespace(String),
    /// The limiters of the layers do not share a backend.
    #[error(
        "the limiters of the layers do not share a backend; create one limiter and clone it for the other"
    )]
    Backend,
}

impl fmt::Debug for LayerConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        limited_core::debug_error(f, "LayerConflict", self)
    }
}

/// # Several limiters in one layer
impl<B> RateLimitLayer<B> {
    /// Decides by the limiters of another layer too, in one step: a request passes if all limiters
    /// admit it, and is counted by all of them or by none.
    ///
    /// ```
    /// use http::{HeaderName, Request, Response};
    /// use limited::http::{KeyExtractor, RateLimitLayer};
    /// use limited::{Limiter, Quota, memory::MemoryBackend};
    /// use tower::{Service, ServiceExt, service_fn};
    /// use tower_layer::Layer;
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// # pollster::block_on(async {
    /// // A clone shares the backend.
    /// let users = Limiter::new(MemoryBackend::new()).namespace("user").quota(Quota::per_minute(10));
    /// # let users = users.clock(limited::ManualClock::new());
    /// let tenants = users.clone().namespace("tenant").quota(Quota::per_hour(2));
    ///
    /// let header = |name| KeyExtractor::secret_header(HeaderName::from_static(name));
    /// let layer = RateLimitLayer::new(users, header("x-user"))
    ///     .and(RateLimitLayer::new(tenants, header("x-tenant")))?;
    ///
    /// let hello = service_fn(async |_: Request<()>| Ok::<_, Error>(Response::new(String::from("hello"))));
    /// let mut service = layer.layer(hello);
    /// for (status, limit) in [
    ///     (200, r#""user";r=9;t=60, "tenant";r=1;t=3600"#),
    ///     (200, r#""user";r=8;t=60, "tenant";r=0;t=3600"#),
    ///     // The tenant has nothing left, so the user is not charged.
    ///     (429, r#""user";r=8;t=60, "tenant";r=0;t=3600"#),
    /// ] {
    ///     let request = Request::get("/").header("x-user", "ada").header("x-tenant", "7").body(())?;
    ///     let response = service.ready().await?.call(request).await?;
    ///     assert_eq!(response.status(), status);
    ///     assert_eq!(response.headers()["ratelimit"], limit);
    /// }
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// Of the other layer, these settings stay: its limiters, keys, names, [cost](Self::cost),
    /// [quota](Self::quota), [rules](Self::rule), [missing keys](Self::on_missing_key), and which
    /// requests it [skips](Self::skip), [limits](Self::enabled) and [counts](Self::count_only). All
    /// others are those of this layer: headers, rejections, and what happens if the backend fails.
    ///
    /// On the result, a method about one limiter sets that of this layer: `cost`, `quota`, `rule`,
    /// `policy_name`, `policy_names` and `on_missing_key`. So set those of the other layer before.
    /// `skip`, `skip_preflights`, `enabled` and `count_only` apply to all limiters.
    ///
    /// A limiter that skips a request has no part in the decision. The same holds for a request
    /// without its key, if [missing keys pass](crate::http::MissingKey::Pass).
    ///
    /// A 429 names all policies that refuse, and asks to wait for the longest of them. The service
    /// finds the summary of [`Decision::limits`](crate::Decision::limits) in the request.
    ///
    /// # Errors
    ///
    /// [`LayerConflict`] if clients could not tell two policies apart, or if the limiters cannot be
    /// decided about in one step: policies share a name, limiters share a namespace, or they do not
    /// share a backend.
    ///
    /// # Cost
    ///
    /// One [`allow_all`](crate::allow_all) for each request. A request that only one limiter has to
    /// decide about costs the same as without the others.
    pub fn and(mut self, other: Self) -> Result<Self, LayerConflict> {
        let mut names = other.config.groups().flat_map(PolicyGroup::names);
        if let Some(name) = names.find(|name| self.config.groups().any(|own| own.has_name(name))) {
            return Err(LayerConflict::Name(name.as_str().to_owned()));
        }
        for limiter in &*other.limiters {
            let namespace = limiter.get_namespace();
            if self.limiters.iter().any(|own| own.get_namespace() == namespace) {
                return Err(LayerConflict::Namespace(namespace.to_owned()));
            }
            if !self.limiters.iter().all(|own| own.shares_backend_with(limiter)) {
                return Err(LayerConflict::Backend);
            }
        }
        let offset = self.limiters.len();
        self.limiters = self.limiters.iter().chain(&*other.limiters).cloned().collect();
        let mut added = other.config.keyed.clone();
        for group in added.iter_mut().flat_map(|keyed| &mut keyed.groups) {
            group.limiter += offset;
        }
        Ok(self.with(|config| config.keyed.extend(added)))
    }
}
