//! Fixed windows: one counter per window, aligned to the Unix epoch.

use limited_core::{Tally, Timestamp};

use super::{Standing, at_most_u64, start_of};
use crate::Quota;

#[inline(always)]
pub(crate) fn standing(quota: &Quota, now: Timestamp, tally: &Tally) -> Standing {
    let start = start_of(quota, now, tally);
    let now = u128::from(now.as_nanos());
    let used = at_most_u64(tally.value);
    Standing {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        reset_after: (start + u128::from(quota.length().as_nanos())).saturating_sub(now),
    }
}

#[inline]
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, tally: &Tally) -> Option<u128> {
    if cost > quota.limit() {
        return None;
    }
    let start = start_of(quota, now, tally);
    let fits = tally.value.saturating_add(cost.into()) <= quota.limit().into();
    let admitted_at = if fits { start } else { start + u128::from(quota.length().as_nanos()) };
    Some(admitted_at.saturating_sub(now.as_nanos().into()))
}
