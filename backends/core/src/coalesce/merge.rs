//! The arithmetic of a batch. Numbers only; all of them are in the unit of the counter's value.
//!
//! Hits with floors `f`, costs `c` and ceilings `u`, applied one after the other, have the effect
//! of one hit: the value becomes `max(value + Σc, max over i of fᵢ + Σ_{j ≥ i} c_j)`. All of them
//! fit if and only if every prefix stays at or below its ceiling.
//!
//! Hits on a bucket can be merged if their limits are equal, because the limit determines the unit.

use std::fmt;
use std::sync::Arc;

use crate::{BucketQuota, Hit, Timestamp, Window, WindowId, sliding};

/// A hit that waits to be written: an owned [`Hit`], and its time.
#[derive(Clone)]
#[non_exhaustive]
pub struct PendingHit {
    /// See [`Hit::cost`].
    pub cost: u128,
    /// See [`Hit::floor`].
    pub floor: u128,
    /// See [`Hit::ceiling`].
    pub ceiling: u128,
    /// See [`Hit::window_id`].
    pub window_id: WindowId,
    /// See [`Hit::metadata`].
    pub metadata: Option<Arc<str>>,
    /// The time of the hit. Hits of one batch may have different times, in any order.
    pub now: Timestamp,
    /// See [`Counter::bucket`](crate::Counter::bucket). Hits of one batch may have different
    /// quotas.
    pub bucket: Option<BucketQuota>,
    /// Whether the ceiling does not include the previous window yet. If so, the write reads that
    /// window and calls [`lower_ceiling`](Self::lower_ceiling). Default: `false`.
    pub needs_previous: bool,
}

impl fmt::Debug for PendingHit {
    /// Writes the hash and the length of the metadata.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { cost, floor, ceiling, window_id, ref metadata, now, bucket, needs_previous } = self;
        let hit = Hit { cost, floor, ceiling, window_id, metadata: metadata.as_deref() };
        f.debug_struct("PendingHit")
            .field("hit", &hit)
            .field("now", &now)
            .field("bucket", &bucket)
            .field("needs_previous", &needs_previous)
            .finish()
    }
}

impl PendingHit {
    /// Creates the pending form of `hit`.
    pub fn new(hit: &Hit<'_>, now: Timestamp) -> Self {
        Self {
            cost: hit.cost,
            floor: hit.floor,
            ceiling: hit.ceiling,
            window_id: hit.window_id,
            metadata: hit.metadata.map(Arc::from),
            now,
            bucket: None,
            needs_previous: false,
        }
    }

    /// Returns the hit with the quota of its bucket.
    #[must_use]
    pub fn with_bucket(self, bucket: Option<BucketQuota>) -> Self {
        Self { bucket, ..self }
    }

    /// Returns the hit of a [sliding](crate::Counter::is_sliding) counter whose previous window has
    /// not been read. The write reads it once for all of its hits.
    #[must_use]
    pub fn without_previous(self) -> Self {
        Self { needs_previous: true, ..self }
    }

    /// Lowers the ceiling by the weight of the previous window, at the time of the hit. Does
    /// nothing if the ceiling includes that window already. See [`sliding::with_previous`].
    pub fn lower_ceiling(&mut self, previous: u128, window: Window) {
        if std::mem::take(&mut self.needs_previous) {
            let hit = Hit::new(self.cost, self.ceiling).with_floor(self.floor);
            let lowered = sliding::with_previous(&hit, previous, window, self.now);
            (self.cost, self.ceiling) = (lowered.cost, lowered.ceiling);
        }
    }

    fn apply(&self, value: u128) -> Option<u128> {
        Hit::new(self.cost, self.ceiling).with_floor(self.floor).apply(value)
    }
}

/// The one hit that has the effect of several.
///
/// If the value is at most `max_before`, all of them fit, and the value becomes
/// `max(value + cost, min_after)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MergedHit {
    /// The sum of the costs.
    pub cost: u128,
    /// The lowest value that the counter can have afterwards.
    pub min_after: u128,
    /// The highest value before, from which all of the hits fit.
    pub max_before: u128,
}

impl MergedHit {
    /// Returns the highest value before from which the counter becomes `min_after`; from above it,
    /// `cost` is added.
    pub const fn floor(&self) -> u128 {
        self.min_after.saturating_sub(self.cost)
    }
}

/// Returns the indexes of the hits that are admitted if they are applied in order to `value`.
///
/// If the value is unknown, 0 is the optimistic choice: a hit that does not fit then is refused in
/// any case.
pub fn admissible(hits: &[PendingHit], mut value: u128) -> Vec<usize> {
    let mut admitted = Vec::with_capacity(hits.len());
    for (index, hit) in hits.iter().enumerate() {
        if let Some(after) = hit.apply(value) {
            value = after;
            admitted.push(index);
        }
    }
    admitted
}

/// Merges the chosen hits. Returns `None` if none are chosen, or if they do not fit even from zero.
pub fn merge(hits: &[PendingHit], chosen: &[usize]) -> Option<MergedHit> {
    let (mut cost, mut min_after, mut max_before) = (0_u128, 0_u128, u128::MAX);
    for &index in chosen {
        let hit = &hits[index];
        cost = cost.checked_add(hit.cost)?;
        min_after = min_after.max(hit.floor).checked_add(hit.cost)?;
        if min_after > hit.ceiling {
            return None;
        }
        max_before = max_before.min(hit.ceiling.checked_sub(cost)?);
    }
    (!chosen.is_empty()).then_some(MergedHit { cost, min_after, max_before })
}

/// Returns the value after each of the chosen hits, if the value before all of them was `before`.
pub fn values_after(hits: &[PendingHit], chosen: &[usize], before: u128) -> Vec<u128> {
    let mut value = before;
    chosen
        .iter()
        .map(|&index| {
            value = value.max(hits[index].floor).saturating_add(hits[index].cost);
            value
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hits() -> impl Strategy<Value = Vec<PendingHit>> {
        let hit = (0..9_u128, 0..20_u128, 0..40_u128).prop_map(|(cost, floor, ceiling)| {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            PendingHit::new(&hit, Timestamp::EPOCH)
        });
        prop::collection::vec(hit, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn merged_hit_equals_its_hits_one_by_one(hits in hits(), value in 0..50_u128) {
            let chosen: Vec<usize> = (0..hits.len()).collect();
            let one_by_one = hits.iter().try_fold(value, |value, hit| hit.apply(value));
            let together = merge(&hits, &chosen)
                .filter(|merged| value <= merged.max_before)
                .map(|merged| (value + merged.cost).max(merged.min_after));
            prop_assert_eq!(together, one_by_one);
            if let Some(after) = together {
                prop_assert_eq!(values_after(&hits, &chosen, value).last().copied(), Some(after));
            }
        }

        #[test]
        fn ceiling_is_lowered_once_and_as_for_a_single_hit(
            cost in 0..9_u128,
            ceiling in 0..40_u128,
            previous in 0..80_u128,
            seconds in 0..60_u64,
        ) {
            let now = Timestamp::from_secs(seconds);
            let window = Window::aligned(now, crate::WindowLength::MINUTE);
            let hit = Hit::new(cost, ceiling);
            let expected = sliding::with_previous(&hit, previous, window, now);
            let mut pending = PendingHit::new(&hit, now).without_previous();
            for _ in 0..2 {
                pending.lower_ceiling(previous, window);
                prop_assert_eq!((pending.cost, pending.ceiling), (expected.cost, expected.ceiling));
            }
            let mut known = PendingHit::new(&hit, now);
            known.lower_ceiling(previous, window);
            prop_assert_eq!((known.cost, known.ceiling), (cost, ceiling));
        }

        #[test]
        fn floor_separates_the_two_results_of_a_merged_hit(hits in hits(), value in 0..50_u128) {
            let chosen: Vec<usize> = (0..hits.len()).collect();
            if let Some(merged) = merge(&hits, &chosen) {
                let is_min = (value + merged.cost).max(merged.min_after) == merged.min_after;
                prop_assert_eq!(is_min, value <= merged.floor());
            }
        }

        #[test]
        fn admissible_hits_are_those_admitted_one_by_one(hits in hits(), value in 0..50_u128) {
            let admitted = admissible(&hits, value);
            let mut now = value;
            for (index, hit) in hits.iter().enumerate() {
                let after = hit.apply(now);
                prop_assert_eq!(admitted.contains(&index), after.is_some());
                now = after.unwrap_or(now);
            }
            if !admitted.is_empty() {
                let merged = merge(&hits, &admitted).unwrap();
                prop_assert!(value <= merged.max_before);
            }
        }

        #[test]
        fn no_hit_overflows(cost: u128, floor: u128, ceiling: u128, value: u128) {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let hits = [PendingHit::new(&hit, Timestamp::EPOCH), PendingHit::new(&hit, Timestamp::EPOCH)];
            for chosen in [&[][..], &[0], &[0, 1]] {
                let _ = merge(&hits, chosen);
                let _ = values_after(&hits, chosen, value);
            }
            let _ = admissible(&hits, value);
        }
    }
}
