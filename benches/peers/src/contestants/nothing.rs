//! Nobody: what the loop itself takes.

use std::hint::black_box;

use crate::contestant::{Contestant, Entry, Forgets};

/// The name of the entry that decides nothing.
pub const NOTHING: &str = "(nothing)";

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: NOTHING,
    about: "the loop alone: no limiter",
    own_store: false,
    forgets: Forgets::Never,
    enter: |_| Box::new(Nothing),
}];

/// Admits everything, without looking.
#[derive(Debug)]
pub struct Nothing;

impl Contestant for Nothing {
    #[inline]
    fn decide(&self, _: &'static str) -> bool {
        black_box(true)
    }
}
