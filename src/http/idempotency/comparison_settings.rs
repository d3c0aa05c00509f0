//! The settings of the layer for what makes two requests the same.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderName, Uri};

use super::compared_body::BodyComparison;
use super::layer::IdempotencyLayer;

/// # Comparing requests
///
/// [Which requests are the same](#which-requests-are-the-same) lists the defaults. If a setting
/// changes, a retry of an earlier request may get 422 `idempotency-key-reused`.
impl<B> IdempotencyLayer<B> {
    /// Sets which URI is compared. Default: that of the request. If the closure returns `None`, it
    /// is that of the request too.
    ///
    /// A framework may cut the URI before this layer sees it. axum does so in `Router::nest`, and
    /// keeps the whole URI in an extension (feature `original-uri` of axum):
    /// `layer.compare_uri(|parts| Some(&parts.extensions.get::<OriginalUri>()?.0))`.
    /// Otherwise `/v1/charges/payments` and `/v1/refunds/payments` are one request for two layers
    /// behind `nest`. The repository compiles this line in `tests/e2e`.
    pub fn compare_uri(self, uri: impl Fn(&Parts) -> Option<&Uri> + Send + Sync + 'static) -> Self {
        self.with(|config| config.comparison.uri = Some(Arc::new(uri)))
    }

    /// Sets whether the name of the host is compared: `:authority` in HTTP/2, `Host` in HTTP/1.1.
    /// Default: `true`. Neither the port nor the case of letters makes a difference. A host that is
    /// an IP address is not compared, because it names an instance of the service.
    ///
    /// Set it to `false` if a retry may reach the service under another name. That is so if a proxy
    /// replaces the host by the name of an instance, or if clients try a second name.
    pub fn compare_host(self, compare: bool) -> Self {
        self.with(|config| config.comparison.host = compare)
    }

    /// Replaces the list of headers that are compared. Default: `Content-Type` and
    /// `Content-Encoding`. Their values are compared byte by byte, and in their order.
    ///
    /// Name those that change what the service does, and that a client repeats in a retry. Leave
    /// out credentials, dates and headers that proxies add.
    pub fn compared_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|config| config.comparison.headers = names.into_iter().collect())
    }

    /// Adds a header to the list of those that are compared.
    pub fn compare_header(self, name: HeaderName) -> Self {
        self.with(|config| config.comparison.headers.push(name))
    }

    /// Adds a value that is compared, such as the matched route, the tenant or the version of an
    /// API. A request for which the closure returns `None` differs from each one with a value.
    ///
    /// ```
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # use limited::http::IdempotencyLayer;
    /// # let idempotency = Idempotency::new(MemoryBackend::new());
    /// # let layer = IdempotencyLayer::unscoped(idempotency);
    /// #[derive(Clone)]
    /// struct ApiVersion(u32);
    ///
    /// let layer = layer
    ///     .compare_value(|parts| Some(parts.extensions.get::<ApiVersion>()?.0.to_string()));
    /// ```
    pub fn compare_value(self, value: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.with(|config| config.comparison.values.push(Arc::new(value)))
    }

    /// Sets how bodies are compared. Default: [`BodyComparison::Bytes`].
    pub fn compare_body(self, comparison: BodyComparison) -> Self {
        self.with(|config| config.comparison.body = comparison)
    }

    /// Sets a function that returns what is compared of a body. If it returns `None`, the body is
    /// compared as [`compare_body`](Self::compare_body) says. Default: none.
    ///
    /// ```
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # use limited::http::IdempotencyLayer;
    /// # let idempotency = Idempotency::new(MemoryBackend::new());
    /// # let layer = IdempotencyLayer::unscoped(idempotency);
    /// // The line break at the end makes no difference.
    /// let layer = layer.compare_body_by(|_, body| Some(body.trim_ascii_end().to_vec()));
    /// ```
    ///
    /// Two bodies for which it returns the same bytes are one request: the second is not executed.
    pub fn compare_body_by(
        self,
        body: impl Fn(&Parts, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|config| config.comparison.custom_body = Some(Arc::new(body)))
    }
}
