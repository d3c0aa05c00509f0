//! [`aerorate`](https://docs.rs/aerorate), its keyed limiter.

use std::hint::black_box;

use aerorate::{KeyedRateLimiter, Quota};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "aerorate",
    about: "`check(&str)` on a limiter over `String`; reads the result",
    own_store: true,
    cleanup: Cleanup::OnRequest,
    build: |settings| {
        let quota = Quota::with_period(settings.limit.count, settings.limit.period);
        let limiter = KeyedRateLimiter::new(quota.allow_burst(settings.limit.count));
        Box::new(Aerorate { limiter, settings: *settings })
    },
}];

struct Aerorate {
    limiter: KeyedRateLimiter<String>,
    settings: Settings,
}

impl Subject for Aerorate {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&self.limiter.check(key)).is_allowed()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.limiter.len())
    }

    fn clean_up(&self) {
        self.limiter.clean_idle(self.settings.limit.period);
    }
}
