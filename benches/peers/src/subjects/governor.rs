//! [`governor`](https://docs.rs/governor), keyed: with its defaults, with a fast hasher, with state
//! information, and over `&'static str`.

use std::hash::{BuildHasher, Hash, RandomState};
use std::hint::black_box;
use std::num::NonZeroU32;

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "governor",
        about: "`RateLimiter::keyed`, its defaults: DashMap, quanta's clock, and only admission and retry time as result; \
                `check_key(&String)` with a `String` made from the `&str`",
        own_store: true,
        cleanup: Cleanup::OnRequest,
        build: |settings| Box::new(Plain(RateLimiter::<String, _, _>::keyed(quota(settings)))),
    },
    Entry {
        name: "governor/foldhash",
        about: "the same, with `foldhash::fast` as its hasher",
        own_store: false,
        cleanup: Cleanup::OnRequest,
        build: |settings| Box::new(Plain::<String, _>(with_hasher::<foldhash::fast::RandomState>(settings))),
    },
    Entry {
        name: "governor/state",
        about: "its defaults with `StateInformationMiddleware`; reads the remaining burst capacity, or the wait time \
                from now if refused: what `limited` reports in each decision",
        own_store: false,
        cleanup: Cleanup::OnRequest,
        build: |settings| Box::new(WithState(RateLimiter::keyed(quota(settings)).with_middleware())),
    },
    Entry {
        name: "governor/static",
        about: "its defaults over `&'static str`; makes no `String`, which is possible only with `'static` keys",
        own_store: false,
        cleanup: Cleanup::OnRequest,
        build: |settings| Box::new(Plain(RateLimiter::<&'static str, _, _>::keyed(quota(settings)))),
    },
    Entry {
        name: "governor/three-limiters",
        about: "three limiters with its defaults, checked one after the other with one `String`, until one refuses; \
                a refusal leaves the hits before it counted",
        own_store: false,
        cleanup: Cleanup::OnRequest,
        build: |settings| Box::new(Three([(); 3].map(|()| RateLimiter::keyed(quota(settings))))),
    },
];

fn quota(settings: &Settings) -> Quota {
    let burst = NonZeroU32::new(settings.limit.count).expect("the limit is above 0");
    Quota::with_period(settings.limit.emission_interval())
        .expect("the interval is above 0")
        .allow_burst(burst)
}

type Keyed<K, H> = RateLimiter<K, DashMapStateStore<K, H>, DefaultClock>;

fn with_hasher<H: BuildHasher + Default + Clone>(settings: &Settings) -> Keyed<String, H> {
    RateLimiter::new(quota(settings), DashMap::with_hasher(H::default()), DefaultClock::default())
}

struct Plain<K: Clone + Hash + Eq, H: BuildHasher + Clone>(Keyed<K, H>);

impl<K, H> Subject for Plain<K, H>
where
    K: From<&'static str> + Clone + Hash + Eq + Send + Sync,
    H: BuildHasher + Clone + Send + Sync,
{
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        black_box(&self.0.check_key(&K::from(key))).is_ok()
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn clean_up(&self) {
        self.0.retain_recent();
    }
}

struct Three([Keyed<String, RandomState>; 3]);

impl Subject for Three {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let key = String::from(key);
        self.0.iter().all(|limiter| black_box(&limiter.check_key(&key)).is_ok())
    }

    fn clean_up(&self) {
        self.0.iter().for_each(RateLimiter::retain_recent);
    }
}

struct WithState(
    RateLimiter<String, DashMapStateStore<String, RandomState>, DefaultClock, StateInformationMiddleware>,
);

impl Subject for WithState {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        match self.0.check_key(&key.to_owned()) {
            Ok(state) => {
                black_box(state.remaining_burst_capacity());
                true
            }
            Err(not_until) => {
                black_box(not_until.wait_time_from(self.0.clock().now()));
                false
            }
        }
    }

    fn clean_up(&self) {
        self.0.retain_recent();
    }
}
