//! Everybody who takes part: one file per limiter.

mod aerorate;
mod gcra;
mod governor;
mod limitador;
mod limited;
mod nothing;
mod rate_net;
mod ratelimit;
mod throttle_kit;
mod throttlecrab;
mod throttled;
mod trypema;

use crate::contestant::Entry;

pub use nothing::{NOTHING, Nothing};

/// The name of the entry that all others are compared with.
pub const REFERENCE: &str = governor::ENTRIES[0].name;

/// Every entry, in the order of the tables.
pub fn all() -> impl Iterator<Item = &'static Entry> {
    [
        limited::ENTRIES,
        governor::ENTRIES,
        rate_net::ENTRIES,
        aerorate::ENTRIES,
        throttlecrab::ENTRIES,
        throttled::ENTRIES,
        throttle_kit::ENTRIES,
        gcra::ENTRIES,
        ratelimit::ENTRIES,
        trypema::ENTRIES,
        limitador::ENTRIES,
        nothing::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

/// The entry of that name.
pub fn named(name: &str) -> Option<&'static Entry> {
    all().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::keys::{self, Draw};
    use crate::workload::Outcome;

    #[test]
    fn names_are_unique_and_the_reference_is_among_them() {
        let names: HashSet<_> = all().map(|entry| entry.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.contains(REFERENCE));
    }

    #[test]
    fn who_is_prepared_to_refuse_refuses() {
        for entry in all().filter(|entry| entry.name != NOTHING) {
            let contestant = Outcome::Refused.prepare(entry, 10);
            let sequence = keys::sequence(10, Draw::Uniform, 1);
            assert_eq!(contestant.decide_each(&sequence), 0, "{}", entry.name);
        }
    }

    #[test]
    fn who_is_prepared_to_admit_admits() {
        for entry in all() {
            let contestant = Outcome::Admitted.prepare(entry, 10);
            let sequence = keys::sequence(10, Draw::Uniform, 1);
            assert_eq!(contestant.decide_each(&sequence), sequence.len(), "{}", entry.name);
        }
    }
}
