//! Sliding windows: the current window, and the share of the previous window that a window ending
//! now still covers.
//!
//! `c` and `p` are the values of the current and the previous window, `L` is the length of both,
//! and `e` is the elapsed part of the current window. A cost `n` is admitted if
//! `(c + n) · L + p · (L − e) ≤ limit · L`.

use limited_core::{Timestamp, sliding};

use super::integer::{quotient, saturate_u64};
use super::usage::{CounterValues, Usage, nanos_until};
use crate::Quota;

#[inline(always)]
pub(super) fn usage(quota: &Quota, now: Timestamp, values: CounterValues) -> Usage {
    let length = quota.length().as_nanos();
    let start = values.window_start(quota.length(), now);
    let elapsed = now.as_nanos().saturating_sub(start.as_nanos());
    let weight = sliding::weight(values.previous, elapsed, quota.length());
    let used = saturate_u64(values.value.saturating_add(weight));
    Usage {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        // Hits of the current window count until the end of the next window. Hits of the previous
        // window count until the end of this one.
        reset_after: match (values.value, values.previous) {
            (0, 0) => 0,
            (0, _) => nanos_until(start, length, now),
            _ => nanos_until(start, 2 * length, now),
        },
    }
}

#[inline(always)]
pub(super) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, values: CounterValues) -> Option<u64> {
    let room = u128::from(quota.limit().checked_sub(cost)?);
    let length = quota.length().as_nanos();
    let span = match room.checked_sub(values.value) {
        // The current window has room: wait until the weight of the previous window fits into it.
        Some(room) => elapsed_until_weight_fits(values.previous, room, length),
        // It has none: wait for the next window, and there until the weight of this window fits.
        None => length + elapsed_until_weight_fits(values.value, room, length),
    };
    Some(nanos_until(values.window_start(quota.length(), now), span, now))
}

/// Returns how much of a window must have elapsed until `previous` weighs no more than `room`: the
/// least `e` with `previous · (L − e) ≤ room · L`.
///
/// `room` is at most a limit, so that `room · L` cannot overflow.
#[inline]
fn elapsed_until_weight_fits(previous: u128, room: u128, length: u64) -> u64 {
    match quotient(room * u128::from(length), previous) {
        Some(left) => length.saturating_sub(saturate_u64(left)),
        None => 0,
    }
}
