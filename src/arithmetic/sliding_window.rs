//! Sliding windows: the current window, and the part of the one before that a window ending now still covers.
//!
//! With `c` and `p` counted in the current window and the one before, both of length `L`, `e` into the current one, a
//! cost `n` is admitted when `(c + n) · L + p · (L − e) ≤ limit · L`.

use limited_core::{Timestamp, sliding};

use super::{Count, Standing, at_most_u64, quotient, start_of, until};
use crate::Quota;

#[inline(always)]
pub(crate) fn standing(quota: &Quota, now: Timestamp, count: Count) -> Standing {
    let length = quota.length().as_nanos();
    let start = start_of(quota, now, count);
    let elapsed = now.as_nanos().saturating_sub(start.as_nanos());
    let weight = sliding::weight(count.previous, elapsed, quota.length());
    let used = at_most_u64(count.value.saturating_add(weight));
    Standing {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        // What is counted now weighs until the end of the next window, what was counted before until the end of this one.
        reset_after: match (count.value, count.previous) {
            (0, 0) => 0,
            (0, _) => until(start, length, now),
            _ => until(start, 2 * length, now),
        },
    }
}

#[inline(always)]
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, count: Count) -> Option<u64> {
    let room = u128::from(quota.limit().checked_sub(cost)?);
    let length = quota.length().as_nanos();
    let span = match room.checked_sub(count.value) {
        // There is room beside the current window's count: wait until the window before weighs little enough.
        Some(room) => elapsed_until(count.previous, room, length),
        // There is not: wait for the next window, and there until the current one weighs little enough.
        None => length + elapsed_until(count.value, room, length),
    };
    Some(until(start_of(quota, now, count), span, now))
}

/// How far into a window it is when `count` from the window before weighs no more than `room`:
/// the least `e` with `count · (L − e) ≤ room · L`. `room` is at most a limit, so `room · L` fits.
#[inline]
fn elapsed_until(count: u128, room: u128, length: u64) -> u64 {
    match quotient(room * u128::from(length), count) {
        Some(left) => length.saturating_sub(at_most_u64(left)),
        None => 0,
    }
}
