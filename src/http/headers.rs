//! What an answer says about limits: the fields `RateLimit-Policy` and `RateLimit`, and the older `X-RateLimit-*`.
//!
//! After draft-ietf-httpapi-ratelimit-headers-11, as Structured Fields (RFC 9651).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::visitor::Ignored;
use sfv::{Integer, KeyRef, ListSerializer, Parser};

use crate::{Algorithm, Decision, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const OLD_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const OLD_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const OLD_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The name of a policy, as it is in the headers: a Structured Fields String.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PolicyName(sfv::String);

/// What cannot name a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot name a policy: it goes into a header, so it has to be printable ASCII, and not empty", .0.escape_debug())]
pub struct InvalidPolicyName(String);

impl PolicyName {
    pub(super) fn new(name: impl Into<String>) -> Result<Self, InvalidPolicyName> {
        match sfv::String::from_string(name.into()) {
            Ok(name) if !name.as_str().is_empty() => Ok(Self(name)),
            Ok(name) => Err(InvalidPolicyName(name.into())),
            Err((_, name)) => Err(InvalidPolicyName(name)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Default for PolicyName {
    fn default() -> Self {
        Self(sfv::string_ref("default").to_owned())
    }
}

/// `"default";q=100;w=60`: so much in so many seconds, rounded up. A bucket of another size than the quota's limit has it in a
/// parameter of its own, `limited-burst`.
pub(super) fn policy(name: &PolicyName, quota: Quota, algorithm: Algorithm) -> String {
    let mut list = ListSerializer::new();
    let item = list
        .bare_item(&*name.0)
        .parameter(key("q"), integer(quota.limit()))
        .parameter(key("w"), integer(seconds(quota.window())));
    if algorithm == Algorithm::TokenBucket && quota.capacity() != quota.limit() {
        let _ = item.parameter(key("limited-burst"), integer(quota.capacity()));
    }
    list.finish().unwrap_or_default()
}

/// `"default";r=50;t=30`: so much is left, and that is all there is for so many seconds, rounded up.
///
/// After a refusal these are the seconds until the same request would pass, where that is before the limit resets: so
/// `Retry-After` is never earlier.
pub(super) fn limit(name: &PolicyName, decision: &Decision) -> String {
    let reset = decision.reset_after();
    let effective = decision.retry_after().map_or(reset, |wait| wait.min(reset));
    let mut list = ListSerializer::new();
    let _ = list
        .bare_item(&*name.0)
        .parameter(key("r"), integer(decision.remaining()))
        .parameter(key("t"), integer(seconds(effective)));
    list.finish().unwrap_or_default()
}

/// Adds the two fields: to the lists that layers further in have written, where they have.
pub(super) fn add(headers: &mut HeaderMap, policy: String, limit: String) {
    append(headers, POLICY, policy);
    append(headers, LIMIT, limit);
}

/// Adds a member to the end of a list. What is no list would make ours unreadable: it is replaced.
fn append(headers: &mut HeaderMap, name: HeaderName, member: String) {
    let mut list = String::new();
    for line in headers.get_all(&name) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        // What is not ASCII is no list either.
        list.push_str(line.to_str().unwrap_or("?"));
    }
    let is_list = !list.is_empty() && Parser::new(&list).parse_list_with_visitor(Ignored).is_ok();
    let value = if is_list { list + ", " + &member } else { member };
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// Sets the older fields, unless a layer further in has set them and has less left. The reset is in seconds from now.
pub(super) fn add_old(headers: &mut HeaderMap, decision: &Decision) {
    let remaining = headers.get(OLD_REMAINING).and_then(|value| value.to_str().ok()?.parse().ok());
    if remaining.is_some_and(|remaining: u64| remaining <= decision.remaining()) {
        return;
    }
    headers.insert(OLD_LIMIT, decision.limit().into());
    headers.insert(OLD_REMAINING, decision.remaining().into());
    headers.insert(OLD_RESET, seconds(decision.reset_after()).into());
}

/// Whole seconds, rounded up.
pub(super) const fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(if duration.subsec_nanos() > 0 { 1 } else { 0 })
}

const fn key(name: &'static str) -> &'static KeyRef {
    KeyRef::constant(name)
}

/// An integer of Structured Fields, which has at most 15 digits: what is larger is written as the largest one.
fn integer(number: u64) -> Integer {
    number.try_into().unwrap_or(Integer::MAX)
}
