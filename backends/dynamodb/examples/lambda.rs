//! A Lambda function behind an HTTP API (API Gateway, payload format 2.0) that limits each API key, and each address
//! that brings none.
//!
//! It needs the table (`RATE_LIMIT_TABLE_NAME`; see the example `dynamodb` for making one), a role that may
//! `dynamodb:UpdateItem` and `dynamodb:GetItem` on it, and a choice, `WITHOUT_DECISION` = `pass` or `unavailable`. Built and deployed by `cargo lambda`, or as any other Lambda on `provided.al2023`.
//!
//! The client is made once, outside the handler, so that all invocations of one environment share its connections and
//! are one writer. The handler gives up in time to answer before Lambda's own deadline, and says itself what happens
//! when there is no decision.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use lambda_http::http::{StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Error, Request, RequestExt, Response, service_fn};
use limited::{Backend, Decision, Key, Limiter, Quota};
use limited_dynamodb::DynamoDbBackend;

/// What is kept of the invocation's time for sending the answer.
const TIME_TO_ANSWER: Duration = Duration::from_millis(50);

/// What happens to a request that could not be decided about. There is no default: it is the service's choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithoutDecision {
    /// It passes unlimited: an outage of the table does not become one of the service.
    Pass,
    /// It is answered with 503: nothing passes unlimited.
    Unavailable,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // `aws-config` brings an HTTPS client of its own by default; this package leaves that feature out.
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
                "set `WITHOUT_DECISION` to `pass` or `unavailable`: what happens when the table fails".into(),
            );
        }
    };

    lambda_http::run(service_fn(|request| handle(&limiter, without, request))).await
}

/// Answers a request, if its key may make one now.
pub(crate) async fn handle<B: Backend>(
    limiter: &Limiter<B>,
    without: WithoutDecision,
    request: Request,
) -> Result<Response<Body>, Error> {
    let Some(key) = key_of(&request) else {
        return answer(StatusCode::BAD_REQUEST, "neither an API key nor an address");
    };
    let decision = match tokio::time::timeout(time_left(&request), limiter.allow(key)).await {
        Ok(Ok(decision)) => Ok(decision),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no decision before the deadline".to_owned()),
    };
    match decision {
        Ok(decision) if decision.is_allowed() => welcome(),
        Ok(decision) => refusal(&decision),
        Err(reason) => {
            // What goes to the standard error is in the function's log.
            eprintln!("no decision: {reason}");
            match without {
                WithoutDecision::Pass => welcome(),
                WithoutDecision::Unavailable => answer(StatusCode::SERVICE_UNAVAILABLE, "try again later"),
            }
        }
    }
}

/// The API key, of which only a fingerprint goes to the table, or else the caller's address.
fn key_of(request: &Request) -> Option<Key<'static>> {
    if let Some(api_key) = request.headers().get("x-api-key") {
        return Some(Key::new().secret("api_key", api_key.as_bytes()));
    }
    let RequestContext::ApiGatewayV2(context) = request.request_context_ref()? else { return None };
    let address: IpAddr = context.http.source_ip.as_deref()?.parse().ok()?;
    Some(Key::new().ip(address))
}

/// How long the decision may take, so that there is still an answer before Lambda's deadline.
fn time_left(request: &Request) -> Duration {
    let deadline = request.lambda_context().deadline();
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    left.saturating_sub(TIME_TO_ANSWER)
}

fn welcome() -> Result<Response<Body>, Error> {
    answer(StatusCode::OK, "welcome")
}

/// 429, with the time to wait in whole seconds, rounded up.
fn refusal(decision: &Decision) -> Result<Response<Body>, Error> {
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, "too many requests")?;
    if let Some(wait) = decision.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    Ok(response)
}

fn answer(status: StatusCode, text: &str) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain").body(text.into())?)
}
