//! What somebody who was granted a key can know about it while they work.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use limited_core::{FencingToken, Grant, Timestamp};

use crate::clock::ClockChoice;

/// The claim under which a handler runs: its fencing number, and whether it is still held.
///
/// The lease renews itself while the handler's future is polled. A handler that blocks its thread, a process that is
/// frozen, or a backend that cannot be reached for a whole lease, let it lapse; then somebody else may be granted the
/// key, and two run at once. Nothing that runs on two machines can rule that out. What does: to send the fencing number
/// along with the effect, and to let its receiver refuse a number lower than one that it has seen.
///
/// Clones are the same claim.
#[derive(Clone)]
pub struct Claim(Arc<State>);

struct State {
    fencing_token: FencingToken,
    expires_at: AtomicU64,
    is_closed: AtomicBool,
    status_code: AtomicU32,
    clock: ClockChoice,
}

/// No status code, which has 16 bits.
const NONE: u32 = u32::MAX;

impl Claim {
    /// The number of this grant: higher than that of every grant of the key before it, also after failures, expiry and
    /// removal. It has nothing to do with how many there were.
    pub fn fencing_token(&self) -> u64 {
        self.0.fencing_token.0
    }

    /// Whether the key is still held, as far as is known here: no renewal was refused, the lease has not ended, and
    /// the run is not over.
    ///
    /// It was true when it was asked; ask right before an effect, and send the
    /// [fencing number](Self::fencing_token) where it must not happen twice.
    pub fn is_held(&self) -> bool {
        !self.0.is_closed.load(Ordering::Acquire) && self.0.clock.now() < self.expires_at()
    }

    /// When the lease ends, unless it is renewed once more.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_nanos(self.0.expires_at.load(Ordering::Acquire))
    }

    /// Keeps a status code with the result, such as that of HTTP, for those who look at the records.
    pub fn set_status_code(&self, code: u16) {
        self.0.status_code.store(code.into(), Ordering::Release);
    }

    pub(crate) fn new(grant: Grant, clock: ClockChoice) -> Self {
        Self(Arc::new(State {
            fencing_token: grant.fencing_token,
            expires_at: AtomicU64::new(grant.expires_at.as_nanos()),
            is_closed: AtomicBool::new(false),
            status_code: AtomicU32::new(NONE),
            clock,
        }))
    }

    pub(crate) fn renewed(&self, expires_at: Timestamp) {
        self.0.expires_at.fetch_max(expires_at.as_nanos(), Ordering::AcqRel);
    }

    pub(crate) fn close(&self) {
        self.0.is_closed.store(true, Ordering::Release);
    }

    #[cfg(feature = "idempotency")]
    pub(crate) fn status_code(&self) -> Option<u16> {
        u16::try_from(self.0.status_code.load(Ordering::Acquire)).ok()
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("fencing_number", &self.fencing_token())
            .field("expires_at", &self.expires_at())
            .field("is_held", &self.is_held())
            .finish()
    }
}
