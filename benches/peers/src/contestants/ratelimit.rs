//! [`ratelimit`](https://docs.rs/ratelimit): not keyed, and so in a map of the user's own.

use std::hint::black_box;

use dashmap::DashMap;
use ratelimit::Ratelimiter;

use crate::contestant::{Contestant, Entry, Forgets, Limit};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "ratelimit+dashmap",
    about: "`try_wait()` on a limiter per key in a `DashMap<String, Ratelimiter>`, looked up by the `&str`",
    own_store: true,
    forgets: Forgets::Never,
    enter: |setting| Box::new(Ratelimit { limiters: DashMap::new(), limit: setting.limit }),
}];

struct Ratelimit {
    limiters: DashMap<String, Ratelimiter>,
    limit: Limit,
}

impl Ratelimit {
    fn limiter(&self) -> Ratelimiter {
        let count = u64::from(self.limit.count);
        let builder = Ratelimiter::builder(count).period(self.limit.period);
        builder.max_tokens(count).initial_available(count).build().expect("a valid limit")
    }
}

impl Contestant for Ratelimit {
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
