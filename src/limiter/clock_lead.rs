//! How far another clock is ahead of this one, as far as buckets have shown.
//!
//! The value of a bucket is a time. If another process wrote it by a clock that is ahead, the
//! bucket looks emptier than it is: a process that is behind by as much as the bucket takes to fill
//! never gets a token. The backend reports such a value
//! ([`CounterState::clock_lead`](limited_core::CounterState::clock_lead)), and the limiter counts
//! by the clock that is ahead from then on.
//!
//! Only a report raises the lead. It falls by 1/4096 of the time that passes: by two seconds within
//! 2.3 hours. So a lead that a corrected clock left is forgotten, although the limiters that have
//! learned it write times that others learn it from: a report is at most the lead of its writer,
//! less the time since then. A lead that fell faster would be unfair. A report is short by the time
//! between the arrival of a token and the next hit, so that the longest of many reports is needed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limited_core::{MAX_CLOCK_SKEW, Timestamp};

/// Number of lower bits that hold the lead in microseconds. The upper bits hold the time at which
/// it was learned, without as many lower bits.
const LEAD_BITS: u32 = 24;

/// The lead falls by one part in 2^12 of the time that passes.
const DECAY_BITS: u32 = 12;

const SKEW: u64 = MAX_CLOCK_SKEW.as_secs() * 1_000_000_000;

const _: () = assert!(SKEW / 1_000 < 1 << LEAD_BITS, "the lead fits into its bits");

/// The lead of the most advanced clock, shared by the clones of a limiter. Never more than the
/// maximum clock skew.
#[derive(Debug, Default)]
pub(super) struct ClockLead(AtomicU64);

impl ClockLead {
    /// Returns the lead at `now`, in nanoseconds.
    ///
    /// `now` and the lead together never run backwards while `now` does not.
    #[inline(always)]
    pub(super) fn at(&self, now: Timestamp) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => 0,
            packed => self.unpack_or_forget(packed, now),
        }
    }

    /// Raises the lead to what a backend has reported at `now`. Returns the lead then, in
    /// nanoseconds.
    pub(super) fn learn(&self, lead: Duration, now: Timestamp) -> u64 {
        let reported = pack(lead, now);
        let mut known = self.0.load(Ordering::Relaxed);
        loop {
            if unpack(known, now) >= unpack(reported, now) {
                return unpack(known, now);
            }
            match self.0.compare_exchange_weak(known, reported, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return unpack(reported, now),
                Err(other) => known = other,
            }
        }
    }

    #[cold]
    fn unpack_or_forget(&self, packed: u64, now: Timestamp) -> u64 {
        let lead = unpack(packed, now);
        if lead == 0 {
            // The next call need not look at the time. If another thread has learned a lead
            // meanwhile, that lead stays.
            let _ = self.0.compare_exchange(packed, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        lead
    }
}

/// Returns how long to wait for `nanos` to pass by the clock that is ahead by `lead`. The lead
/// falls meanwhile, by what is left of it at most.
pub(super) const fn wait(nanos: u128, lead: u64) -> u128 {
    if nanos == 0 {
        return 0;
    }
    // Of 4,096 nanoseconds, 4,095 pass by that clock. Two more cover what is rounded.
    let longer = nanos / ((1 << DECAY_BITS) - 1) + 2;
    let lead = lead as u128;
    nanos.saturating_add(if longer < lead { longer } else { lead })
}

fn pack(lead: Duration, now: Timestamp) -> u64 {
    let micros = u64::try_from(lead.as_micros()).unwrap_or(u64::MAX).min(SKEW / 1_000);
    if micros == 0 { 0 } else { now.as_nanos() >> LEAD_BITS << LEAD_BITS | micros }
}

fn unpack(packed: u64, now: Timestamp) -> u64 {
    let lead = (packed & ((1 << LEAD_BITS) - 1)) * 1_000;
    let learned_at = packed >> LEAD_BITS << LEAD_BITS;
    match now.as_nanos().checked_sub(learned_at) {
        Some(elapsed) => lead.saturating_sub(elapsed >> DECAY_BITS),
        None if learned_at - now.as_nanos() <= SKEW => lead,
        // The clock was wrong when it learned the lead.
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn after(duration: Duration) -> Timestamp {
        NOW.saturating_add(duration)
    }

    #[test]
    fn lead_is_learned_and_forgotten() {
        let lead = ClockLead::default();
        assert_eq!(lead.at(NOW), 0);
        let learned = lead.learn(Duration::from_secs(2), NOW);
        assert!((1_999_900_000..=2_000_000_000).contains(&learned), "{learned}");
        assert_eq!(lead.at(NOW), learned);
        assert!(lead.at(after(Duration::from_secs(4_096))).abs_diff(1_000_000_000) < 100_000);
        assert_eq!(lead.at(after(Duration::from_secs(8_192))), 0);
        assert_eq!(lead.0.load(Ordering::Relaxed), 0, "a lead that is over costs nothing more");
    }

    #[test]
    fn shorter_lead_does_not_lower_it() {
        let lead = ClockLead::default();
        let learned = lead.learn(Duration::from_secs(2), NOW);
        assert_eq!(lead.learn(Duration::from_secs(1), NOW), learned);
        assert_eq!(lead.at(NOW), learned);
    }

    #[test]
    fn lead_of_a_clock_that_was_wrong_is_no_lead() {
        let lead = ClockLead::default();
        lead.learn(Duration::from_secs(2), after(Duration::from_secs(31_536_000)));
        assert_eq!(lead.at(NOW), 0);
        assert!(lead.learn(Duration::from_secs(1), NOW) > 999_000_000);
    }

    #[test]
    fn limiters_do_not_keep_each_others_lead_alive() {
        let (one, other) = (ClockLead::default(), ClockLead::default());
        one.learn(MAX_CLOCK_SKEW, NOW);
        let mut now = NOW;
        // Each sees what the other writes at once, which is the most that a report can be.
        while one.at(now).max(other.at(now)) > 0 {
            other.learn(Duration::from_nanos(one.at(now)), now);
            one.learn(Duration::from_nanos(other.at(now)), now);
            now = now.saturating_add(Duration::from_millis(100));
            assert!(now < after(Duration::from_secs(20_481)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn lead_is_at_most_what_was_reported_and_the_skew(reported: u64, at: u64, later: u64) {
            let lead = ClockLead::default();
            let at = Timestamp::from_nanos(at);
            let learned = lead.learn(Duration::from_nanos(reported), at);
            prop_assert!(learned <= reported.min(SKEW));
            prop_assert!(lead.at(at.saturating_add(Duration::from_nanos(later))) <= learned);
        }

        #[test]
        fn clock_that_is_ahead_never_runs_backwards(
            reported in 0..2 * SKEW, first in 0..9_000 * SKEW, second in 0..9_000 * SKEW,
        ) {
            let lead = ClockLead::default();
            lead.learn(Duration::from_nanos(reported), NOW);
            let [earlier, later] = [first.min(second), first.max(second)]
                .map(|nanos| after(Duration::from_nanos(nanos)));
            prop_assert!(
                earlier.as_nanos() + lead.at(earlier) <= later.as_nanos() + lead.at(later)
            );
        }

        #[test]
        fn waiting_is_enough_by_the_clock_that_is_ahead(
            reported in 0..2 * SKEW, asked in 0..9_000 * SKEW, nanos in 0..9_000 * SKEW,
        ) {
            let lead = ClockLead::default();
            lead.learn(Duration::from_nanos(reported), NOW);
            let asked = after(Duration::from_nanos(asked));
            let left = lead.at(asked);
            let then = u128::from(asked.as_nanos()) + u128::from(left) + u128::from(nanos);
            let waited = u64::try_from(wait(nanos.into(), left)).unwrap();
            let now = asked.saturating_add(Duration::from_nanos(waited));
            prop_assert!(u128::from(now.as_nanos()) + u128::from(lead.at(now)) >= then);
            prop_assert!(waited <= nanos + left);
        }
    }
}
