//! The service that limits requests.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use super::config::Config;
use super::few::Few;
use super::{RateLimitFuture, decide};
use crate::http::ResponseBody;
use crate::{Backend, Limiter};

/// A service behind a [`RateLimitLayer`](super::RateLimitLayer).
pub struct RateLimitService<S, B> {
    inner: S,
    /// Those of the layer and of its rules. The policies have their indexes.
    limiters: Arc<[Limiter<B>]>,
    config: Arc<Config>,
}

impl<S, B> RateLimitService<S, B> {
    pub(super) const fn new(inner: S, limiters: Arc<[Limiter<B>]>, config: Arc<Config>) -> Self {
        Self { inner, limiters, config }
    }

    /// Returns the service behind the layer.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Calls the service without a decision.
    fn pass<Req>(&mut self, parts: Parts, body: Req) -> RateLimitFuture<S, Req>
    where
        S: Service<Request<Req>>,
    {
        let response = self.inner.call(Request::from_parts(parts, body));
        RateLimitFuture::passthrough(response, Arc::clone(&self.config))
    }
}

impl<S, B, Req, Res> Service<Request<Req>> for RateLimitService<S, B>
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
        let (mut keys, mut hits) = (Few::None, Few::None);
        for (index, keyed) in self.config.keyed.iter().enumerate() {
            let Some(hit) = keyed.hit(index, &parts) else { continue };
            match keyed.key.extract(&parts) {
                Ok(key) => {
                    keys.push(key);
                    hits.push(hit);
                }
                Err(error) => {
                    let policy = self.limiters[hit.limiter].policy();
                    if let Some(response) = self.config.no_key(hit, &error, policy, &parts) {
                        return RateLimitFuture::rejected(response);
                    }
                }
            }
        }
        if hits.as_slice().is_empty() {
            return self.pass(parts, body);
        }
        let refund = self
            .config
            .may_refund()
            .then(|| decide::refund(Arc::clone(&self.limiters), Arc::clone(&self.config), keys.clone()));
        let decision = decide::decide(Arc::clone(&self.limiters), keys, &hits);
        // Only the service that `poll_ready` was called on may be called. Its clone has to be
        // polled anew.
        let clone = self.inner.clone();
        let service = mem::replace(&mut self.inner, clone);
        RateLimitFuture::deciding(decision, refund, service, parts, body, hits, Arc::clone(&self.config))
    }
}

impl<S: Clone, B> Clone for RateLimitService<S, B> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            limiters: Arc::clone(&self.limiters),
            config: Arc::clone(&self.config),
        }
    }
}

impl<S: fmt::Debug, B> fmt::Debug for RateLimitService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitService")
            .field("inner", &self.inner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
