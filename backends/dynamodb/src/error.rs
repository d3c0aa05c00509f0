//! What the SDK's errors mean to a caller.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use limited_core::{BackendError, Cause};

/// What the SDK says, as if the network had failed, where it lacks a region or credentials.
const NOT_SET_UP: [&str; 5] = [
    "auth scheme",
    "Missing Region",
    "no providers in chain provided credentials",
    "provider was not enabled",
    "no identity",
];

/// Tells the SDK's errors apart, by what a caller can do about them. `table` is what was asked.
pub(crate) fn backend_error<E>(error: SdkError<E>, table: &str) -> BackendError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (kind, message): (fn(Cause) -> BackendError, String) = match &error {
        SdkError::TimeoutError(_) => (
            BackendError::TimedOut,
            format!("no answer about the table `{table}` within the operation timeout"),
        ),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(connector) if connector.is_timeout() => {
                (BackendError::TimedOut, "the connection to DynamoDB timed out".to_owned())
            }
            _ if NOT_SET_UP.iter().any(|words| says(&error, words)) => (
                BackendError::Misconfigured,
                "the client has no region, or no credentials: set them, or use the feature `from-env`"
                    .to_owned(),
            ),
            _ if says(&error, "No HTTP client") => (
                BackendError::Misconfigured,
                "the client has no HTTP client: give it one (`http_client`), or use the feature `from-env`"
                    .to_owned(),
            ),
            _ => (
                BackendError::Unavailable,
                "DynamoDB cannot be reached: look at endpoint, region and network".to_owned(),
            ),
        },
        SdkError::ResponseError(_) => {
            (BackendError::Unavailable, "DynamoDB's answer could not be read".to_owned())
        }
        // Every error of DynamoDB has a code: this is half an answer, to a request that may well have succeeded.
        SdkError::ServiceError(service) if service.err().code().is_none() => {
            (BackendError::Unavailable, "DynamoDB's answer could not be read".to_owned())
        }
        SdkError::ServiceError(service) => by_code(service.err().code(), service.err().message(), table),
        _ if says(&error, "No HTTP client") => (
            BackendError::Misconfigured,
            "the client has no HTTP client: give it one (`http_client`), or use the feature `from-env`"
                .to_owned(),
        ),
        _ => (
            BackendError::Misconfigured,
            "the request could not be made: look at the client's region, credentials and endpoint".to_owned(),
        ),
    };
    kind(Cause::with_source(message, error))
}

fn by_code(code: Option<&str>, message: Option<&str>, table: &str) -> (fn(Cause) -> BackendError, String) {
    let message = message.unwrap_or("no message");
    match code.unwrap_or_default() {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "RequestLimitExceeded"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException" => (
            BackendError::Throttled,
            format!("the table `{table}` takes no more requests at the moment: {message}"),
        ),
        "ResourceNotFoundException" => (
            BackendError::MissingTable,
            format!("there is no table `{table}` in this region and account: create it (`create_tables`)"),
        ),
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException" => {
            (BackendError::AccessDenied, format!("for the table `{table}`: {message}"))
        }
        "ValidationException" | "ItemCollectionSizeLimitExceededException" | "SerializationException" => {
            (BackendError::Invalid, format!("DynamoDB refuses the request: {message}"))
        }
        "InternalServerError" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            (BackendError::Unavailable, format!("DynamoDB failed by itself: {message}"))
        }
        code => (BackendError::Other, format!("DynamoDB answers `{code}`: {message}")),
    }
}

/// Whether the error, or one below it, says this.
fn says(error: &(dyn std::error::Error + 'static), words: &str) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.to_string().contains(words))
}
