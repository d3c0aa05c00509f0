//! Sliding windows: the current window, and the part of the one before that a window ending now still covers.
//!
//! With `c` and `p` counted in the current window and the one before, both of length `L`, `e` into the current one, a
//! cost `n` is admitted when `(c + n) · L + p · (L − e) ≤ limit · L`.

use limited_core::{Tally, Timestamp, sliding};

use super::{Standing, at_most_u64, quotient, start_of};
use crate::Quota;

#[inline(always)]
pub(crate) fn standing(quota: &Quota, now: Timestamp, tally: &Tally) -> Standing {
    let length = u128::from(quota.length().as_nanos());
    let start = start_of(quota, now, tally);
    let now = u128::from(now.as_nanos());
    let elapsed = at_most_u64(now.saturating_sub(start));
    let used =
        at_most_u64(tally.value.saturating_add(sliding::weight(tally.previous, elapsed, quota.length())));
    // What is counted now weighs until the end of the next window, what was counted before until the end of this one.
    let reset_at = match (tally.value, tally.previous) {
        (0, 0) => now,
        (0, _) => start + length,
        _ => start + 2 * length,
    };
    Standing {
        used,
        // A window that has not begun admits nothing yet.
        remaining: if start > now { 0 } else { quota.limit().saturating_sub(used) },
        reset_after: reset_at.saturating_sub(now),
    }
}

#[inline]
pub(crate) fn retry_after(quota: &Quota, cost: u64, now: Timestamp, tally: &Tally) -> Option<u128> {
    let room = u128::from(quota.limit().checked_sub(cost)?);
    let length = u128::from(quota.length().as_nanos());
    let start = start_of(quota, now, tally);
    let now = u128::from(now.as_nanos());
    let admitted_at = match room.checked_sub(tally.value) {
        // There is room beside the current window's count: wait until the window before weighs little enough.
        Some(room) => start + elapsed_until(tally.previous, room, length),
        // There is not: wait for the next window, and there until the current one weighs little enough.
        None => start + length + elapsed_until(tally.value, room, length),
    };
    Some(admitted_at.saturating_sub(now))
}

/// How far into a window it is when `count` from the window before weighs no more than `room`:
/// the least `e` with `count · (L − e) ≤ room · L`. `room` is at most a limit, so `room · L` fits.
#[inline]
fn elapsed_until(count: u128, room: u128, length: u128) -> u128 {
    match quotient(room * length, count) {
        Some(left) => length.saturating_sub(left),
        None => 0,
    }
}
