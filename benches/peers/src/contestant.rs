//! What a limiter has to do to take part.

use std::hint::black_box;
use std::time::{Duration, Instant};

use crate::latencies::Latencies;

/// How much a key may do in how long. Bursts of the whole count are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How much.
    pub count: u32,
    /// In how long.
    pub period: Duration,
}

impl Limit {
    /// A limit that no run comes near, yet one that a quota can really have: every limiter has to do its arithmetic.
    pub const AMPLE: Self = Self { count: 1_000_000_000, period: Duration::from_secs(3600) };

    /// A limit that is used up by the first call, for longer than any run.
    pub const ONCE: Self = Self { count: 1, period: Duration::from_secs(24 * 3600) };

    /// A limit after which a key can soon be forgotten, but not before a million of them are there.
    pub const SHORT: Self = Self { count: 10, period: Duration::from_secs(2) };

    /// How long one of the count takes to come back.
    pub fn interval(&self) -> Duration {
        self.period / self.count
    }
}

/// What a limiter is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The limit of every key.
    pub limit: Limit,
    /// How many keys will come. For limiters that hold no more than they are told to; nobody reserves room for them.
    pub keys: usize,
    /// Whether limiters that can be told to forget expired keys, or to do so sooner, are told.
    pub forgets: bool,
}

/// When a limiter forgets keys that have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgets {
    /// Never.
    Never,
    /// When it is called, or in the background.
    ByItself,
    /// When [`Contestant::clean_up`] is called.
    OnRequest,
}

impl Forgets {
    /// The word for it in a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::ByItself => "by itself",
            Self::OnRequest => "on request",
        }
    }
}

/// A limiter that takes part.
///
/// The loops are provided methods, so that each is compiled for each limiter: within a slice nothing is called through
/// the trait object that the rounds hold.
pub trait Contestant: Send + Sync {
    /// Decides about one, as a program that has the key as a `&str` would, and reads whatever the answer carries.
    ///
    /// Keys live for ever, so that a limiter over `&'static str` can take part too; others are not to make use of it.
    fn decide(&self, key: &'static str) -> bool;

    /// Decides about one for each key, and says how many were admitted.
    fn decide_each(&self, keys: &[&'static str]) -> usize {
        let mut admitted = 0;
        for key in keys {
            admitted += usize::from(black_box(self.decide(black_box(*key))));
        }
        admitted
    }

    /// Decides about one for each key, and records how long each took, with one reading of the timer.
    fn time_each(&self, keys: &[&'static str], latencies: &mut Latencies) {
        let mut before = Instant::now();
        for key in keys {
            black_box(self.decide(black_box(*key)));
            let after = Instant::now();
            latencies.record(after - before);
            before = after;
        }
    }

    /// How many keys are known, where the limiter tells.
    fn known_keys(&self) -> Option<usize> {
        None
    }

    /// Forgets expired keys, where the limiter does so [on request](Forgets::OnRequest).
    fn clean_up(&self) {}
}

/// How a limiter enters.
#[derive(Clone, Copy)]
pub struct Entry {
    /// What it is called in the tables, and on the command line.
    pub name: &'static str,
    /// How it is called, and what it needs of a `&str`.
    pub about: &'static str,
    /// Whether it keeps keys in another way than the entries before it, so that their memory and stalls are worth
    /// measuring.
    pub own_store: bool,
    /// When it forgets keys, in a [`Setting`] that asks for it.
    pub forgets: Forgets,
    /// Makes one.
    pub enter: fn(&Setting) -> Box<dyn Contestant>,
}
