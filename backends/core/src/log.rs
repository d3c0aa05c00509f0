//! The log of a sliding log: the time and the cost of each hit of the last window.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{Hit, Refund, Timestamp, WindowLength, has_ended, is_ahead};

/// The hits that a [log](crate::Window::Log) holds: their times, and the cost of each.
///
/// The value of the counter is the sum of the costs. A hit counts from its time until just before
/// one window length later. So any stretch of one length holds at most the ceiling, and the time at
/// which a refused hit fits is known exactly.
///
/// A log holds at most [`MAX_ENTRIES`](Self::MAX_ENTRIES) times. Beyond that, the two oldest ones
/// become one, at the later time: a hit then counts for longer than one window, and never shorter.
///
/// As text, for databases: `1764345600000000000*3 1764345600000000007`, a time in nanoseconds since
/// the Unix epoch and its cost, unless that is 1.
///
/// ```
/// # use limited_core::{Hit, HitLog, Timestamp, WindowLength};
/// let length = WindowLength::MINUTE;
/// let mut log = HitLog::default();
/// let now = Timestamp::from_secs(120);
/// assert!(log.hit(&Hit::new(2, 3), length, Timestamp::from_secs(100)));
/// assert!(log.hit(&Hit::new(1, 3), length, Timestamp::from_secs(110)));
/// assert!(!log.hit(&Hit::new(1, 3), length, now));
/// assert_eq!(log.fits_at(1, 3, length, now), Some(Timestamp::from_secs(160)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HitLog {
    /// Sorted by time; each time once, with a cost of at least 1.
    entries: Vec<(Timestamp, u128)>,
}

impl HitLog {
    /// Maximum number of different times in a log.
    pub const MAX_ENTRIES: usize = 512;

    /// Removes the hits that no clock needs: those that ended more than the maximum clock skew ago,
    /// and those that only a wrong clock can have written, further ahead of `now` than the skew.
    ///
    /// Each operation does this first. A hit that ended within the skew stays, for a clock that is
    /// behind, and has no [value](Self::value).
    pub fn expire(&mut self, length: WindowLength, now: Timestamp, skew: Duration) {
        let earliest = now.saturating_sub(skew);
        self.entries.retain(|(time, _)| !has_ended(*time, length, earliest) && !is_ahead(*time, now, skew));
    }

    /// Returns the sum of the costs of all hits that count at `now`. Saturates.
    pub fn value(&self, length: WindowLength, now: Timestamp) -> u128 {
        let counting = self.entries.iter().filter(|(time, _)| !has_ended(*time, length, now));
        counting.fold(0, |sum: u128, (_, cost)| sum.saturating_add(*cost))
    }

    /// Returns whether the log holds no hit.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the time of the newest hit. Without another hit, the log is empty one length later.
    pub fn newest(&self) -> Option<Timestamp> {
        self.entries.last().map(|(time, _)| *time)
    }

    /// Returns the times and the costs, oldest first.
    pub fn entries(&self) -> &[(Timestamp, u128)] {
        &self.entries
    }

    /// Adds a hit, if it fits ([`Hit::apply`]), and returns whether it did. The floor is ignored: a
    /// log counts single hits.
    pub fn hit(&mut self, hit: &Hit<'_>, length: WindowLength, now: Timestamp) -> bool {
        let fits = Hit::new(hit.cost, hit.ceiling).apply(self.value(length, now)).is_some();
        if fits && hit.cost > 0 {
            self.add(hit.cost, now);
        }
        fits
    }

    fn add(&mut self, cost: u128, time: Timestamp) {
        match self.entries.binary_search_by_key(&time, |(time, _)| *time) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.saturating_add(cost),
            Err(at) => self.entries.insert(at, (time, cost)),
        }
        if self.entries.len() > Self::MAX_ENTRIES {
            let (_, oldest) = self.entries.remove(0);
            self.entries[0].1 = self.entries[0].1.saturating_add(oldest);
        }
    }

    /// Returns the first time from `now` on at which a hit of `cost` fits under `ceiling`, if
    /// nothing else is counted: `now`, or the time at which enough of the oldest hits no longer
    /// count. `None` if it never fits.
    pub fn fits_at(
        &self,
        cost: u128,
        ceiling: u128,
        length: WindowLength,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let room = ceiling.checked_sub(cost)?;
        let mut value = self.value(length, now);
        if value <= room {
            return Some(now);
        }
        for (time, cost) in self.entries.iter().filter(|(time, _)| !has_ended(*time, length, now)) {
            value = value.saturating_sub(*cost);
            if value <= room {
                return Some(time.saturating_add(length.as_duration()));
            }
        }
        None
    }

    /// Returns the cost of a refund to the hits that were counted at its
    /// [`charged_at`](Refund::charged_at), at most what they cost. Returns whether there were any.
    ///
    /// If that time became [one with a later time](Self::MAX_ENTRIES), nothing is returned.
    pub fn refund(&mut self, refund: &Refund, length: WindowLength, now: Timestamp) -> bool {
        if !refund.accepts(self.value(length, now)) {
            return false;
        }
        let Ok(at) = self.entries.binary_search_by_key(&refund.charged_at, |(time, _)| *time) else {
            return false;
        };
        let left = refund.apply(self.entries[at].1);
        if left == 0 {
            self.entries.remove(at);
        } else {
            self.entries[at].1 = left;
        }
        true
    }
}

impl fmt::Display for HitLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (time, cost)) in self.entries.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}", time.as_nanos())?;
            if *cost != 1 {
                write!(f, "*{cost}")?;
            }
        }
        Ok(())
    }
}

/// A text that is no [`HitLog`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a log of hits; expected times in nanoseconds with their costs, such as `1764345600000000000*3`")]
pub struct InvalidHitLog;

impl FromStr for HitLog {
    type Err = InvalidHitLog;

    /// Reads the times in any order.
    fn from_str(text: &str) -> Result<Self, InvalidHitLog> {
        let mut log = Self::default();
        for entry in text.split_ascii_whitespace() {
            let (time, cost) = entry.split_once('*').unwrap_or((entry, "1"));
            let [time, cost] = [digits(time)?, digits(cost)?];
            let time = u64::try_from(time).map_err(|_| InvalidHitLog)?;
            if cost > 0 {
                log.add(cost, Timestamp::from_nanos(time));
            }
        }
        Ok(log)
    }
}

fn digits(text: &str) -> Result<u128, InvalidHitLog> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().map_err(|_| InvalidHitLog),
        false => Err(InvalidHitLog),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: WindowLength = WindowLength::SECOND;
    const SKEW: Duration = Duration::from_secs(5);

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(1_000_000_000_000 + nanos)
    }

    fn log(entries: &[(u64, u128)]) -> HitLog {
        HitLog { entries: entries.iter().map(|(nanos, cost)| (at(*nanos), *cost)).collect() }
    }

    #[test]
    fn hit_counts_until_just_before_one_length_later() {
        let mut log = log(&[(0, 1), (1, 2)]);
        for (nanos, value) in [(999_999_999, 3), (1_000_000_000, 2), (1_000_000_001, 0)] {
            log.expire(LENGTH, at(nanos), SKEW);
            assert_eq!(log.value(LENGTH, at(nanos)), value);
        }
        // A clock that is behind by the skew still needs them.
        log.expire(LENGTH, at(5_999_999_999), SKEW);
        assert_eq!(log.value(LENGTH, at(999_999_999)), 3);
        log.expire(LENGTH, at(6_000_000_001), SKEW);
        assert!(log.is_empty() && log.newest().is_none());
    }

    #[test]
    fn hit_of_a_wrong_clock_expires_at_once() {
        let mut log = log(&[(5_000_000_000, 1), (5_000_000_001, 1)]);
        log.expire(LENGTH, at(0), SKEW);
        assert_eq!(log.newest(), Some(at(5_000_000_000)));
    }

    #[test]
    fn hit_fits_when_enough_of_the_oldest_no_longer_count() {
        let log = log(&[(0, 1), (10, 3), (20, 1)]);
        assert_eq!(log.fits_at(1, 6, LENGTH, at(30)), Some(at(30)));
        assert_eq!(log.fits_at(1, 5, LENGTH, at(30)), Some(at(1_000_000_000)));
        assert_eq!(log.fits_at(2, 5, LENGTH, at(30)), Some(at(1_000_000_010)));
        assert_eq!(log.fits_at(5, 5, LENGTH, at(30)), Some(at(1_000_000_020)));
        assert_eq!(log.fits_at(6, 5, LENGTH, at(30)), None);
    }

    #[test]
    fn refund_reaches_the_hit_that_was_charged() {
        let mut log = log(&[(0, 2), (10, 3)]);
        let mut refund = |refund: Refund| log.refund(&refund, LENGTH, at(20));
        assert!(!refund(Refund::new(1, at(5))));
        assert!(!refund(Refund::new(1, at(0)).only_if_value(4)));
        assert!(refund(Refund::new(1, at(0)).only_if_value(5)));
        assert!(refund(Refund::new(9, at(10))));
        assert_eq!(log.entries(), [(at(0), 1)]);
    }

    #[test]
    fn full_log_merges_its_two_oldest_times_at_the_later_one() {
        let mut log = HitLog::default();
        for nanos in 0..=HitLog::MAX_ENTRIES as u64 {
            assert!(log.hit(&Hit::new(1, 1_000), LENGTH, at(nanos)));
        }
        assert_eq!(log.entries().len(), HitLog::MAX_ENTRIES);
        assert_eq!(log.entries()[0], (at(1), 2));
        assert_eq!(log.value(LENGTH, at(0)), HitLog::MAX_ENTRIES as u128 + 1);
    }

    #[test]
    fn text_that_is_no_log_is_an_error() {
        for text in ["x", "1*", "*1", "1*x", "-1", "+1", "1**2", "18446744073709551616", "1,2"] {
            let parsed = text.parse::<HitLog>();
            assert!(parsed.is_err(), "{text}: {parsed:?}");
        }
        assert_eq!(log(&[(0, 3), (7, 1)]).to_string(), "1000000000000*3 1000000000007");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn no_stretch_of_one_length_exceeds_the_limit(
            hits in prop::collection::vec((0..600_000_000_u64, 1..4_u128, any::<bool>()), 1..60),
            limit in 1..8_u128,
        ) {
            let (mut log, mut now, mut counted) = (HitLog::default(), 100_000_000_000_u64, Vec::new());
            for (step, cost, is_back) in hits {
                // A clock that jumps back too, within the skew.
                now = if is_back { now - step } else { now + step };
                log.expire(LENGTH, at(now), SKEW);
                if log.hit(&Hit::new(cost, limit), LENGTH, at(now)) {
                    counted.push((now, cost));
                }
            }
            for (start, _) in &counted {
                let stretch = *start..*start + LENGTH.as_nanos();
                let sum: u128 = counted.iter().filter(|(at, _)| stretch.contains(at)).map(|(_, cost)| cost).sum();
                prop_assert!(sum <= limit, "{sum} from {start}");
            }
        }

        #[test]
        fn refused_hit_fits_at_the_reported_time_and_not_earlier(
            hits in prop::collection::vec((0..400_000_000_u64, 1..4_u128), 1..40), cost in 1..6_u128,
        ) {
            let (mut log, mut now) = (HitLog::default(), 0);
            for (step, cost) in hits {
                now += step;
                log.expire(LENGTH, at(now), SKEW);
                log.hit(&Hit::new(cost, 5), LENGTH, at(now));
            }
            let fits_at = log.fits_at(cost, 5, LENGTH, at(now));
            prop_assert_eq!(fits_at.is_none(), cost > 5);
            if let Some(fits_at) = fits_at.filter(|time| *time > at(now)) {
                for (time, fits) in [(fits_at.as_nanos() - 1, false), (fits_at.as_nanos(), true)] {
                    let mut log = log.clone();
                    log.expire(LENGTH, Timestamp::from_nanos(time), SKEW);
                    prop_assert_eq!(log.hit(&Hit::new(cost, 5), LENGTH, Timestamp::from_nanos(time)), fits);
                }
            }
        }

        #[test]
        fn text_gives_the_same_log(entries in prop::collection::btree_map(any::<u64>(), 1..u128::MAX, 0..40)) {
            let entries = entries.into_iter().map(|(time, cost)| (Timestamp::from_nanos(time), cost)).collect();
            let log = HitLog { entries };
            prop_assert_eq!(log.to_string().parse::<HitLog>().unwrap(), log);
        }
    }
}
