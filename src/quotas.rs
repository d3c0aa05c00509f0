//! Several quotas of one limiter, and their text format.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use limited_core::debug_error;

use crate::{Quota, QuotaError};

/// The quotas of a limiter: one, or several that all have to admit a hit.
///
/// Each has windows of its own length. A limiter with `10/s; 1000/h` admits at most 10 in a second
/// and at most 1,000 in an hour.
///
/// ```
/// use limited::{Limiter, Quota, Quotas, memory::MemoryBackend};
///
/// let quotas: Quotas = "10/s; 1000/h; 20000/day".parse()?;
/// assert_eq!(quotas.len(), 3);
/// assert_eq!(quotas[1], Quota::per_hour(1_000));
/// assert_eq!(quotas, Quotas::new([Quota::per_second(10), Quota::per_hour(1_000), Quota::per_day(20_000)])?);
///
/// let limiter = Limiter::new(MemoryBackend::new()).quotas(quotas);
/// assert_eq!(limiter.allow_now("user:7")?.remaining(), 9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Text format
///
/// One or more [quotas](Quota#text-format), separated by `;`. Spaces around them are ignored.
/// [`Display`](fmt::Display) and [`FromStr`] round-trip. The feature `serde` writes the same text,
/// and also reads a list of texts: `["10/s", "1000/h"]`.
///
/// # Range
///
/// From one quota to [`MAX`](Self::MAX). The lengths of their windows differ, because quotas of
/// equal length share a counter. It dereferences to a slice.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Quotas(Repr);

/// One quota needs no allocation. Several are shared by the clones.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    One(Quota),
    Several(Arc<[Quota]>),
}

impl Quotas {
    /// Maximum number of quotas of one limiter.
    pub const MAX: usize = 8;

    /// Creates the quotas of a limiter, in this order.
    ///
    /// # Errors
    ///
    /// [`QuotasError::NoQuota`] and [`QuotasError::TooMany`] if their number is out of range.
    /// [`QuotasError::SameWindow`] if the windows of two of them are equally long.
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Result<Self, QuotasError> {
        let quotas: Vec<Quota> = quotas.into_iter().take(Self::MAX + 1).collect();
        for (index, &quota) in quotas.iter().enumerate() {
            if let Some(&other) = quotas[..index].iter().find(|other| other.shares_windows_with(&quota)) {
                return Err(QuotasError::SameWindow { quota: other, other: quota });
            }
        }
        match *quotas {
            [] => Err(QuotasError::NoQuota),
            [quota] => Ok(Self(Repr::One(quota))),
            _ if quotas.len() > Self::MAX => Err(QuotasError::TooMany),
            _ => Ok(Self(Repr::Several(quotas.into()))),
        }
    }

    /// Returns the quotas as a slice, which is never empty.
    pub fn as_slice(&self) -> &[Quota] {
        match &self.0 {
            Repr::One(quota) => std::slice::from_ref(quota),
            Repr::Several(quotas) => quotas,
        }
    }

    /// Returns the first quota, and all of them if there are several.
    pub(crate) fn into_parts(self) -> (Quota, Option<Arc<[Quota]>>) {
        match self.0 {
            Repr::One(quota) => (quota, None),
            Repr::Several(quotas) => (quotas[0], Some(quotas)),
        }
    }

    /// Reverses [`into_parts`](Self::into_parts).
    pub(crate) fn from_parts(quota: Quota, several: Option<Arc<[Quota]>>) -> Self {
        Self(several.filter(|quotas| quotas.len() > 1).map_or(Repr::One(quota), Repr::Several))
    }
}

impl Deref for Quotas {
    type Target = [Quota];

    fn deref(&self) -> &[Quota] {
        self.as_slice()
    }
}

impl Default for Quotas {
    /// Returns 100 per minute.
    fn default() -> Self {
        Quota::default().into()
    }
}

impl From<Quota> for Quotas {
    fn from(quota: Quota) -> Self {
        Self(Repr::One(quota))
    }
}

impl TryFrom<Vec<Quota>> for Quotas {
    type Error = QuotasError;

    fn try_from(quotas: Vec<Quota>) -> Result<Self, QuotasError> {
        Self::new(quotas)
    }
}

impl<const N: usize> TryFrom<[Quota; N]> for Quotas {
    type Error = QuotasError;

    fn try_from(quotas: [Quota; N]) -> Result<Self, QuotasError> {
        Self::new(quotas)
    }
}

impl PartialEq<Quota> for Quotas {
    fn eq(&self, other: &Quota) -> bool {
        self.as_slice() == std::slice::from_ref(other)
    }
}

impl<'a> IntoIterator for &'a Quotas {
    type Item = &'a Quota;
    type IntoIter = std::slice::Iter<'a, Quota>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Quotas({self})")
    }
}

impl fmt::Display for Quotas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, quota) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{quota}")?;
        }
        Ok(())
    }
}

impl FromStr for Quotas {
    type Err = QuotasError;

    fn from_str(text: &str) -> Result<Self, QuotasError> {
        if text.trim().is_empty() {
            return Err(QuotasError::NoQuota);
        }
        let quotas: Result<Vec<Quota>, QuotaError> =
            text.split(';').map(|quota| quota.trim().parse()).collect();
        Self::new(quotas?)
    }
}

/// Why there are no quotas of a limiter.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuotasError {
    /// There is no quota.
    #[error("expected at least one quota, such as 100/min, or several, such as 10/s; 1000/h")]
    NoQuota,
    /// There are more than [`Quotas::MAX`].
    #[error("more than {max} quotas; at most {max} limit one key", max = Quotas::MAX)]
    TooMany,
    /// Two quotas have windows of equal length, and would share a counter.
    #[error("the quotas `{quota}` and `{other}` have windows of equal length; keep the lower one")]
    SameWindow {
        /// The first of the two.
        quota: Quota,
        /// The second of the two.
        other: Quota,
    },
    /// A part of the text is not a quota.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

impl fmt::Debug for QuotasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQuota => debug_error(f, "NoQuota", self),
            Self::TooMany => debug_error(f, "TooMany", self),
            Self::SameWindow { .. } => debug_error(f, "SameWindow", self),
            Self::Quota(error) => write!(f, "Quota({error:?})"),
        }
    }
}

#[cfg(feature = "serde")]
mod text_or_list {
    //! A text, or a list of texts.

    use serde::de::{Error, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Quotas, fmt};

    impl Serialize for Quotas {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Quotas {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(TextOrList)
        }
    }

    struct TextOrList;

    impl<'de> Visitor<'de> for TextOrList {
        type Value = Quotas;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("quotas as text, such as `10/s; 1000/h`, or a list of quotas")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Quotas, E> {
            text.parse().map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Quotas, A::Error> {
            let mut quotas = Vec::new();
            while let Some(quota) = list.next_element()? {
                quotas.push(quota);
            }
            Quotas::new(quotas).map_err(A::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Quotas, QuotasError> {
        text.parse()
    }

    #[test]
    fn text_of_quotas_round_trips() {
        for (text, written) in [
            ("10/s; 1000/h; 20000/day", "10/s; 1000/hour; 20000/day"),
            ("  5/min ", "5/min"),
            ("5/s burst 9;3/2s", "5/s burst 9; 3/2s"),
        ] {
            let quotas = parse(text).unwrap();
            assert_eq!(quotas.to_string(), written);
            assert_eq!(parse(written), Ok(quotas));
        }
    }

    #[test]
    fn one_quota_is_that_quota() {
        assert_eq!(parse("5/s").unwrap(), Quota::per_second(5));
        assert_eq!(Quotas::from(Quota::per_second(5)), parse("5/s").unwrap());
        assert_eq!(Quotas::default(), Quota::default());
    }

    #[test]
    fn quotas_of_equal_length_are_an_error() {
        let error = parse("10/s; 5/min; 100/60s").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the quotas `5/min` and `100/min` have windows of equal length; keep the lower one"
        );
        assert_eq!(format!("{error:?}"), format!("SameWindow: {error}"));
    }

    #[test]
    fn mistake_in_a_text_names_the_part() {
        assert_eq!(parse(" "), Err(QuotasError::NoQuota));
        assert_eq!(Quotas::new([]), Err(QuotasError::NoQuota));
        let error = parse("10/s; 5 per minute").unwrap_err();
        assert!(error.to_string().starts_with("invalid quota `5 per minute`"), "{error}");
        assert!(parse("10/s;").unwrap_err().to_string().starts_with("invalid quota ``"));
        let many = |number: u64| Quotas::new((1..=number).map(|ms| Quota::new(1, ms_long(ms)).unwrap()));
        assert!(many(8).is_ok());
        assert_eq!(many(9), Err(QuotasError::TooMany));
    }

    fn ms_long(ms: u64) -> std::time::Duration {
        std::time::Duration::from_millis(ms)
    }
}
