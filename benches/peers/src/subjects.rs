//! The list of measured limiters, with one file for each library.

mod aerorate;
mod empty_loop;
mod gcra;
mod governor;
mod limitador;
mod limited;
mod rate_net;
mod ratelimit;
mod throttle_kit;
mod throttlecrab;
mod throttled;
mod trypema;

use anyhow::Context;

use crate::subject::Entry;

pub use empty_loop::{EMPTY_LOOP, EmptyLoop};

/// The name of the entry that all others are compared with.
pub const REFERENCE: &str = governor::ENTRIES[0].name;

/// Returns every entry, in the order of the tables.
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
        empty_loop::ENTRIES,
    ]
    .into_iter()
    .flatten()
}

/// Returns the entry with a name.
///
/// # Errors
///
/// Returns an error if there is none.
pub fn named(name: &str) -> anyhow::Result<&'static Entry> {
    let found = all().find(|entry| entry.name == name);
    found.with_context(|| format!("unknown limiter `{name}`; run with `--list` to see all names"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::keys::{self, Distribution};
    use crate::workload::Outcome;

    #[test]
    fn names_are_unique_and_include_the_reference() {
        let names: HashSet<_> = all().map(|entry| entry.name).collect();
        assert_eq!(names.len(), all().count());
        assert!(names.contains(REFERENCE));
    }

    #[test]
    fn subjects_prepared_to_refuse_refuse_all_calls() {
        for entry in all().filter(|entry| entry.name != EMPTY_LOOP) {
            let subject = Outcome::Refused.prepare(entry, 10);
            let sequence = keys::sequence(10, Distribution::Uniform, 1);
            assert_eq!(subject.decide_each(&sequence), 0, "{}", entry.name);
        }
    }

    #[test]
    fn subjects_prepared_to_admit_admit_all_calls() {
        for entry in all() {
            let subject = Outcome::Admitted.prepare(entry, 10);
            let sequence = keys::sequence(10, Distribution::Uniform, 1);
            assert_eq!(subject.decide_each(&sequence), sequence.len(), "{}", entry.name);
        }
    }
}
