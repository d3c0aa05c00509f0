//! The service behind an [`IdempotencyLayer`](super::IdempotencyLayer).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tower_service::Service;

use super::WithoutBackend;
use super::answer::{Answer, Kept};
use super::buffer::{BufferedBody, Extent, Read};
use super::problems::Trouble;
use super::rules::Rules;
use crate::{Backend, Claim, Idempotency, Key, RunError};

/// A service that carries requests with the same `Idempotency-Key` out once.
pub struct IdempotentService<S, B> {
    inner: S,
    idempotency: Idempotency<B>,
    rules: Arc<Rules>,
}

impl<S, B> IdempotentService<S, B> {
    pub(super) const fn new(inner: S, idempotency: Idempotency<B>, rules: Arc<Rules>) -> Self {
        Self { inner, idempotency, rules }
    }
}

impl<S, B, Req, Res> Service<Request<Req>> for IdempotentService<S, B>
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
    type Future = IdempotentFuture<S::Future, Res, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Req>) -> Self::Future {
        if !self.rules.methods.contains(request.method()) {
            return IdempotentFuture::passed(self.inner.call(request.map(BufferedBody::passed)));
        }
        let (parts, body) = request.into_parts();
        match self.rules.key(&parts) {
            Ok(None) => {
                let request = Request::from_parts(parts, BufferedBody::passed(body));
                IdempotentFuture::passed(self.inner.call(request))
            }
            Ok(Some(key)) => {
                // The one that is ready is called, and the clone has to become so.
                let next = self.inner.clone();
                let run = Run {
                    service: std::mem::replace(&mut self.inner, next),
                    idempotency: self.idempotency.clone(),
                    rules: Arc::clone(&self.rules),
                };
                IdempotentFuture::running(Box::pin(run.of(key, parts, body)))
            }
            Err(trouble) => IdempotentFuture::answered(self.rules.answer_to(&trouble)),
        }
    }
}

/// What tells requests apart that have the same key.
#[derive(Serialize)]
struct Hashed {
    method: String,
    path: String,
    query: Option<String>,
    /// The SHA-256 of the body, in Base64.
    body: String,
}

impl Hashed {
    fn of<B: Body<Data = Bytes>>(parts: &Parts, body: &Read<B>) -> Self {
        let digest = body.chunks().fold(Sha256::new(), Sha256::chain_update).finalize();
        Self {
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().map(str::to_owned),
            body: STANDARD.encode(digest),
        }
    }
}

/// Why an answer of the service is not kept.
enum NotKept<E> {
    /// It is none.
    Error(E),
    /// It is one that is not to be kept.
    Answer,
}

/// One request on its way.
struct Run<S, B> {
    service: S,
    idempotency: Idempotency<B>,
    rules: Arc<Rules>,
}

impl<S, B: Backend> Run<S, B> {
    async fn of<Req, Res>(
        self,
        key: Key<'static>,
        parts: Parts,
        body: Req,
    ) -> Result<Response<BufferedBody<Res>>, S::Error>
    where
        S: Service<Request<BufferedBody<Req>>, Response = Response<Res>>,
        Req: Body<Data = Bytes>,
        Res: Body<Data = Bytes>,
    {
        let Self { mut service, idempotency, rules } = self;
        let rules = &*rules;
        let limit = rules.largest_request;
        let body = Read::up_to(limit, body).await;
        match body.extent() {
            Extent::Whole => {}
            Extent::OverLimit => return Ok(rules.answer_to(&Trouble::RequestTooLarge { limit })),
            Extent::BrokenOff => return Ok(rules.answer_to(&Trouble::RequestBrokenOff)),
        }
        let hashed = Hashed::of(&parts, &body);

        // Where nothing is carried out, the request stays here; where it is, the answer comes here.
        let mut waiting = Some(Request::from_parts(parts, BufferedBody::read(body)));
        let mut answered = None;
        let outcome = {
            let (service, waiting, answered) = (&mut service, &mut waiting, &mut answered);
            let carry_out = move |claim: Claim| async move {
                let Some(mut request) = waiting.take() else { return Err(NotKept::Answer) };
                request.extensions_mut().insert(claim.clone());
                let (parts, body) = service.call(request).await.map_err(NotKept::Error)?.into_parts();
                claim.set_status_code(parts.status.as_u16());
                if !(rules.keep_if)(parts.status) {
                    *answered = Some(Response::from_parts(parts, BufferedBody::passed(body)));
                    return Err(NotKept::Answer);
                }
                let limit = rules.largest_answer;
                let body = Read::up_to(limit, body).await;
                let answer = Answer::of(&parts, &body, limit, |name| rules.keeps_header(name));
                *answered = Some(Response::from_parts(parts, BufferedBody::read(body)));
                Ok(answer)
            };
            idempotency.call(&key, &hashed).run_with(carry_out).await
        };

        let trouble = match (outcome, answered) {
            (Err(RunError::Failed(NotKept::Error(error))), _) => return Err(error),
            // What counts is the answer of whoever took the request over.
            (Err(RunError::LeaseLost { .. }), _) => Trouble::Lost,
            // Carried out now; whether the answer was kept, or not, or nobody knows.
            (outcome, Some(answered)) => {
                if let Err(RunError::NotRecorded { error, .. }) = outcome {
                    rules.backend_failed(&error);
                }
                return Ok(answered);
            }
            (Ok(outcome), None) => match outcome.into_inner().0.ok().and_then(Kept::replay) {
                Some(replay) => return Ok(replay),
                None => Trouble::unreadable(),
            },
            (Err(RunError::KeyReused), None) => Trouble::KeyReused,
            (Err(RunError::InProgress { retry_after }), None) => Trouble::InProgress { retry_after },
            (Err(RunError::NotStored { reason, .. }), None) => Trouble::NotKept { reason },
            (Err(RunError::Decode(_)), None) => Trouble::unreadable(),
            (Err(RunError::Backend(error)), None) => {
                rules.backend_failed(&error);
                match (waiting, rules.without_backend) {
                    (Some(request), WithoutBackend::Run) => {
                        return Ok(service.call(request).await?.map(BufferedBody::passed));
                    }
                    _ => Trouble::BackendFailed,
                }
            }
            // The key is valid, the request is JSON, errors are not remembered, and who has carried it out has an answer.
            (Err(_), None) => Trouble::BackendFailed,
        };
        Ok(rules.answer_to(&trouble))
    }
}

impl<S: Clone, B> Clone for IdempotentService<S, B> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.idempotency.clone(), Arc::clone(&self.rules))
    }
}

impl<S: fmt::Debug, B> fmt::Debug for IdempotentService<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotentService")
            .field("inner", &self.inner)
            .field("idempotency", &self.idempotency)
            .field("rules", &self.rules)
            .finish()
    }
}

type Running<Res, E> = Pin<Box<dyn Future<Output = Result<Response<BufferedBody<Res>>, E>> + Send>>;

pin_project! {
    /// The answer of an [`IdempotentService`].
    ///
    /// Dropped before it is done, as a server does where the client goes away, it drops the service's own future.
    /// The key is then in progress until its lease ends; see [`IdempotencyLayer`](super::IdempotencyLayer).
    pub struct IdempotentFuture<F, Res, E>
    where
        Res: Body,
    {
        #[pin]
        state: State<F, Res, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, Res, E>
    where
        Res: Body,
    {
        Passed { #[pin] response: F },
        Running { response: Running<Res, E> },
        Answered { response: Option<Response<BufferedBody<Res>>> },
    }
}

impl<F, Res: Body, E> IdempotentFuture<F, Res, E> {
    const fn passed(response: F) -> Self {
        Self { state: State::Passed { response } }
    }

    const fn running(response: Running<Res, E>) -> Self {
        Self { state: State::Running { response } }
    }

    const fn answered(response: Response<BufferedBody<Res>>) -> Self {
        Self { state: State::Answered { response: Some(response) } }
    }
}

impl<F, Res, E> Future for IdempotentFuture<F, Res, E>
where
    F: Future<Output = Result<Response<Res>, E>>,
    Res: Body,
{
    type Output = Result<Response<BufferedBody<Res>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Passed { response } => {
                response.poll(cx).map_ok(|response| response.map(BufferedBody::passed))
            }
            StateProjection::Running { response } => response.as_mut().poll(cx),
            StateProjection::Answered { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
        }
    }
}

impl<F, Res: Body, E> fmt::Debug for IdempotentFuture<F, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Passed { .. } => "Passed",
            State::Running { .. } => "Running",
            State::Answered { .. } => "Answered",
        };
        f.debug_tuple("IdempotentFuture").field(&format_args!("{state}")).finish()
    }
}
