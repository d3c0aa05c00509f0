//! Expired state is removed, so that a backend does not grow with every key that it has ever seen.
//!
//! The checks pass if the harness does not report the stored entries
//! ([`Harness::stored_entries`]).

use super::Harness;
use super::skip::Skip;
use super::subject::Subject;
use super::times::{MINUTE, NOW};
use crate::Timestamp;

const ROUNDS: u32 = 20;
const KEYS: u32 = 50;

pub(super) fn expired_counters_are_removed<H: Harness>(subject: &Subject<'_, H>) {
    visit_rounds(subject, |round, now| {
        let counters: Vec<_> =
            (0..KEYS).flat_map(|key| subject.each_window(&format!("{round}, {key}"), now)).collect();
        for counter in &counters {
            counter.first_hit(1, 5, now);
        }
        counters.len()
    });
}

/// Calls `store`, which stores new entries and returns how many, at times so far apart that those
/// of the earlier rounds have expired. Fails the check if most are still stored at the end.
pub(super) fn visit_rounds<H: Harness>(
    subject: &Subject<'_, H>,
    mut store: impl FnMut(u32, Timestamp) -> usize,
) {
    let stored = || subject.harness.stored_entries(&subject.backend);
    let Some(before) = stored() else { return subject.skip(Skip::Removal) };
    let apart = 10 * (MINUTE + subject.harness.max_clock_skew());
    let total: usize = (0..ROUNDS).map(|round| store(round, NOW.saturating_add(round * apart))).sum();
    let left = stored().unwrap_or(usize::MAX).saturating_sub(before);
    assert!(
        left <= total / 2,
        "rule 2: expired state is removed some day, by later operations or by the backend itself\n  \
         expected at most half of {total} entries, of which {} have expired\n  but saw  {left}",
        total - total / ROUNDS as usize
    );
}
