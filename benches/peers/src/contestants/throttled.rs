//! [`throttled`](https://docs.rs/throttled), in memory.

use std::hint::black_box;
use std::num::NonZeroU32;

use throttled::{MemoryStore, Quota, RateLimiter, StoreLimiter};

use crate::contestant::{Contestant, Entry, Forgets, Limit};
use crate::ready::ready;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttled",
    about: "`check(String, quota)`, the `String` made of the `&str`, its future polled by the smallest executor",
    own_store: true,
    forgets: Forgets::Never,
    enter: |setting| {
        Box::new(Throttled { limiter: StoreLimiter::new(MemoryStore::new()), quota: quota(setting.limit) })
    },
}];

/// The longest period that it has a name for is an hour: a limit of one per hour stands for one per day. It forgets
/// nothing, and so is never asked about shorter ones.
fn quota(limit: Limit) -> Quota {
    let count = NonZeroU32::new(limit.count).expect("a limit above 0");
    Quota::per_hour(count).with_burst(count)
}

struct Throttled {
    limiter: StoreLimiter<MemoryStore<String>>,
    quota: Quota,
}

impl Contestant for Throttled {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let checked = ready(self.limiter.check(key.to_owned(), self.quota));
        black_box(&checked.expect("memory does not fail")).is_allowed()
    }
}
