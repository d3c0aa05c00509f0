//! What a backend is asked, and what it answers: counters, hits and tallies.

use std::sync::Arc;

use crate::{Dimensions, InvalidKey, Key, Timestamp, Window};

/// What a hit is counted in: a key, within a namespace, in a window.
///
/// Counters with equal namespace, key and window are the same counter, whoever asks.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    namespace: &'a str,
    key: &'a Key<'a>,
    window: Window,
    is_sliding: bool,
}

impl<'a> Counter<'a> {
    /// The counter of a key in a window; an error for a key that no backend takes.
    pub fn new(namespace: &'a str, key: &'a Key<'a>, window: Window) -> Result<Self, InvalidKey> {
        key.validate()?;
        Ok(Self { namespace, key, window, is_sliding: false })
    }

    /// The same key in another window.
    #[must_use]
    pub const fn with_window(self, window: Window) -> Self {
        Self { window, ..self }
    }

    /// Returns the counter as a sliding window: the value of the previous window, weighted by the share of it that a
    /// window ending now still covers, is counted too.
    ///
    /// A property of the question, and no part of the counter's identity. Only an aligned window slides.
    #[must_use]
    pub const fn sliding(self) -> Self {
        Self { is_sliding: true, ..self }
    }

    /// Returns the counter of this window alone, not [sliding](Self::sliding).
    #[must_use]
    pub const fn fixed(self) -> Self {
        Self { is_sliding: false, ..self }
    }

    /// Returns whether the previous window is counted too.
    #[inline]
    pub const fn is_sliding(&self) -> bool {
        self.is_sliding
    }

    /// The namespace, which may be empty. A backend must keep namespace and key apart: `("a", "bc")` is not
    /// `("ab", "c")`.
    pub const fn namespace(&self) -> &'a str {
        self.namespace
    }

    /// The rendered key: 1 to 1,024 bytes of UTF-8.
    pub fn key(&self) -> &'a str {
        self.key.as_str()
    }

    /// What the key was composed of, for backends that index it. It does not tell counters apart.
    pub fn dimensions(&self) -> Option<&'a Dimensions> {
        self.key.dimensions()
    }

    /// The window.
    pub const fn window(&self) -> Window {
        self.window
    }
}

/// Something to count: a cost, and the bounds that decide whether it is counted.
///
/// A plain hit has a floor of 0 and the limit as its ceiling. A hit of cost 0 is counted like any other: it raises the
/// value to the floor, and opens a window.
///
/// ```
/// # use limited_core::Hit;
/// let hit = Hit::new(2, 5);
/// assert_eq!(hit.apply(3), Some(5));
/// assert_eq!(hit.apply(4), None);
/// assert_eq!(Hit { floor: 10, ceiling: 20, ..hit }.apply(3), Some(12));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// How much to add.
    pub cost: u128,
    /// Where to count from, if the stored value is below it or absent.
    pub floor: u128,
    /// The highest value that the counter may have after the hit.
    pub ceiling: u128,
    /// The generation of the window, if this hit opens one. Only for [`Window::FromFirstHit`]; must be fresh for each hit.
    pub window_id: WindowId,
    /// What to keep with the window, if this hit opens one. Only for [`Window::FromFirstHit`].
    pub metadata: Option<&'a str>,
}

impl<'a> Hit<'a> {
    /// A hit that counts from zero.
    pub const fn new(cost: u128, ceiling: u128) -> Self {
        Self { cost, floor: 0, ceiling, window_id: WindowId(0), metadata: None }
    }

    /// The same hit, counting from `floor` where the stored value is below it.
    #[must_use]
    pub const fn with_floor(self, floor: u128) -> Self {
        Self { floor, ..self }
    }

    /// The same hit for a hit-opened window: with the generation and the note of the window that it may open.
    #[must_use]
    pub const fn with_window_meta(self, window_id: WindowId, metadata: Option<&'a str>) -> Self {
        Self { window_id, metadata, ..self }
    }

    /// The value after this hit on a counter of `value` (0 where there is none); `None` where it is refused.
    ///
    /// This is the whole rule of [`Backend::increment`](crate::Backend::increment), and cannot overflow: what does
    /// not fit is refused.
    #[inline]
    pub const fn apply(&self, value: u128) -> Option<u128> {
        let from = if value < self.floor { self.floor } else { value };
        match self.ceiling.checked_sub(self.cost) {
            Some(highest) if from <= highest => Some(from + self.cost),
            _ => None,
        }
    }
}

/// Which of the windows that one key opened, one after the other, is meant. Chosen by the caller, fresh for each hit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WindowId(pub u128);

/// How a hit-opened window was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowMeta {
    /// The generation that the first hit brought.
    pub id: WindowId,
    /// The note that the first hit brought.
    pub metadata: Option<Arc<str>>,
}

/// What a counter says after an operation, refused or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterState {
    /// Whether the hit was counted. Always `false` of a read.
    pub counted: bool,
    /// The value of the counter after the operation; 0 where it is absent.
    pub value: u128,
    /// The value of the window before, where the operation weighed it; else 0.
    pub previous: u128,
    /// The start of the window that was counted in, or that refused; `None` of buckets and of windows nobody opened.
    ///
    /// Of an aligned window it is the one asked for, with one exception: where a clock jumped back so far that the
    /// backend no longer knows that window, the hit is refused, and this is the start of the earliest window that
    /// it can decide on.
    pub start: Option<Timestamp>,
    /// How a hit-opened window was opened, by its first hit.
    pub meta: Option<Arc<WindowMeta>>,
}

impl CounterState {
    /// A tally of a counted hit (`true`), or of a refusal or a read (`false`).
    pub const fn new(counted: bool, value: u128) -> Self {
        Self { counted, value, previous: 0, start: None, meta: None }
    }

    /// The same, with the value of the window before.
    #[must_use]
    pub fn with_previous(self, previous: u128) -> Self {
        Self { previous, ..self }
    }

    /// The same, with the start of the window.
    #[must_use]
    pub fn with_start(self, start: Timestamp) -> Self {
        Self { start: Some(start), ..self }
    }

    /// The same, with how the window was opened.
    #[must_use]
    pub fn with_meta(self, meta: Arc<WindowMeta>) -> Self {
        Self { meta: Some(meta), ..self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_takes_no_invalid_key() {
        let window = Window::aligned(Timestamp::EPOCH, crate::WindowLength::SECOND);
        assert_eq!(Counter::new("", &Key::from(""), window).unwrap_err(), InvalidKey::Empty);
        assert!(Counter::new("", &Key::from("x"), window).is_ok());
    }

    #[test]
    fn a_counter_tells_what_its_key_was_composed_of() {
        let window = Window::aligned(Timestamp::EPOCH, crate::WindowLength::SECOND);
        let key = Key::new().tenant("42").user("7");
        let counter = Counter::new("", &key, window).unwrap();
        assert_eq!(counter.dimensions(), key.dimensions());
        assert!(counter.dimensions().is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_hit_counts_exactly_when_it_fits(cost: u128, floor: u128, ceiling: u128, value: u128) {
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            let room = ceiling.checked_sub(value.max(floor));
            let fits = room.is_some_and(|room| cost <= room);
            prop_assert_eq!(hit.apply(value), fits.then(|| value.max(floor) + cost));
        }
    }
}
