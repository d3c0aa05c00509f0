//! [`throttlecrab`](https://docs.rs/throttlecrab).

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use throttlecrab::{PeriodicStore, RateLimiter};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttlecrab",
    about: "`rate_limit(&str, …, SystemTime::now())` over its periodic store, in a `Mutex`, since it takes \
            `&mut self`",
    own_store: true,
    cleanup: Cleanup::Automatic,
    build: |settings| Box::new(Throttlecrab::new(settings)),
}];

/// With a burst of 1, `throttlecrab` 0.4.40 refuses nothing.
const MIN_BURST: i64 = 2;

/// Uses the store that its README shows first. The adaptive store is too slow for a million keys:
/// beyond its reserved capacity, it scans all keys at almost every new one, which takes many
/// minutes.
struct Throttlecrab {
    limiter: Mutex<RateLimiter<PeriodicStore>>,
    burst: i64,
    count: i64,
    seconds: i64,
}

impl Throttlecrab {
    fn new(settings: &Settings) -> Self {
        let store = if settings.remove_expired {
            PeriodicStore::builder().cleanup_interval(Duration::from_secs(1)).build()
        } else {
            PeriodicStore::new()
        };
        Self {
            limiter: Mutex::new(RateLimiter::new(store)),
            burst: i64::from(settings.limit.count).max(MIN_BURST),
            count: settings.limit.count.into(),
            seconds: i64::try_from(settings.limit.period.as_secs()).expect("the period is short"),
        }
    }
}

impl Subject for Throttlecrab {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let mut limiter = self.limiter.lock().expect("no thread panics while it holds the lock");
        let decided = limiter.rate_limit(key, self.burst, self.count, self.seconds, 1, SystemTime::now());
        black_box(&decided.expect("the limit is valid")).0
    }
}
