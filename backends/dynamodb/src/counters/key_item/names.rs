//! The names of the attributes of a key's item: a public format, which programs in other languages
//! read and write.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{Timestamp, Window, WindowLength, has_passed, retained_until};

/// The sort key of the item of a key. No window has this text: that of each contains a digit.
pub(super) const KEY: &str = "KEY";

/// The names of the attributes of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The count, the arrival time or the log.
    pub(super) value: String,
}

impl Names {
    pub(super) fn of(window: Window) -> Self {
        let value = match window {
            Window::Aligned { start, length } => {
                format!("W{}_{}", seconds(length.as_nanos()), seconds(start.as_nanos()))
            }
            Window::Span { start, end } => {
                format!("S{}_{}", seconds(start.as_nanos()), seconds(end.as_nanos()))
            }
            Window::FromFirstHit { length } => format!("F{}", seconds(length.as_nanos())),
            Window::Bucket { length } => format!("B{}", seconds(length.as_nanos())),
            Window::Log { length } => format!("L{}", seconds(length.as_nanos())),
        };
        Self { value }
    }

    /// Returns the name of the time at which the first hit opened the window.
    pub(super) fn opened_at(&self) -> String {
        format!("{}_OpenedAt", self.value)
    }

    /// Returns the name of the id of a window from the first hit.
    pub(super) fn generation(&self) -> String {
        format!("{}_Generation", self.value)
    }

    /// Returns the name of the metadata of a window from the first hit.
    pub(super) fn note(&self) -> String {
        format!("{}_Note", self.value)
    }

    /// Returns the name of the limit of the hit that wrote a bucket.
    pub(super) fn limit(&self) -> String {
        format!("{}_Limit", self.value)
    }

    /// Returns the name of the capacity for the hit that wrote a bucket.
    pub(super) fn capacity(&self) -> String {
        format!("{}_Capacity", self.value)
    }

    /// Returns the names of all attributes of a window.
    pub(super) fn all(window: Window) -> Vec<String> {
        let names = Self::of(window);
        let mut all = match window {
            Window::FromFirstHit { .. } => vec![names.opened_at(), names.generation(), names.note()],
            Window::Bucket { .. } => vec![names.limit(), names.capacity()],
            Window::Aligned { .. } | Window::Span { .. } | Window::Log { .. } => Vec::new(),
        };
        all.push(names.value);
        all
    }
}

/// Returns whether an attribute is the count of a window that no process needs any more.
///
/// Only windows that are named by their start can end for good. The others are reused, and there is
/// one for each length.
pub(super) fn is_stale(name: &str, value: &AttributeValue, now: Timestamp, skew: Duration) -> bool {
    value.is_n()
        && window(name).is_some_and(|window| match window {
            // A clock that jumps back by two lengths and the skew finds its window, so that no
            // window is counted twice. A longer jump is the correction of a wrong clock.
            Window::Aligned { length, .. } => is_over(window, now.saturating_sub(length.as_duration()), skew),
            _ => is_over(window, now, skew),
        })
}

/// Returns whether no process needs a window any more.
pub(super) fn is_over(window: Window, now: Timestamp, skew: Duration) -> bool {
    match window {
        Window::Aligned { start, length } => has_passed(retained_until(start, length, skew), now),
        Window::Span { end, .. } => has_passed(end.saturating_add(skew), now),
        Window::FromFirstHit { .. } | Window::Bucket { .. } | Window::Log { .. } => false,
    }
}

/// Returns the window of an attribute; `None` if it is not the count of an aligned window or a
/// span, in exactly the format of this crate.
fn window(name: &str) -> Option<Window> {
    let (first, start) = name.get(1..)?.split_once('_')?;
    let [first, second] = [nanos(first)?, nanos(start)?];
    let window = match name.as_bytes().first()? {
        b'W' => Window::Aligned {
            start: Timestamp::from_nanos(second),
            length: WindowLength::new(Duration::from_nanos(first)).ok()?,
        },
        b'S' => Window::Span { start: Timestamp::from_nanos(first), end: Timestamp::from_nanos(second) },
        _ => return None,
    };
    (Names::of(window).value == name).then_some(window)
}

/// Formats a time or a length: seconds, with a fraction only if there is one.
fn seconds(nanos: u64) -> String {
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    match nanos {
        0 => seconds.to_string(),
        _ => format!("{seconds}.{nanos:09}").trim_end_matches('0').to_owned(),
    }
}

/// Parses the format of [`seconds`].
fn nanos(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SKEW: Duration = Duration::from_secs(5);

    fn name(window: Window) -> String {
        Names::of(window).value
    }

    #[test]
    fn attributes_have_the_documented_names() {
        let start = Timestamp::from_secs(1_764_345_600);
        let half = WindowLength::new(Duration::from_millis(500)).unwrap();
        let late = Timestamp::from_nanos(start.as_nanos() + half.as_nanos());
        for (window, expected) in [
            (Window::Aligned { start, length: WindowLength::MINUTE }, "W60_1764345600"),
            (Window::Aligned { start: late, length: half }, "W0.5_1764345600.5"),
            (Window::Span { start, end: Timestamp::from_secs(1_764_432_000) }, "S1764345600_1764432000"),
            (Window::FromFirstHit { length: WindowLength::HOUR }, "F3600"),
            (Window::Bucket { length: WindowLength::SECOND }, "B1"),
            (Window::BLOCK, "B0.000000001"),
            (Window::Log { length: WindowLength::DAY }, "L86400"),
        ] {
            assert_eq!(name(window), expected);
        }
    }

    #[test]
    fn attributes_of_other_programs_are_never_stale() {
        let number = AttributeValue::N("1".into());
        for name in [
            "W60", "W60_", "W060_1", "W60_1.0", "W60_-1", "X60_0", "Writer_0", "W60_0_0", "B60", "W_0", "é_1",
        ] {
            assert!(!is_stale(name, &number, Timestamp::from_secs(1_764_345_600), SKEW), "{name}");
        }
        assert!(is_stale("W60_0", &number, Timestamp::from_secs(1_764_345_600), SKEW));
        let text = AttributeValue::S("1".into());
        assert!(!is_stale("W60_0", &text, Timestamp::from_secs(1_764_345_600), SKEW));
    }

    #[test]
    fn window_is_stale_two_lengths_and_the_skew_after_its_end() {
        let number = AttributeValue::N("1".into());
        for (name, from) in [("W60_600", 785), ("S600_660", 665)] {
            assert!(
                !is_stale(name, &number, Timestamp::from_nanos(from * 1_000_000_000 - 1), SKEW),
                "{name}"
            );
            assert!(is_stale(name, &number, Timestamp::from_secs(from), SKEW), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_window_with_a_start_is_read_back(start: u64, length in 1_000_000..u64::MAX / 8, end: u64) {
            let length = length.min(WindowLength::MAX.as_nanos());
            let length = WindowLength::new(Duration::from_nanos(length)).unwrap();
            let start = Timestamp::from_nanos(start);
            for expected in [Window::Aligned { start, length }, Window::Span { start, end: Timestamp::from_nanos(end) }] {
                prop_assert_eq!(window(&name(expected)), Some(expected));
            }
        }
    }
}
