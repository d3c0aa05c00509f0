//! [`trypema`](https://docs.rs/trypema), its local provider and strict strategy.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use trypema::local::LocalRateLimiterProvider;
use trypema::{RateLimit, RateLimitDecision, RateLimiterBuilder, WindowSize};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "trypema",
    about: "`absolute().inc(&str, &rate, 1)`; reads the decision; a background thread cleans up",
    own_store: true,
    cleanup: Cleanup::Automatic,
    build: |settings| Box::new(Trypema::new(settings)),
}];

struct Trypema {
    provider: Arc<LocalRateLimiterProvider>,
    rate: RateLimit,
}

impl Trypema {
    fn new(settings: &Settings) -> Self {
        let seconds = settings.limit.period.as_secs();
        let builder = LocalRateLimiterProvider::builder().window_size(WindowSize::seconds_or_panic(seconds));
        let builder = if settings.remove_expired {
            builder.stale_after(Duration::from_secs(1)).cleanup_interval(Duration::from_secs(1))
        } else {
            builder
        };
        let rate = f64::from(settings.limit.count) / settings.limit.period.as_secs_f64();
        Self {
            provider: builder.build().expect("the settings are valid"),
            rate: RateLimit::per_second_or_panic(rate),
        }
    }
}

impl Subject for Trypema {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        matches!(black_box(self.provider.absolute().inc(key, &self.rate, 1)), RateLimitDecision::Allowed)
    }
}
