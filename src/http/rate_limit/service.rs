//! The service that limits requests.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_service::Service;

use super::WithoutKey;
use super::future::RateLimitFuture;
use super::rules::Rules;
use crate::http::{NoKey, Refusal, ResponseBody};
use crate::{Backend, Limiter};

/// A service behind a [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimit<S, B> {
    inner: S,
    limiter: Limiter<B>,
    rules: Arc<Rules>,
}

impl<S, B> RateLimit<S, B> {
    pub(super) const fn new(inner: S, limiter: Limiter<B>, rules: Arc<Rules>) -> Self {
        Self { inner, limiter, rules }
    }

    /// The service behind the layer.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, B, Req, Res> Service<Request<Req>> for RateLimit<S, B>
where
    S: Service<Request<Req>, Response = Response<Res>> + Clone,
    B: Backend + 'static,
{
    type Response = Response<ResponseBody<Res>>;
    type Error = S::Error;
    type Future = RateLimitFuture<S, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let asked = self.rules.ask(&parts);
        if asked.cost == 0 {
            return RateLimitFuture::unlimited(self.inner.call(Request::from_parts(parts, body)));
        }
        let key = match self.rules.key.key(&parts) {
            Ok(key) => key,
            Err(NoKey::Missing(_)) if self.rules.without_key == WithoutKey::Pass => {
                return RateLimitFuture::unlimited(self.inner.call(Request::from_parts(parts, body)));
            }
            Err(reason) => {
                return RateLimitFuture::answered(self.rules.refuse(&Refusal::NoKey(&reason), &parts));
            }
        };
        let limiter = self.limiter.clone();
        let decision =
            Box::pin(async move { limiter.with_quota(asked.quota).allow_n(key, asked.cost).await });
        // The service that was polled to be ready is the one to call; a clone of it is left behind, to be polled anew.
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        RateLimitFuture::deciding(decision, ready, parts, body, asked, Arc::clone(&self.rules))
    }
}

impl<S: Clone, B> Clone for RateLimit<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limiter: self.limiter.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for RateLimit<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
