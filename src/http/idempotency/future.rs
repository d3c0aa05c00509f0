//! The future of a response.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::BufferedBody;

type RunFuture<Res, E> = Pin<Box<dyn Future<Output = Result<Response<BufferedBody<Res>>, E>> + Send>>;

pin_project! {
    /// The response of a service behind an [`IdempotencyLayer`](super::IdempotencyLayer), or of the
    /// layer itself.
    ///
    /// A server drops it if the client disconnects. That drops the service's future, and the key
    /// stays in progress until its lease ends: see
    /// [`IdempotencyLayer`](super::IdempotencyLayer#when-the-client-disconnects).
    ///
    /// # Panics
    ///
    /// If it is polled after completion.
    pub struct IdempotencyFuture<F, Res, E>
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
        Calling { #[pin] response: F },
        Running { response: RunFuture<Res, E> },
        Rejected { response: Option<Response<BufferedBody<Res>>> },
        Done,
    }
}

impl<F, Res: Body, E> IdempotencyFuture<F, Res, E> {
    /// Returns the service's response unchanged.
    pub(super) const fn passthrough(response: F) -> Self {
        Self { state: State::Calling { response } }
    }

    /// Returns the response of an idempotent execution.
    pub(super) const fn running(response: RunFuture<Res, E>) -> Self {
        Self { state: State::Running { response } }
    }

    /// Returns a response of the layer's own.
    pub(super) const fn rejected(response: Response<BufferedBody<Res>>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }
}

impl<F, Res, E> Future for IdempotencyFuture<F, Res, E>
where
    F: Future<Output = Result<Response<Res>, E>>,
    Res: Body,
{
    type Output = Result<Response<BufferedBody<Res>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let result = match state.as_mut().project() {
            StateProjection::Calling { response } => {
                Some(ready!(response.poll(cx)).map(|response| response.map(BufferedBody::passthrough)))
            }
            StateProjection::Running { response } => Some(ready!(response.as_mut().poll(cx))),
            StateProjection::Rejected { response } => response.take().map(Ok),
            StateProjection::Done => None,
        };
        state.set(State::Done);
        match result {
            Some(result) => Poll::Ready(result),
            None => panic!("`IdempotencyFuture` polled after completion"),
        }
    }
}

impl<F, Res: Body, E> fmt::Debug for IdempotencyFuture<F, Res, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Calling { .. } => "Calling",
            State::Running { .. } => "Running",
            State::Rejected { .. } => "Rejected",
            State::Done => "Done",
        };
        f.debug_tuple("IdempotencyFuture").field(&format_args!("{state}")).finish()
    }
}
