//! The settings that idempotency and do-once share, and the builder methods for them.

use std::sync::Arc;
use std::time::Duration;

use super::WaitingCalls;
use crate::clock::LimiterClock;

/// The shortest lease. A shorter one would exclude no other owner.
pub(crate) const MIN_LEASE: Duration = Duration::from_millis(1);
/// The longest lease. A longer one would block a key for good.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Settings of a [`LeaseManager`](super::LeaseManager). The builder methods in [`setting_methods`]
/// document them.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) namespace: Arc<str>,
    pub(crate) clock: LimiterClock,
    lease: Duration,
    pub(crate) ttl: Option<Duration>,
    /// `None` if it is not set.
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) waiting: Option<Arc<WaitingCalls>>,
    max_run_time: Option<Duration>,
    pub(crate) stops_when_lost: bool,
    pub(crate) read_before_claim: bool,
}

impl Settings {
    pub(crate) fn new(ttl: Option<Duration>) -> Self {
        Self {
            namespace: Arc::from(""),
            clock: LimiterClock::System,
            lease: Duration::from_secs(30),
            ttl,
            wait_timeout: None,
            waiting: None,
            max_run_time: None,
            stops_when_lost: false,
            read_before_claim: false,
        }
    }

    pub(crate) const fn lease(&self) -> Duration {
        self.lease
    }

    pub(crate) fn set_lease(&mut self, lease: Duration) {
        self.lease = lease.clamp(MIN_LEASE, MAX_LEASE);
    }

    pub(crate) fn wait_timeout(&self) -> Duration {
        self.wait_timeout.unwrap_or_default()
    }

    pub(crate) const fn max_run_time(&self) -> Option<Duration> {
        self.max_run_time
    }

    pub(crate) fn set_max_run_time(&mut self, max_run_time: Duration) {
        self.max_run_time = Some(max_run_time.max(MIN_LEASE));
    }

    /// Returns the lease of a new claim, which does not outlast the longest run.
    pub(crate) fn first_lease(&self) -> Duration {
        self.max_run_time.map_or(self.lease, |max_run_time| self.lease.min(max_run_time))
    }
}

/// Defines the builder methods that `Idempotency` and `DoOnce` share, so that their documentation
/// is written once. The type has a field `leases`.
macro_rules! setting_methods {
    (default_ttl: $default_ttl:literal) => {
        /// Sets the namespace. Keys in different namespaces are independent, also over one backend.
        /// Default: empty.
        #[must_use]
        pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
            self.leases.settings.namespace = namespace.into();
            self
        }

        /// Sets the clock, in tests a [`ManualClock`](crate::ManualClock). Default: the clock of
        /// the system.
        #[must_use]
        pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
            self.leases.settings.clock = LimiterClock::custom(clock);
            self
        }

        /// Sets how long a claim holds without renewal, and so how long a key stays blocked after a
        /// crash. Default: 30 seconds.
        ///
        /// The lease is renewed three times in that period while the call runs, so it may be
        /// shorter than the call. Less than 1 ms counts as 1 ms, more than 366 days as 366 days.
        #[must_use]
        pub fn lease(mut self, lease: Duration) -> Self {
            self.leases.settings.set_lease(lease);
            self
        }

        /// Sets how long a finished record is kept, rounded up to a whole second. After that the
        /// key is free.
        #[doc = concat!("Default: ", $default_ttl, ".")]
        #[must_use]
        pub fn ttl(mut self, ttl: Duration) -> Self {
            self.leases.settings.ttl = Some(ttl);
            self
        }

        /// Sets how long a call waits for another call with the same key that is in progress.
        /// Default: zero; the call returns [`RunError::InProgress`] at once.
        ///
        /// If the other call finishes in time, this call returns its outcome. If the other call
        /// fails or crashes, this call runs. It reads the record after 10 ms, and then at intervals
        /// that double up to one second. Each read is one request.
        #[must_use]
        pub fn wait_timeout(mut self, timeout: Duration) -> Self {
            self.leases.settings.wait_timeout = Some(timeout);
            self
        }

        /// Sets how many calls may [wait](Self::wait_timeout) at the same time, over all clones of
        /// this value. Any other call returns [`RunError::InProgress`] at once. Default: no
        /// maximum.
        ///
        /// A call that waits keeps its request in memory. One caller can make any number of calls
        /// with the same key.
        #[must_use]
        pub fn max_waiting(mut self, calls: usize) -> Self {
            self.leases.settings.waiting = Some(Arc::new($crate::lease::WaitingCalls::new(calls)));
            self
        }

        /// Sets how long a claim is renewed at most. After that its lease ends, also if the handler
        /// still runs, and another call may take over the key. Default: no maximum.
        ///
        /// Without a maximum, a handler that hangs keeps its key for as long as its process lives.
        /// The handler goes on, unless [`stop_when_lost`](Self::stop_when_lost) is set. Less than 1
        /// ms counts as 1 ms.
        #[must_use]
        pub fn max_run_time(mut self, max_run_time: Duration) -> Self {
            self.leases.settings.set_max_run_time(max_run_time);
            self
        }

        /// Sets whether a handler is dropped when its claim is lost: when its lease has ended or a
        /// renewal was rejected. Default: `false`.
        ///
        /// The call then returns [`RunError::Stopped`]. Another call may run by then, so an effect
        /// that has not begun is better left out. An effect that has begun may be cut off at any
        /// await point. To stop at points of its own choice, a handler uses
        /// [`Claim::lost`](crate::Claim::lost).
        #[must_use]
        pub fn stop_when_lost(mut self, stop: bool) -> Self {
            self.leases.settings.stops_when_lost = stop;
            self
        }

        /// Returns the namespace.
        pub fn get_namespace(&self) -> &str {
            &self.leases.settings.namespace
        }

        /// Returns how long a claim holds without renewal.
        pub const fn get_lease(&self) -> Duration {
            self.leases.settings.lease()
        }

        /// Returns how long a finished record is kept; `None` if it is kept forever.
        pub const fn get_ttl(&self) -> Option<Duration> {
            self.leases.settings.ttl
        }

        /// Returns how long a call waits for another call that is in progress.
        pub fn get_wait_timeout(&self) -> Duration {
            self.leases.settings.wait_timeout()
        }

        /// Returns how many calls may wait at the same time; `None` if there is no maximum.
        pub fn get_max_waiting(&self) -> Option<usize> {
            self.leases.settings.waiting.as_ref().map(|waiting| waiting.max())
        }

        /// Returns whether a handler is dropped when its claim is lost.
        pub const fn get_stop_when_lost(&self) -> bool {
            self.leases.settings.stops_when_lost
        }

        /// Returns how long a claim is renewed at most; `None` if there is no maximum.
        pub const fn get_max_run_time(&self) -> Option<Duration> {
            self.leases.settings.max_run_time()
        }

        /// Returns the backend.
        pub fn backend(&self) -> &B {
            &self.leases.backend
        }
    };
}

pub(crate) use setting_methods;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DoOnce;

    #[test]
    fn getters_return_what_the_builders_set() {
        let minute = Duration::from_secs(60);
        let once = DoOnce::new(());
        assert_eq!((once.get_namespace(), once.get_ttl()), ("", None));
        assert_eq!((once.get_lease(), once.get_wait_timeout()), (Duration::from_secs(30), Duration::ZERO));
        assert_eq!((once.get_max_waiting(), once.get_stop_when_lost()), (None, false));
        assert_eq!(once.get_max_run_time(), None);
        let once = once.max_waiting(7).stop_when_lost(true).max_run_time(Duration::ZERO);
        assert_eq!((once.get_max_waiting(), once.get_stop_when_lost()), (Some(7), true));
        assert_eq!(once.get_max_run_time(), Some(MIN_LEASE));
        let once = once.namespace("mails").lease(minute).ttl(minute * 2).wait_timeout(minute * 3);
        assert_eq!((once.get_namespace(), once.get_ttl()), ("mails", Some(minute * 2)));
        assert_eq!((once.get_lease(), once.get_wait_timeout()), (minute, minute * 3));
        assert_eq!(once.lease(Duration::ZERO).get_lease(), MIN_LEASE);
    }
}
