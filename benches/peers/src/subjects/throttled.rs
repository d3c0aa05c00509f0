//! [`throttled`](https://docs.rs/throttled), in memory.

use std::hint::black_box;
use std::num::NonZeroU32;

use throttled::{MemoryStore, Quota, RateLimiter, StoreLimiter};

use crate::poll_once::poll_once;
use crate::subject::{Cleanup, Entry, Limit, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttled",
    about: "`check(String, quota)` with a `String` made from the `&str`, its future polled once",
    own_store: true,
    cleanup: Cleanup::Never,
    build: |settings| {
        Box::new(Throttled { limiter: StoreLimiter::new(MemoryStore::new()), quota: quota(settings.limit) })
    },
}];

/// Returns a quota per hour, the longest period of `throttled`: one per hour replaces one per day.
/// It never removes keys, so it is not measured with shorter periods.
fn quota(limit: Limit) -> Quota {
    let count = NonZeroU32::new(limit.count).expect("the limit is above 0");
    Quota::per_hour(count).with_burst(count)
}

struct Throttled {
    limiter: StoreLimiter<MemoryStore<String>>,
    quota: Quota,
}

impl Subject for Throttled {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let checked = poll_once(self.limiter.check(key.to_owned(), self.quota));
        black_box(&checked.expect("the in-memory store does not fail")).is_allowed()
    }
}
