//! All checks in one go, and which of them failed.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Harness, for_each_check};

/// A check of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What it is called, in [`checks`](super::checks) and as a test.
    pub name: &'static str,
    /// What it holds, in a sentence.
    pub holds: &'static str,
}

/// A check that a backend did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// The rule that was broken, what was expected, and what was seen.
    pub message: String,
}

/// The checks that a backend did not pass: one at least.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// The failures, in the order of [`CHECKS`](super::CHECKS).
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backend breaks its contract in {} of {} checks", self.0.len(), super::CHECKS.len())?;
        for Failure { check, message } in &self.0 {
            write!(f, "\n\n{check}:\n{message}")?;
        }
        Ok(())
    }
}

// As a test shows it that returns or unwraps it.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failures {}

/// Runs every check, also after one has failed.
///
/// A check fails by a panic, which the panic hook reports as it happens.
///
/// # Errors
///
/// The checks that the backend did not pass.
pub fn run<H: Harness>(harness: &H) -> Result<(), Failures> {
    let mut failures = Vec::new();
    for_each_check(|check, hold: fn(&H)| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| hold(harness))) {
            let message = message_of(panic.as_ref());
            failures.push(Failure { check, message });
        }
    });
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("it panicked, with a payload that is no text")
        .to_owned()
}
