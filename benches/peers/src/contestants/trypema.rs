//! [`trypema`](https://docs.rs/trypema), its local provider and strict strategy.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use trypema::local::LocalRateLimiterProvider;
use trypema::{RateLimit, RateLimitDecision, RateLimiterBuilder, WindowSize};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "trypema",
    about: "`absolute().inc(&str, &rate, 1)`; reads the decision; a thread of its own cleans up",
    own_store: true,
    forgets: Forgets::ByItself,
    enter: |setting| Box::new(Trypema::new(setting)),
}];

struct Trypema {
    provider: Arc<LocalRateLimiterProvider>,
    rate: RateLimit,
}

impl Trypema {
    fn new(setting: &Setting) -> Self {
        let seconds = setting.limit.period.as_secs();
        let builder = LocalRateLimiterProvider::builder().window_size(WindowSize::seconds_or_panic(seconds));
        let builder = if setting.forgets {
            builder.stale_after(Duration::from_secs(1)).cleanup_interval(Duration::from_secs(1))
        } else {
            builder
        };
        let rate = f64::from(setting.limit.count) / setting.limit.period.as_secs_f64();
        Self { provider: builder.build().expect("a provider"), rate: RateLimit::per_second_or_panic(rate) }
    }
}

impl Contestant for Trypema {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        matches!(black_box(self.provider.absolute().inc(key, &self.rate, 1)), RateLimitDecision::Allowed)
    }
}
