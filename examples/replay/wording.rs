//! How the report writes counts, times and texts.

use std::time::Duration;

use indicatif::HumanCount;
use jiff::{RoundMode, Span, SpanRound, Unit};
use limited::Timestamp;

/// Formats a count: `1 request`, `10,000 requests`.
pub(crate) fn count(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", HumanCount(count))
}

/// Formats a share in percent, rounded down: `17.5%`, or `<0.1%`.
pub(crate) fn share(part: u64, whole: u64) -> String {
    match (u128::from(part) * 1000).checked_div(whole.into()) {
        Some(0) if part > 0 => "<0.1%".to_owned(),
        permille => {
            let permille = permille.unwrap_or(0);
            format!("{}.{}%", permille / 10, permille % 10)
        }
    }
}

/// Formats a waiting time: `1m 30s`. Rounded up to a second, or below one second to a millisecond,
/// so that it is still enough.
pub(crate) fn wait(duration: Duration) -> String {
    let smallest = if duration < Duration::from_secs(1) { Unit::Millisecond } else { Unit::Second };
    let round =
        SpanRound::new().smallest(smallest).largest(Unit::Day).days_are_24_hours().mode(RoundMode::Ceil);
    match Span::try_from(duration).and_then(|span| span.round(round)) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{duration:?}"),
    }
}

/// Formats a range of times: `2026-06-09 09:12:04 to 09:58:41 UTC (46m 37s)`.
pub(crate) fn period(from: Timestamp, to: Timestamp) -> String {
    let [start, end] = [from, to].map(|time| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
    });
    let date = |time: jiff::Timestamp| time.strftime("%F").to_string();
    let end_format = if date(start) == date(end) { "%T" } else { "%F %T" };
    format!(
        "{} to {} UTC ({})",
        start.strftime("%F %T"),
        end.strftime(end_format),
        wait(to.saturating_since(from)),
    )
}

/// Formats a text from a log for one line of a terminal, escaped, and cut after `most` characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let mut printable = String::new();
    let mut room = most;
    for character in text.chars() {
        let escaped = match character {
            '"' | '\'' | '\\' => character.to_string(),
            _ => character.escape_debug().to_string(),
        };
        let length = escaped.chars().count();
        if length > room {
            printable.pop();
            printable.push('…');
            break;
        }
        room -= length;
        printable.push_str(&escaped);
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_with_singular_and_plural() {
        assert_eq!(count(0, "line"), "0 lines");
        assert_eq!(count(1, "line"), "1 line");
        assert_eq!(count(1_234_567, "line"), "1,234,567 lines");
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(share(0, 0), "0.0%");
        assert_eq!(share(1, 8), "12.5%");
        assert_eq!(share(1, 1001), "<0.1%");
        assert_eq!(share(1999, 2000), "99.9%");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0%");
    }

    #[test]
    fn waiting_time_is_rounded_up() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ms"),
            (200_000_000, "200ms"),
            (999_000_001, "1s"),
            (5_000_000_001, "6s"),
            (60_000_000_000, "1m"),
            (3_599_999_999_999, "1h"),
            (93_784_000_000_000, "1d 2h 3m 4s"),
        ] {
            assert_eq!(wait(Duration::from_nanos(nanos)), text);
        }
        assert_eq!(wait(Duration::MAX), format!("{:?}", Duration::MAX));
    }

    #[test]
    fn period_contains_its_date_once() {
        let day = 86_400;
        let period = |from, to| period(Timestamp::from_secs(from), Timestamp::from_secs(to));
        assert_eq!(period(1, 61), "1970-01-01 00:00:01 to 00:01:01 UTC (1m)");
        assert_eq!(period(1, 1 + day), "1970-01-01 00:00:01 to 1970-01-02 00:00:01 UTC (1d)");
        assert!(period(0, u64::MAX).contains("2554"));
    }

    #[test]
    fn control_characters_of_a_log_never_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\n\u{202e}b\\\"é", 40), "a\\u{1b}[2J\\n\\u{202e}b\\\"é");
        assert_eq!(printable("12345", 5), "12345");
        assert_eq!(printable("123456", 5), "1234…");
        assert_eq!(printable("1234\u{1b}", 5), "123…");
    }
}
