//! A spin lock, for critical sections of some nanoseconds.

pub(crate) use imp::{SpinLock, SpinLockGuard};

#[cfg(not(all(test, shuttle)))]
mod imp {
    use std::hint::spin_loop;
    use std::thread::{sleep, yield_now};
    use std::time::Duration;

    use spin::mutex::{SpinMutex, SpinMutexGuard};

    pub(crate) type SpinLockGuard<'a, T> = SpinMutexGuard<'a, T>;

    /// A lock whose unlocking is one store, because no waiter ever has to be woken.
    ///
    /// A thread holds it for nanoseconds, unless the operating system suspends the thread. Waiters
    /// then yield, and later sleep, so that the holder runs even if its priority is lower than
    /// theirs.
    #[derive(Default)]
    pub(crate) struct SpinLock<T>(SpinMutex<T>);

    /// Binary logarithm of the pause between two attempts, in spin-loop hints. The first pause
    /// takes some hundred nanoseconds; later ones are longer. The holder mostly takes the lock
    /// again meanwhile, and runs several operations on data in its processor's cache.
    const PAUSE_BITS: std::ops::RangeInclusive<u32> = 5..=7;

    /// Number of attempts after which a waiter yields.
    const SPINS: u32 = 16;

    /// Number of attempts after which a waiter sleeps.
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

/// The scheduler's mutex, so that the scheduler explores what happens at each lock.
#[cfg(all(test, shuttle))]
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
