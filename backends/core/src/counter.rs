//! Counters, hits and the state of a counter: the arguments and results of a backend.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{BucketQuota, Dimensions, HitLog, InvalidKey, Key, Redacted, Timestamp, Window};

/// Identifies a counter: a key, within a namespace, in a window.
///
/// Counters with equal namespace, key and window are the same counter, for every caller.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    namespace: &'a str,
    key: &'a Key<'a>,
    window: Window,
    bucket: Option<BucketQuota>,
    is_sliding: bool,
    is_retry: bool,
}

impl<'a> Counter<'a> {
    /// Creates the counter of a key in a window. A [bucket](Window::Bucket) also needs
    /// [a quota](Self::with_bucket).
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the key is empty or too long.
    pub fn new(namespace: &'a str, key: &'a Key<'a>, window: Window) -> Result<Self, InvalidKey> {
        key.validate()?;
        Ok(Self { namespace, key, window, bucket: None, is_sliding: false, is_retry: false })
    }

    /// Returns the counter of the same namespace and key in another window.
    #[must_use]
    pub const fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }

    /// Returns the same counter as a sliding one. It counts the value of the previous window too,
    /// weighted by the share of it that a window ending now still covers.
    ///
    /// Sliding is a property of the operation, not of the counter's identity. Only an aligned
    /// window slides.
    #[must_use]
    pub const fn sliding(self) -> Self {
        Self { is_sliding: true, ..self }
    }

    /// Returns the same counter as a fixed one: without the [previous window](Self::sliding).
    #[must_use]
    pub const fn fixed(self) -> Self {
        Self { is_sliding: false, ..self }
    }

    /// Returns whether the counter is [sliding](Self::sliding).
    #[inline]
    pub const fn is_sliding(&self) -> bool {
        self.is_sliding
    }

    /// Returns the same counter with the quota of a hit or a read. Only a [bucket](Window::Bucket)
    /// has one, and it needs one for every operation except a reset.
    ///
    /// A property of the operation, and no part of the counter's identity. Operations of different
    /// quotas share a bucket, and the backend [converts](crate::bucket) its value.
    ///
    /// The ceiling of a hit on a bucket is at most the [highest value](BucketQuota::highest_value)
    /// of its quota at `now` and the maximum clock skew. A higher value counts as that of a wrong
    /// clock.
    #[must_use]
    pub const fn with_bucket(self, quota: BucketQuota) -> Self {
        Self { bucket: Some(quota), ..self }
    }

    /// Returns the [quota of the bucket](Self::with_bucket).
    #[inline]
    pub const fn bucket(&self) -> Option<BucketQuota> {
        self.bucket
    }

    /// Returns the counter for a second call of
    /// [`try_increment`](crate::Backend::try_increment), after the first one returned `None`.
    ///
    /// A property of the question, and no part of the counter's identity.
    #[must_use]
    pub const fn retry(self) -> Self {
        Self { is_retry: true, ..self }
    }

    /// Returns whether this is the [second call](Self::retry) of `try_increment`.
    #[inline]
    pub const fn is_retry(&self) -> bool {
        self.is_retry
    }

    /// Returns the namespace, which may be empty. A backend has to keep namespace and key separate:
    /// `("a", "bc")` is not `("ab", "c")`.
    pub const fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// Returns the rendered key: 1 to 1,024 bytes of UTF-8.
    pub fn key(&self) -> &'a str {
        self.key.as_str()
    }

    /// Returns the parts of a composed key, for backends that index them. They are not part of the
    /// counter's identity.
    pub fn dimensions(&self) -> Option<&'a Dimensions> {
        self.key.dimensions()
    }

    /// Returns whether this is the same counter as another one: namespace, key and window are
    /// equal.
    pub fn is_same(&self, other: &Counter<'_>) -> bool {
        self.window == other.window && self.key() == other.key() && self.namespace == other.namespace
    }

    /// Returns the window.
    pub const fn window(&self) -> Window {
        self.window
    }
}

/// A cost to count, and the bounds that decide whether it is counted.
///
/// A plain hit has a floor of 0 and the limit as its ceiling. A hit of cost 0 is counted like any
/// other hit. It raises the value to the floor, and starts a [window from the first
/// hit](Window::FromFirstHit).
///
/// ```
/// # use limited_core::Hit;
/// let hit = Hit::new(2, 5);
/// assert_eq!(hit.apply(3), Some(5));
/// assert_eq!(hit.apply(4), None);
/// assert_eq!(Hit { floor: 10, ceiling: 20, ..hit }.apply(3), Some(12));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The cost to add.
    pub cost: u128,
    /// The value to count from, if the stored value is lower or absent.
    pub floor: u128,
    /// The highest value that the counter may have after the hit.
    pub ceiling: u128,
    /// The id of the window, if this hit starts one. Only for [`Window::FromFirstHit`]; has to be
    /// new for each hit.
    pub window_id: WindowId,
    /// The metadata of the window, if this hit starts one. Only for [`Window::FromFirstHit`].
    pub metadata: Option<&'a str>,
}

impl fmt::Debug for Hit<'_> {
    /// Writes the hash and the length of the metadata.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cost, floor, ceiling, window_id, metadata } = self;
        f.debug_struct("Hit")
            .field("cost", cost)
            .field("floor", floor)
            .field("ceiling", ceiling)
            .field("window_id", window_id)
            .field("metadata", &metadata.map(Redacted))
            .finish()
    }
}

impl<'a> Hit<'a> {
    /// Creates a hit with a floor of 0.
    pub const fn new(cost: u128, ceiling: u128) -> Self {
        Self { cost, floor: 0, ceiling, window_id: WindowId(0), metadata: None }
    }

    /// Returns the hit with this floor.
    #[must_use]
    pub const fn with_floor(self, floor: u128) -> Self {
        Self { floor, ..self }
    }

    /// Returns the hit with the id and the metadata of the window that it may start.
    #[must_use]
    pub const fn with_window_meta(self, window_id: WindowId, metadata: Option<&'a str>) -> Self {
        Self { window_id, metadata, ..self }
    }

    /// Returns the value after this hit on a counter of `value` (0 if absent), or `None` if the hit
    /// is refused.
    ///
    /// This is the whole rule of [`Backend::increment`](crate::Backend::increment). It cannot
    /// overflow: a hit that does not fit is refused.
    #[inline]
    pub const fn apply(&self, value: u128) -> Option<u128> {
        let from = if value < self.floor { self.floor } else { value };
        match self.ceiling.checked_sub(self.cost) {
            Some(highest) if from <= highest => Some(from + self.cost),
            _ => None,
        }
    }
}

/// Identifies one of the successive [windows from the first hit](Window::FromFirstHit) of a
/// counter. The caller chooses a new one for each hit, such as a random number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WindowId(pub u128);

/// The id and the metadata of a [window from the first hit](Window::FromFirstHit).
#[derive(Clone, PartialEq, Eq)]
pub struct WindowMeta {
    /// The id that its first hit had.
    pub id: WindowId,
    /// The metadata that its first hit had.
    pub metadata: Option<Arc<str>>,
}

impl fmt::Debug for WindowMeta {
    /// Writes the hash and the length of the metadata.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, metadata } = self;
        let metadata = metadata.as_deref().map(Redacted);
        f.debug_struct("WindowMeta").field("id", id).field("metadata", &metadata).finish()
    }
}

/// The state of a counter after an operation, also after a refused hit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterState {
    /// Whether the hit was counted. Always `false` for a read.
    ///
    /// After [`increment_all`](crate::Backend::increment_all): whether the hit fits. All hits were
    /// counted if all fit, and none otherwise. After a [refund](crate::Backend::refund): whether
    /// the counter that was charged was found.
    pub counted: bool,
    /// The value of the counter after the operation; 0 if it is absent.
    pub value: u128,
    /// The value of the previous window, if the counter is [sliding](Counter::sliding); otherwise
    /// 0.
    pub previous: u128,
    /// The start of the window. `None` for a bucket, and for a window from the first hit that is
    /// absent.
    ///
    /// For an aligned window this is the start of the requested window, with one exception. If a
    /// clock jumped back so far that the backend has forgotten that window, the hit is refused.
    /// Then this is the start of the earliest window that the backend still knows.
    ///
    /// For a [log](Window::Log): the time of the newest hit, if there is one. For a
    /// [span](Window::Span), its start.
    pub start: Option<Timestamp>,
    /// The id and the metadata of a window from the first hit.
    pub meta: Option<Arc<WindowMeta>>,
    /// How far the clock that wrote a bucket is ahead of `now`, at least. Zero if that is unknown,
    /// after a counted hit, and for other windows.
    ///
    /// No clock that shows `now` can have written the value: it is higher than the
    /// [highest](BucketQuota::highest_value) that a hit of its quota leaves at `now`. The clock
    /// that wrote it is ahead by the difference or more. [`bucket::read`](crate::bucket::read)
    /// returns it.
    pub clock_lead: Duration,
    /// The hits of a [log](Window::Log), after a read and after a hit that does not fit. From them
    /// follows when a hit would fit ([`HitLog::fits_at`]). `None` after a counted hit.
    pub log: Option<Arc<HitLog>>,
}

impl CounterState {
    /// Creates the state after a counted hit (`true`), or after a refused hit or a read (`false`).
    pub const fn new(counted: bool, value: u128) -> Self {
        Self { counted, value, previous: 0, start: None, meta: None, clock_lead: Duration::ZERO, log: None }
    }

    /// Returns the state with the value of the previous window.
    #[must_use]
    pub fn with_previous(self, previous: u128) -> Self {
        Self { previous, ..self }
    }

    /// Returns the state with the start of the window.
    #[must_use]
    pub fn with_start(self, start: Timestamp) -> Self {
        Self { start: Some(start), ..self }
    }

    /// Returns the state with the lead of the clock that wrote a bucket.
    #[must_use]
    pub fn with_clock_lead(self, clock_lead: Duration) -> Self {
        Self { clock_lead, ..self }
    }

    /// Returns the state with the hits of a log.
    #[must_use]
    pub fn with_log(self, log: Arc<HitLog>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Returns the state with the id and the metadata of the window.
    #[must_use]
    pub fn with_meta(self, meta: Arc<WindowMeta>) -> Self {
        Self { meta: Some(meta), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WindowLength;

    #[test]
    fn debug_prints_no_metadata_and_no_key() {
        let meta = WindowMeta { id: WindowId(7), metadata: Some("from 192.0.2.1".into()) };
        let hit = Hit::new(1, 5).with_window_meta(meta.id, meta.metadata.as_deref());
        let state = CounterState::new(true, 1).with_meta(Arc::new(meta.clone()));
        let key = Key::new().user("192.0.2.1");
        let counter =
            Counter::new("login", &key, Window::FromFirstHit { length: WindowLength::MINUTE }).unwrap();
        for printed in [format!("{hit:?}"), format!("{state:?}"), format!("{meta:?}"), format!("{counter:?}")]
        {
            assert!(!printed.contains("192.0.2.1"), "{printed}");
            assert!(printed.contains("14 bytes, hash "), "{printed}");
        }
    }

    #[test]
    fn counter_accepts_no_invalid_key() {
        let window = Window::aligned(Timestamp::EPOCH, crate::WindowLength::SECOND);
        assert_eq!(Counter::new("", &Key::from(""), window).unwrap_err(), InvalidKey::Empty);
        assert!(Counter::new("", &Key::from("x"), window).is_ok());
    }

    #[test]
    fn counter_has_the_dimensions_of_its_key() {
        let window = Window::aligned(Timestamp::EPOCH, crate::WindowLength::SECOND);
        let key = Key::new().tenant("42").user("7");
        let counter = Counter::new("", &key, window).unwrap();
        assert_eq!(counter.dimensions(), key.dimensions());
        assert!(counter.dimensions().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn hit_is_counted_if_and_only_if_it_fits(cost: u128, floor: u128, ceiling: u128, value: u128) {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let room = ceiling.checked_sub(value.max(floor));
            let fits = room.is_some_and(|room| cost <= room);
            prop_assert_eq!(hit.apply(value), fits.then(|| value.max(floor) + cost));
        }
    }
}
