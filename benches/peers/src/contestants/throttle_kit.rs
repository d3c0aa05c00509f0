//! [`throttle-kit`](https://docs.rs/throttle-kit), in memory.

use std::hint::black_box;
use std::time::Duration;

use throttle_kit::{InMemoryBackend, Quota, RateLimiter};

use crate::contestant::{Contestant, Entry, Forgets};
use crate::ready::ready;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttle-kit",
    about: "`check(&str)`, its future polled by the smallest executor; reads the result; it counts in milliseconds",
    own_store: true,
    forgets: Forgets::Never,
    enter: |setting| {
        let interval = setting.limit.interval().max(Duration::from_millis(1));
        let quota = Quota::from_parts(interval, setting.limit.count);
        Box::new(ThrottleKit(RateLimiter::new(quota, InMemoryBackend::new())))
    },
}];

struct ThrottleKit(RateLimiter<InMemoryBackend>);

impl Contestant for ThrottleKit {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&ready(self.0.check(key))).allowed
    }
}
