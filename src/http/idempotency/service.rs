//! The service that executes requests once.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::body::BufferedBody;
use super::config::Config;
use super::future::IdempotencyFuture;
use super::run::Run;
use crate::{Backend, Idempotency};

/// A service behind an [`IdempotencyLayer`](super::IdempotencyLayer).
pub struct IdempotencyService<S, B> {
    inner: S,
    idempotency: Idempotency<B>,
    config: Arc<Config>,
}

impl<S, B> IdempotencyService<S, B> {
    pub(super) const fn new(inner: S, idempotency: Idempotency<B>, config: Arc<Config>) -> Self {
        Self { inner, idempotency, config }
    }
}

impl<S, B, Req, Res> Service<Request<Req>> for IdempotencyService<S, B>
where
    S: Service<Request<BufferedBody<Req>>, Response = Response<Res>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Backend + 'static,
    Req: Body<Data = Bytes> + Send + 'static,
    Req::Error: Send,
    Res: Body<Data = Bytes> + Send + 'static,
    Res::Error: Send,
{
    type Response = Response<BufferedBody<Res>>;
    type Error = S::Error;
    type Future = IdempotencyFuture<S::Future, Res, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        if !self.config.methods.contains(request.method()) {
            return IdempotencyFuture::passthrough(self.inner.call(request.map(BufferedBody::passthrough)));
        }
        let (parts, body) = request.into_parts();
        match self.config.key(&parts) {
            Ok(None) => {
                let request = Request::from_parts(parts, BufferedBody::passthrough(body));
                IdempotencyFuture::passthrough(self.inner.call(request))
            }
            Ok(Some(key)) => {
                // Only the service that `poll_ready` was called on may be called. Its clone has to
                // be polled anew.
                let clone = self.inner.clone();
                let run = Run {
                    service: mem::replace(&mut self.inner, clone),
                    idempotency: self.idempotency.clone(),
                    config: Arc::clone(&self.config),
                };
                IdempotencyFuture::running(Box::pin(run.of(key, parts, body)))
            }
            Err(problem) => IdempotencyFuture::rejected(self.config.respond_to(&problem)),
        }
    }
}

impl<S: Clone, B> Clone for IdempotencyService<S, B> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.idempotency.clone(), Arc::clone(&self.config))
    }
}

impl<S: fmt::Debug, B> fmt::Debug for IdempotencyService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyService")
            .field("inner", &self.inner)
            .field("idempotency", &self.idempotency)
            .field("config", &self.config)
            .finish()
    }
}
