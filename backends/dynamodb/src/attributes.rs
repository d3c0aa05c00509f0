//! The attributes of an item: their names, and how their values are read. A public format, which
//! programs in other languages read and write.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{BackendError, Result, Timestamp};

use crate::format::parse_timestamp;

pub(crate) const IDENTIFIER: &str = "Identifier";
pub(crate) const WINDOW_TIME: &str = "WindowTime";
pub(crate) const COUNT: &str = "Count";
/// The limit of the quota that a bucket was last hit by. Determines the unit of its `Count`.
pub(crate) const LIMIT: &str = "Limit";
/// The capacity of that quota.
pub(crate) const CAPACITY: &str = "Capacity";
pub(crate) const EXPIRES_AT: &str = "ExpiresAt";
pub(crate) const CREATED_AT: &str = "CreatedAt";
pub(crate) const UPDATED_AT: &str = "UpdatedAt";
pub(crate) const BUCKET_KEY: &str = "BucketKey";
pub(crate) const IP_ADDRESS: &str = "IPAddress";
pub(crate) const USER_ID: &str = "UserID";
pub(crate) const TENANT_ID: &str = "TenantID";
/// When the first hit opened the window.
pub(crate) const OPENED_AT: &str = "OpenedAt";
/// The id of a window from the first hit, in hexadecimal.
pub(crate) const WINDOW_ID: &str = "Generation";
/// The metadata of a window from the first hit.
pub(crate) const METADATA: &str = "Note";
/// The hits of a log: their times and costs.
pub(crate) const LOG: &str = "Log";
/// The prefix of the name of every writer's slot.
pub(crate) const SLOT_PREFIX: &str = "Writer_";

pub(crate) const IDEMPOTENCY_KEY: &str = "IdempotencyKey";
/// The kind of the claim.
pub(crate) const CLAIM_KIND: &str = "SK";
pub(crate) const STATUS: &str = "Status";
pub(crate) const REQUEST_HASH: &str = "RequestHash";
pub(crate) const REQUEST_BODY: &str = "RequestBody";
pub(crate) const RESPONSE: &str = "Response";
/// What `Response` is if it is not a value: one of the two constants below.
pub(crate) const RESPONSE_KIND: &str = "ResponseKind";
pub(crate) const KIND_ERROR: &str = "ERROR";
pub(crate) const KIND_OMITTED: &str = "NOT_KEPT";
pub(crate) const OMITTED_REASON: &str = "NotKeptReason";
pub(crate) const STATUS_CODE: &str = "StatusCode";
/// The owner, in hexadecimal.
pub(crate) const LOCK_TOKEN: &str = "LockToken";
/// When the lease ends.
pub(crate) const LOCKED_UNTIL: &str = "LockedUntil";
pub(crate) const COMPLETED_AT: &str = "CompletedAt";
pub(crate) const FUNCTION_NAME: &str = "FunctionName";
/// When the item was created, for the indexes.
pub(crate) const TIMESTAMP: &str = "Timestamp";
/// The fencing token of the last grant.
pub(crate) const FENCING_TOKEN: &str = "Fence";

pub(crate) type Item = HashMap<String, AttributeValue>;

/// Returns the key of an item: two attributes that are strings.
pub(crate) fn key_attributes(partition: (&str, &str), sort: (&str, &str)) -> Item {
    [partition, sort].map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned()))).into()
}

/// Reads a string; `None` if the attribute is missing.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Result<Option<&'a str>> {
    item.get(name).map(|value| value.as_s().map(String::as_str).map_err(|_| unreadable(name))).transpose()
}

/// Reads a time; `None` if the attribute is missing.
pub(crate) fn time(item: &Item, name: &str) -> Result<Option<Timestamp>> {
    let text = text(item, name)?;
    text.map(|text| parse_timestamp(text).ok_or_else(|| unreadable(name))).transpose()
}

/// Reads a whole number; `None` if the attribute is missing.
pub(crate) fn number<N: FromStr>(item: &Item, name: &str) -> Result<Option<N>> {
    let parse = |value: &AttributeValue| value.as_n().ok()?.parse().ok();
    item.get(name).map(|value| parse(value).ok_or_else(|| unreadable(name))).transpose()
}

/// Returns the error for an attribute that is not in the documented format.
pub(crate) fn unreadable(name: &str) -> BackendError {
    BackendError::Corrupt(format!("the attribute `{name}` is not in the documented format").into())
}
