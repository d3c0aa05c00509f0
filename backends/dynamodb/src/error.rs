//! Maps the SDK's errors to what a caller can do about them.

use aws_sdk_dynamodb::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use limited_core::{BackendError, Cause, Result};

/// Parts of the messages by which the SDK reports a missing region or missing credentials, as if
/// the network had failed.
const NOT_SET_UP: [&str; 5] = [
    "auth scheme",
    "Missing Region",
    "no providers in chain provided credentials",
    "provider was not enabled",
    "no identity",
];

/// Maps an error of a request to `table`.
pub(crate) fn backend_error<E>(error: SdkError<E>, table: &str) -> BackendError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (kind, message): (fn(Cause) -> BackendError, String) = match &error {
        SdkError::TimeoutError(_) => (
            BackendError::TimedOut,
            format!("no response from the table `{table}` within the operation timeout"),
        ),
        SdkError::DispatchFailure(failure)
            if failure.as_connector_error().is_some_and(ConnectorError::is_timeout) =>
        {
            (BackendError::TimedOut, "the connection to DynamoDB timed out".to_owned())
        }
        SdkError::ServiceError(service) if service.err().code().is_some() => {
            by_code(service.err().code(), service.err().message(), table)
        }
        // Every error of DynamoDB has a code. Without one, the response is incomplete, and the
        // request may have succeeded.
        SdkError::ServiceError(_) | SdkError::ResponseError(_) => {
            (BackendError::Unavailable, "DynamoDB's response could not be read".to_owned())
        }
        _ if contains(&error, "No HTTP client") => (
            BackendError::Misconfigured,
            "the client has no HTTP client; set one (`http_client`), or use the feature `from-env`"
                .to_owned(),
        ),
        SdkError::DispatchFailure(_) if NOT_SET_UP.iter().any(|words| contains(&error, words)) => (
            BackendError::Misconfigured,
            "the client has no region or no credentials; set them, or use the feature `from-env`".to_owned(),
        ),
        SdkError::DispatchFailure(_) => (
            BackendError::Unavailable,
            "DynamoDB cannot be reached; check endpoint, region and network".to_owned(),
        ),
        _ => (
            BackendError::Misconfigured,
            "the request could not be built; check the client's region, credentials and endpoint".to_owned(),
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
            format!("the table `{table}` accepts no more requests at the moment: {message}"),
        ),
        // The second is that of continuous backups.
        "ResourceNotFoundException" | "TableNotFoundException" => (
            BackendError::MissingTable,
            format!(
                "the table `{table}` does not exist in this region and account; create it (`create_tables`)"
            ),
        ),
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "IncompleteSignatureException"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException" => {
            (BackendError::AccessDenied, format!("no access to the table `{table}`: {message}"))
        }
        "ValidationException" | "ItemCollectionSizeLimitExceededException" | "SerializationException" => {
            (BackendError::Invalid, format!("DynamoDB rejected the request: {message}"))
        }
        "InternalServerError" | "ServiceUnavailable" | "ServiceUnavailableException" => {
            (BackendError::Unavailable, format!("DynamoDB reported an internal error: {message}"))
        }
        code => (BackendError::Other, format!("DynamoDB returned the error `{code}`: {message}")),
    }
}

/// Returns the first error with the messages of all of them; `Ok` if there is none.
pub(crate) fn all_of(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let mut errors = results.into_iter().filter_map(Result::err);
    let Some(first) = errors.next() else { return Ok(()) };
    let others: String = errors.map(|error| format!("; and {error}")).collect();
    let message = match first.cause() {
        Some(cause) if !others.is_empty() => format!("{cause}{others}"),
        _ => return Err(first),
    };
    let kind = match first {
        BackendError::Throttled(_) => BackendError::Throttled,
        BackendError::TimedOut(_) => BackendError::TimedOut,
        BackendError::Unavailable(_) => BackendError::Unavailable,
        BackendError::MissingTable(_) => BackendError::MissingTable,
        BackendError::AccessDenied(_) => BackendError::AccessDenied,
        BackendError::Misconfigured(_) => BackendError::Misconfigured,
        BackendError::Invalid(_) => BackendError::Invalid,
        _ => BackendError::Other,
    };
    Err(kind(Cause::with_source(message, first)))
}

/// Returns whether the message of the error, or of one of its sources, contains these words.
fn contains(error: &(dyn std::error::Error + 'static), words: &str) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.to_string().contains(words))
}
