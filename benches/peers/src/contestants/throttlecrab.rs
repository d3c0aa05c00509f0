//! [`throttlecrab`](https://docs.rs/throttlecrab).

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use throttlecrab::{PeriodicStore, RateLimiter};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "throttlecrab",
    about: "`rate_limit(&str, …, SystemTime::now())` over its periodic store; it takes `&mut self`, and so a `Mutex` \
            around it to be shared",
    own_store: true,
    forgets: Forgets::ByItself,
    enter: |setting| Box::new(Throttlecrab::new(setting)),
}];

/// With a burst of 1 it refuses nothing (0.4.40).
const SMALLEST_BURST: i64 = 2;

/// Over the store that its README begins with. The adaptive one looks at all keys at almost every new one once there are
/// more than room was reserved for, so that a million of them take many minutes.
struct Throttlecrab {
    limiter: Mutex<RateLimiter<PeriodicStore>>,
    burst: i64,
    count: i64,
    seconds: i64,
}

impl Throttlecrab {
    fn new(setting: &Setting) -> Self {
        let store = if setting.forgets {
            PeriodicStore::builder().cleanup_interval(Duration::from_secs(1)).build()
        } else {
            PeriodicStore::new()
        };
        Self {
            limiter: Mutex::new(RateLimiter::new(store)),
            burst: i64::from(setting.limit.count).max(SMALLEST_BURST),
            count: setting.limit.count.into(),
            seconds: i64::try_from(setting.limit.period.as_secs()).expect("a short period"),
        }
    }
}

impl Contestant for Throttlecrab {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let mut limiter = self.limiter.lock().expect("nobody panics");
        let decided = limiter.rate_limit(key, self.burst, self.count, self.seconds, 1, SystemTime::now());
        black_box(&decided.expect("a valid limit")).0
    }
}
