//! The future of a response: decides first, then calls the service.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::config::{Config, RequestCost, Verdict};
use crate::http::ResponseBody;
use crate::{Decision, Error};

type DecisionFuture = Pin<Box<dyn Future<Output = Result<Decision, Error>> + Send>>;

pin_project! {
    /// The response of a service behind a [`RateLimitLayer`](super::RateLimitLayer), or of the
    /// layer itself.
    ///
    /// Dropping it leaves nothing half done: the request was counted, or it was not.
    ///
    /// # Panics
    ///
    /// If it is polled after completion.
    pub struct RateLimitFuture<S, Req>
    where
        S: Service<Request<Req>>,
    {
        #[pin]
        state: State<S, Req, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[project_replace = StateReplaced]
    enum State<S, Req, F> {
        Deciding {
            decision: DecisionFuture,
            service: S,
            parts: Parts,
            body: Req,
            cost: RequestCost,
            config: Arc<Config>,
        },
        Calling {
            #[pin]
            response: F,
            config: Arc<Config>,
            // What the headers are made of. `None` if the response gets none.
            limit: Option<(RequestCost, Decision)>,
        },
        Rejected { response: Response<Bytes> },
        Done,
    }
}

impl<S, Req> RateLimitFuture<S, Req>
where
    S: Service<Request<Req>>,
{
    /// Waits for the decision. Calls the service if the request is admitted.
    pub(super) const fn deciding(
        decision: DecisionFuture,
        service: S,
        parts: Parts,
        body: Req,
        cost: RequestCost,
        config: Arc<Config>,
    ) -> Self {
        Self { state: State::Deciding { decision, service, parts, body, cost, config } }
    }

    /// Returns the service's response without headers for a decision.
    pub(super) const fn passthrough(response: S::Future, config: Arc<Config>) -> Self {
        Self { state: State::Calling { response, config, limit: None } }
    }

    /// Returns a response of the layer's own.
    pub(super) const fn rejected(response: Response<Bytes>) -> Self {
        Self { state: State::Rejected { response } }
    }
}

impl<S, Req, Res> Future for RateLimitFuture<S, Req>
where
    S: Service<Request<Req>, Response = Response<Res>>,
{
    type Output = Result<Response<ResponseBody<Res>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        if let StateProjection::Deciding { decision, .. } = state.as_mut().project() {
            let decision = ready!(decision.as_mut().poll(cx));
            if let StateReplaced::Deciding { mut service, mut parts, body, cost, config, .. } =
                state.as_mut().project_replace(State::Done)
            {
                state.set(match config.apply(decision, cost, &parts) {
                    Verdict::Call(decision) => {
                        if let Some(decision) = &decision {
                            insert(&mut parts.extensions, decision.clone());
                        }
                        State::Calling {
                            response: service.call(Request::from_parts(parts, body)),
                            config,
                            limit: decision.map(|decision| (cost, decision)),
                        }
                    }
                    Verdict::Reject(response) => State::Rejected { response },
                });
            }
        }
        if let StateProjection::Calling { response, config, limit } = state.as_mut().project() {
            let mut response = ready!(response.poll(cx));
            if let Ok(response) = &mut response {
                config.finish(response.headers_mut(), limit.as_ref());
            }
            state.set(State::Done);
            return Poll::Ready(response.map(|response| response.map(ResponseBody::passthrough)));
        }
        match state.project_replace(State::Done) {
            StateReplaced::Rejected { response } => Poll::Ready(Ok(response.map(ResponseBody::full))),
            _ => panic!("`RateLimitFuture` polled after completion"),
        }
    }
}

/// Stores the decision for the service. Keeps that of an outer layer if that has less remaining.
fn insert(extensions: &mut Extensions, decision: Decision) {
    match extensions.get_mut::<Decision>() {
        Some(outer) if outer.remaining() < decision.remaining() => {}
        Some(outer) => *outer = decision,
        None => {
            extensions.insert(decision);
        }
    }
}

impl<S, Req> fmt::Debug for RateLimitFuture<S, Req>
where
    S: Service<Request<Req>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Deciding { .. } => "Deciding",
            State::Calling { .. } => "Calling",
            State::Rejected { .. } => "Rejected",
            State::Done => "Done",
        };
        f.debug_tuple("RateLimitFuture").field(&format_args!("{state}")).finish()
    }
}
