//! Quotas: how much may happen in how long.

use std::env;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use limited_core::{InvalidWindowLength, WindowLength};

/// How much may happen in how long: `limit` per window, and for a token bucket a burst.
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
/// # As text
///
/// `{limit}/{window}`, then ` burst {burst}` where there is one. A window is a unit, or a whole number of them:
/// `ns`, `us`, `ms`, `s` (`sec`, `second`), `min` (`m`, `minute`), `h` (`hour`), `d` (`day`), and the plurals.
/// So `5/s`, `1000/hour`, `10/30s`, `100/min burst 20`. What [`Display`](fmt::Display) writes is read back as the
/// same quota. With the feature `serde` a quota is this text.
///
/// # Limits of the limits
///
/// Windows last from 1 ms to 100 years. A limit of 0 refuses everything; there is no largest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u64,
    length: WindowLength,
    burst: Option<u64>,
}

/// # Making a quota
impl Quota {
    /// `limit` a second.
    pub const fn per_second(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::SECOND)
    }

    /// `limit` a minute.
    pub const fn per_minute(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::MINUTE)
    }

    /// `limit` an hour.
    pub const fn per_hour(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::HOUR)
    }

    /// `limit` in 24 hours.
    pub const fn per_day(limit: u64) -> Self {
        Self::with_length(limit, WindowLength::DAY)
    }

    /// `limit` per `window`.
    ///
    /// # Errors
    ///
    /// For a window shorter than 1 ms or longer than 100 years.
    pub fn new(limit: u64, window: Duration) -> Result<Self, QuotaError> {
        Ok(Self::with_length(limit, WindowLength::try_from(window)?))
    }

    /// The same quota with a burst: how many tokens a token bucket holds, and so how much it admits at once after it
    /// has been idle. Without one a bucket holds `limit` tokens. Windows know no burst, and leave it out.
    #[must_use]
    pub const fn burst(self, burst: u64) -> Self {
        Self { burst: Some(burst), ..self }
    }

    const fn with_length(limit: u64, length: WindowLength) -> Self {
        Self { limit, length, burst: None }
    }
}

/// # From the environment
impl Quota {
    /// The environment variable that holds the window in seconds; 60 where it is not set.
    pub const WINDOW_VARIABLE: &'static str = "RATE_LIMIT_WINDOW_SIZE";

    /// The environment variable that holds the limit per window; 100 where it is not set.
    pub const LIMIT_VARIABLE: &'static str = "RATE_LIMIT_MAX_REQUESTS";

    /// The quota that the environment asks for: `RATE_LIMIT_MAX_REQUESTS` (100) per `RATE_LIMIT_WINDOW_SIZE` seconds
    /// (60).
    ///
    /// # Errors
    ///
    /// Where a variable is set to something else than a whole number, or the window to none that there is. A variable
    /// that is set to nothing counts as not set.
    pub fn from_env() -> Result<Self, QuotaError> {
        let seconds = number_from_env(Self::WINDOW_VARIABLE)?.unwrap_or(60);
        let limit = number_from_env(Self::LIMIT_VARIABLE)?.unwrap_or(100);
        Self::new(limit, Duration::from_secs(seconds))
    }
}

/// # Reading a quota
impl Quota {
    /// How much may happen per window.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The window.
    pub const fn window(&self) -> Duration {
        self.length.as_duration()
    }

    /// How many tokens a bucket with this quota holds: the burst, or the limit where no burst is set. A limit of 0
    /// leaves it empty.
    pub const fn capacity(&self) -> u64 {
        match self.burst {
            Some(burst) if self.limit > 0 => burst,
            _ => self.limit,
        }
    }

    pub(crate) const fn length(&self) -> WindowLength {
        self.length
    }
}

impl Default for Quota {
    /// 100 a minute.
    fn default() -> Self {
        Self::per_minute(100)
    }
}

/// What is wrong with a quota.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotaError {
    /// There is no window of this length.
    #[error(transparent)]
    Window(#[from] InvalidWindowLength),
    /// The text is not a quota.
    #[error(
        "`{0}` is no quota: write a limit, a slash and a window, such as 100/min, 5/s, 10/30s or 100/min burst 20"
    )]
    Syntax(String),
    /// The environment variable holds no whole number.
    #[error("the environment variable {variable} is `{value}`, and has to be a whole number")]
    Environment {
        /// The name of the variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
}

fn number_from_env(variable: &'static str) -> Result<Option<u64>, QuotaError> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    match value.to_str().map(|text| text.trim().parse()) {
        Some(Ok(number)) => Ok(Some(number)),
        _ => Err(QuotaError::Environment { variable, value: value.to_string_lossy().into_owned() }),
    }
}

/// The units of windows, longest first: how they are written, how else they may be, and their nanoseconds.
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
            (Some("burst"), Some(Some(burst)), None) => Ok(quota.burst(burst)),
            _ => Err(syntax()),
        }
    }
}

/// A unit, or a whole number of them. What is longer than any window comes out as one that is too long.
fn parse_window(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let count = if count.is_empty() { 1 } else { number(count)? };
    let (_, _, size) = UNITS.into_iter().find(|(name, others, _)| *name == unit || others.contains(&unit))?;
    Some(crate::arithmetic::duration(u128::from(count) * u128::from(size)))
}

/// A whole number, written with digits alone.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(feature = "serde")]
mod as_text {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Quota;

    impl Serialize for Quota {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Quota {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotas_are_written_as_people_write_them() {
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
    fn other_spellings_are_read() {
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
    fn what_is_no_quota_is_told_so() {
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
    fn a_limit_of_zero_leaves_the_bucket_empty() {
        assert_eq!(Quota::per_second(0).burst(10).capacity(), 0);
        assert_eq!(Quota::per_second(5).capacity(), 5);
        assert_eq!(Quota::per_second(5).burst(0).capacity(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn every_quota_is_read_as_it_is_written(
            limit: u64,
            nanos in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
            burst: Option<u64>,
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
