//! A limiter with another quota.

use std::fmt;

use limited_core::{Backend, Immediate, Key, Timestamp};

use super::check::Check;
use crate::poll_once::poll_once;
use crate::{Decision, Error, Limiter, Quota};

/// A [`Limiter`] with another quota, returned by [`Limiter::with_quota`].
///
/// All other settings are those of the limiter: backend, namespace, algorithm, clock and
/// [`OnError`](crate::OnError).
pub struct WithQuota<'l, B> {
    limiter: &'l Limiter<B>,
    quota: Quota,
    /// Whether the coarse clock is precise enough for the quota.
    pub(super) is_coarse: bool,
}

impl<'l, B> WithQuota<'l, B> {
    #[inline]
    pub(super) fn new(limiter: &'l Limiter<B>, quota: Quota) -> Self {
        let is_coarse = limiter.clock.is_coarse(limiter.algorithm, &quota);
        Self { limiter, quota, is_coarse }
    }

    /// Returns the quota.
    pub const fn get_quota(&self) -> Quota {
        self.quota
    }

    /// Returns the limiter, which has the other settings.
    pub const fn limiter(&self) -> &'l Limiter<B> {
        self.limiter
    }

    #[inline(always)]
    pub(super) fn now(&self) -> Timestamp {
        self.limiter.now(self.is_coarse)
    }

    #[inline(always)]
    pub(super) fn check(&self, cost: u64, now: Timestamp) -> Check<'_> {
        let check = self.limiter.check(cost, now);
        let is_extended = self.limiter.is_blocking || self.limiter.is_shadow;
        let several = is_extended.then(|| std::slice::from_ref(&self.quota));
        Check { quota: &self.quota, several, is_coarse: self.is_coarse, ..check }
    }
}

/// # Deciding
///
/// Each method does what the method of the same name of [`Limiter`] does, by this quota. The errors
/// are the same.
impl<B: Backend> WithQuota<'_, B> {
    /// [`Limiter::allow`] by this quota.
    pub async fn allow(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now();
        if let Some(decision) = self.limiter.try_decide(&key, self.check(1, now)) {
            return decision;
        }
        self.limiter.decide_waiting(key, self.check(1, now)).await
    }

    /// [`Limiter::allow_n`] by this quota.
    pub async fn allow_n(&self, key: impl Into<Key<'_>>, cost: u64) -> Result<Decision, Error> {
        let key = key.into();
        let now = self.now();
        if let Some(decision) = self.limiter.try_decide(&key, self.check(cost, now)) {
            return decision;
        }
        self.limiter.decide_waiting(key, self.check(cost, now)).await
    }

    /// [`Limiter::peek`] by this quota.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<Decision, Error> {
        self.limiter.predict(key.into(), self.check(1, self.now())).await
    }

    /// [`Limiter::reset`] by this quota.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), Error> {
        self.limiter.delete(key.into(), self.check(1, self.now())).await
    }
}

/// # Deciding without a future
///
/// The same methods over an [`Immediate`] backend.
impl<B: Immediate> WithQuota<'_, B> {
    /// [`Limiter::allow_now`] by this quota.
    #[inline]
    pub fn allow_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.limiter.decide_now(key.into(), self.check(1, self.now()))
    }

    /// [`Limiter::allow_n_now`] by this quota.
    #[inline]
    pub fn allow_n_now<'k>(&self, key: impl Into<Key<'k>>, cost: u64) -> Result<Decision, Error> {
        self.limiter.decide_now(key.into(), self.check(cost, self.now()))
    }

    /// [`Limiter::peek_now`] by this quota.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Decision, Error> {
        self.limiter.predict_now(key.into(), self.check(1, self.now()))
    }

    /// [`Limiter::reset_now`] by this quota.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), Error> {
        poll_once(self.reset(key))
    }
}

impl<B> Clone for WithQuota<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for WithQuota<'_, B> {}

impl<B> fmt::Debug for WithQuota<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithQuota")
            .field("quota", &format_args!("{}", self.quota))
            .field("limiter", self.limiter)
            .finish()
    }
}
