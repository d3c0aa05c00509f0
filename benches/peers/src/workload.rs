//! What is asked of everybody.

use crate::contestant::{Contestant, Entry, Limit, Setting};
use crate::keys::{self, Draw};

/// What every call is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Outcome {
    /// Yes, and counted.
    Admitted,
    /// No.
    Refused,
}

impl Outcome {
    /// The word for it in a table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Self::Admitted => Limit::AMPLE,
            Self::Refused => Limit::ONCE,
        }
    }

    /// How many of `calls` calls are to be admitted.
    pub const fn admitted_of(self, calls: usize) -> usize {
        match self {
            Self::Admitted => calls,
            Self::Refused => 0,
        }
    }

    /// The entry's limiter, which knows `keys` keys and gives this answer about each.
    pub fn prepare(self, entry: &Entry, keys: usize) -> Box<dyn Contestant> {
        let contestant = (entry.enter)(&Setting { limit: self.limit(), keys, forgets: false });
        let keys = keys::each_once(keys);
        contestant.decide_each(&keys);
        if self == Self::Refused {
            // Some admit more than the limit at first.
            let mut passes = 0..MOST_EXCESS;
            while passes.next().is_some() && contestant.decide_each(&keys) > 0 {}
        }
        contestant
    }
}

/// How often a key that is to be refused is asked about, at most, until it is.
const MOST_EXCESS: usize = 5;

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// How many keys there are.
    pub keys: usize,
    /// How often each comes.
    pub draw: Draw,
    /// What they are answered.
    pub outcome: Outcome,
    /// How many threads ask.
    pub threads: usize,
}

impl Workload {
    /// What the keys are called in a table: one hot key, or so many of them.
    pub fn keys_in_words(&self) -> String {
        match self.keys {
            1 => "1 hot key".to_owned(),
            keys => format!("{} keys, {}", in_thousands(keys), self.draw.as_str()),
        }
    }
}

/// `10 k`, `1 M`.
pub fn in_thousands(count: usize) -> String {
    match count {
        _ if count >= 1_000_000 && count.is_multiple_of(1_000_000) => format!("{} M", count / 1_000_000),
        _ if count >= 1_000 && count.is_multiple_of(1_000) => format!("{} k", count / 1_000),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_are_short() {
        assert_eq!(
            [1, 1_000, 100_000, 1_000_000, 1_234].map(in_thousands),
            ["1", "1 k", "100 k", "1 M", "1234"]
        );
    }
}
