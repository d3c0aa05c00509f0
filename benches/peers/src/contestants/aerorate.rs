//! [`aerorate`](https://docs.rs/aerorate), its keyed limiter.

use std::hint::black_box;

use aerorate::{KeyedRateLimiter, Quota};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "aerorate",
    about: "`check(&str)` on a limiter over `String`; reads the result",
    own_store: true,
    forgets: Forgets::OnRequest,
    enter: |setting| {
        let quota = Quota::with_period(setting.limit.count, setting.limit.period);
        let limiter = KeyedRateLimiter::new(quota.allow_burst(setting.limit.count));
        Box::new(Aerorate { limiter, setting: *setting })
    },
}];

struct Aerorate {
    limiter: KeyedRateLimiter<String>,
    setting: Setting,
}

impl Contestant for Aerorate {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&self.limiter.check(key)).is_allowed()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.limiter.len())
    }

    fn clean_up(&self) {
        self.limiter.clean_idle(self.setting.limit.period);
    }
}
