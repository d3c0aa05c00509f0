//! Settings: which headers about limits a response has.

/// Which headers a [`RateLimitLayer`](super::RateLimitLayer) writes.
///
/// | | `RateLimit-Policy`, `RateLimit` | legacy and dimension headers, if switched on | `Retry-After` of a rejection |
/// |---|---|---|---|
/// | [`All`](Self::All) | in every limited response | in every limited response | yes |
/// | [`RejectionsOnly`](Self::RejectionsOnly) | in rejections | in rejections | yes |
/// | [`RetryAfterOnly`](Self::RetryAfterOnly) | no | in every limited response | yes |
/// | [`None`](Self::None) | no | no | no |
///
/// As text, such as in a file: `all`, `rejections-only`, `retry-after-only` and `none`.
///
/// The setting is about headers. The body of a 429 names the policy and the time to wait all the
/// same; [`on_rejection`](super::RateLimitLayer::on_rejection) replaces it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitHeaders {
    /// Writes all headers, in each response to a request that was limited.
    #[default]
    All,
    /// Writes all headers in rejections. Responses of the service are not changed.
    RejectionsOnly,
    /// Writes neither `RateLimit-Policy` nor `RateLimit`. Rejections have `Retry-After`.
    ///
    /// With [`legacy_headers`](super::RateLimitLayer::legacy_headers) or
    /// [`dimension_headers`](super::RateLimitLayer::dimension_headers), the layer writes those, and
    /// not those of the draft.
    RetryAfterOnly,
    /// Writes no header about limits, not even `Retry-After`. Rejected gRPC calls get no
    /// `grpc-retry-pushback-ms` either. Clients then have to guess how long to wait.
    None,
}

limited_core::named_setting!(LimitHeaders, "headers" {
    All => "all",
    RejectionsOnly => "rejections-only",
    RetryAfterOnly => "retry-after-only",
    None => "none",
});

impl LimitHeaders {
    /// Returns whether a response gets `RateLimit-Policy` and `RateLimit`.
    pub(super) const fn writes_ratelimit(self, is_rejection: bool) -> bool {
        match self {
            Self::All => true,
            Self::RejectionsOnly => is_rejection,
            Self::RetryAfterOnly | Self::None => false,
        }
    }

    /// Returns whether a response gets the legacy and dimension headers that are switched on.
    pub(super) const fn writes_others(self, is_rejection: bool) -> bool {
        match self {
            Self::All | Self::RetryAfterOnly => true,
            Self::RejectionsOnly => is_rejection,
            Self::None => false,
        }
    }

    /// Returns whether a rejection gets `Retry-After`.
    pub(super) const fn writes_retry_after(self) -> bool {
        !matches!(self, Self::None)
    }
}

/// What the layer does with headers about limits that a response already has: those of the service,
/// and those of inner layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpstreamHeaders {
    /// Keeps them. `RateLimit` and `RateLimit-Policy` are lists, and get one more member for each
    /// policy.
    #[default]
    Append,
    /// Removes them, so that clients see the policies of this layer only: `RateLimit`,
    /// `RateLimit-Policy`, `RateLimit-Limit`, `-Remaining` and `-Reset` of earlier drafts,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, and those three with a dimension behind
    /// them, such as `X-RateLimit-Limit-Requests`.
    ///
    /// That is the case for every response of the service. Responses to requests that are not
    /// limited, such as those of cost 0, then have no headers about limits. A layer that is
    /// [disabled](super::RateLimitLayer::enabled) removes nothing.
    Replace,
}
