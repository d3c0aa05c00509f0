//! [`rate-net`](https://docs.rs/rate-net).

use std::hint::black_box;

use rate_net::{DEFAULT_MAX_KEYS, Eviction, RateLimiter};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "rate-net",
    about: "`check(&str)`, its token bucket; reads the decision",
    own_store: true,
    forgets: Forgets::ByItself,
    enter: |setting| Box::new(RateNet::new(setting)),
}];

struct RateNet(RateLimiter);

impl RateNet {
    /// It holds no more keys than it is told to: twice what will come, or its default, so that none gives way.
    fn new(setting: &Setting) -> Self {
        let eviction = Eviction::capacity(DEFAULT_MAX_KEYS.max(2 * setting.keys));
        let eviction = if setting.forgets { eviction.with_idle(setting.limit.period) } else { eviction };
        let builder = RateLimiter::builder().quota(setting.limit.count, setting.limit.period);
        Self(builder.burst(setting.limit.count).eviction(eviction).try_build().expect("a valid limiter"))
    }
}

impl Contestant for RateNet {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(self.0.check(key)).is_allow()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.0.tracked_keys())
    }
}
