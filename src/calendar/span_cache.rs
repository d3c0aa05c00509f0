//! The span that a calendar returned last. It spares a decision the time zone database.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use limited_core::Timestamp;

const LENGTH_BITS: u32 = 26;
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

/// A span as one number, so that it is read and written in one step: its start in seconds since
/// 1970, and in the lower 26 bits its length in seconds. 0, which is empty, stands for none.
///
/// A start fits into 35 bits, and the 31,622,400 seconds of a year fit twice into 26 bits.
#[derive(Debug, Default)]
pub(super) struct SpanCache(AtomicU64);

impl SpanCache {
    /// Returns the span, if it contains `now`.
    #[inline]
    pub(super) fn get(&self, now: Timestamp) -> Option<Range<Timestamp>> {
        let packed = self.0.load(Relaxed);
        let start = packed >> LENGTH_BITS;
        let span = Timestamp::from_secs(start)..Timestamp::from_secs(start + (packed & LENGTH_MASK));
        span.contains(&now).then_some(span)
    }

    /// Remembers a span of whole seconds. Ignores another one, such as the last one before
    /// [`Timestamp::MAX`].
    pub(super) fn set(&self, span: &Range<Timestamp>) {
        let [start, end] = [span.start, span.end].map(Timestamp::as_secs);
        let length = end.saturating_sub(start);
        let is_whole = *span == (Timestamp::from_secs(start)..Timestamp::from_secs(end));
        if is_whole && length <= LENGTH_MASK {
            self.0.store(start << LENGTH_BITS | length, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(start: u64, end: u64) -> Range<Timestamp> {
        Timestamp::from_secs(start)..Timestamp::from_secs(end)
    }

    #[test]
    fn cache_returns_its_span_for_times_within_it_only() {
        let cache = SpanCache::default();
        assert_eq!(cache.get(Timestamp::EPOCH), None);
        let span = secs(1_000, 1_010);
        cache.set(&span);
        for (nanos, is_within) in [
            (999_999_999_999, false),
            (1_000_000_000_000, true),
            (1_009_999_999_999, true),
            (1_010_000_000_000, false),
        ] {
            assert_eq!(cache.get(Timestamp::from_nanos(nanos)), is_within.then(|| span.clone()));
        }
    }

    #[test]
    fn longest_and_latest_spans_are_remembered() {
        for span in [secs(0, 31_622_400), secs(18_400_000_000, 18_431_622_400)] {
            let cache = SpanCache::default();
            cache.set(&span);
            assert_eq!(cache.get(span.start), Some(span));
        }
    }

    #[test]
    fn span_that_is_no_whole_number_of_seconds_is_not_remembered() {
        for span in [
            Timestamp::EPOCH..Timestamp::MAX,
            Timestamp::from_secs(18_446_000_000)..Timestamp::MAX,
            Timestamp::from_nanos(1)..Timestamp::from_secs(1),
            secs(0, 1 << LENGTH_BITS),
        ] {
            let cache = SpanCache::default();
            cache.set(&span);
            assert_eq!(cache.get(span.start), None);
        }
    }
}
