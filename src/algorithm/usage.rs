//! The input and the output of the algorithms: the numbers of a counter, and the usage of a limit.

use limited_core::{CounterState, Timestamp, Window, WindowLength};

/// The numbers of a [`CounterState`]. The metadata of windows from the first hit is left out, so
/// that the compiler can keep the rest in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CounterValues {
    pub(super) value: u128,
    pub(super) previous: u128,
    pub(super) start: Option<Timestamp>,
}

impl From<&CounterState> for CounterValues {
    fn from(state: &CounterState) -> Self {
        Self { value: state.value, previous: state.previous, start: state.start }
    }
}

// Destructured: a state that is dropped as a whole has to be in memory.
impl From<CounterState> for CounterValues {
    #[inline(always)]
    fn from(CounterState { value, previous, start, meta: _meta, .. }: CounterState) -> Self {
        Self { value, previous, start }
    }
}

impl CounterValues {
    /// Returns the start of the aligned window that these values are about. That is the window
    /// around `now`, unless the backend reported another one.
    #[inline(always)]
    pub(super) fn window_start(self, length: WindowLength, now: Timestamp) -> Timestamp {
        self.start.unwrap_or_else(|| match Window::aligned(now, length) {
            Window::Aligned { start, .. } => start,
            _ => now,
        })
    }
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// The used part of the limit.
    pub(crate) used: u64,
    /// The largest cost that would be admitted now.
    pub(crate) remaining: u64,
    /// Nanoseconds until nothing is used, if nothing else is admitted. Saturates at `u64::MAX`.
    pub(crate) reset_after: u64,
}

/// Returns the nanoseconds from `now` until `span` nanoseconds after `start`: 0 if that has passed,
/// and `u64::MAX` at most.
#[inline(always)]
pub(super) fn nanos_until(start: Timestamp, span: u64, now: Timestamp) -> u64 {
    match now.as_nanos().checked_sub(start.as_nanos()) {
        Some(elapsed) => span.saturating_sub(elapsed),
        // The clock jumped back.
        None => span.saturating_add(start.as_nanos() - now.as_nanos()),
    }
}
