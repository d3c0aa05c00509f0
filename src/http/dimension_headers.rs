//! Headers with a name for each policy: `x-ratelimit-limit-requests`, `x-ratelimit-limit-tokens`.
//!
//! No standard defines them. The APIs of large language models made them common: their references
//! list a limit, what remains, and the time until the reset, for requests and for tokens.

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::limit_values::LimitValues;

const LIMIT: &str = "x-ratelimit-limit-";
const REMAINING: &str = "x-ratelimit-remaining-";
const RESET: &str = "x-ratelimit-reset-";

/// The names of the headers of one policy.
#[derive(Clone, Debug)]
pub(super) struct DimensionHeaders {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

impl DimensionHeaders {
    /// Returns the names of the headers of this policy. Upper case becomes lower case, and a
    /// character that no header name can have becomes `-`. Returns `None` if they are too long.
    pub(super) fn new(policy: &str) -> Option<Self> {
        let name = |prefix: &str| {
            let name: String = prefix.chars().chain(policy.chars().map(token)).collect();
            HeaderName::try_from(name).ok()
        };
        Some(Self { limit: name(LIMIT)?, remaining: name(REMAINING)?, reset: name(RESET)? })
    }

    pub(super) fn names(&self) -> [HeaderName; 3] {
        [self.limit.clone(), self.remaining.clone(), self.reset.clone()]
    }

    /// Sets the headers, unless an inner layer has set them and has less remaining. The reset is a
    /// duration from now. After a rejection it is at least the time to wait.
    pub(super) fn add(&self, headers: &mut HeaderMap, values: LimitValues) {
        let other = headers.get(&self.remaining).and_then(|value| value.to_str().ok()?.parse().ok());
        if other.is_some_and(|other: u64| other <= values.remaining) {
            return;
        }
        headers.insert(&self.limit, values.limit.into());
        headers.insert(&self.remaining, values.remaining.into());
        if let Ok(reset) = duration(values.reset()).try_into() {
            headers.insert(&self.reset, reset);
        }
    }
}

/// Removes the headers of all policies, also those of another server.
pub(super) fn remove(headers: &mut HeaderMap) {
    let is_ours =
        |name: &&HeaderName| [LIMIT, REMAINING, RESET].iter().any(|prefix| name.as_str().starts_with(prefix));
    let names: Vec<_> = headers.keys().filter(is_ours).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Returns the character as a header name can have it (RFC 9110, `tchar`).
const fn token(char: char) -> char {
    match char {
        'a'..='z' | '0'..='9' => char,
        'A'..='Z' => char.to_ascii_lowercase(),
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '.' | '^' | '_' | '`' | '|' | '~' => char,
        _ => '-',
    }
}

/// Returns `1h30m0s`, `6m0s`, `1.25s` or `20ms`: the usual text of a duration, in milliseconds
/// rounded up.
fn duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    let (seconds, millis) = (millis / 1_000, millis % 1_000);
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let mut text = String::with_capacity(16);
    // Writing to a `String` cannot fail.
    if seconds == 0 && millis > 0 {
        let _ = write!(text, "{millis}ms");
        return text;
    }
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if seconds >= 60 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{}", seconds % 60);
    if millis > 0 {
        let _ = write!(text, ".{millis:03}");
        text.truncate(text.trim_end_matches('0').len());
    }
    text.push('s');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limiter, ManualClock, Quota};

    #[test]
    fn duration_is_written_in_units_and_rounded_up_to_milliseconds() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ms"),
            (20_000_000, "20ms"),
            (999_000_001, "1s"),
            (1_000_000_000, "1s"),
            (1_250_000_000, "1.25s"),
            (10_000_000_000, "10s"),
            (10_100_000_000, "10.1s"),
            (59_999_000_001, "1m0s"),
            (360_000_000_000, "6m0s"),
            (179_560_000_000, "2m59.56s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_005_000_000, "25h1m1.005s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text, "{nanos}");
        }
        assert!(duration(Duration::MAX).ends_with('s'));
    }

    #[test]
    fn name_of_a_policy_becomes_part_of_the_header_name() {
        for (policy, name) in [
            ("requests", "x-ratelimit-limit-requests"),
            ("Tokens", "x-ratelimit-limit-tokens"),
            ("a b/c:é", "x-ratelimit-limit-a-b-c--"),
            ("it's_100%", "x-ratelimit-limit-it's_100%"),
        ] {
            assert_eq!(DimensionHeaders::new(policy).unwrap().names()[0], name);
        }
        assert!(DimensionHeaders::new(&"x".repeat(70_000)).is_none(), "no header has such a name");
    }

    #[test]
    fn headers_report_the_decision_with_the_least_remaining() {
        let limiter =
            |quota| Limiter::new(limited_memory::MemoryBackend::new()).clock(ManualClock::new()).quota(quota);
        let some = limiter(Quota::per_minute(10)).allow_n_now("key", 4).unwrap();
        let fewer = limiter(Quota::per_hour(9)).allow_n_now("key", 7).unwrap();
        let names = DimensionHeaders::new("requests").unwrap();
        let mut headers = HeaderMap::new();
        for decision in [&some, &fewer, &some] {
            names.add(&mut headers, LimitValues::new(decision, u64::MAX));
        }
        let [limit, remaining, reset] = names.names().map(|name| headers[name].clone());
        assert_eq!(
            (limit, remaining, reset),
            ("9".parse().unwrap(), "2".parse().unwrap(), "1h0m0s".parse().unwrap())
        );
    }

    #[test]
    fn reset_of_a_rejection_is_at_most_the_maximum_wait() {
        let limiter = Limiter::new(limited_memory::MemoryBackend::new()).clock(ManualClock::new());
        let limiter = limiter.quota(Quota::per_hour(1));
        let names = DimensionHeaders::new("requests").unwrap();
        for (expected, max_wait) in [("1h0m0s", 60), ("1m0s", 60)] {
            let mut headers = HeaderMap::new();
            let decision = limiter.allow_now("key").unwrap();
            names.add(&mut headers, LimitValues::new(&decision, max_wait));
            assert_eq!(headers["x-ratelimit-reset-requests"], expected, "the second hit is refused");
        }
    }

    #[test]
    fn headers_of_any_policy_are_removed() {
        let mut headers = HeaderMap::new();
        for name in
            ["x-ratelimit-limit-tokens", "x-ratelimit-reset-a", "x-ratelimit-remaining-b", "x-request-id"]
        {
            headers.insert(name, 1.into());
        }
        remove(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-request-id"]);
    }
}
