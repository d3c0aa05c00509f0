//! The future of a response: decides first, then calls the service, then refunds what does not
//! count.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::config::{Config, Decided, Verdict};
use super::decide::{DecisionFuture, Refund, RefundFuture};
use super::few::Few;
use super::keyed_limiter::RequestHit;
use crate::Decision;
use crate::http::ResponseBody;

pin_project! {
    /// The response of a service behind a [`RateLimitLayer`](super::RateLimitLayer), or of the
    /// layer itself.
    ///
    /// Dropping it leaves nothing half done: the request was counted, or it was not. The exception
    /// is a backend that counts [several hits](crate::Backend::increment_all) one after the other:
    /// some of them may stay counted. A request that was counted stays counted, whatever
    /// [`count_only`](super::RateLimitLayer::count_only) would have said about its response.
    ///
    /// # Panics
    ///
    /// If it is polled after completion.
    pub struct RateLimitFuture<S, Req>
    where
        S: Service<Request<Req>>,
    {
        #[pin]
        state: State<S, Req, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = StateProjection]
    #[project_replace = StateReplaced]
    enum State<S, Req, F, Res> {
        Deciding {
            decision: DecisionFuture,
            service: S,
            parts: Parts,
            body: Req,
            hits: Few<RequestHit>,
            refund: Option<Refund>,
            config: Arc<Config>,
        },
        Calling {
            #[pin]
            response: F,
            config: Arc<Config>,
            // What the headers are made of. `None` if the response gets none.
            decided: Option<Decided>,
            // `None` if every response counts.
            refund: Option<Refund>,
        },
        Refunding {
            refund: RefundFuture,
            response: Res,
            config: Arc<Config>,
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
        refund: Option<Refund>,
        service: S,
        parts: Parts,
        body: Req,
        hits: Few<RequestHit>,
        config: Arc<Config>,
    ) -> Self {
        Self { state: State::Deciding { decision, service, parts, body, hits, refund, config } }
    }

    /// Returns the service's response without headers for a decision.
    pub(super) const fn passthrough(response: S::Future, config: Arc<Config>) -> Self {
        Self { state: State::Calling { response, config, decided: None, refund: None } }
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
        // The state is `Done` while code of the user runs. So a panic leaves nothing to be polled.
        if let StateProjection::Deciding { decision, .. } = state.as_mut().project() {
            let decision = ready!(decision.as_mut().poll(cx));
            if let StateReplaced::Deciding { mut service, mut parts, body, hits, refund, config, .. } =
                state.as_mut().project_replace(State::Done)
            {
                state.set(match config.apply(decision, hits.as_slice(), &parts) {
                    Verdict::Call(decision) => {
                        if let Some(decision) = &decision {
                            insert(&mut parts.extensions, decision.clone());
                        }
                        State::Calling {
                            response: service.call(Request::from_parts(parts, body)),
                            config,
                            refund: refund.filter(|_| decision.is_some()),
                            decided: decision.map(|decision| Decided {
                                hits,
                                decision,
                                refunded: Vec::new(),
                            }),
                        }
                    }
                    Verdict::Reject(response) => State::Rejected { response },
                });
            }
        }
        if let StateProjection::Calling { response, .. } = state.as_mut().project() {
            let response = ready!(response.poll(cx));
            if let StateReplaced::Calling { config, decided, refund, .. } =
                state.as_mut().project_replace(State::Done)
            {
                let response = match response {
                    Ok(response) => response,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                let (parts, body) = response.into_parts();
                let uncounted = match (&refund, &decided) {
                    (Some(_), Some(decided)) => config.uncounted(decided.hits.as_slice(), &parts),
                    _ => Vec::new(),
                };
                let response = Response::from_parts(parts, body);
                match (refund, decided) {
                    (Some(refund), Some(decided)) if !uncounted.is_empty() => {
                        let refund = refund(decided, uncounted);
                        state.set(State::Refunding { refund, response, config });
                    }
                    (_, decided) => return Poll::Ready(Ok(finish(response, &config, decided.as_ref()))),
                }
            }
        }
        if let StateProjection::Refunding { refund, .. } = state.as_mut().project() {
            let decided = ready!(refund.as_mut().poll(cx));
            if let StateReplaced::Refunding { response, config, .. } =
                state.as_mut().project_replace(State::Done)
            {
                return Poll::Ready(Ok(finish(response, &config, Some(&decided))));
            }
        }
        match state.project_replace(State::Done) {
            StateReplaced::Rejected { response } => Poll::Ready(Ok(response.map(ResponseBody::full))),
            _ => panic!("`RateLimitFuture` polled after completion"),
        }
    }
}

/// Adds the headers to the response of the service.
fn finish<Res>(
    mut response: Response<Res>,
    config: &Config,
    decided: Option<&Decided>,
) -> Response<ResponseBody<Res>> {
    config.finish(response.headers_mut(), decided);
    response.map(ResponseBody::passthrough)
}

/// Stores the decision for the service. Keeps that of an outer layer if that has less remaining. A
/// refusal in shadow never replaces another decision.
fn insert(extensions: &mut Extensions, decision: Decision) {
    match extensions.get_mut::<Decision>() {
        Some(outer) if decision.is_shadowed() && !outer.is_shadowed() => {}
        Some(outer) if outer.remaining() < decision.remaining() && !outer.is_shadowed() => {}
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
            State::Refunding { .. } => "Refunding",
            State::Rejected { .. } => "Rejected",
            State::Done => "Done",
        };
        f.debug_tuple("RateLimitFuture").field(&format_args!("{state}")).finish()
    }
}
