//! How a counter is written: the key of its item, and the formats of times and durations. A public format, which
//! programs in other languages read and write.

use jiff::fmt::temporal::DateTimePrinter;
use limited_core::{ClaimKey, Counter, Key, Timestamp, Window, WindowLength};

/// The most bytes that DynamoDB takes as a partition key.
const LONGEST_IDENTIFIER: usize = 2048;

/// The most bytes that DynamoDB takes as a sort key, which the key of a claim is in an index.
const LONGEST_IDEMPOTENCY_KEY: usize = 1024;

/// What an item is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ItemKey {
    pub(crate) identifier: String,
    pub(crate) window_time: String,
}

/// What the item of a claim is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimItem {
    pub(crate) idempotency_key: String,
    pub(crate) kind: &'static str,
}

/// How the `WindowTime` of aligned windows is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowTimeFormat {
    /// Start and length, an ISO 8601 interval: `2026-11-21T12:00:00Z/PT1M`.
    #[default]
    Interval,
    /// The start alone: `2026-11-21T12:00:00Z`, for tables shared with writers that store it so. Such a table holds one
    /// window length only; a second one is an error.
    Start,
}

impl ItemKey {
    pub(crate) fn of(counter: &Counter<'_>, format: WindowTimeFormat) -> Self {
        Self {
            identifier: identifier(counter.namespace(), counter.key(), LONGEST_IDENTIFIER),
            window_time: window_time(counter.window(), format),
        }
    }
}

impl ClaimItem {
    pub(crate) fn of(key: &ClaimKey<'_>) -> Self {
        Self {
            idempotency_key: identifier(key.namespace(), key.key(), LONGEST_IDEMPOTENCY_KEY),
            kind: key.kind().as_str(),
        }
    }
}

/// Namespace and key in one string, so that no two pairs are written alike.
///
/// Without a namespace it is the key; with one `namespace#key`. A `#` or `%` of the namespace is escaped, and a key
/// with a `#` but without a namespace has one put before it. What is too long is its SHA-256, after a `#` that no other
/// form begins with.
fn identifier(namespace: &str, key: &str, longest: usize) -> String {
    let identifier = match (namespace.is_empty(), key.contains('#')) {
        (true, false) => key.to_owned(),
        (true, true) => format!("#{key}"),
        (false, _) => format!("{}#{key}", namespace.replace('%', "%25").replace('#', "%23")),
    };
    if identifier.len() <= longest {
        return identifier;
    }
    // `sha256=` and the fingerprint hold no `#`, so that no key without a namespace is written like this.
    let request_hash = Key::new().secret("", &identifier);
    format!("#{}", request_hash.as_str().trim_start_matches(':'))
}

fn window_time(window: Window, format: WindowTimeFormat) -> String {
    match (window, format) {
        (Window::Aligned { start, length }, WindowTimeFormat::Interval) => {
            format!("{}/{}", start_time(start), iso_duration(length))
        }
        (Window::Aligned { start, .. }, WindowTimeFormat::Start) => start_time(start),
        (Window::FromFirstHit { length }, _) => format!("OPENED/{}", iso_duration(length)),
        (Window::Bucket { limit, length }, _) => format!("BUCKET/{limit}/{}", iso_duration(length)),
    }
}

/// The start of a window: RFC 3339, with a fraction only where there is one.
fn start_time(start: Timestamp) -> String {
    if start.as_nanos().is_multiple_of(1_000_000_000) { in_seconds(start) } else { timestamp(start) }
}

/// A point in time: RFC 3339 in UTC, with nine digits of fraction, so that strings compare as times do.
pub(crate) fn timestamp(time: Timestamp) -> String {
    rfc_3339(time, &NANOSECONDS)
}

fn in_seconds(time: Timestamp) -> String {
    rfc_3339(time, &SECONDS)
}

static NANOSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
static SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));

fn rfc_3339(time: Timestamp, printer: &DateTimePrinter) -> String {
    // Every 64-bit count of nanoseconds since 1970 is a time that the library knows.
    let time = jiff::Timestamp::from_nanosecond(time.as_nanos().into()).unwrap_or_default();
    printer.timestamp_to_string(&time)
}

/// Reads what [`timestamp`] writes, and any other RFC 3339. What is before 1970, such as a time that another program
/// left at its zero, is 1970; what is too late is the last time that there is.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    Some(Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)))
}

/// The one way in which a length is written: days, hours, minutes and seconds, each only where there are some.
fn iso_duration(length: WindowLength) -> String {
    let (seconds, nanos) = (length.as_nanos() / 1_000_000_000, length.as_nanos() % 1_000_000_000);
    let part = |count: u64, unit: char| if count > 0 { format!("{count}{unit}") } else { String::new() };
    let fraction = format!("{nanos:09}");
    let seconds_part = match nanos {
        0 => part(seconds % 60, 'S'),
        _ => format!("{}.{}S", seconds % 60, fraction.trim_end_matches('0')),
    };
    let date = part(seconds / 86_400, 'D');
    let time = part(seconds / 3_600 % 24, 'H') + &part(seconds / 60 % 60, 'M') + &seconds_part;
    if time.is_empty() { format!("P{date}") } else { format!("P{date}T{time}") }
}

/// Whole Unix seconds, rounded up: the TTL attribute, after which DynamoDB may delete the item.
pub(crate) fn expires_at(time: Timestamp) -> u64 {
    time.as_nanos().div_ceil(1_000_000_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use limited_core::ClaimKind;
    use proptest::prelude::*;

    use super::*;

    fn length(duration: Duration) -> WindowLength {
        WindowLength::try_from(duration).unwrap()
    }

    fn written(namespace: &str, key: &str) -> String {
        identifier(namespace, key, LONGEST_IDENTIFIER)
    }

    #[test]
    fn windows_are_written_as_documented() {
        let start = Timestamp::from_secs(1_795_262_400);
        for (seconds, written) in [
            (1, "2026-11-21T12:00:00Z/PT1S"),
            (60, "2026-11-21T12:00:00Z/PT1M"),
            (90, "2026-11-21T12:00:00Z/PT1M30S"),
            (3_600, "2026-11-21T12:00:00Z/PT1H"),
        ] {
            let window = Window::Aligned { start, length: length(Duration::from_secs(seconds)) };
            assert_eq!(window_time(window, WindowTimeFormat::Interval), written);
            assert_eq!(window_time(window, WindowTimeFormat::Start), "2026-11-21T12:00:00Z");
        }
        assert_eq!(iso_duration(length(Duration::from_secs(86_400))), "P1D");
        assert_eq!(iso_duration(length(Duration::from_secs(36 * 3_600))), "P1DT12H");
        assert_eq!(iso_duration(length(Duration::from_millis(1))), "PT0.001S");
        assert_eq!(iso_duration(length(Duration::from_millis(60_500))), "PT1M0.5S");
        assert_eq!(
            window_time(Window::FromFirstHit { length: WindowLength::HOUR }, WindowTimeFormat::Interval),
            "OPENED/PT1H"
        );
        let bucket = Window::Bucket { limit: 100, length: WindowLength::MINUTE };
        assert_eq!(window_time(bucket, WindowTimeFormat::Start), "BUCKET/100/PT1M");
    }

    #[test]
    fn a_time_has_a_fixed_width_and_is_read_back() {
        for nanos in [0, 1, 1_795_262_400_000_000_000, u64::MAX] {
            let time = Timestamp::from_nanos(nanos);
            assert_eq!(timestamp(time).len(), 30);
            assert_eq!(parse_timestamp(&timestamp(time)), Some(time));
        }
        assert_eq!(parse_timestamp("2026-11-21T12:00:00Z"), Some(Timestamp::from_secs(1_795_262_400)));
        assert_eq!(parse_timestamp("0001-01-01T00:00:00Z"), Some(Timestamp::EPOCH));
        assert_eq!(parse_timestamp("9999-01-01T00:00:00Z"), Some(Timestamp::MAX));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    #[test]
    fn what_is_too_long_is_held_as_a_fingerprint() {
        let (namespace, key) = ("n".repeat(1_500), "k".repeat(1_024));
        let held = written(&namespace, &key);
        assert!(held.starts_with("#sha256=") && held.len() == 72, "{held}");
        assert_ne!(held, written(&namespace, &key[1..]));
        assert_ne!(written("", &held[1..]), held);
        assert_eq!(written("", &key), key);
    }

    #[test]
    fn the_key_of_a_claim_fits_a_sort_key_too() {
        let written = |namespace: &str, key: &str| {
            let key = Key::from(key);
            ClaimItem::of(&ClaimKey::new(namespace, ClaimKind::Idempotency, &key).unwrap()).idempotency_key
        };
        assert_eq!(written("api", "order-981"), "api#order-981");
        assert_eq!(written("", &"k".repeat(1_024)), "k".repeat(1_024));
        assert!(written("n", &"k".repeat(1_023)).starts_with("#sha256="));
        assert_ne!(written("n", &"k".repeat(1_023)), written("m", &"k".repeat(1_023)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_two_counters_share_an_identifier(
            one in ("[ab#%23]{0,3}", "[ab#%23]{1,3}"),
            other in ("[ab#%23]{0,3}", "[ab#%23]{1,3}"),
        ) {
            prop_assert_eq!(written(&one.0, &one.1) == written(&other.0, &other.1), one == other);
        }

        #[test]
        fn times_compare_as_their_strings_do(one: u64, other: u64) {
            let (one, other) = (Timestamp::from_nanos(one), Timestamp::from_nanos(other));
            prop_assert_eq!(one.cmp(&other), timestamp(one).cmp(&timestamp(other)));
        }

        #[test]
        fn no_two_lengths_are_written_alike(one in 1_000_000..u64::MAX / 8, other in 1_000_000..u64::MAX / 8) {
            let (one, other) = (one.min(WindowLength::MAX.as_nanos()), other.min(WindowLength::MAX.as_nanos()));
            let write = |nanos| iso_duration(length(Duration::from_nanos(nanos)));
            prop_assert_eq!(write(one) == write(other), one == other);
        }
    }
}
