//! A lock for what takes some nanoseconds.

pub(crate) use imp::{SpinLock, SpinLockGuard};

#[cfg(not(shuttle))]
mod imp {
    use std::hint::spin_loop;
    use std::thread::{sleep, yield_now};
    use std::time::Duration;

    use spin::mutex::{SpinMutex, SpinMutexGuard};

    pub(crate) type SpinLockGuard<'a, T> = SpinMutexGuard<'a, T>;

    /// A lock that is let go by a plain store, where one that can put its waiters to sleep has to look whether there are
    /// any. Its holders work for nanoseconds; only one that the system has stopped in between makes others wait for
    /// longer, and they give way to it: first by a yield, then by a sleep, so that it comes on even where it has
    /// less of a priority than they.
    #[derive(Default)]
    pub(crate) struct SpinLock<T>(SpinMutex<T>);

    /// How long to wait before looking again: some hundred nanoseconds at first, then longer and longer. So the holder
    /// mostly comes back for the lock, and does several operations on what its processor has at hand.
    const PAUSE_BITS: std::ops::RangeInclusive<u32> = 5..=7;

    /// How often to look before giving way, and before sleeping.
    const SPINS: u32 = 16;
    const YIELDS: u32 = 128;

    const SLEEP: Duration = Duration::from_micros(50);

    impl<T> SpinLock<T> {
        #[inline(always)]
        pub(crate) fn lock(&self) -> SpinLockGuard<'_, T> {
            self.0.try_lock().unwrap_or_else(|| self.wait())
        }

        #[cold]
        fn wait(&self) -> SpinLockGuard<'_, T> {
            let mut attempts = 0_u32;
            loop {
                if attempts < SPINS {
                    for _ in 0..1 << (PAUSE_BITS.start() + attempts).min(*PAUSE_BITS.end()) {
                        spin_loop();
                    }
                } else if attempts < YIELDS {
                    yield_now();
                } else {
                    sleep(SLEEP);
                }
                attempts = attempts.saturating_add(1);
                if !self.0.is_locked()
                    && let Some(guard) = self.0.try_lock()
                {
                    return guard;
                }
            }
        }
    }
}

/// The scheduler's own, so that it can try out what happens in between.
#[cfg(shuttle)]
mod imp {
    use crate::sync::{Mutex, MutexGuard, lock};

    pub(crate) type SpinLockGuard<'a, T> = MutexGuard<'a, T>;

    #[derive(Default)]
    pub(crate) struct SpinLock<T>(Mutex<T>);

    impl<T> SpinLock<T> {
        pub(crate) fn lock(&self) -> SpinLockGuard<'_, T> {
            lock(&self.0)
        }
    }
}
