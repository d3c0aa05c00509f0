//! [`gcra`](https://docs.rs/gcra), its keyed limiter.

use std::hint::black_box;

use gcra::{RateLimit, RateLimiter};

use crate::poll_once::poll_once;
use crate::subject::{Cleanup, Entry, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "gcra",
    about: "`check(String, &limit, 1)` with a `String` made from the `&str`, its future polled once",
    own_store: true,
    cleanup: Cleanup::OnRequest,
    build: |settings| {
        Box::new(Gcra {
            limiter: RateLimiter::new(0),
            limit: RateLimit::new(settings.limit.count, settings.limit.period),
        })
    },
}];

struct Gcra {
    limiter: RateLimiter<String>,
    limit: RateLimit,
}

impl Subject for Gcra {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&poll_once(self.limiter.check(key.to_owned(), &self.limit, 1))).is_ok()
    }

    fn clean_up(&self) {
        self.limiter.prune_expired();
    }
}
