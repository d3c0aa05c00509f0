//! [`ratelimit`](https://docs.rs/ratelimit), which has no keys, in a `DashMap`.

use std::hint::black_box;

use dashmap::DashMap;
use ratelimit::Ratelimiter;

use crate::subject::{Cleanup, Entry, Limit, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "ratelimit+dashmap",
    about: "`try_wait()` on a limiter per key in a `DashMap<String, Ratelimiter>`, looked up with the `&str`",
    own_store: true,
    cleanup: Cleanup::Never,
    build: |settings| Box::new(Ratelimit { limiters: DashMap::new(), limit: settings.limit }),
}];

struct Ratelimit {
    limiters: DashMap<String, Ratelimiter>,
    limit: Limit,
}

impl Ratelimit {
    fn limiter(&self) -> Ratelimiter {
        let count = u64::from(self.limit.count);
        let builder = Ratelimiter::builder(count).period(self.limit.period);
        builder.max_tokens(count).initial_available(count).build().expect("the limit is valid")
    }
}

impl Subject for Ratelimit {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let waited = match self.limiters.get(key) {
            Some(limiter) => limiter.try_wait(),
            None => self.limiters.entry(key.to_owned()).or_insert_with(|| self.limiter()).try_wait(),
        };
        black_box(&waited).is_ok()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.limiters.len())
    }
}
