//! What an answer says about limits: the fields `RateLimit-Policy` and `RateLimit`, and the older `X-RateLimit-*`.
//!
//! After draft-ietf-httpapi-ratelimit-headers-11, as Structured Fields (RFC 9651).

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::visitor::Ignored;
use sfv::{Integer, ItemSerializer, KeyRef, ParameterSerializer, Parser};

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
pub(super) fn policy(name: &PolicyName, quota: Quota, algorithm: Algorithm) -> HeaderValue {
    item(name, |item| {
        let item = item
            .parameter(key("q"), integer(quota.limit()))
            .parameter(key("w"), integer(seconds(quota.window())));
        if algorithm == Algorithm::TokenBucket && quota.capacity() != quota.limit() {
            let _ = item.parameter(key("limited-burst"), integer(quota.capacity()));
        }
    })
}

/// `"default";r=50;t=30`: so much is left, and that is all there is for so many seconds, rounded up.
///
/// After a refusal these are the seconds until the same request would pass, where that is before the limit resets: so
/// `Retry-After` is never earlier.
pub(super) fn limit(name: &PolicyName, decision: &Decision) -> HeaderValue {
    let reset = decision.reset_after();
    let effective = decision.retry_after().map_or(reset, |wait| wait.min(reset));
    item(name, |item| {
        let _ = item
            .parameter(key("r"), integer(decision.remaining()))
            .parameter(key("t"), integer(seconds(effective)));
    })
}

fn item(name: &PolicyName, add: impl FnOnce(ParameterSerializer<&mut String>)) -> HeaderValue {
    let mut text = String::with_capacity(name.as_str().len() + 48);
    add(ItemSerializer::with_buffer(&mut text).bare_item(&*name.0));
    value(text)
}

/// What is written here is printable ASCII, and so a header's value.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Adds the two fields: to the lists that layers further in have written, where they have.
pub(super) fn add(headers: &mut HeaderMap, policy: HeaderValue, limit: HeaderValue) {
    append(headers, POLICY, policy);
    append(headers, LIMIT, limit);
}

/// Adds a member to the end of a list. What is no list would make ours unreadable: it is replaced.
fn append(headers: &mut HeaderMap, name: HeaderName, member: HeaderValue) {
    let mut list = String::new();
    // What is not ASCII is no list either.
    let text = |value: &HeaderValue| value.to_str().unwrap_or("?").trim_ascii().to_owned();
    for line in headers.get_all(&name).iter().map(text).filter(|line| !line.is_empty()) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&line);
    }
    let is_list = !list.is_empty() && Parser::new(&list).parse_list_with_visitor(Ignored).is_ok();
    headers.insert(name, if is_list { value(list + ", " + &text(&member)) } else { member });
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sfv::{BareItem, Item, List, ListEntry};

    use super::*;
    use crate::{Limiter, ManualClock};

    fn name(name: &str) -> PolicyName {
        PolicyName::new(name).unwrap()
    }

    /// The decision about a hit, after others.
    fn decision<const N: usize>(quota: Quota, algorithm: Algorithm, hits: [u64; N]) -> Decision {
        let limiter = Limiter::new(limited_memory::MemoryBackend::new()).clock(ManualClock::new());
        let limiter = limiter.quota(quota).algorithm(algorithm);
        hits.map(|cost| limiter.allow_n_now("key", cost).unwrap())[N - 1]
    }

    fn members(list: &str) -> Vec<(String, Vec<(String, i64)>)> {
        let member = |entry: &ListEntry| match entry {
            ListEntry::Item(Item { bare_item: BareItem::String(name), params }) => {
                let number = |value: &BareItem| i64::from(value.as_integer().unwrap());
                let params = params.iter().map(|(key, value)| (key.to_string(), number(value)));
                (name.as_str().to_owned(), params.collect())
            }
            other => panic!("{other:?} is no string"),
        };
        Parser::new(list).parse::<List>().unwrap().iter().map(member).collect()
    }

    #[test]
    fn the_fields_are_those_of_the_draft() {
        let decision = decision(Quota::per_minute(100), Algorithm::FixedWindow, [50]);
        let default = PolicyName::default();
        assert_eq!(
            policy(&default, Quota::per_minute(100), Algorithm::FixedWindow),
            "\"default\";q=100;w=60"
        );
        assert_eq!(limit(&default, &decision), "\"default\";r=50;t=60");
    }

    #[test]
    fn a_window_below_a_second_is_a_second() {
        let quota = Quota::new(5, Duration::from_millis(100)).unwrap();
        let default = PolicyName::default();
        assert_eq!(policy(&default, quota, Algorithm::FixedWindow), "\"default\";q=5;w=1");
        assert_eq!(limit(&default, &decision(quota, Algorithm::FixedWindow, [1])), "\"default\";r=4;t=1");
    }

    #[test]
    fn a_bucket_tells_its_burst_where_it_is_not_the_limit() {
        let default = PolicyName::default();
        let quota = Quota::per_minute(6);
        assert_eq!(policy(&default, quota, Algorithm::TokenBucket), "\"default\";q=6;w=60");
        let quota = quota.burst(20);
        assert_eq!(policy(&default, quota, Algorithm::TokenBucket), "\"default\";q=6;w=60;limited-burst=20");
        assert_eq!(policy(&default, quota, Algorithm::FixedWindow), "\"default\";q=6;w=60");
    }

    #[test]
    fn a_refusal_tells_no_longer_time_than_retry_after() {
        let refused = decision(Quota::per_minute(6), Algorithm::TokenBucket, [6, 1]);
        assert_eq!(
            (refused.retry_after(), refused.reset_after()),
            (Some(Duration::from_secs(10)), Duration::from_secs(60))
        );
        assert_eq!(limit(&PolicyName::default(), &refused), "\"default\";r=0;t=10");
    }

    #[test]
    fn a_name_that_no_header_can_hold_is_told_so() {
        for invalid in ["", "é", "a\nb", "\u{7f}", "\0"] {
            assert_eq!(PolicyName::new(invalid), Err(InvalidPolicyName(invalid.to_owned())));
        }
        assert_eq!(PolicyName::new("a\nb").unwrap_err().to_string().lines().count(), 1);
    }

    #[test]
    fn members_are_added_to_the_list_that_is_there() {
        let mut headers = HeaderMap::new();
        headers.append(LIMIT, HeaderValue::from_static("\"a\";r=1;t=2,\"b\";r=3"));
        headers.append(LIMIT, HeaderValue::from_static("\"c\";r=4"));
        add(&mut headers, HeaderValue::from_static("\"d\";q=5"), HeaderValue::from_static("\"d\";r=5"));
        let values: Vec<_> = headers.get_all(LIMIT).iter().collect();
        assert_eq!(values, ["\"a\";r=1;t=2,\"b\";r=3, \"c\";r=4, \"d\";r=5"]);
        assert_eq!(headers[POLICY], "\"d\";q=5");
    }

    #[test]
    fn what_is_no_list_is_replaced() {
        for broken in
            [&b""[..], b" ", b"\t", b",", b"\"a\";r=1,", b"\"a", b"limit=100, remaining=50", b"\xff"]
        {
            let mut headers = HeaderMap::new();
            headers.insert(LIMIT, HeaderValue::from_bytes(broken).unwrap());
            append(&mut headers, LIMIT, HeaderValue::from_static("\"d\";r=5"));
            assert_eq!(headers[LIMIT], "\"d\";r=5", "{}", broken.escape_ascii());
        }
    }

    #[test]
    fn the_older_fields_hold_the_policy_with_the_least_left() {
        let mut headers = HeaderMap::new();
        let some = decision(Quota::per_minute(10), Algorithm::FixedWindow, [4]);
        let fewer = decision(Quota::per_hour(9), Algorithm::FixedWindow, [7]);
        for decision in [some, fewer, some] {
            add_old(&mut headers, &decision);
        }
        assert_eq!(headers[OLD_LIMIT], "9");
        assert_eq!(headers[OLD_REMAINING], "2");
        assert!(headers[OLD_RESET].to_str().unwrap().parse::<u64>().unwrap() > 60);
    }

    fn any_name() -> impl Strategy<Value = PolicyName> {
        "[ -~]{1,20}".prop_map(|text| name(&text))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn what_is_written_is_read_back(
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
                add(&mut headers, policy(name, quota, algorithm), limit(name, &decision));
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

        #[test]
        fn whatever_is_there_our_member_is_read(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..3),
        ) {
            let mut headers = HeaderMap::new();
            for line in lines {
                if let Ok(line) = HeaderValue::from_bytes(&line) {
                    headers.append(LIMIT, line);
                }
            }
            append(&mut headers, LIMIT, HeaderValue::from_static("\"ours\";r=5"));
            let list: List = Parser::new(headers[LIMIT].as_bytes()).parse().unwrap();
            let ListEntry::Item(last) = list.last().unwrap() else { panic!("an inner list") };
            prop_assert_eq!(last.bare_item.as_string().unwrap().as_str(), "ours");
        }
    }
}
