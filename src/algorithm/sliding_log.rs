//! Sliding logs: the time and the cost of each hit of the last window.

use limited_core::{CounterState, HitLog, Timestamp};

use super::integer::saturate_u64;
use super::usage::{CounterValues, Usage, nanos_until};
use crate::Quota;

pub(super) fn usage(quota: &Quota, now: Timestamp, values: CounterValues) -> Usage {
    let used = saturate_u64(values.value);
    Usage {
        used,
        remaining: quota.limit().saturating_sub(used),
        reset_after: reset_after(quota, now, values),
    }
}

/// Returns the nanoseconds until the newest hit no longer counts; 0 if there is none.
fn reset_after(quota: &Quota, now: Timestamp, values: CounterValues) -> u64 {
    values.start.map_or(0, |newest| nanos_until(newest, quota.length().as_nanos(), now))
}

/// Returns the nanoseconds until enough of the oldest hits no longer count.
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, state: &CounterState) -> Option<u64> {
    match &state.log {
        Some(log) => retry_after_by_log(quota, cost, now, log),
        None => retry_after_without_log(quota, cost, now, state.into()),
    }
}

fn retry_after_by_log(quota: &Quota, cost: u64, now: Timestamp, log: &HitLog) -> Option<u64> {
    let fits_at = log.fits_at(cost.into(), quota.limit().into(), quota.length(), now)?;
    Some(fits_at.as_nanos().saturating_sub(now.as_nanos()))
}

/// Returns a time that is always enough: until the newest hit no longer counts, or a whole length.
pub(super) fn retry_after_without_log(
    quota: &Quota,
    cost: u64,
    now: Timestamp,
    values: CounterValues,
) -> Option<u64> {
    let length = quota.length().as_nanos();
    let wait = values.start.map_or(length, |newest| nanos_until(newest, length, now));
    (cost <= quota.limit()).then_some(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use limited_core::{Hit, MAX_CLOCK_SKEW};
    use proptest::prelude::*;

    use super::*;

    /// The states that a backend returns, from the arithmetic of the log alone.
    #[derive(Default)]
    struct Counter(HitLog);

    impl Counter {
        fn hit(&mut self, quota: &Quota, cost: u64, now: Timestamp) -> CounterState {
            self.0.expire(quota.length(), now, MAX_CLOCK_SKEW);
            let counted = self.0.hit(&Hit::new(cost.into(), quota.limit().into()), quota.length(), now);
            let state = CounterState::new(counted, self.0.value(quota.length(), now));
            let state = if counted { state } else { state.with_log(Arc::new(self.0.clone())) };
            match self.0.newest() {
                Some(newest) => state.with_start(newest),
                None => state,
            }
        }
    }

    /// Returns the sum of the costs in the window that ends at `now`.
    fn listed(hits: &[(u64, u64)], quota: &Quota, now: u64) -> u64 {
        let length = quota.length().as_nanos();
        hits.iter().filter(|(time, _)| now - time < length).map(|(_, cost)| cost).sum()
    }

    #[test]
    fn state_without_a_log_waits_until_nothing_counts() {
        let quota = Quota::per_second(2);
        let [newest, now] = [7_000_000_000, 7_400_000_000].map(Timestamp::from_nanos);
        let state = CounterState::new(false, 2).with_start(newest);
        assert_eq!(retry_after(&quota, 1, now, &state), Some(600_000_000));
        assert_eq!(retry_after(&quota, 3, now, &state), None);
        let empty = CounterState::new(false, 0);
        assert_eq!(retry_after(&quota, 1, now, &empty), Some(1_000_000_000));
        assert_eq!(usage(&quota, now, (&empty).into()), Usage { used: 0, remaining: 2, reset_after: 0 });
    }

    #[test]
    fn lower_limit_leaves_nothing_and_does_not_overflow() {
        let quota = Quota::per_second(2);
        let newest = Timestamp::from_nanos(u64::MAX);
        let state = CounterState::new(false, u128::MAX).with_start(newest);
        let usage = usage(&quota, Timestamp::EPOCH, (&state).into());
        assert_eq!(usage, Usage { used: u64::MAX, remaining: 0, reset_after: u64::MAX });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn decisions_are_those_of_a_plain_list_of_hits(
            hits in prop::collection::vec((0..500_000_000_u64, 1..5_u64), 1..60), limit in 0..9_u64,
        ) {
            let quota = Quota::per_second(limit);
            let (mut counter, mut list, mut now) = (Counter::default(), Vec::new(), 100_000_000_000_u64);
            for (step, cost) in hits {
                now += step;
                let before = listed(&list, &quota, now);
                let state = counter.hit(&quota, cost, Timestamp::from_nanos(now));
                prop_assert_eq!(state.counted, before + cost <= limit);
                if state.counted {
                    list.push((now, cost));
                }
                let used = listed(&list, &quota, now);
                let usage = usage(&quota, Timestamp::from_nanos(now), (&state).into());
                prop_assert_eq!((usage.used, usage.remaining), (used, limit - used));
                let end = now + usage.reset_after;
                prop_assert_eq!(listed(&list, &quota, end), 0);
                prop_assert!(usage.reset_after == 0 || listed(&list, &quota, end - 1) > 0);
                if !state.counted {
                    let wait = retry_after(&quota, cost, Timestamp::from_nanos(now), &state);
                    prop_assert_eq!(wait.is_none(), cost > limit);
                    if let Some(wait) = wait {
                        prop_assert!(listed(&list, &quota, now + wait) + cost <= limit);
                        prop_assert!(listed(&list, &quota, now + wait - 1) + cost > limit);
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn wait_is_enough_for_a_log_that_merged_its_oldest_times(
            steps in prop::collection::vec(0..2_000_000_u64, HitLog::MAX_ENTRIES..HitLog::MAX_ENTRIES + 80),
            cost in 1..700_u64,
        ) {
            let quota = Quota::new(600, Duration::from_secs(1)).unwrap();
            let (mut counter, mut now) = (Counter::default(), 100_000_000_000_u64);
            for step in steps {
                now += step;
                counter.hit(&quota, 1, Timestamp::from_nanos(now));
            }
            let state = counter.hit(&quota, cost, Timestamp::from_nanos(now));
            if let (false, Some(wait)) =
                (state.counted, retry_after(&quota, cost, Timestamp::from_nanos(now), &state))
            {
                prop_assert!(!counter.hit(&quota, cost, Timestamp::from_nanos(now + wait - 1)).counted);
                prop_assert!(counter.hit(&quota, cost, Timestamp::from_nanos(now + wait)).counted);
            }
        }
    }
}
