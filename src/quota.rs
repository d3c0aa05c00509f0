//! Quotas, and their text format.

use std::env;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use limited_core::{Escaped, InvalidWindowLength, WindowLength, debug_error};

use crate::duration;

/// A limit per window, and optionally the burst of a token bucket.
///
/// ```
/// # use std::time::Duration;
/// # use limited::Quota;
/// let quota = Quota::per_minute(100);
/// assert_eq!(quota, "100/min".parse()?);
/// assert_eq!(quota, Quota::new(100, Duration::from_secs(60))?);
/// assert_eq!(quota.burst(20).to_string(), "100/min burst 20");
/// # Ok::<(), limited::QuotaError>(())
/// ```
///
/// # Text format
///
/// `{limit}/{window}`, followed by ` burst {burst}` if a burst is set. Examples: `5/s`,
/// `1000/hour`, `10/30s`, `100/min burst 20`. A window is a unit, or a whole number and a unit. The
/// units are `ns`, `us`, `ms`, `s` (`sec`, `second`), `min` (`m`, `minute`), `h` (`hour`), `d`
/// (`day`), and their plurals.
///
/// The burst is the size of the bucket: `100/min burst 20` admits 20 at once, not 120. See
/// [`burst`](Self::burst).
///
/// [`Display`](fmt::Display) and [`FromStr`] round-trip, except for a burst of 0, which is an error
/// in a text. The feature `serde` reads and writes the same text.
///
/// # Windows and the calendar
///
/// Windows have a fixed length and start at multiples of it since 1970-01-01 00:00 UTC. A day
/// starts at midnight UTC. A window of 7 days starts on Thursdays at 00:00 UTC, because 1970-01-01
/// was a Thursday. A window of 30 days starts on no particular day. There are no units for weeks,
/// months and years, because a reader would expect those of a calendar.
///
/// Token buckets have no start. The windows of [attempts](crate::LimitedAttempt) start with the
/// first attempt.
///
/// # Range
///
/// A window lasts from 1 ms to 100 years. A limit of 0 refuses everything. The largest limit is
/// `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u64,
    length: WindowLength,
    burst: Option<u64>,
}

/// # Creating a quota
impl Quota {
    /// Creates a quota of `limit` per second.
    pub const fn per_second(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::SECOND)
    }

    /// Creates a quota of `limit` per minute.
    pub const fn per_minute(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::MINUTE)
    }

    /// Creates a quota of `limit` per hour.
    pub const fn per_hour(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::HOUR)
    }

    /// Creates a quota of `limit` per 24 hours.
    pub const fn per_day(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::DAY)
    }

    /// Creates a quota of `limit` per `window`.
    ///
    /// In a constant, a window out of range is an error of the compiler:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limited::Quota;
    /// const LOGIN: Quota = match Quota::new(5, Duration::from_secs(15 * 60)) {
    ///     Ok(quota) => quota,
    ///     Err(_) => panic!("the window of LOGIN is out of range"),
    /// };
    /// assert_eq!(LOGIN, "5/15min".parse()?);
    /// # Ok::<(), limited::QuotaError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidWindowLength`] if the window is shorter than 1 ms or longer than 100 years. It
    /// converts to [`QuotaError`].
    pub const fn new(limit: u64, window: Duration) -> Result<Self, InvalidWindowLength> {
        match WindowLength::new(window) {
            Ok(length) => Ok(Self::with_length(limit, length)),
            Err(error) => Err(error),
        }
    }

    /// Creates a quota of one per `interval`.
    ///
    /// A token bucket then admits at an even pace, one per interval. With a
    /// [burst](Self::burst), it admits that many at once and then one per interval:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limited::{Algorithm, Limiter, Quota, memory::MemoryBackend};
    /// let quota = Quota::every(Duration::from_millis(200))?.burst(3);
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(quota).algorithm(Algorithm::TokenBucket);
    /// for _ in 0..3 {
    ///     assert!(limiter.allow_now("user:7")?.is_allowed());
    /// }
    /// assert!(!limiter.allow_now("user:7")?.is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Prefer the token bucket: a window of one length admits one at its end and one at the start
    /// of the next, and a [sliding window](crate::Algorithm#small-limits) refuses every
    /// second hit of this pace.
    ///
    /// # Errors
    ///
    /// [`InvalidWindowLength`] if the interval is shorter than 1 ms or longer than 100 years. For a
    /// shorter interval, use a limit per second: [`Quota::per_second(20_000)`](Self::per_second).
    pub const fn every(interval: Duration) -> Result<Self, InvalidWindowLength> {
        Self::new(1, interval)
    }

    /// Sets the burst: how many tokens a token bucket holds, and so how much it admits at once
    /// after it has been idle. Default: the limit.
    ///
    /// The burst is the size of the bucket. It is not added to the limit, and it does not admit
    /// more in the long run. `100/min burst 20` admits 20 at once, then one every 600 ms, and at
    /// most 120 in the first minute.
    ///
    /// Fixed and sliding windows ignore it. A [`LimiterConfig`](crate::LimiterConfig) reports a
    /// burst under a window as an error. A burst of 0 admits nothing, and a text with `burst 0` is
    /// an error. To refuse everything, set the limit to 0.
    #[must_use]
    pub const fn burst(self, burst: u64) -> Self {
        Self { burst: Some(burst), ..self }
    }

    const fn with_length(limit: u64, length: WindowLength) -> Self {
        Self { limit, length, burst: None }
    }
}

/// # Reading a quota from the environment
impl Quota {
    /// The name of the environment variable for the window, in seconds. Default: 60.
    pub const WINDOW_VARIABLE: &'static str = "RATE_LIMIT_WINDOW_SIZE";

    /// The name of the environment variable for the limit per window. Default: 100.
    pub const LIMIT_VARIABLE: &'static str = "RATE_LIMIT_MAX_REQUESTS";

    /// Reads a quota from the environment: `RATE_LIMIT_MAX_REQUESTS` (default: 100) per
    /// `RATE_LIMIT_WINDOW_SIZE` seconds (default: 60). An empty variable counts as unset.
    ///
    /// # Errors
    ///
    /// [`QuotaError::Environment`] if a variable is not a whole number. [`QuotaError::Window`] if
    /// the window is out of range.
    pub fn from_env() -> Result<Self, QuotaError> {
        let seconds = number_from_env(Self::WINDOW_VARIABLE)?.unwrap_or(60);
        let limit = number_from_env(Self::LIMIT_VARIABLE)?.unwrap_or(100);
        Ok(Self::new(limit, Duration::from_secs(seconds))?)
    }
}

/// # Parts
impl Quota {
    /// Returns the limit per window.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the length of the window.
    pub const fn window(&self) -> Duration {
        self.length.as_duration()
    }

    /// Returns the burst, if it is set. [`capacity`](Self::capacity) also returns its default.
    pub const fn get_burst(&self) -> Option<u64> {
        self.burst
    }

    /// Returns how many tokens a token bucket holds: the burst if it is set, else the limit. A
    /// limit of 0 leaves the bucket empty.
    pub const fn capacity(&self) -> u64 {
        match self.burst {
            Some(burst) if self.limit > 0 => burst,
            _ => self.limit,
        }
    }

    pub(crate) const fn length(&self) -> WindowLength {
        self.length
    }

    /// Returns whether the two quotas count in the same windows.
    pub(crate) fn shares_windows_with(&self, other: &Self) -> bool {
        self.length == other.length
    }
}

impl Default for Quota {
    /// Returns 100 per minute.
    fn default() -> Self {
        Self::per_minute(100)
    }
}

/// Why a quota could not be created or read.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// The length of the window is out of range.
    #[error(transparent)]
    Window(#[from] InvalidWindowLength),
    /// The text is not a quota.
    #[error(
        "invalid quota `{}`; expected a limit and a window, such as 100/min, 5/s, 10/30s or 100/min burst 20",
        Escaped(.0)
    )]
    Syntax(String),
    /// The text sets a burst of 0, so that a token bucket would admit nothing.
    #[error(
        "invalid quota `{}`: a burst of 0 admits nothing; set a burst of 1 or more, or a limit of 0 to refuse \
         everything",
        Escaped(.0)
    )]
    ZeroBurst(String),
    /// The value of an environment variable is not a whole number.
    #[error("environment variable {variable} is `{}`; expected a whole number", Escaped(.value))]
    Environment {
        /// The name of the variable.
        variable: &'static str,
        /// The value of the variable.
        value: String,
    },
}

impl fmt::Debug for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Window(_) => "Window",
            Self::Syntax(_) => "Syntax",
            Self::ZeroBurst(_) => "ZeroBurst",
            Self::Environment { .. } => "Environment",
        };
        debug_error(f, name, self)
    }
}

fn number_from_env(variable: &'static str) -> Result<Option<u64>, QuotaError> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    match value.to_str().map(|text| text.trim().parse()) {
        Some(Ok(number)) => Ok(Some(number)),
        _ => Err(QuotaError::Environment { variable, value: value.to_string_lossy().into_owned() }),
    }
}

/// The units of windows, longest first: the name that is written, other names, and the nanoseconds.
const UNITS: [(&str, &[&str], u64); 7] = [
    ("day", &["d", "days"], WindowLength::DAY.as_nanos()),
    ("hour", &["h", "hours"], WindowLength::HOUR.as_nanos()),
    ("min", &["m", "mins", "minute", "minutes"], WindowLength::MINUTE.as_nanos()),
    ("s", &["sec", "secs", "second", "seconds"], WindowLength::SECOND.as_nanos()),
    ("ms", &[], 1_000_000),
    ("us", &[], 1_000),
    ("ns", &[], 1),
];

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.length.as_nanos();
        write!(f, "{}/", self.limit)?;
        for (unit, _, size) in UNITS {
            if nanos.is_multiple_of(size) {
                match nanos / size {
                    1 => write!(f, "{unit}")?,
                    count => write!(f, "{count}{unit}")?,
                }
                break;
            }
        }
        match self.burst {
            Some(burst) => write!(f, " burst {burst}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Quota {
    type Err = QuotaError;

    fn from_str(text: &str) -> Result<Self, QuotaError> {
        let syntax = || QuotaError::Syntax(text.to_owned());
        let (limit, rest) = text.split_once('/').ok_or_else(syntax)?;
        let limit = number(limit.trim()).ok_or_else(syntax)?;

        let mut words = rest.split_whitespace();
        let window = words.next().and_then(parse_window).ok_or_else(syntax)?;
        let quota = Self::new(limit, window)?;
        match (words.next(), words.next().map(number), words.next()) {
            (None, None, None) => Ok(quota),
            (Some("burst"), Some(Some(0)), None) => Err(QuotaError::ZeroBurst(text.to_owned())),
            (Some("burst"), Some(Some(burst)), None) => Ok(quota.burst(burst)),
            _ => Err(syntax()),
        }
    }
}

/// Reads a unit, or a whole number and a unit. A number that would overflow becomes a window that
/// is too long.
fn parse_window(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let count = if count.is_empty() { 1 } else { number(count)? };
    let (_, _, size) = UNITS.into_iter().find(|(name, others, _)| *name == unit || others.contains(&unit))?;
    Some(duration::from_nanos(u128::from(count) * u128::from(size)))
}

/// Reads a whole number, written in digits only.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

limited_core::serde_as_text!(Quota);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_texts_parse_and_display() {
        for (text, limit, seconds) in [
            ("100/min", 100, 60),
            ("5/s", 5, 1),
            ("1000/hour", 1000, 3600),
            ("10/30s", 10, 30),
            ("1/day", 1, 86_400),
            ("7/90s", 7, 90),
        ] {
            let quota = Quota::new(limit, Duration::from_secs(seconds)).unwrap();
            assert_eq!(text.parse(), Ok(quota));
            assert_eq!(quota.to_string(), text);
        }
    }

    #[test]
    fn other_spellings_parse() {
        for (text, quota) in [
            ("100/minute", Quota::per_minute(100)),
            (" 100 / 1m ", Quota::per_minute(100)),
            ("5/second", Quota::per_second(5)),
            ("9/60secs", Quota::per_minute(9)),
            ("2/2h", Quota::new(2, Duration::from_secs(7200)).unwrap()),
            ("2/1d  burst  7", Quota::per_day(2).burst(7)),
        ] {
            assert_eq!(text.parse(), Ok(quota), "{text}");
        }
    }

    #[test]
    fn malformed_text_and_invalid_window_are_different_errors() {
        for text in [
            "",
            "100",
            "/min",
            "100/",
            "-1/min",
            "+1/min",
            "1.5/s",
            "100/fortnight",
            "100/min/2",
            "100/min burst",
            "100/min burst x",
            "100/min burst 1 2",
            "99999999999999999999/s",
            "1/99999999999999999999s",
        ] {
            assert_eq!(text.parse::<Quota>(), Err(QuotaError::Syntax(text.into())));
        }
        for text in ["1/0s", "1/999us", "1/36601d", "1/18446744073709551615day"] {
            assert!(matches!(text.parse::<Quota>(), Err(QuotaError::Window(_))), "{text}");
        }
    }

    #[test]
    fn bucket_without_a_limit_is_empty() {
        assert_eq!(Quota::per_second(0).burst(10).capacity(), 0);
        assert_eq!(Quota::per_second(5).capacity(), 5);
        assert_eq!(Quota::per_second(5).burst(0).capacity(), 0);
    }

    #[test]
    fn burst_of_0_in_a_text_is_an_error() {
        let error = "5/s burst 0".parse::<Quota>().unwrap_err();
        assert_eq!(error, QuotaError::ZeroBurst("5/s burst 0".into()));
        assert!(error.to_string().contains("a limit of 0 to refuse everything"), "{error}");
        assert_eq!("0/s".parse(), Ok(Quota::per_second(0)));
        assert_eq!(Quota::per_second(5).burst(0).get_burst(), Some(0));
    }

    #[test]
    fn quota_is_a_constant() {
        const LOGIN: Quota = match Quota::new(5, Duration::from_secs(900)) {
            Ok(quota) => quota.burst(2),
            Err(_) => panic!("the window is out of range"),
        };
        const PACE: Result<Quota, InvalidWindowLength> = Quota::every(Duration::from_millis(250));
        assert_eq!(LOGIN.to_string(), "5/15min burst 2");
        assert_eq!(PACE.unwrap().to_string(), "1/250ms");
    }

    #[test]
    fn quota_of_an_interval_out_of_range_is_an_error() {
        for interval in [Duration::ZERO, Duration::from_nanos(999_999), Duration::MAX] {
            assert_eq!(Quota::every(interval), Err(InvalidWindowLength(interval)));
            assert_eq!(Quota::new(7, interval), Err(InvalidWindowLength(interval)));
        }
        assert!(Quota::every(Duration::from_millis(1)).is_ok());
    }

    #[test]
    fn error_that_main_prints_says_variant_and_message() {
        let debug = |text: &str| format!("{:?}", text.parse::<Quota>().unwrap_err());
        assert_eq!(
            debug("100/fortnight"),
            "Syntax: invalid quota `100/fortnight`; expected a limit and a window, such as 100/min, 5/s, 10/30s or \
             100/min burst 20"
        );
        assert_eq!(
            debug("1/0s"),
            "Window: invalid window length 0ns; expected 1 ms to 100 years (36,600 days)"
        );
        assert_eq!(
            format!("{:?}", InvalidWindowLength(Duration::ZERO)),
            "InvalidWindowLength: invalid window length 0ns; expected 1 ms to 100 years (36,600 days)"
        );
        assert!(debug("1/s burst 0").starts_with("ZeroBurst: invalid quota `1/s burst 0`: "));
        let variable = QuotaError::Environment { variable: Quota::LIMIT_VARIABLE, value: "many".into() };
        assert_eq!(
            format!("{variable:?}"),
            "Environment: environment variable RATE_LIMIT_MAX_REQUESTS is `many`; expected a whole number"
        );
    }

    #[test]
    fn text_of_an_error_stays_on_one_line() {
        for text in ["10\nERROR", "1/s burst 0\r\n", "1/s\u{1b}[2J"] {
            let error = text.parse::<Quota>().unwrap_err();
            let environment = QuotaError::Environment { variable: Quota::LIMIT_VARIABLE, value: text.into() };
            for error in [error, environment] {
                let printed = format!("{error} {error:?}");
                assert!(!printed.contains(char::is_control), "{printed:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn displayed_quota_parses_to_itself(
            limit: u64,
            nanos in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            burst in prop::option::of(1..=u64::MAX),
        ) {
            let mut quota = Quota::new(limit, Duration::from_nanos(nanos)).unwrap();
            quota.burst = burst;
            prop_assert_eq!(quota.to_string().parse(), Ok(quota));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-z/ .-]{0,24}|\\PC{0,12}") {
            let _ = text.parse::<Quota>();
        }
    }
}
