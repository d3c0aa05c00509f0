//! Refunds: what part of a charge may be returned, and what is left of the value.

use crate::bucket::{StoredBucket, convert_down};
use crate::{BucketQuota, Timestamp, WindowId};

/// Returns part of a charge to the counter that it was counted in.
///
/// A refund never admits more than if the returned part had never been charged. For a window that
/// holds if the refund reaches the same window, and for a bucket it takes more. Time pays a charge
/// back too: a bucket that was charged 5 and then had time to fill must not get the 5 again. So at
/// most `cost − rate · (now − charged_at)` is returned to a bucket.
///
/// ```
/// # use limited_core::{Refund, Timestamp};
/// let refund = Refund::new(2, Timestamp::EPOCH);
/// assert_eq!(refund.apply(5), 3);
/// assert_eq!(refund.apply(1), 0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refund {
    /// The cost to return, in the unit of the [hit](crate::Hit::cost).
    pub cost: u128,
    /// The time at which the hit was counted, by the same clock as the `now` of the refund.
    pub charged_at: Timestamp,
    /// The id of the [window from the first hit](crate::Window::FromFirstHit) that was charged.
    /// Another window gets nothing.
    pub window_id: WindowId,
    /// If given, the value that the counter must have. Otherwise nothing is returned.
    ///
    /// For a place in a queue: it may be returned only while it is the last one. The value is in
    /// the unit of the refund's quota.
    pub only_if_value: Option<u128>,
}

impl Refund {
    /// Creates a refund of `cost` that was charged at `charged_at`.
    pub const fn new(cost: u128, charged_at: Timestamp) -> Self {
        Self { cost, charged_at, window_id: WindowId(0), only_if_value: None }
    }

    /// Returns the refund to the [window from the first hit](crate::Window::FromFirstHit) with this
    /// id.
    #[must_use]
    pub const fn with_window_id(self, window_id: WindowId) -> Self {
        Self { window_id, ..self }
    }

    /// Returns the refund with the [value](Self::only_if_value) that the counter must have.
    #[must_use]
    pub const fn only_if_value(self, value: u128) -> Self {
        Self { only_if_value: Some(value), ..self }
    }

    /// Returns whether the counter has the [required value](Self::only_if_value), if one is
    /// required.
    pub const fn accepts(&self, value: u128) -> bool {
        match self.only_if_value {
            Some(required) => value == required,
            None => true,
        }
    }

    /// Returns the value of a window after this refund: lower by the cost, and never below zero.
    ///
    /// This is the rule for every window except a bucket and a [log](crate::Window::Log). The
    /// caller has checked that this is the window that was charged, and that it
    /// [accepts](Self::accepts) the refund.
    pub const fn apply(&self, value: u128) -> u128 {
        value.saturating_sub(self.cost)
    }

    /// Returns what may be returned to a bucket of this quota, in the unit of its limit: the cost,
    /// less what has flowed in since the charge.
    pub fn bucket_amount(&self, quota: BucketQuota, now: Timestamp) -> u128 {
        let elapsed = now.as_nanos().saturating_sub(self.charged_at.as_nanos());
        self.cost.saturating_sub(u128::from(elapsed) * u128::from(quota.limit))
    }

    /// Returns a live bucket after this refund of `quota`. It keeps the quota of the hit that wrote
    /// it, since its value is plausible by that quota. The amount is [converted](crate::bucket) and
    /// rounded down.
    ///
    /// The caller has checked that the bucket is live, and that it [accepts](Self::accepts) the
    /// refund.
    #[must_use]
    pub fn apply_to_bucket(&self, stored: StoredBucket, quota: BucketQuota, now: Timestamp) -> StoredBucket {
        let amount = convert_down(self.bucket_amount(quota, now), quota.limit, stored.quota.limit);
        StoredBucket { value: stored.value.saturating_sub(amount), ..stored }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bucket::read;
    use crate::{Counter, Hit, Key, MAX_CLOCK_SKEW, Window, WindowLength};

    /// A bucket of one quota. It decides by the arithmetic of this package.
    struct Bucket {
        stored: Option<StoredBucket>,
        quota: BucketQuota,
    }

    const LENGTH: WindowLength = WindowLength::SECOND;

    impl Bucket {
        fn hit(&mut self, cost: u64, now: Timestamp) -> bool {
            let key = Key::from("key");
            let counter = Counter::new("", &key, Window::Bucket { length: LENGTH }).unwrap();
            let live = read(self.stored, &counter.with_bucket(self.quota), now, MAX_CLOCK_SKEW).unwrap();
            let now = u128::from(now.as_nanos()) * u128::from(self.quota.limit);
            let hit =
                Hit::new(u128::from(cost) * u128::from(LENGTH.as_nanos()), now + self.quota.fills_in(LENGTH));
            let Some(value) = hit.with_floor(now).apply(live.value) else { return false };
            self.stored = Some(StoredBucket { value, quota: self.quota });
            true
        }

        fn refund(&mut self, cost: u64, charged_at: Timestamp, now: Timestamp) {
            let refund = Refund::new(u128::from(cost) * u128::from(LENGTH.as_nanos()), charged_at);
            self.stored = self.stored.map(|stored| refund.apply_to_bucket(stored, self.quota, now));
        }
    }

    #[test]
    fn time_that_paid_a_charge_back_leaves_nothing_to_refund() {
        let quota = BucketQuota::new(10, 10);
        let mut bucket = Bucket { stored: None, quota };
        let [charged, full] = [1_000, 1_001].map(Timestamp::from_secs);
        assert!(bucket.hit(5, charged));
        assert!(bucket.hit(10, full));
        bucket.refund(5, charged, full);
        assert!(!bucket.hit(1, full), "10 of 10 were used after the bucket was full");
    }

    #[test]
    fn refund_at_once_returns_the_whole_charge() {
        let quota = BucketQuota::new(10, 10);
        let mut bucket = Bucket { stored: None, quota };
        let now = Timestamp::from_secs(1_000);
        assert!(bucket.hit(10, now));
        bucket.refund(4, now, now);
        assert!(bucket.hit(4, now) && !bucket.hit(1, now));
    }

    #[test]
    fn refund_keeps_the_quota_that_wrote_the_value() {
        let large = BucketQuota::new(3, 1_000);
        let stored =
            StoredBucket { value: large.highest_value(LENGTH, Timestamp::from_secs(9)), quota: large };
        let refund = Refund::new(LENGTH.as_nanos().into(), Timestamp::from_secs(9));
        let after = refund.apply_to_bucket(stored, BucketQuota::new(7, 7), Timestamp::from_secs(9));
        assert_eq!(after.quota, large);
        // A token of 7 per second takes 1/7 s, which is 3/7 of a token of 3 per second.
        assert_eq!(after.value, stored.value - 3_000_000_000 / 7);
    }

    #[test]
    fn required_value_is_compared_exactly() {
        let refund = Refund::new(1, Timestamp::EPOCH);
        assert!(refund.accepts(7) && refund.only_if_value(7).accepts(7));
        assert!(!refund.only_if_value(7).accepts(8));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Whatever is charged, hit and refunded: a bucket without the refunded charge admits every
        /// hit that the bucket with charge and refund admits.
        #[test]
        fn refunded_bucket_admits_no_more_than_one_that_was_never_charged(
            limit in 1..20_u64, capacity in 1..20_u64, charge in 1..20_u64, share in 0..=100_u64,
            before in prop::collection::vec((0..800_000_000_u64, 1..6_u64), 0..4),
            between in prop::collection::vec((0..800_000_000_u64, 1..6_u64), 0..6),
            after in prop::collection::vec((0..800_000_000_u64, 1..6_u64), 0..6),
        ) {
            let quota = BucketQuota::new(limit, capacity);
            let mut real = Bucket { stored: None, quota };
            let mut now = 1_000_000_000_000;
            for (wait, cost) in before {
                now += wait;
                real.hit(cost, Timestamp::from_nanos(now));
            }
            let charged_at = Timestamp::from_nanos(now);
            let mut model = Bucket { stored: real.stored, quota };
            if !real.hit(charge, charged_at) {
                return Ok(());
            }
            let refunded = charge * share / 100;
            let rest = charge - refunded;
            if rest > 0 {
                prop_assert!(model.hit(rest, charged_at));
            }
            for (is_refunded, hits) in [(false, between), (true, after)] {
                if is_refunded {
                    real.refund(refunded, charged_at, Timestamp::from_nanos(now));
                }
                for (wait, cost) in hits {
                    now += wait;
                    if real.hit(cost, Timestamp::from_nanos(now)) {
                        prop_assert!(model.hit(cost, Timestamp::from_nanos(now)));
                    }
                }
            }
        }

        #[test]
        fn no_input_overflows(
            cost: u128, charged_at: u64, now: u64, value: u128, limit: u64, capacity: u64, stored_limit: u64,
        ) {
            let refund = Refund::new(cost, Timestamp::from_nanos(charged_at));
            let stored = StoredBucket { value, quota: BucketQuota::new(stored_limit, capacity) };
            let after = refund.apply_to_bucket(stored, BucketQuota::new(limit, 1), Timestamp::from_nanos(now));
            prop_assert!(after.value <= value);
            prop_assert_eq!(refund.apply(value), value.saturating_sub(cost));
        }
    }
}
