//! [`limitador`](https://docs.rs/limitador), in memory.

use std::collections::HashMap;
use std::hint::black_box;

use limitador::RateLimiter;
use limitador::limit::{Context, Limit, Namespace};

use crate::subject::{Cleanup, Entry, Settings, Subject};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "limitador",
    about: "`check_rate_limited_and_update` with one limit and one variable; its context takes a \
            `HashMap<String, String>`, made from the `&str`",
    own_store: true,
    cleanup: Cleanup::Never,
    build: |settings| Box::new(Limitador::new(settings)),
}];

const VARIABLE: &str = "user_id";

struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

impl Limitador {
    /// Sets a capacity of twice the expected keys, so that none is evicted.
    fn new(settings: &Settings) -> Self {
        let limiter = RateLimiter::new(2 * settings.keys.max(1_000) as u64);
        limiter.add_limit(Limit::new(
            "api",
            settings.limit.count.into(),
            settings.limit.period.as_secs(),
            Vec::new(),
            vec![VARIABLE.try_into().expect("the variable is valid")],
        ));
        Self { limiter, namespace: "api".into() }
    }
}

impl Subject for Limitador {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let context = Context::from(HashMap::from([(VARIABLE.to_owned(), key.to_owned())]));
        let checked = self.limiter.check_rate_limited_and_update(&self.namespace, &context, 1);
        !black_box(&checked.expect("the in-memory store does not fail")).limited
    }
}
