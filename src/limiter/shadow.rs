//! A limiter in shadow: it decides and reports, and lets every hit pass.

use super::Limiter;
use crate::Decision;

/// # Trying out limits
impl<B> Limiter<B> {
    /// Sets whether the limiter is in shadow: it decides, counts and reports as always, and lets
    /// pass what it would refuse. For trying out limits in production. Default: `false`.
    ///
    /// A hit that would be refused is not counted, and its decision
    /// [is allowed](Decision::is_allowed) and [is shadowed](Decision::is_shadowed). The metric of
    /// decisions has the outcome `shadowed` for it, and the event is `shadowed` too. The HTTP layer
    /// shows nothing of the limiter in its headers.
    ///
    /// - [`until_allowed`](Self::until_allowed) does not wait.
    /// - [`allow_all`](crate::allow_all) counts the hits of the other limiters without those that
    ///   only pass because of a shadow. That takes one more request.
    /// - A [block](Self::block) and a refusal by [`OnError::Deny`](crate::OnError::Deny) let pass
    ///   too. An error is still an error. [`OnError::Allow`](crate::OnError::Allow) makes an outage
    ///   of the backend invisible as well.
    ///
    /// ```
    /// # use limited::{Limiter, Quota, memory::MemoryBackend};
    /// let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_minute(1)).shadow(true);
    /// assert!(!limiter.allow_now("user:7")?.is_shadowed());
    ///
    /// let decision = limiter.allow_now("user:7")?;
    /// assert!(decision.is_allowed() && decision.is_shadowed());
    /// # Ok::<(), limited::Error>(())
    /// ```
    ///
    /// A decision costs what it costs without a shadow, and one allocation.
    #[must_use]
    pub fn shadow(self, is_shadow: bool) -> Self {
        Self { is_shadow, ..self }.with_matching_clock()
    }

    /// Returns whether the limiter is in [shadow](Self::shadow).
    pub const fn is_shadow(&self) -> bool {
        self.is_shadow
    }

    /// Returns a decision of this limiter, which passes if the limiter is in shadow.
    pub(super) fn in_shadow(&self, decision: Decision) -> Decision {
        if self.is_shadow && !decision.is_allowed() { decision.shadowed() } else { decision }
    }
}
