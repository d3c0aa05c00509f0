//! The future of an answer: first the decision, then the service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::rules::{Asked, Next, Rules};
use crate::http::ResponseBody;
use crate::{Decision, Error, Quota};

type Deciding = Pin<Box<dyn Future<Output = Result<Decision, Error>> + Send>>;

pin_project! {
    /// The answer of a service behind a [`RateLimitLayer`](super::RateLimitLayer), or of the layer.
    ///
    /// Dropped before it is done, it leaves nothing half done: the request was counted, or it was not.
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
            decision: Deciding,
            service: S,
            parts: Parts,
            body: Req,
            asked: Asked,
            rules: Arc<Rules>,
        },
        Calling {
            #[pin]
            response: F,
            standing: Option<(Arc<Rules>, Quota, Decision)>,
        },
        Answering { response: Response<Bytes> },
        Done,
    }
}

impl<S, Req> RateLimitFuture<S, Req>
where
    S: Service<Request<Req>>,
{
    /// First the decision, then the service, if it lets it.
    pub(super) const fn deciding(
        decision: Deciding,
        service: S,
        parts: Parts,
        body: Req,
        asked: Asked,
        rules: Arc<Rules>,
    ) -> Self {
        Self { state: State::Deciding { decision, service, parts, body, asked, rules } }
    }

    /// The service's answer, as it is.
    pub(super) const fn unlimited(response: S::Future) -> Self {
        Self { state: State::Calling { response, standing: None } }
    }

    /// An answer of the layer's own.
    pub(super) const fn answered(response: Response<Bytes>) -> Self {
        Self { state: State::Answering { response } }
    }
}

impl<S, Req, Res> Future for RateLimitFuture<S, Req>
where
    S: Service<Request<Req>, Response = Response<Res>>,
{
    type Output = Result<Response<ResponseBody<Res>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProjection::Deciding { decision, .. } => {
                    let decided = ready!(decision.as_mut().poll(cx));
                    let StateReplaced::Deciding { mut service, parts, body, asked, rules, .. } =
                        state.as_mut().project_replace(State::Done)
                    else {
                        continue;
                    };
                    match rules.follow(decided, asked, &parts) {
                        Next::Call(decision) => {
                            let response = service.call(Request::from_parts(parts, body));
                            let standing = decision.map(|decision| (rules, asked.quota, decision));
                            state.set(State::Calling { response, standing });
                        }
                        Next::Answer(response) => {
                            return Poll::Ready(Ok(response.map(ResponseBody::own)));
                        }
                    }
                }
                StateProjection::Calling { response, standing } => {
                    let mut response = ready!(response.poll(cx))?;
                    if let Some((rules, quota, decision)) = standing {
                        rules.add_headers(response.headers_mut(), *quota, decision);
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::service)));
                }
                StateProjection::Answering { .. } | StateProjection::Done => {
                    return match state.as_mut().project_replace(State::Done) {
                        StateReplaced::Answering { response } => {
                            Poll::Ready(Ok(response.map(ResponseBody::own)))
                        }
                        _ => panic!("the future was polled after it was done"),
                    };
                }
            }
        }
    }
}

impl<S, Req> fmt::Debug for RateLimitFuture<S, Req>
where
    S: Service<Request<Req>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Deciding { asked, .. } => return f.debug_tuple("Deciding").field(asked).finish(),
            State::Calling { .. } => "Calling",
            State::Answering { .. } => "Answering",
            State::Done => "Done",
        };
        f.write_str(state)
    }
}
