//! A batch of hits on a bucket whose stored value is known. The limits of the hits may differ.

use std::time::Duration;

use limited_core::bucket::{StoredBucket, convert};
use limited_core::coalesce::PendingHit;
use limited_core::{BucketQuota, CounterState, Hit, Timestamp, WindowLength};

/// What a batch makes of a bucket.
#[derive(Debug)]
pub(super) struct BucketBatch {
    /// The result of each hit.
    pub(super) states: Vec<CounterState>,
    /// The indexes of the counted hits.
    pub(super) counted: Vec<usize>,
    /// The bucket after the last of them; `None` if no hit is counted.
    pub(super) after: Option<StoredBucket>,
}

impl BucketBatch {
    /// Applies the hits to the stored bucket, one after the other. Each of them gets the value in
    /// the unit of its own limit. `now` is the latest time of the hits.
    pub(super) fn apply(
        hits: &[PendingHit],
        stored: Option<StoredBucket>,
        length: WindowLength,
        now: Timestamp,
        skew: Duration,
    ) -> Self {
        let (mut bucket, mut counted, mut after) = (stored, Vec::new(), None);
        let mut values = vec![None; hits.len()];
        for (index, hit) in hits.iter().enumerate() {
            let Some(quota) = hit.bucket else { continue };
            let live = bucket.map(|stored| stored.live(quota, length, now, skew)).unwrap_or_default();
            if let Some(value) = Hit::new(hit.cost, hit.ceiling).with_floor(hit.floor).apply(live.value) {
                values[index] = Some(value);
                counted.push(index);
                bucket = Some(StoredBucket { value, quota });
                after = bucket;
            }
        }
        let state = |(hit, value): (&PendingHit, Option<u128>)| match (value, bucket, hit.bucket) {
            (Some(value), _, _) => CounterState::new(true, value),
            (None, Some(bucket), Some(quota)) => {
                let live = bucket.live(quota, length, now, skew);
                CounterState::new(false, live.value).with_clock_lead(live.clock_lead)
            }
            (None, _, _) => CounterState::new(false, 0),
        };
        Self { states: hits.iter().zip(values).map(state).collect(), counted, after }
    }
}

/// Returns a hit in the unit of another limit. It is rounded against the hit: it is counted only if
/// the hit is, and leaves a time that is no earlier. `None` if nothing flows in by either limit.
pub(super) fn in_unit(hit: &PendingHit, limit: u64) -> Option<PendingHit> {
    let quota = hit.bucket.filter(|quota| quota.limit > 0 && limit > 0)?;
    let rounded_up = |value| convert(value, quota.limit, limit);
    let (from, to) = (u128::from(quota.limit), u128::from(limit));
    // The remainder is below 2^64, so its product fits.
    let ceiling = (hit.ceiling / from).saturating_mul(to).saturating_add(hit.ceiling % from * to / from);
    let capacity = u64::try_from(rounded_up(quota.capacity.into())).unwrap_or(u64::MAX);
    let mut converted = hit.clone();
    converted.cost = rounded_up(hit.cost);
    converted.floor = rounded_up(hit.floor);
    converted.ceiling = ceiling;
    converted.bucket = Some(BucketQuota::new(limit, capacity));
    Some(converted)
}

#[cfg(test)]
mod tests {
    use limited_core::MAX_CLOCK_SKEW;
    use limited_core::coalesce::{admissible, values_after};
    use proptest::prelude::*;

    use super::*;

    const LENGTH: WindowLength = WindowLength::SECOND;
    const NOW: Timestamp = Timestamp::from_secs(1_795_262_400);

    fn pending(limit: u64, capacity: u64, cost: u64) -> PendingHit {
        let quota = BucketQuota::new(limit, capacity);
        let hit = Hit::new(u128::from(cost * LENGTH.as_nanos()), quota.highest_value(LENGTH, NOW));
        let hit = hit.with_floor(u128::from(NOW.as_nanos()) * u128::from(limit));
        PendingHit::new(&hit, NOW).with_bucket(Some(quota))
    }

    fn hits(limits: std::ops::Range<u64>) -> impl Strategy<Value = Vec<PendingHit>> {
        let hit =
            (limits, 1..6_u64, 0..4_u64).prop_map(|(limit, capacity, cost)| pending(limit, capacity, cost));
        prop::collection::vec(hit, 1..8)
    }

    fn stored() -> impl Strategy<Value = Option<StoredBucket>> {
        // From one second before to two years ahead.
        let ahead = prop_oneof![0..20_000_000_000_u64, 0..70_000_000_000_000_000_u64];
        let bucket = (ahead, 1..9_u64, 1..6_u64).prop_map(|(ahead, limit, capacity)| StoredBucket {
            value: u128::from(NOW.as_nanos() - LENGTH.as_nanos() + ahead) * u128::from(limit),
            quota: BucketQuota::new(limit, capacity),
        });
        prop::option::of(bucket)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn batch_equals_its_hits_one_by_one(hits in hits(1..9), stored in stored()) {
            let batch = BucketBatch::apply(&hits, stored, LENGTH, NOW, MAX_CLOCK_SKEW);
            let (mut bucket, mut counted) = (stored, Vec::new());
            for (index, hit) in hits.iter().enumerate() {
                let one = BucketBatch::apply(std::slice::from_ref(hit), bucket, LENGTH, NOW, MAX_CLOCK_SKEW);
                prop_assert_eq!(one.states[0].counted, batch.states[index].counted);
                if one.states[0].counted {
                    prop_assert_eq!(&one.states, &batch.states[index..=index]);
                    counted.push(index);
                    bucket = one.after;
                }
            }
            prop_assert_eq!(batch.after, bucket.filter(|_| !counted.is_empty()));
            prop_assert_eq!(batch.counted, counted);
        }

        #[test]
        fn hit_in_another_unit_gains_nothing(
            limit in 1..50_u64,
            other in 1..50_u64,
            capacity in 0..6_u64,
            cost in 0..6_u64,
            ahead in 0..20_000_000_000_u128,
        ) {
            let hit = pending(limit, capacity, cost);
            let converted = in_unit(&hit, other).unwrap();
            let value = u128::from(NOW.as_nanos()) * u128::from(other) + ahead;
            let apply = |hit: &PendingHit, value| Hit::new(hit.cost, hit.ceiling).with_floor(hit.floor).apply(value);
            let exact = apply(&hit, convert(value, other, limit));
            if let Some(after) = apply(&converted, value) {
                let exact = exact.expect("the hit itself is counted");
                prop_assert!(convert(after, other, limit) >= exact);
                // By less than two nanoseconds: that of the cost, and that of the conversion.
                prop_assert!(convert(after, other, limit) - exact <= 2 * u128::from(limit));
                // No clock that shows `NOW` looks as if it was ahead.
                let stored = StoredBucket { value: after, quota: converted.bucket.unwrap() };
                prop_assert_eq!(stored.live(stored.quota, LENGTH, NOW, Duration::ZERO).value, after);
            } else {
                prop_assert!(exact.is_none_or(|exact| exact + 2 * u128::from(limit) > hit.ceiling));
            }
        }

        #[test]
        fn batch_of_one_limit_equals_merged_hits(hits in hits(5..6), stored in stored()) {
            let batch = BucketBatch::apply(&hits, stored, LENGTH, NOW, MAX_CLOCK_SKEW);
            let quota = BucketQuota::new(5, 1);
            let live = stored.map(|stored| stored.live(quota, LENGTH, NOW, MAX_CLOCK_SKEW));
            let before = live.unwrap_or_default().value;
            // A later hit with a smaller capacity never frees what an earlier one has counted.
            let chosen = admissible(&hits, before);
            prop_assert_eq!(&batch.counted, &chosen);
            let values = values_after(&hits, &chosen, before);
            prop_assert_eq!(batch.after.map(|after| after.value), values.last().copied());
        }
    }
}
