//! The response headers about limits: `RateLimit-Policy`, `RateLimit` and the legacy
//! `X-RateLimit-*`.
//!
//! Written as in draft-ietf-httpapi-ratelimit-headers-11, with Structured Fields (RFC 9651).

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Integer, ItemSerializer, KeyRef, ParameterSerializer};

use super::header_list;
use super::limit_values::LimitValues;
use super::retry_after::seconds;
use crate::{Algorithm, Quota};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const LEGACY_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const LEGACY_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const LEGACY_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
pub(super) const NAMES: [HeaderName; 2] = [LIMIT, POLICY];
pub(super) const LEGACY_NAMES: [HeaderName; 3] = [LEGACY_LIMIT, LEGACY_REMAINING, LEGACY_RESET];
/// The headers of the draft up to its version 06.
const EARLIER_DRAFTS: [&str; 3] = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];

/// The name of a policy, as the headers contain it: a Structured Fields String.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PolicyName(sfv::String);

/// A text that is not a valid name of a policy.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid policy name `{}`; expected {expected}", name.escape_debug())]
pub struct InvalidPolicyName {
    name: String,
    expected: &'static str,
}

impl InvalidPolicyName {
    const fn in_headers(name: String) -> Self {
        Self { name, expected: "printable ASCII, not empty, since it goes into a header" }
    }

    pub(super) fn duplicate(name: &PolicyName) -> Self {
        Self { name: name.as_str().to_owned(), expected: "a name that no other policy of the layer has" }
    }

    pub(super) fn not_one_each(name: String) -> Self {
        Self { name, expected: "one name for each quota of the limiter" }
    }
}

impl std::fmt::Debug for InvalidPolicyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        limited_core::debug_error(f, "InvalidPolicyName", self)
    }
}

impl PolicyName {
    pub(super) fn new(name: impl Into<String>) -> Result<Self, InvalidPolicyName> {
        match sfv::String::from_string(name.into()) {
            Ok(name) if !name.as_str().is_empty() => Ok(Self(name)),
            Ok(name) => Err(InvalidPolicyName::in_headers(name.into())),
            Err((_, name)) => Err(InvalidPolicyName::in_headers(name)),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns `{name}-{suffix}`, or the name itself if no header can contain the suffix.
    pub(super) fn with_suffix(&self, suffix: &str) -> Self {
        Self::new(format!("{}-{suffix}", self.as_str())).unwrap_or_else(|_| self.clone())
    }
}

impl Default for PolicyName {
    fn default() -> Self {
        Self(sfv::string_ref("default").to_owned())
    }
}

/// Returns `"default";q=100;w=60`: the limit, and the window in seconds, rounded up. If the
/// capacity of a bucket differs from its limit, the parameter `limited-burst` has the capacity.
///
/// Days, months and years of a calendar differ in length, so a calendar quota has no `w`.
pub(super) fn policy(name: &PolicyName, quota: Quota, algorithm: Algorithm) -> HeaderValue {
    item(name, |item| {
        let mut item = item.parameter(key("q"), integer(quota.limit()));
        if !quota.is_calendar() {
            item = item.parameter(key("w"), integer(seconds(quota.window())));
        }
        if algorithm == Algorithm::TokenBucket && quota.capacity() != quota.limit() {
            let _ = item.parameter(key("limited-burst"), integer(quota.capacity()));
        }
    })
}

/// Returns `"default";r=50;t=30`: what remains, and for how many seconds, rounded up.
///
/// After a rejection these are the seconds until the same request is admitted, if it ever is, and
/// at most the maximum. So they equal `Retry-After`.
pub(super) fn limit(name: &PolicyName, values: LimitValues) -> HeaderValue {
    item(name, |item| {
        let _ = item
            .parameter(key("r"), integer(values.remaining))
            .parameter(key("t"), integer(values.effective_seconds()));
    })
}

fn item(name: &PolicyName, add: impl FnOnce(ParameterSerializer<&mut String>)) -> HeaderValue {
    let mut text = String::with_capacity(name.as_str().len() + 48);
    add(ItemSerializer::with_buffer(&mut text).bare_item(&*name.0));
    value(text)
}

/// Structured Fields are printable ASCII, so they are always a valid header value.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Adds both headers. If an inner layer or the service has written them, appends to their lists.
///
/// Returns whether a list already had a policy of this name.
pub(super) fn add(
    headers: &mut HeaderMap,
    name: &PolicyName,
    policy: HeaderValue,
    limit: HeaderValue,
) -> bool {
    let is_duplicate = header_list::append(headers, POLICY, policy, name.as_str());
    header_list::append(headers, LIMIT, limit, name.as_str());
    is_duplicate
}

/// Removes what the service or an inner layer has said about limits, in any of the usual headers.
pub(super) fn remove(headers: &mut HeaderMap) {
    for name in [POLICY, LIMIT, LEGACY_LIMIT, LEGACY_REMAINING, LEGACY_RESET] {
        headers.remove(name);
    }
    for name in EARLIER_DRAFTS {
        headers.remove(name);
    }
}

/// Sets the legacy headers, unless an inner layer or another policy has set them and has less
/// remaining. The reset is in seconds from now, and after a rejection at least `Retry-After`.
pub(super) fn add_legacy(headers: &mut HeaderMap, values: LimitValues) {
    let other = headers.get(LEGACY_REMAINING).and_then(|value| value.to_str().ok()?.parse().ok());
    if other.is_some_and(|other: u64| other <= values.remaining) {
        return;
    }
    headers.insert(LEGACY_LIMIT, values.limit.into());
    headers.insert(LEGACY_REMAINING, values.remaining.into());
    headers.insert(LEGACY_RESET, values.reset_seconds().into());
}

const fn key(name: &'static str) -> &'static KeyRef {
    KeyRef::constant(name)
}

/// Returns an integer of Structured Fields, which has at most 15 digits. Larger numbers saturate.
fn integer(number: u64) -> Integer {
    number.try_into().unwrap_or(Integer::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use sfv::{BareItem, Item, List, ListEntry, Parser};

    use super::*;
    use crate::http::retry_after::DEFAULT_MAX_SECONDS;
    use crate::{Decision, Limiter, ManualClock};

    fn name(name: &str) -> PolicyName {
        PolicyName::new(name).unwrap()
    }

    fn values(decision: &Decision) -> LimitValues {
        LimitValues::new(decision, DEFAULT_MAX_SECONDS)
    }

    /// Returns the decision about the last of these hits.
    fn decision<const N: usize>(quota: Quota, algorithm: Algorithm, hits: [u64; N]) -> Decision {
        let limiter = Limiter::new(limited_memory::MemoryBackend::new()).clock(ManualClock::new());
        let limiter = limiter.quota(quota).algorithm(algorithm);
        hits.map(|cost| limiter.allow_n_now("key", cost).unwrap())[N - 1].clone()
    }

    fn members(list: &str) -> Vec<(String, Vec<(String, i64)>)> {
        let member = |entry: &ListEntry| match entry {
            ListEntry::Item(Item { bare_item: BareItem::String(name), params }) => {
                let number = |value: &BareItem| i64::from(value.as_integer().unwrap());
                let params = params.iter().map(|(key, value)| (key.to_string(), number(value)));
                (name.as_str().to_owned(), params.collect())
            }
            other => panic!("not a string: {other:?}"),
        };
        Parser::new(list).parse::<List>().unwrap().iter().map(member).collect()
    }

    #[test]
    fn headers_are_written_as_in_the_draft() {
        let decision = decision(Quota::per_minute(100), Algorithm::FixedWindow, [50]);
        let default = PolicyName::default();
        assert_eq!(
            policy(&default, Quota::per_minute(100), Algorithm::FixedWindow),
            "\"default\";q=100;w=60"
        );
        assert_eq!(limit(&default, values(&decision)), "\"default\";r=50;t=60");
    }

    #[test]
    fn window_below_one_second_is_rounded_up() {
        let quota = Quota::new(5, Duration::from_millis(100)).unwrap();
        let default = PolicyName::default();
        assert_eq!(policy(&default, quota, Algorithm::FixedWindow), "\"default\";q=5;w=1");
        let decision = decision(quota, Algorithm::FixedWindow, [1]);
        assert_eq!(limit(&default, values(&decision)), "\"default\";r=4;t=1");
    }

    #[cfg(feature = "calendar")]
    #[test]
    fn calendar_quota_has_no_window_in_seconds() {
        let quota = "5/calendar-month in UTC".parse().unwrap();
        assert_eq!(policy(&PolicyName::default(), quota, Algorithm::FixedWindow), "\"default\";q=5");
    }

    #[test]
    fn bucket_reports_a_burst_that_differs_from_the_limit() {
        let default = PolicyName::default();
        let quota = Quota::per_minute(6);
        assert_eq!(policy(&default, quota, Algorithm::TokenBucket), "\"default\";q=6;w=60");
        let quota = quota.burst(20);
        assert_eq!(policy(&default, quota, Algorithm::TokenBucket), "\"default\";q=6;w=60;limited-burst=20");
        assert_eq!(policy(&default, quota, Algorithm::FixedWindow), "\"default\";q=6;w=60");
    }

    #[test]
    fn rejection_reports_no_more_seconds_than_retry_after() {
        let rejected = decision(Quota::per_minute(6), Algorithm::TokenBucket, [6, 1]);
        assert_eq!(
            (rejected.retry_after(), rejected.reset_after()),
            (Some(Duration::from_secs(10)), Duration::from_secs(60))
        );
        assert_eq!(limit(&PolicyName::default(), values(&rejected)), "\"default\";r=0;t=10");
    }

    #[test]
    fn name_that_no_header_can_contain_is_an_error() {
        for invalid in ["", "é", "a\nb", "\u{7f}", "\0"] {
            assert_eq!(PolicyName::new(invalid), Err(InvalidPolicyName::in_headers(invalid.to_owned())));
        }
        assert_eq!(PolicyName::new("a\nb").unwrap_err().to_string().lines().count(), 1);
    }

    #[test]
    fn legacy_headers_report_the_policy_with_the_least_remaining() {
        let mut headers = HeaderMap::new();
        let some = decision(Quota::per_minute(10), Algorithm::FixedWindow, [4]);
        let fewer = decision(Quota::per_hour(9), Algorithm::FixedWindow, [7]);
        for decision in [some.clone(), fewer, some] {
            add_legacy(&mut headers, values(&decision));
        }
        assert_eq!(headers[LEGACY_LIMIT], "9");
        assert_eq!(headers[LEGACY_REMAINING], "2");
        assert!(headers[LEGACY_RESET].to_str().unwrap().parse::<u64>().unwrap() > 60);
    }

    fn any_name() -> impl Strategy<Value = PolicyName> {
        "[ -~]{1,20}".prop_map(|text| name(&text))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn written_headers_parse_to_the_same_values(
            names in prop::collection::vec(any_name(), 1..4),
            count: u64,
            nanos in 1_000_000..3_162_240_000_000_000_000_u64,
            burst: Option<u64>,
            algorithm in prop::sample::select(Algorithm::ALL.to_vec()),
        ) {
            let quota = Quota::new(count, Duration::from_nanos(nanos)).unwrap();
            let quota = burst.map_or(quota, |burst| quota.burst(burst));
            let decision = decision(quota, algorithm, [1]);
            let mut headers = HeaderMap::new();
            for name in &names {
                add(&mut headers, name, policy(name, quota, algorithm), limit(name, values(&decision)));
            }
            let capped = |number: u64| i64::try_from(number.min(999_999_999_999_999)).unwrap();
            let read = members(headers[POLICY].to_str().unwrap());
            prop_assert_eq!(read.len(), names.len());
            for ((read, params), name) in read.iter().zip(&names) {
                prop_assert_eq!(read, name.as_str());
                prop_assert_eq!(&params[0], &("q".to_owned(), capped(count)));
                prop_assert_eq!(&params[1], &("w".to_owned(), capped(nanos.div_ceil(1_000_000_000))));
            }
            for ((read, params), name) in members(headers[LIMIT].to_str().unwrap()).iter().zip(&names) {
                prop_assert_eq!(read, name.as_str());
                prop_assert_eq!(&params[0], &("r".to_owned(), capped(decision.remaining())));
                prop_assert_eq!(params[1].0.as_str(), "t");
            }
        }
    }
}
