//! How many calls wait for others at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the calls that wait, up to a maximum.
#[derive(Debug)]
pub(crate) struct WaitingCalls {
    max: usize,
    current: AtomicUsize,
}

/// The right of one call to wait. Dropping it ends the wait.
#[derive(Debug)]
pub(super) struct WaitPermit(Arc<WaitingCalls>);

impl WaitingCalls {
    pub(crate) const fn new(max: usize) -> Self {
        Self { max, current: AtomicUsize::new(0) }
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// Returns a permit, unless as many calls wait as may.
    pub(super) fn enter(self: &Arc<Self>) -> Option<WaitPermit> {
        let more = |current: usize| (current < self.max).then(|| current + 1);
        self.current.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(WaitPermit(Arc::clone(self)))
    }
}

impl Drop for WaitPermit {
    fn drop(&mut self) {
        self.0.current.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_calls_wait_than_the_maximum() {
        let waiting = Arc::new(WaitingCalls::new(2));
        let (one, other) = (waiting.enter().unwrap(), waiting.enter().unwrap());
        assert!(waiting.enter().is_none());
        drop(one);
        let again = waiting.enter();
        assert!(again.is_some() && waiting.enter().is_none());
        drop((other, again));
        assert!(Arc::new(WaitingCalls::new(0)).enter().is_none());
    }
}
