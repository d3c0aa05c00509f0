//! Fixed windows: one counter per window, aligned to the Unix epoch.

use limited_core::Timestamp;

use super::{Count, Standing, at_most_u64, start_of, until};
use crate::Quota;

#[inline(always)]
pub(crate) fn standing(quota: &Quota, now: Timestamp, count: Count) -> Standing {
    let start = start_of(quota, now, count);
    let used = at_most_u64(count.value);
    Standing {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        reset_after: until(start, quota.length().as_nanos(), now),
    }
}

#[inline(always)]
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, count: Count) -> Option<u64> {
    if cost > quota.limit() {
        return None;
    }
    let fits = count.value.saturating_add(cost.into()) <= quota.limit().into();
    let span = if fits { 0 } else { quota.length().as_nanos() };
    Some(until(start_of(quota, now, count), span, now))
}
