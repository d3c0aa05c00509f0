//! [`governor`](https://docs.rs/governor), keyed: with its defaults, with a fast hasher, with what it can tell about
//! the state, and over keys that live for ever.

use std::hash::{BuildHasher, Hash, RandomState};
use std::hint::black_box;
use std::num::NonZeroU32;

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "governor",
        about: "`RateLimiter::keyed`, its defaults: DashMap, quanta's clock, no information but yes or no and when; \
                `check_key(&String)`, the `String` made of the `&str`",
        own_store: true,
        forgets: Forgets::OnRequest,
        enter: |setting| Box::new(Plain(RateLimiter::<String, _, _>::keyed(quota(setting)))),
    },
    Entry {
        name: "governor/foldhash",
        about: "the same, with `foldhash::fast` for a hasher",
        own_store: false,
        forgets: Forgets::OnRequest,
        enter: |setting| Box::new(Plain::<String, _>(with_hasher::<foldhash::fast::RandomState>(setting))),
    },
    Entry {
        name: "governor/state",
        about: "its defaults with `StateInformationMiddleware`: reads what remains, and of a refusal `wait_time_from` \
                now, which is what `limited` tells in each decision",
        own_store: false,
        forgets: Forgets::OnRequest,
        enter: |setting| Box::new(WithState(RateLimiter::keyed(quota(setting)).with_middleware())),
    },
    Entry {
        name: "governor/static",
        about: "its defaults over `&'static str`: no `String` is made, which only keys that live for ever allow",
        own_store: false,
        forgets: Forgets::OnRequest,
        enter: |setting| Box::new(Plain(RateLimiter::<&'static str, _, _>::keyed(quota(setting)))),
    },
];

fn quota(setting: &Setting) -> Quota {
    let burst = NonZeroU32::new(setting.limit.count).expect("a limit above 0");
    Quota::with_period(setting.limit.interval()).expect("an interval above 0").allow_burst(burst)
}

type Keyed<K, H> = RateLimiter<K, DashMapStateStore<K, H>, DefaultClock>;

fn with_hasher<H: BuildHasher + Default + Clone>(setting: &Setting) -> Keyed<String, H> {
    RateLimiter::new(quota(setting), DashMap::with_hasher(H::default()), DefaultClock::default())
}

struct Plain<K: Clone + Hash + Eq, H: BuildHasher + Clone>(Keyed<K, H>);

impl<K, H> Contestant for Plain<K, H>
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

struct WithState(
    RateLimiter<String, DashMapStateStore<String, RandomState>, DefaultClock, StateInformationMiddleware>,
);

impl Contestant for WithState {
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
