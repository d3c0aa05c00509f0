//! Hits that travel together: what they come to as one write, and what each of them is answered. Numbers only.
//!
//! Hits with floors `f`, costs `c` and ceilings `u`, one after the other, come to one: from `value` to
//! `max(value + Σc, max over i of fᵢ + Σ_{j ≥ i} c_j)`. They all fit if and only if every prefix stays under its ceiling.

use std::sync::Arc;

use limited_core::{Hit, Timestamp, WindowId};

/// A hit that waits to be written.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) cost: u128,
    pub(crate) floor: u128,
    pub(crate) ceiling: u128,
    pub(crate) window_id: WindowId,
    pub(crate) metadata: Option<Arc<str>>,
    pub(crate) now: Timestamp,
}

impl Waiting {
    pub(crate) fn new(hit: &Hit<'_>, now: Timestamp) -> Self {
        Self {
            cost: hit.cost,
            floor: hit.floor,
            ceiling: hit.ceiling,
            window_id: hit.window_id,
            metadata: hit.metadata.map(Arc::from),
            now,
        }
    }

    fn apply(&self, value: u128) -> Option<u128> {
        Hit::new(self.cost, self.ceiling).with_floor(self.floor).apply(value)
    }
}

/// What several hits come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Composed {
    /// What is added to a value above `least - cost`.
    pub(crate) cost: u128,
    /// What the value is at least afterwards.
    pub(crate) least: u128,
    /// The highest value before, from which all of them fit.
    pub(crate) highest_before: u128,
}

impl Composed {
    /// Up to which value before, `least` is what comes out.
    pub(crate) const fn floor(&self) -> u128 {
        self.least.saturating_sub(self.cost)
    }

    /// Up to which value before, `least` is what comes out and all of them fit. With floors that rise from hit to hit,
    /// the last one's may be above what the first one allows.
    pub(crate) const fn highest_past(&self) -> u128 {
        if self.floor() < self.highest_before { self.floor() } else { self.highest_before }
    }
}

/// Which of the hits to write when nothing is known of the value: in order, those that can fit at all.
pub(crate) fn hopeful(hits: &[Waiting]) -> Vec<usize> {
    fitting(hits, 0)
}

/// Which of the hits fit, one after the other, from `value` on.
pub(crate) fn fitting(hits: &[Waiting], mut value: u128) -> Vec<usize> {
    let mut fitting = Vec::with_capacity(hits.len());
    for (index, hit) in hits.iter().enumerate() {
        if let Some(after) = hit.apply(value) {
            value = after;
            fitting.push(index);
        }
    }
    fitting
}

/// What the chosen hits come to; `None` if they do not even fit from zero, or for none.
pub(crate) fn compose(hits: &[Waiting], chosen: &[usize]) -> Option<Composed> {
    let (mut cost, mut least, mut highest_before) = (0_u128, 0_u128, u128::MAX);
    for &index in chosen {
        let hit = &hits[index];
        cost = cost.checked_add(hit.cost)?;
        least = least.max(hit.floor).checked_add(hit.cost)?;
        if least > hit.ceiling {
            return None;
        }
        highest_before = highest_before.min(hit.ceiling.checked_sub(cost)?);
    }
    (!chosen.is_empty()).then_some(Composed { cost, least, highest_before })
}

/// The value after each of the chosen hits, when the value before them all was `before`.
pub(crate) fn values_after(hits: &[Waiting], chosen: &[usize], before: u128) -> Vec<u128> {
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

    fn hits() -> impl Strategy<Value = Vec<Waiting>> {
        let hit = (0..9_u128, 0..20_u128, 0..40_u128).prop_map(|(cost, floor, ceiling)| {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            Waiting::new(&hit, Timestamp::EPOCH)
        });
        prop::collection::vec(hit, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn several_hits_come_to_what_they_do_one_by_one(hits in hits(), value in 0..50_u128) {
            let chosen: Vec<usize> = (0..hits.len()).collect();
            let one_by_one = hits.iter().try_fold(value, |value, hit| hit.apply(value));
            let composed = compose(&hits, &chosen);
            let together = composed
                .filter(|composed| value <= composed.highest_before)
                .map(|composed| (value + composed.cost).max(composed.least));
            prop_assert_eq!(together, one_by_one);
            // The two cases of a bucket's expression, with their conditions.
            let past = composed.filter(|composed| value <= composed.highest_past()).map(|composed| composed.least);
            let ahead = composed
                .filter(|composed| value > composed.floor() && value <= composed.highest_before)
                .map(|composed| value + composed.cost);
            prop_assert!(past.is_none() || ahead.is_none());
            prop_assert_eq!(past.or(ahead), one_by_one);
            if let Some(after) = together {
                prop_assert_eq!(values_after(&hits, &chosen, value).last().copied(), Some(after));
            }
        }

        #[test]
        fn those_that_fit_are_those_admitted_one_by_one(hits in hits(), value in 0..50_u128) {
            let fitting = fitting(&hits, value);
            let mut now = value;
            for (index, hit) in hits.iter().enumerate() {
                let after = hit.apply(now);
                prop_assert_eq!(fitting.contains(&index), after.is_some());
                now = after.unwrap_or(now);
            }
            if !fitting.is_empty() {
                let composed = compose(&hits, &fitting).unwrap();
                prop_assert!(value <= composed.highest_before);
            }
        }

        #[test]
        fn no_hit_overflows(cost: u128, floor: u128, ceiling: u128, value: u128) {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let hits = [Waiting::new(&hit, Timestamp::EPOCH), Waiting::new(&hit, Timestamp::EPOCH)];
            for chosen in [&[][..], &[0], &[0, 1]] {
                let _ = compose(&hits, chosen);
                let _ = values_after(&hits, chosen, value);
            }
            let _ = fitting(&hits, value);
        }
    }
}
