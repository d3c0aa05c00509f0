//! Switches of the layer: which requests it limits, which of them count, and which headers it
//! writes.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, response};

use super::{LimitHeaders, RateLimitLayer, UpstreamHeaders};

/// # Which requests are limited
///
/// These methods are about all limiters that the layer has [by now](Self::and).
impl<B> RateLimitLayer<B> {
    /// Does not limit the requests for which the closure returns `true`. They are not counted, need
    /// no key, and their responses get no headers of the layer. Default: none.
    ///
    /// If it is called several times, a request is skipped if one of the closures says so.
    ///
    /// ```
    /// # use limited::{Limiter, memory::MemoryBackend};
    /// # use limited::http::{KeyExtractor, RateLimitLayer};
    /// # let (limiter, key) = (Limiter::new(MemoryBackend::new()), KeyExtractor::path());
    /// let layer = RateLimitLayer::new(limiter, key).skip(|parts| parts.uri.path() == "/health");
    /// ```
    pub fn skip(self, skip: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        let skip = Arc::new(skip);
        self.with_each(|limiter| limiter.skip.push(skip.clone()))
    }

    /// Does not limit preflights: `OPTIONS` requests with `Origin` and
    /// `Access-Control-Request-Method`. Default: they are limited like any other request.
    ///
    /// A browser sends a preflight before a request to another origin, without credentials. Without
    /// this setting, preflights spend the quota of the client's address. Call it if the service
    /// responds to preflights. It is not needed behind a CORS layer that does so:
    /// [the order of layers](crate::http#the-order-of-layers).
    pub fn skip_preflights(self) -> Self {
        self.with_each(|limiter| limiter.skips_preflights = true)
    }

    /// Sets whether the layer limits anything. Default: `true`. A layer that is disabled sends
    /// every request to the service, counts nothing, and changes no response.
    ///
    /// Use it instead of `ServiceBuilder::option_layer`, which requires layers that keep the type
    /// of the response. This layer changes the type of its body, to [`ResponseBody`].
    ///
    /// [`ResponseBody`]: crate::http::ResponseBody
    pub fn enabled(self, enabled: bool) -> Self {
        self.with_each(|limiter| limiter.is_enabled = enabled)
    }

    /// Counts only the requests for which the closure returns `true`, by their responses. Default:
    /// all.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use limited::http::{KeyExtractor, RateLimitLayer};
    /// use limited::{Limiter, Quota, memory::MemoryBackend};
    /// use tower::{Service, ServiceExt, service_fn};
    /// use tower_layer::Layer;
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// # pollster::block_on(async {
    /// // Three failed logins an hour for each account. Logins that succeed are free.
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_hour(3));
    /// let account = KeyExtractor::from_fn(|parts| Some(parts.headers.get("x-account")?.to_str().ok()?.to_owned().into()));
    /// let layer = RateLimitLayer::new(limiter, account)
    ///     .count_only(|response| response.status == StatusCode::UNAUTHORIZED);
    ///
    /// let mut login = layer.layer(service_fn(async |request: Request<String>| {
    ///     let is_right = request.body() == "correct horse";
    ///     let status = if is_right { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
    ///     Ok::<_, Error>(Response::builder().status(status).body(String::new())?)
    /// }));
    /// let (right, wrong) = ("correct horse", "password");
    /// for (password, status, remaining) in [
    ///     (right, 200, 3), (wrong, 401, 2), (right, 200, 2), (wrong, 401, 1), (wrong, 401, 0), (right, 429, 0),
    /// ] {
    ///     let request = Request::post("/login").header("x-account", "ada").body(password.to_owned())?;
    ///     let response = login.ready().await?.call(request).await?;
    ///     assert_eq!(response.status(), status);
    ///     let limit = response.headers()["ratelimit"].to_str()?;
    ///     assert!(limit.starts_with(&format!("\"default\";r={remaining};")), "{limit}");
    /// }
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// Each request is counted first, so that the limit holds however many arrive at once. If its
    /// response says that it does not count, the layer [refunds](crate::Limiter::refund) it, and
    /// then returns the response. While such a request is in progress, it takes a place.
    ///
    /// | the request | counts |
    /// |---|---|
    /// | has a response that the closure accepts | yes |
    /// | has any other response | no: it is refunded to the window that it was charged to |
    /// | ends with an error of the service, or is cancelled | yes |
    /// | has a response whose refund fails | yes; the response is unchanged |
    /// | is rejected by the layer | no, and the closure is not called |
    ///
    /// What remains, by the headers, includes what was refunded. The reset is that of the decision.
    /// A refund that fails counts as one of [`backend_errors`](Self::backend_errors), and is
    /// reported in [telemetry](crate::telemetry).
    ///
    /// The closure sees the status, the headers and the extensions, and not the body. **The status
    /// of a gRPC call is in the trailers**, behind the body, so the closure cannot see it. Only a
    /// response without messages has a header `grpc-status`. If the service sets an extension, the
    /// closure can see that.
    ///
    /// If it is called several times, a request counts if all closures say so.
    ///
    /// A refund costs one request to the backend for each limit, and one write. A layer that counts
    /// all requests pays nothing for this setting.
    pub fn count_only(self, counts: impl Fn(&response::Parts) -> bool + Send + Sync + 'static) -> Self {
        let counts = Arc::new(counts);
        self.with_each(|limiter| limiter.count_only.push(counts.clone()))
    }
}

/// # Which headers are written
impl<B> RateLimitLayer<B> {
    /// Sets which headers about limits responses get. Default: [`LimitHeaders::All`].
    pub fn headers(self, headers: LimitHeaders) -> Self {
        self.with(|config| config.headers = headers)
    }

    /// Also writes the legacy headers `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    ///
    /// They have room for one policy: of several layers, the one with the least remaining. No
    /// standard defines them. The reset is in seconds from now.
    pub fn legacy_headers(self) -> Self {
        self.with(|config| config.legacy_headers = true)
    }

    /// Also writes three headers for each policy, as the APIs of large language models do. The name
    /// of the [policy](Self::policy_name) is that of the dimension, such as `requests` or `tokens`:
    ///
    /// | header | value |
    /// |---|---|
    /// | `x-ratelimit-limit-tokens` | the limit, or the capacity of a bucket |
    /// | `x-ratelimit-remaining-tokens` | what remains |
    /// | `x-ratelimit-reset-tokens` | the time until the reset, as a text: `6m0s`, `1.25s`, `20ms` |
    ///
    /// ```
    /// use http::{Request, Response};
    /// use limited::http::{KeyExtractor, RateLimitLayer};
    /// use limited::{Limiter, Quota, memory::MemoryBackend};
    /// use tower::{ServiceExt, service_fn};
    /// use tower_layer::Layer;
    ///
    /// # type Error = Box<dyn std::error::Error>;
    /// # pollster::block_on(async {
    /// let api_key = || KeyExtractor::secret_header(http::HeaderName::from_static("x-api-key"));
    /// let requests = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(60)).namespace("requests");
    /// let tokens = requests.clone().quota(Quota::per_minute(90_000)).namespace("tokens");
    /// // The estimate of a request, such as the length of its prompt and of the longest completion.
    /// let tokens = RateLimitLayer::new(tokens, api_key()).cost(|_| 1_500);
    /// let layer = RateLimitLayer::new(requests, api_key()).and(tokens)?.dimension_headers();
    ///
    /// let service = service_fn(async |_: Request<()>| Ok::<_, Error>(Response::new(String::new())));
    /// let request = Request::post("/v1/completions").header("x-api-key", "sk_4711").body(())?;
    /// let response = layer.layer(service).oneshot(request).await?;
    /// assert_eq!(response.headers()["x-ratelimit-remaining-requests"], "59");
    /// assert_eq!(response.headers()["x-ratelimit-limit-tokens"], "90000");
    /// assert_eq!(response.headers()["x-ratelimit-remaining-tokens"], "88500");
    /// # Ok::<(), Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// No standard defines them. The references of these APIs describe a limit, what remains, and a
    /// reset for each dimension, with the dimension at the end of the name. Some name the window
    /// too: so do the default names of [several quotas](Self::policy_name), `requests-minute` and
    /// `requests-day`. A character that no header name can have becomes `-`.
    ///
    /// Milliseconds are rounded up. After a rejection the reset is at least the time to wait, and
    /// at most the [maximum](Self::max_retry_after). Of stacked layers with policies of one name,
    /// the one with the least remaining writes the headers.
    pub fn dimension_headers(self) -> Self {
        self.with(|config| config.dimension_headers = true)
    }

    /// Returns the headers about limits that responses may have, for a CORS layer: those that the
    /// layer writes by its settings, with those of each
    /// [dimension](Self::dimension_headers).
    ///
    /// [`EXPOSED_HEADERS`](crate::http::EXPOSED_HEADERS) is the same without dimensions, for all
    /// layers.
    pub fn exposed_headers(&self) -> Vec<HeaderName> {
        self.config.exposed_headers()
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
    /// `grpc-retry-pushback-ms` has a [maximum of its own](crate::http::Rejection#grpc).
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
}
