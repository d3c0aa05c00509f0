//! Workloads: the calls that every subject has to decide.

use crate::keys::{self, Distribution};
use crate::subject::{Entry, Limit, Settings, Subject};

/// The outcome of every call of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Outcome {
    /// The call is admitted and counted.
    Admitted,
    /// The call is refused.
    Refused,
}

impl Outcome {
    /// Returns the label used in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
        }
    }

    const fn limit(self) -> Limit {
        match self {
            Self::Admitted => Limit::AMPLE,
            Self::Refused => Limit::ONE_PER_DAY,
        }
    }

    /// Returns how many of `calls` calls should be admitted.
    pub const fn admitted_of(self, calls: usize) -> usize {
        match self {
            Self::Admitted => calls,
            Self::Refused => 0,
        }
    }

    /// Builds the limiter of an entry, with `keys` known keys that all have this outcome.
    pub fn prepare(self, entry: &Entry, keys: usize) -> Box<dyn Subject> {
        let subject = (entry.build)(&Settings { limit: self.limit(), keys, remove_expired: false });
        let keys = keys::each_once(keys);
        subject.decide_each(&keys);
        if self == Self::Refused {
            // Some limiters admit more than the limit at first.
            let mut passes = 0..MAX_EXTRA_PASSES;
            while passes.next().is_some() && subject.decide_each(&keys) > 0 {}
        }
        subject
    }
}

/// The maximum number of extra passes over the keys until all are refused.
const MAX_EXTRA_PASSES: usize = 5;

/// One workload; each has a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// The number of keys.
    pub keys: usize,
    /// How often each key occurs.
    pub distribution: Distribution,
    /// The outcome of every call.
    pub outcome: Outcome,
    /// The number of calling threads.
    pub threads: usize,
}

impl Workload {
    /// Returns the label of the keys in tables: `1 hot key` or, for example, `10 k keys, uniform`.
    pub fn keys_label(&self) -> String {
        match self.keys {
            1 => "1 hot key".to_owned(),
            keys => format!("{} keys, {}", abbreviated(keys), self.distribution.as_str()),
        }
    }
}

/// Abbreviates whole thousands and millions: `10 k`, `1 M`.
pub fn abbreviated(count: usize) -> String {
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
    fn whole_thousands_and_millions_are_abbreviated() {
        assert_eq!(
            [1, 1_000, 100_000, 1_000_000, 1_234].map(abbreviated),
            ["1", "1 k", "100 k", "1 M", "1234"]
        );
    }
}
