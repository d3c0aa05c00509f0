//! Refunds, with their defects.

use limited_core::bucket::{StoredBucket, convert};
use limited_core::{BucketQuota, Counter, CounterState, Refund, Timestamp, Window};

use super::{Reference, State, yield_to_others};
use crate::Defect::*;

impl Reference {
    pub(super) fn refund_counter(
        &self,
        counter: &Counter<'_>,
        refund: &Refund,
        now: Timestamp,
    ) -> CounterState {
        let counter = &match (self.defect, counter.window()) {
            (Some(RefundsTheWindowOfNow), Window::Aligned { length, .. }) => {
                counter.with_window(Window::aligned(now, length))
            }
            _ => *counter,
        };
        let (id, window) = (self.id(counter), counter.window());
        let mut states = self.states();
        let stored = states.get(&id).cloned();
        if self.has(RefundsInTwoSteps) {
            drop(states);
            yield_to_others();
            states = self.states();
        }
        let after = stored.as_ref().and_then(|stored| match (window, counter.bucket()) {
            (Window::Bucket { .. }, Some(quota)) => self.refund_bucket(stored, counter, quota, refund, now),
            (Window::Log { length }, _) => {
                let mut log = self.live_log(Some(stored), length, now);
                let refund = match (self.defect, log.newest()) {
                    (Some(RefundsTheNewestHitOfALog), Some(newest)) => at(refund, newest),
                    _ => *refund,
                };
                log.refund(&refund, length, now).then(|| State { log, ..State::default() })
            }
            _ => self.refund_window(stored, window, refund, now),
        });
        let is_found = after.is_some();
        if let Some(after) = after {
            states.insert(id, after);
        } else if stored.is_none() && self.has(RefundsAbsentCounters) {
            let start = if let Window::FromFirstHit { .. } = window { Some(now) } else { None };
            states.insert(id, State { start, ..State::default() });
        }
        drop(states);
        let mut after = self.read_counter(counter, now);
        after.counted = is_found || self.has(RefundsAbsentCounters);
        after
    }

    fn refund_window(
        &self,
        stored: &State,
        window: Window,
        refund: &Refund,
        now: Timestamp,
    ) -> Option<State> {
        if self.has_expired(stored, window, now) && !self.has(RefundsEndedWindows) {
            return None;
        }
        let id = stored.meta.as_ref().map(|meta| meta.id);
        if id.is_some_and(|id| id != refund.window_id) && !self.has(RefundsAnyWindowId) {
            return None;
        }
        if !refund.accepts(stored.value) && !self.has(IgnoresTheRequiredValue) {
            return None;
        }
        let value = match self.defect {
            Some(RefundsBelowZero) => stored.value.wrapping_sub(refund.cost),
            #[expect(clippy::cast_possible_truncation, reason = "the defect")]
            Some(TruncatesRefundsTo64Bits) => stored.value.saturating_sub((refund.cost as u64).into()),
            Some(RefundsOne) => stored.value.saturating_sub(1),
            Some(RefundsOnlyWhatIsThere) if refund.cost > stored.value => stored.value,
            _ => refund.apply(stored.value),
        };
        Some(State { value, ..stored.clone() })
    }

    fn refund_bucket(
        &self,
        stored: &State,
        counter: &Counter<'_>,
        quota: BucketQuota,
        refund: &Refund,
        now: Timestamp,
    ) -> Option<State> {
        let live = self.live_bucket(Some(stored), quota, counter.window().length(), now);
        if live.value == 0 || !(refund.accepts(live.value) || self.has(IgnoresTheRequiredValue)) {
            return None;
        }
        let refund = match self.defect {
            Some(RefundsAllToABucket) => at(refund, now),
            _ => *refund,
        };
        let bucket = StoredBucket { value: stored.value, quota: stored.bucket? };
        let mut after = refund.apply_to_bucket(bucket, quota, now);
        match self.defect {
            Some(RefundsReplaceTheQuota) => {
                after = StoredBucket { value: convert(after.value, after.quota.limit, quota.limit), quota };
            }
            Some(RefundsInTheWrongUnit) => {
                after.value = stored.value.saturating_sub(refund.bucket_amount(quota, now));
            }
            _ => {}
        }
        Some(State { value: after.value, bucket: Some(after.quota), ..stored.clone() })
    }
}

/// Returns the same refund of a charge at another time.
const fn at(refund: &Refund, charged_at: Timestamp) -> Refund {
    let mut refund = *refund;
    refund.charged_at = charged_at;
    refund
}
