//! [`gcra`](https://docs.rs/gcra), its keyed limiter.

use std::hint::black_box;

use gcra::{RateLimit, RateLimiter};

use crate::contestant::{Contestant, Entry, Forgets};
use crate::ready::ready;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "gcra",
    about: "`check(String, &limit, 1)`, the `String` made of the `&str`, its future polled by the smallest executor",
    own_store: true,
    forgets: Forgets::OnRequest,
    enter: |setting| {
        Box::new(Gcra {
            limiter: RateLimiter::new(0),
            limit: RateLimit::new(setting.limit.count, setting.limit.period),
        })
    },
}];

struct Gcra {
    limiter: RateLimiter<String>,
    limit: RateLimit,
}

impl Contestant for Gcra {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&ready(self.limiter.check(key.to_owned(), &self.limit, 1))).is_ok()
    }

    fn clean_up(&self) {
        self.limiter.prune_expired();
    }
}
