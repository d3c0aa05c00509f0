//! One idempotent execution of a request, in four steps: read its body, claim its key, execute it,
//! respond.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Uri};
use http_body::Body;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tower_service::Service;

use super::body::{BufferedBody, BufferedRead, ReadStatus};
use super::comparison::host_name;
use super::config::{Config, OnBackendFailure};
use super::error::IdempotencyProblem;
use super::final_status::{asks_for_retry, decisive_status};
use super::stored_response::{CODEC, CapturedResponse};
use crate::{Backend, Claim, Idempotency, Key, Outcome, RunError};

/// What a run needs: a ready service, and the settings of its layer.
pub(super) struct Run<S, B> {
    pub(super) service: S,
    pub(super) idempotency: Idempotency<B>,
    pub(super) config: Arc<Config>,
}

/// The request in the form in which a record contains it, if
/// [`store_requests`](Idempotency::store_requests) is set. Nothing compares it.
#[derive(Serialize)]
struct RequestDescription {
    method: String,
    host: Option<String>,
    path: String,
    query: Option<String>,
    /// The SHA-256 of the body, in Base64.
    body: String,
}

/// Why there is no response to store. The key becomes free.
enum NotStorable<E> {
    ServiceError(E),
    /// [`Config::store_if`] excludes the status, or the response asks for a retry.
    Status,
}

/// The service, and what a run has so far.
struct Execution<S, Req: Body, Res: Body> {
    service: S,
    config: Arc<Config>,
    /// Taken when the service is called.
    request: Option<Request<BufferedBody<Req>>>,
    /// Set when the service has responded.
    response: Option<Response<BufferedBody<Res>>>,
}

impl<S, B: Backend> Run<S, B> {
    pub(super) async fn of<Req, Res>(
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
        let Self { service, idempotency, config } = self;
        let body = match read_body(body, config.max_request_body).await {
            Ok(body) => body,
            Err(problem) => return Ok(config.respond_to(&problem)),
        };
        let request_hash = config.comparison.hash(&parts, body.data());
        let description = idempotency
            .stores_requests()
            .then(|| RequestDescription::of(config.comparison.uri(&parts), &parts, body.data()));
        let request = Some(Request::from_parts(parts, BufferedBody::read(body)));
        let mut execution = Execution { service, config, request, response: None };
        // Step 2: claims the key. The call runs step 3 only if it gets the claim.
        let outcome = {
            let execution = &mut execution;
            let call = idempotency.call(&key, &description).request_hash(request_hash);
            call.run_with_codec(move |claim| execution.execute(claim), &CODEC).await
        };
        execution.respond(outcome).await
    }
}

/// Step 1: reads the body of the request.
async fn read_body<B: Body<Data = Bytes>>(
    body: B,
    limit: usize,
) -> Result<BufferedRead<B>, IdempotencyProblem> {
    let body = BufferedRead::up_to(limit, body).await;
    match body.status() {
        ReadStatus::Complete => Ok(body),
        ReadStatus::OverLimit => Err(IdempotencyProblem::RequestTooLarge { limit }),
        ReadStatus::CutOff => Err(IdempotencyProblem::RequestCutOff),
    }
}

impl RequestDescription {
    fn of(uri: &Uri, parts: &Parts, body: &[u8]) -> Self {
        Self {
            method: parts.method.as_str().to_owned(),
            host: host_name(parts),
            path: uri.path().to_owned(),
            query: uri.query().map(str::to_owned),
            body: STANDARD.encode(Sha256::digest(body)),
        }
    }
}

impl<S, Req, Res> Execution<S, Req, Res>
where
    S: Service<Request<BufferedBody<Req>>, Response = Response<Res>>,
    Req: Body<Data = Bytes>,
    Res: Body<Data = Bytes>,
{
    /// Step 3: calls the service under the claim, and captures its response.
    async fn execute(&mut self, claim: Claim) -> Result<CapturedResponse, NotStorable<S::Error>> {
        // The handler of a run is called once, so there is a request.
        let Some(mut request) = self.request.take() else { return Err(NotStorable::Status) };
        request.extensions_mut().insert(claim.clone());
        let response = self.service.call(request).await.map_err(NotStorable::ServiceError)?;
        let (parts, body) = response.into_parts();
        claim.set_status_code(parts.status.as_u16());
        let status = decisive_status(&parts, None);
        if asks_for_retry(&parts) || status.is_some_and(|status| !(self.config.store_if)(status)) {
            self.response = Some(Response::from_parts(parts, BufferedBody::passthrough(body)));
            return Err(NotStorable::Status);
        }
        let limit = self.config.max_response_body;
        let body = BufferedRead::up_to(limit, body).await;
        if status.is_none()
            && let Some(status) = decisive_status(&parts, body.trailers())
            && !(self.config.store_if)(status)
        {
            self.response = Some(Response::from_parts(parts, BufferedBody::read(body)));
            return Err(NotStorable::Status);
        }
        let captured = CapturedResponse::of(&parts, &body, &self.config);
        self.response = Some(Response::from_parts(parts, BufferedBody::read(body)));
        Ok(captured)
    }

    /// Step 4: returns the service's response, a stored one, or a problem.
    async fn respond(
        mut self,
        outcome: Result<Outcome<CapturedResponse>, RunError<NotStorable<S::Error>, CapturedResponse>>,
    ) -> Result<Response<BufferedBody<Res>>, S::Error> {
        let problem = match (outcome, self.response) {
            (Err(RunError::Failed(NotStorable::ServiceError(error))), _) => return Err(error),
            // The owner that took over the lease has the response that counts.
            (Err(RunError::LeaseLost { .. }), _) => IdempotencyProblem::Superseded,
            (Err(RunError::Stopped), _) => IdempotencyProblem::Stopped,
            // Executed in this run. The client gets the response, whether it was stored or not.
            (outcome, Some(response)) => {
                if let Err(RunError::NotRecorded { error, .. }) = outcome {
                    self.config.backend_failed(&error);
                }
                return Ok(response);
            }
            (Ok(outcome), None) => {
                let stored = outcome.into_inner().response.ok();
                match stored.and_then(|response| response.replay(&self.config)) {
                    Some(response) => return Ok(response),
                    None => IdempotencyProblem::unreadable(),
                }
            }
            (Err(RunError::KeyReused), None) => IdempotencyProblem::KeyReused,
            (Err(RunError::InProgress { retry_after }), None) => {
                IdempotencyProblem::InProgress { retry_after: retry_after.min(self.config.max_retry_after) }
            }
            (Err(RunError::NotStored { reason, .. }), None) => IdempotencyProblem::NotStored { reason },
            (Err(RunError::Decode(_)), None) => IdempotencyProblem::unreadable(),
            (Err(RunError::Backend(error)), None) => {
                self.config.backend_failed(&error);
                match (self.request, self.config.on_backend_failure) {
                    (Some(request), OnBackendFailure::Run) => {
                        let response = self.service.call(request).await?;
                        return Ok(response.map(BufferedBody::passthrough));
                    }
                    _ => IdempotencyProblem::backend_failed(&error),
                }
            }
            // Unreachable: the key is valid, the request is JSON, errors are not stored, and an
            // executed request has a response.
            (Err(_), None) => IdempotencyProblem::BackendFailed { is_retryable: false },
        };
        Ok(self.config.respond_to(&problem))
    }
}
