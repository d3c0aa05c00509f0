//! What a handler knows about its claim while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use limited_core::{FencingToken, Grant, Timestamp};

use crate::clock::LimiterClock;

/// The claim under which a handler runs: its fencing token, and whether the key is still held.
///
/// The lease is renewed while the future of the handler is polled. It expires if the handler blocks
/// its thread, if the process is frozen, or if the backend is unreachable for a whole lease.
/// Another owner may then acquire the key, and two handlers run at the same time. No lease can rule
/// that out across machines. If an effect must not happen twice, send the fencing token along with
/// it, and let the receiver reject a token lower than the highest it has seen.
///
/// Clones refer to the same claim.
#[derive(Clone)]
pub struct Claim(Arc<State>);

struct State {
    fencing_token: FencingToken,
    expires_at: AtomicU64,
    is_closed: AtomicBool,
    /// The tasks that wait for the claim to be closed, by the number of their waiter.
    waiting: Mutex<BTreeMap<u64, Waker>>,
    next_waiter: AtomicU64,
    status_code: AtomicU32,
    clock: LimiterClock,
}

/// Means that no status code is set. A status code has 16 bits.
const NO_STATUS_CODE: u32 = u32::MAX;

impl Claim {
    /// Returns the fencing token of this claim. It is higher than the token of every earlier claim
    /// of the key, also after failures, expiry and removal. It does not count claims.
    pub fn fencing_token(&self) -> u64 {
        self.0.fencing_token.0
    }

    /// Returns whether the key is still held, as far as this process knows: no renewal was
    /// rejected, the lease has not expired, and the run has not ended.
    ///
    /// The result holds for the moment of the call. Call this right before an effect. If the effect
    /// must not happen twice, also send the [fencing token](Self::fencing_token).
    pub fn is_held(&self) -> bool {
        !self.0.is_closed.load(Ordering::Acquire) && self.0.clock.now() < self.expires_at()
    }

    /// Completes when the key is no longer [held](Self::is_held): its lease has expired, a renewal
    /// was rejected, or the run has ended.
    ///
    /// A handler uses it to stop before its next effect, as it chooses:
    ///
    /// ```
    /// # use std::future::poll_fn;
    /// # use std::pin::pin;
    /// # use std::task::Poll;
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # async fn prepare() -> Result<u32, &'static str> { Ok(4_200) }
    /// # pollster::block_on(async {
    /// # let idempotency = Idempotency::new(MemoryBackend::new());
    /// let outcome = idempotency.run_with("order-981", &4_200, async |claim| {
    ///     let (mut lost, mut prepared) = (pin!(claim.lost()), pin!(prepare()));
    ///     // The same as `select!` of a runtime.
    ///     poll_fn(|cx| match prepared.as_mut().poll(cx) {
    ///         Poll::Pending => lost.as_mut().poll(cx).map(|()| Err("the claim is lost")),
    ///         ready => ready,
    ///     })
    ///     .await
    /// });
    /// assert_eq!(outcome.await.ok().map(limited::Outcome::into_inner), Some(4_200));
    /// # });
    /// ```
    ///
    /// It works in other tasks too. The clock of the run decides when a lease has expired.
    pub async fn lost(&self) {
        let waiter = Waiter::new(&self.0);
        while self.is_held() {
            let left = self.expires_at().saturating_since(self.0.clock.now());
            // If the lease expires at this very moment, the next look is one nanosecond later.
            let mut sleep = self.0.clock.sleep(left.max(Duration::from_nanos(1)));
            poll_fn(|cx| match waiter.poll_closed(cx) {
                Poll::Pending => sleep.as_mut().poll(cx),
                closed => closed,
            })
            .await;
        }
    }

    /// Returns when the lease expires, unless it is renewed again.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.expires_at.load(Ordering::Acquire))
    }

    /// Sets a status code, such as an HTTP status, to store with the result. It is meant for
    /// readers of the records. [`DoOnce`](crate::DoOnce) stores none.
    pub fn set_status_code(&self, code: u16) {
        self.0.status_code.store(code.into(), Ordering::Release);
    }

    pub(super) fn new(grant: Grant, clock: LimiterClock) -> Self {
        Self(Arc::new(State {
            fencing_token: grant.fencing_token,
            expires_at: AtomicU64::new(grant.expires_at.as_nanos()),
            is_closed: AtomicBool::new(false),
            waiting: Mutex::default(),
            next_waiter: AtomicU64::new(0),
            status_code: AtomicU32::new(NO_STATUS_CODE),
            clock,
        }))
    }

    pub(super) fn renewed(&self, expires_at: Timestamp) {
        self.0.expires_at.fetch_max(expires_at.as_nanos(), Ordering::AcqRel);
    }

    pub(super) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        // Wakers run code of the runtime, so they run outside of the lock.
        let waiting = mem::take(&mut *self.0.waiting());
        waiting.into_values().for_each(Waker::wake);
    }

    #[cfg(feature = "idempotency")]
    pub(crate) fn status_code(&self) -> Option<u16> {
        u16::try_from(self.0.status_code.load(Ordering::Acquire)).ok()
    }
}

impl State {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call that waits for the claim to be closed. Dropping it forgets its waker, which may keep a
/// task alive.
struct Waiter<'a> {
    state: &'a State,
    number: u64,
}

impl<'a> Waiter<'a> {
    fn new(state: &'a State) -> Self {
        Self { state, number: state.next_waiter.fetch_add(1, Ordering::Relaxed) }
    }

    /// Completes when the claim is closed.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<()> {
        // The waker before is dropped outside of the lock, because that may drop another waiter.
        let before = self.state.waiting().insert(self.number, cx.waker().clone());
        drop(before);
        // Read after the waker is stored: a claim that is closed in between wakes it.
        if self.state.is_closed.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let waker = self.state.waiting().remove(&self.number);
        drop(waker);
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("fencing_token", &self.fencing_token())
            .field("expires_at", &self.expires_at())
            .field("is_held", &self.is_held())
            .finish()
    }
}
