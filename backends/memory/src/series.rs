//! What one entry of the store is about: all the windows of one kind and length of one key.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use limited_core::{Counter, Window, WindowLength};

/// The window of a counter without its start: what its windows, one after the other, have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Aligned { length: WindowLength },
    Opened { length: WindowLength },
    Bucket { limit: u64, length: WindowLength },
}

impl From<Window> for Kind {
    fn from(window: Window) -> Self {
        match window {
            Window::Aligned { length, .. } => Self::Aligned { length },
            Window::Opened { length } => Self::Opened { length },
            Window::Bucket { limit, length } => Self::Bucket { limit, length },
        }
    }
}

/// Borrowed from a counter, to look up with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Series<'a> {
    namespace: &'a str,
    key: &'a str,
    kind: Kind,
}

impl<'a> From<&Counter<'a>> for Series<'a> {
    fn from(counter: &Counter<'a>) -> Self {
        Self { namespace: counter.namespace(), key: counter.key(), kind: counter.window().into() }
    }
}

impl Series<'_> {
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }
}

/// Owned by the store, which holds it twice: in the map, and in the queue of what expires.
#[derive(Clone)]
pub(crate) struct StoredSeries {
    /// Namespace and key, one after the other.
    text: Arc<str>,
    namespace_len: usize,
    kind: Kind,
}

impl From<Series<'_>> for StoredSeries {
    fn from(series: Series<'_>) -> Self {
        Self {
            text: [series.namespace, series.key].concat().into(),
            namespace_len: series.namespace.len(),
            kind: series.kind,
        }
    }
}

/// Either of the two. A map of owned series is looked up with a borrowed one through this, so that a hit copies no key.
pub(crate) trait AsSeries {
    fn as_series(&self) -> Series<'_>;
}

impl AsSeries for Series<'_> {
    fn as_series(&self) -> Series<'_> {
        *self
    }
}

impl AsSeries for StoredSeries {
    fn as_series(&self) -> Series<'_> {
        let (namespace, key) = self.text.split_at(self.namespace_len);
        Series { namespace, key, kind: self.kind }
    }
}

impl<'a> Borrow<dyn AsSeries + 'a> for StoredSeries {
    fn borrow(&self) -> &(dyn AsSeries + 'a) {
        self
    }
}

impl PartialEq for dyn AsSeries + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.as_series() == other.as_series()
    }
}

impl Eq for dyn AsSeries + '_ {}

impl Hash for dyn AsSeries + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_series().hash(state);
    }
}

impl PartialEq for StoredSeries {
    fn eq(&self, other: &Self) -> bool {
        self.as_series() == other.as_series()
    }
}

impl Eq for StoredSeries {}

impl Hash for StoredSeries {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_series().hash(state);
    }
}
