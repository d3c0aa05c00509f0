//! The formats of identifiers, times and durations: a public format, which programs in other
//! languages read and write.

use jiff::fmt::temporal::DateTimePrinter;
use limited_core::{Key, Timestamp, Window, WindowLength};

/// The format of the `WindowTime` of aligned windows.
///
/// As text, also with serde: `interval` or `start`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowTimeFormat {
    /// Start and length, as an ISO 8601 interval: `2026-11-21T12:00:00Z/PT1M`.
    #[default]
    Interval,
    /// The start alone: `2026-11-21T12:00:00Z`, for tables shared with writers that store it so.
    /// Such a table holds one window length only; a second length is an error.
    Start,
}

limited_core::named_setting!(WindowTimeFormat, "format of window times" {
    Interval => "interval",
    Start => "start",
});

/// Joins namespace and key, so that no two pairs have the same identifier.
///
/// Without a namespace, the identifier is the key; with one, it is `namespace#key`. `#` and `%` in
/// the namespace are escaped. A key that contains `#` and has no namespace gets a `#` as prefix. An
/// identifier of more than `max_bytes` is replaced by its SHA-256, after a `#sha256=` that no other
/// form begins with.
pub(crate) fn identifier(namespace: &str, key: &str, max_bytes: usize) -> String {
    let identifier = match (namespace.is_empty(), key.contains('#')) {
        (true, false) => key.to_owned(),
        (true, true) => format!("#{key}"),
        (false, _) => format!("{}#{key}", namespace.replace('%', "%25").replace('#', "%23")),
    };
    if identifier.len() <= max_bytes {
        return identifier;
    }
    // `sha256=` and the hash contain no `#`, so no key without a namespace has this form.
    let hash = Key::new().secret("", &identifier);
    format!("#{}", hash.as_str().trim_start_matches(':'))
}

/// Returns the `WindowTime` of a window.
pub(crate) fn window_time(window: Window, format: WindowTimeFormat) -> String {
    match (window, format) {
        (Window::Aligned { start, length }, WindowTimeFormat::Interval) => {
            format!("{}/{}", start_time(start), iso_duration(length))
        }
        (Window::Aligned { start, .. }, WindowTimeFormat::Start) => start_time(start),
        (Window::FromFirstHit { length }, _) => format!("OPENED/{}", iso_duration(length)),
        (Window::Bucket { length }, _) => format!("BUCKET/{}", iso_duration(length)),
        (Window::Log { length }, _) => format!("LOG/{}", iso_duration(length)),
        (Window::Span { start, end }, _) => format!("{}/{}", start_time(start), start_time(end)),
    }
}

/// Formats the start of a window: RFC 3339, with a fraction only if it is not a whole second.
fn start_time(start: Timestamp) -> String {
    if start.as_nanos().is_multiple_of(1_000_000_000) { rfc_3339(start, &SECONDS) } else { timestamp(start) }
}

/// Formats a time: RFC 3339 in UTC with nine digits of fraction, so that strings compare as times
/// do.
pub(crate) fn timestamp(time: Timestamp) -> String {
    rfc_3339(time, &NANOSECONDS)
}

static NANOSECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(9));
static SECONDS: DateTimePrinter = DateTimePrinter::new().precision(Some(0));

fn rfc_3339(time: Timestamp, printer: &DateTimePrinter) -> String {
    // Every 64-bit count of nanoseconds since 1970 is within the library's range.
    let time = jiff::Timestamp::from_nanosecond(time.as_nanos().into()).unwrap_or_default();
    printer.timestamp_to_string(&time)
}

/// Parses the format of [`timestamp`], and any other RFC 3339. A time before 1970, such as a zero
/// value of another program, becomes 1970; a time that is too late becomes the last [`Timestamp`].
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let nanos = text.parse::<jiff::Timestamp>().ok()?.as_nanosecond();
    Some(Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)))
}

/// Formats a length in its one form: days, hours, minutes and seconds, each only if it is not zero.
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

/// Returns whole Unix seconds, rounded up: the TTL attribute, after which DynamoDB may delete the
/// item.
pub(crate) fn expires_at(time: Timestamp) -> u64 {
    time.as_nanos().div_ceil(1_000_000_000)
}

/// Formats a window id or an owner: 32 hexadecimal digits.
pub(crate) fn hex_128(number: u128) -> String {
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn length(duration: Duration) -> WindowLength {
        WindowLength::try_from(duration).unwrap()
    }

    fn identifier(namespace: &str, key: &str) -> String {
        super::identifier(namespace, key, 2048)
    }

    #[test]
    fn window_times_have_the_documented_format() {
        let start = Timestamp::from_secs(1_795_262_400);
        for (seconds, expected) in [
            (1, "2026-11-21T12:00:00Z/PT1S"),
            (60, "2026-11-21T12:00:00Z/PT1M"),
            (90, "2026-11-21T12:00:00Z/PT1M30S"),
            (3_600, "2026-11-21T12:00:00Z/PT1H"),
        ] {
            let window = Window::Aligned { start, length: length(Duration::from_secs(seconds)) };
            assert_eq!(window_time(window, WindowTimeFormat::Interval), expected);
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
        let bucket = Window::Bucket { length: WindowLength::MINUTE };
        assert_eq!(window_time(bucket, WindowTimeFormat::Start), "BUCKET/PT1M");
    }

    #[test]
    fn timestamp_has_a_fixed_width_and_is_parsed_back() {
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
    fn identifier_that_is_too_long_becomes_its_hash() {
        let (namespace, key) = ("n".repeat(1_500), "k".repeat(1_024));
        let hashed = identifier(&namespace, &key);
        assert!(hashed.starts_with("#sha256=") && hashed.len() == 72, "{hashed}");
        assert_ne!(hashed, identifier(&namespace, &key[1..]));
        assert_ne!(identifier("", &hashed[1..]), hashed);
        assert_eq!(identifier("", &key), key);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn no_two_counters_share_an_identifier(
            one in ("[ab#%23]{0,3}", "[ab#%23]{1,3}"),
            other in ("[ab#%23]{0,3}", "[ab#%23]{1,3}"),
        ) {
            prop_assert_eq!(identifier(&one.0, &one.1) == identifier(&other.0, &other.1), one == other);
        }

        #[test]
        fn strings_compare_as_their_times_do(one: u64, other: u64) {
            let (one, other) = (Timestamp::from_nanos(one), Timestamp::from_nanos(other));
            prop_assert_eq!(one.cmp(&other), timestamp(one).cmp(&timestamp(other)));
        }

        #[test]
        fn no_two_lengths_have_the_same_format(one in 1_000_000..u64::MAX / 8, other in 1_000_000..u64::MAX / 8) {
            let (one, other) = (one.min(WindowLength::MAX.as_nanos()), other.min(WindowLength::MAX.as_nanos()));
            let write = |nanos| iso_duration(length(Duration::from_nanos(nanos)));
            prop_assert_eq!(write(one) == write(other), one == other);
        }
    }
}
