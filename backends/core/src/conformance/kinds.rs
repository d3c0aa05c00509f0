//! The kinds of window that the checks use.

use crate::{BucketQuota, Timestamp, Window, WindowLength};

/// The names of the kinds of window, in the order of [`each_kind`].
pub(super) const KINDS: [&str; 3] = ["aligned", "from first hit", "bucket"];

/// Returns a window of each kind that contains `now`.
pub(super) const fn each_kind(now: Timestamp, length: WindowLength) -> [Window; 3] {
    [Window::aligned(now, length), Window::FromFirstHit { length }, Window::Bucket { length }]
}

/// The log of the last minute.
pub(super) const LOG: Window = Window::Log { length: WindowLength::MINUTE };

/// Returns the span of the minute that contains `now`.
pub(super) fn span_of(now: Timestamp) -> Window {
    let length = WindowLength::MINUTE;
    let start = Timestamp::from_nanos(now.as_nanos() - now.as_nanos() % length.as_nanos());
    Window::Span { start, end: start.saturating_add(length.as_duration()) }
}

/// The quota of the buckets that most checks use. Its capacity is so large that no value of these
/// checks is that of a wrong clock.
pub(super) const BUCKET: BucketQuota = BucketQuota::new(BUCKET_LIMIT, u64::MAX);

/// The limit of the bucket that most checks use. It does not divide a minute, so a token is no
/// whole number of nanoseconds.
pub(super) const BUCKET_LIMIT: u64 = 7;
