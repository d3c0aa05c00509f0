//! Backends of counters alone, without claims and without a fast path.

use std::future::poll_fn;
use std::task::Poll;

use limited_core::{
    Backend, BackendError, ClaimKey, Counter, CounterState, Hit, Immediate, Record, Refund, Result,
    Timestamp, WindowId, async_trait,
};

use crate::reference::Reference;

/// The reference without claims and without a fast path.
#[derive(Debug, Default)]
pub(crate) struct CountersAlone(Reference);

#[async_trait]
impl Backend for CountersAlone {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        self.0.increment(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        self.0.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        self.0.reset(counter, window, now).await
    }
}

/// The same, but each future is pending at its first poll, also that of an unsupported `find`.
#[derive(Debug, Default)]
pub(crate) struct PendingOnce(CountersAlone);

// The defect.
impl Immediate for PendingOnce {}

#[async_trait]
impl Backend for PendingOnce {
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState> {
        pending_once().await;
        self.0.increment(counter, hit, now).await
    }

    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState> {
        pending_once().await;
        self.0.get(counter, now).await
    }

    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()> {
        pending_once().await;
        self.0.reset(counter, window, now).await
    }

    async fn refund(&self, _: &Counter<'_>, _: &Refund, _: Timestamp) -> Result<CounterState> {
        pending_once().await;
        Err(BackendError::unsupported("refund"))
    }

    async fn find(&self, _: &ClaimKey<'_>, _: Timestamp) -> Result<Option<Record>> {
        pending_once().await;
        Err(BackendError::unsupported("find"))
    }
}

async fn pending_once() {
    let mut was_polled = false;
    poll_fn(|context| {
        if was_polled {
            return Poll::Ready(());
        }
        was_polled = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
