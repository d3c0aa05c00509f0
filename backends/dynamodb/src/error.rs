//! Maps the SDK's errors to what a caller can do about them.

use aws_sdk_dynamodb::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use limited_core::{BackendError, Cause, Escaped, Result};

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
            format!("no response from the table `{}` within the operation timeout", Escaped(table)),
        ),
        SdkError::DispatchFailure(failure)
            if failure.as_connector_error().is_some_and(ConnectorError::is_timeout) =>
        {
            (BackendError::TimedOut, "the connection to DynamoDB timed out".to_owned())
        }
        SdkError::ServiceError(service) if service.err().code().is_some() => {
            let reasons = throttling_reasons(service.err());
            by_code(service.err().code(), service.err().message(), reasons, table)
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

/// Returns the error for the reason of a cancelled transaction.
pub(crate) fn reason_error(code: &str, message: &str, table: &str) -> BackendError {
    // The codes of reasons differ from those of errors.
    let code = match code {
        "TransactionConflict" => "TransactionConflictException",
        "ProvisionedThroughputExceeded" => "ProvisionedThroughputExceededException",
        "ThrottlingError" => "ThrottlingException",
        "ValidationError" => "ValidationException",
        "ItemCollectionSizeLimitExceeded" => "ItemCollectionSizeLimitExceededException",
        "AccessDenied" => "AccessDeniedException",
        "ResourceNotFound" => "ResourceNotFoundException",
        code => code,
    };
    let (kind, message) = by_code(Some(code), Some(message), &[], table);
    kind(message.into())
}

fn by_code(
    code: Option<&str>,
    message: Option<&str>,
    reasons: &[ThrottlingReason],
    table: &str,
) -> (fn(Cause) -> BackendError, String) {
    let (message, table) = (Escaped(message.unwrap_or("no message")), Escaped(table));
    match code.unwrap_or_default() {
        "ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded" => {
            let reasons: String = reasons.iter().filter_map(advice).collect();
            let beginning = format!("the table `{table}` accepts no more requests at the moment");
            (BackendError::Throttled, format!("{beginning}: {reasons}{message}"))
        }
        // The second is the same transaction, by its token.
        "TransactionConflictException" | "TransactionInProgressException" => (
            BackendError::Throttled,
            format!("a transaction is changing the same item of the table `{table}`; try again: {message}"),
        ),
        "ReplicatedWriteConflictException" => (
            BackendError::Throttled,
            format!(
                "another region is changing the same item of the table `{table}`; try again, and use each key in \
                 one region: {message}"
            ),
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

/// Returns why DynamoDB throttled a request, if it gave reasons.
fn throttling_reasons<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a [ThrottlingReason] {
    let reasons = |error: &'a (dyn std::error::Error + 'static)| {
        error
            .downcast_ref()
            .map(ProvisionedThroughputExceededException::throttling_reasons)
            .or_else(|| error.downcast_ref().map(ThrottlingException::throttling_reasons))
            .or_else(|| error.downcast_ref().map(RequestLimitExceeded::throttling_reasons))
    };
    std::iter::successors(Some(error), |error| error.source()).find_map(reasons).unwrap_or_default()
}

/// Returns what to do about a reason, and the reason: what was limited, for reads or writes, and by
/// which limit.
fn advice(reason: &ThrottlingReason) -> Option<String> {
    let name = reason.reason()?;
    let advice = [
        (
            "KeyRangeThroughputExceeded",
            "one partition key gets too many requests; spread them over more keys",
        ),
        ("ProvisionedThroughputExceeded", "raise the provisioned capacity"),
        ("MaxOnDemandThroughputExceeded", "raise the maximum throughput that the table is configured with"),
        ("AccountLimitExceeded", "raise the account's quota for a table"),
    ];
    let advice = advice.into_iter().find(|(limit, _)| name.ends_with(limit)).map(|(_, advice)| advice);
    let of = reason.resource().map(|resource| format!(" of `{resource}`")).unwrap_or_default();
    Some(match advice {
        Some(advice) => format!("{advice} (`{name}`{of}): "),
        None => format!("`{name}`{of}: "),
    })
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
