//! [`rate-net`](https://docs.rs/rate-net).

use std::hint::black_box;

use rate_net::{DEFAULT_MAX_KEYS, Eviction, RateLimiter};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "rate-net",
    about: "`check(&str)`, its token bucket; reads the decision",
    own_store: true,
    cleanup: Cleanup::Automatic,
    build: |settings| Box::new(RateNet::new(settings)),
}];

struct RateNet(RateLimiter);

impl RateNet {
    /// Sets a capacity of twice the expected keys, at least the default, so that none is evicted.
    fn new(settings: &Settings) -> Self {
        let eviction = Eviction::capacity(DEFAULT_MAX_KEYS.max(2 * settings.keys));
        let eviction =
            if settings.remove_expired { eviction.with_idle(settings.limit.period) } else { eviction };
        let builder = RateLimiter::builder().quota(settings.limit.count, settings.limit.period);
        Self(
            builder
                .burst(settings.limit.count)
                .eviction(eviction)
                .try_build()
                .expect("the settings are valid"),
        )
    }
}

impl Subject for RateNet {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(self.0.check(key)).is_allow()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.0.tracked_keys())
    }
}
