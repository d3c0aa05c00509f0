//! A Lambda function behind an HTTP API (API Gateway, payload format 2.0) that limits each API key,
//! and the address of each request without one.
//!
//! It needs:
//!
//! - the table (`RATE_LIMIT_TABLE_NAME`; the example `dynamodb` creates one),
//! - a role that may `dynamodb:UpdateItem` and `dynamodb:GetItem` on it,
//! - `WITHOUT_DECISION` = `pass` or `unavailable`: what happens if there is no decision.
//!
//! Build and deploy it with `cargo lambda`, or like any other Lambda on `provided.al2023`.
//!
//! The client is created once, outside the handler, so that all invocations of one environment
//! share its connections and are one writer. The handler stops waiting for a decision in time to
//! respond before Lambda's deadline.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_http::http::{StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response, service_fn};
use limited::{Backend, Decision, Key, Limiter, Quota};
use limited_dynamodb::DynamoDbBackend;

/// The time that is reserved for sending the response.
const TIME_TO_RESPOND: Duration = Duration::from_millis(50);

/// What happens to a request without a decision. There is no default, because the service must
/// choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithoutDecision {
    /// It passes without a limit: an outage of the table is not an outage of the service.
    Pass,
    /// It gets a 503: no request passes without a limit.
    Unavailable,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // This package disables the default HTTPS client of `aws-config`.
    let https =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    let table = std::env::var("RATE_LIMIT_TABLE_NAME").unwrap_or_else(|_| "rate-limits".to_owned());
    let backend = DynamoDbBackend::builder(aws_sdk_dynamodb::Client::new(&config)).table_name(table).build();
    let limiter = Limiter::new(backend).namespace("api").quota(Quota::from_env()?);
    let without = match std::env::var("WITHOUT_DECISION").as_deref() {
        Ok("pass") => WithoutDecision::Pass,
        Ok("unavailable") => WithoutDecision::Unavailable,
        _ => {
            return Err(
                "set `WITHOUT_DECISION` to `pass` or `unavailable`: what happens if there is no decision"
                    .into(),
            );
        }
    };

    lambda_http::run(service_fn(|request| handle(&limiter, without, request))).await
}

/// Responds to a request: 200 if its key is within the limit, 429 otherwise.
pub(crate) async fn handle<B: Backend>(
    limiter: &Limiter<B>,
    without: WithoutDecision,
    request: Request,
) -> Result<Response<Body>, Error> {
    let Some(key) = key_of(&request) else {
        return respond(StatusCode::BAD_REQUEST, "the request has neither an API key nor an address");
    };
    let decision = match tokio::time::timeout(time_left(&request), limiter.allow(key)).await {
        Ok(Ok(decision)) => Ok(decision),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no decision before the deadline".to_owned()),
    };
    match decision {
        Ok(decision) if decision.is_allowed() => allowed(),
        Ok(decision) => refused(&decision),
        Err(reason) => {
            // The standard error is the function's log.
            eprintln!("no decision: {reason}");
            match without {
                WithoutDecision::Pass => allowed(),
                WithoutDecision::Unavailable => respond(StatusCode::SERVICE_UNAVAILABLE, "try again later"),
            }
        }
    }
}

/// Returns the API key, of which the table gets only a hash, or else the caller's address.
fn key_of(request: &Request) -> Option<Key<'static>> {
    if let Some(api_key) = request.headers().get("x-api-key") {
        return Some(Key::new().secret("api_key", api_key.as_bytes()));
    }
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let address: IpAddr = context.http.source_ip.as_deref()?.parse().ok()?;
    Some(Key::new().ip(address))
}

/// Returns how long the decision may take, so that the response is sent before Lambda's deadline.
fn time_left(request: &Request) -> Duration {
    let deadline = request.lambda_context().deadline();
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(TIME_TO_RESPOND)
}

fn allowed() -> Result<Response<Body>, Error> {
    respond(StatusCode::OK, "welcome")
}

/// Returns 429 with `Retry-After` in whole seconds, rounded up.
fn refused(decision: &Decision) -> Result<Response<Body>, Error> {
    let mut response = respond(StatusCode::TOO_MANY_REQUESTS, "too many requests")?;
    if let Some(wait) = decision.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    Ok(response)
}

fn respond(status: StatusCode, text: &str) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain").body(text.into())?)
}
