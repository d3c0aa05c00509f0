//! [`limitador`](https://docs.rs/limitador), in memory.

use std::collections::HashMap;
use std::hint::black_box;

use limitador::RateLimiter;
use limitador::limit::{Context, Limit, Namespace};

use crate::contestant::{Contestant, Entry, Forgets, Setting};

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "limitador",
    about: "`check_rate_limited_and_update` by one limit with one variable; its context takes a \
            `HashMap<String, String>`, made of the `&str`",
    own_store: true,
    forgets: Forgets::Never,
    enter: |setting| Box::new(Limitador::new(setting)),
}];

const VARIABLE: &str = "user_id";

struct Limitador {
    limiter: RateLimiter,
    namespace: Namespace,
}

impl Limitador {
    /// It holds no more keys than it is told to: twice what will come, so that none gives way.
    fn new(setting: &Setting) -> Self {
        let limiter = RateLimiter::new(2 * setting.keys.max(1_000) as u64);
        limiter.add_limit(Limit::new(
            "api",
            setting.limit.count.into(),
            setting.limit.period.as_secs(),
            Vec::new(),
            vec![VARIABLE.try_into().expect("a variable")],
        ));
        Self { limiter, namespace: "api".into() }
    }
}

impl Contestant for Limitador {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let context = Context::from(HashMap::from([(VARIABLE.to_owned(), key.to_owned())]));
        let checked = self.limiter.check_rate_limited_and_update(&self.namespace, &context, 1);
        !black_box(&checked.expect("memory does not fail")).limited
    }
}
