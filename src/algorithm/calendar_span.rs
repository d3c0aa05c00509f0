//! Days, weeks, months and years of a calendar: one counter per span.

use std::ops::Range;

use limited_core::Timestamp;

use super::integer::saturate_u64;
use super::usage::{CounterValues, Usage};
use crate::Quota;

pub(crate) fn usage(quota: &Quota, span: &Range<Timestamp>, now: Timestamp, values: CounterValues) -> Usage {
    let used = saturate_u64(values.value);
    Usage { used, remaining: quota.limit().saturating_sub(used), reset_after: nanos_until_end(span, now) }
}

/// Returns the nanoseconds until a refused hit is admitted: in the next span.
pub(crate) fn retry_after(quota: &Quota, cost: u64, span: &Range<Timestamp>, now: Timestamp) -> Option<u64> {
    (cost <= quota.limit()).then(|| nanos_until_end(span, now))
}

const fn nanos_until_end(span: &Range<Timestamp>, now: Timestamp) -> u64 {
    span.end.as_nanos().saturating_sub(now.as_nanos())
}
