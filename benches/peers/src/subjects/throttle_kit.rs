//! [`throttle-kit`](https://docs.rs/throttle-kit), in memory.

use std::hint::black_box;
use std::time::Duration;

use throttle_kit::{InMemoryBackend, Quota, RateLimiter};

use crate::poll_once::poll_once;
use crate::subject::{Cleanup, Entry, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttle-kit",
    about: "`check(&str)`, its future polled once; reads the result; its resolution is one millisecond",
    own_store: true,
    cleanup: Cleanup::Never,
    build: |settings| {
        let interval = settings.limit.emission_interval().max(Duration::from_millis(1));
        let quota = Quota::from_parts(interval, settings.limit.count);
        Box::new(ThrottleKit(RateLimiter::new(quota, InMemoryBackend::new())))
    },
}];

struct ThrottleKit(RateLimiter<InMemoryBackend>);

impl Subject for ThrottleKit {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&poll_once(self.0.check(key))).allowed
    }
}
