//! Fixed windows: one counter per window, aligned to the Unix epoch.

use limited_core::Timestamp;

use super::integer::saturate_u64;
use super::usage::{CounterValues, Usage, nanos_until};
use crate::Quota;

#[inline(always)]
pub(super) fn usage(quota: &Quota, now: Timestamp, values: CounterValues) -> Usage {
    let start = values.window_start(quota.length(), now);
    let used = saturate_u64(values.value);
    Usage {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        reset_after: nanos_until(start, quota.length().as_nanos(), now),
    }
}

#[inline(always)]
pub(super) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, values: CounterValues) -> Option<u64> {
    if cost > quota.limit() {
        return None;
    }
    let fits = values.value.saturating_add(cost.into()) <= quota.limit().into();
    let span = if fits { 0 } else { quota.length().as_nanos() };
    Some(nanos_until(values.window_start(quota.length(), now), span, now))
}
