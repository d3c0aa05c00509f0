//! Runs all checks, and reports those that failed.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Harness;
use super::list::{CHECKS, for_each_check};

/// A check that a backend failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// The broken rule, the expected result, and the result that the backend returned.
    pub message: String,
}

/// The checks that a backend failed: at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// Returns the failures, in the order of [`CHECKS`].
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.0.iter()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backend failed {} of {} conformance checks", self.0.len(), CHECKS.len())?;
        for Failure { check, message } in &self.0 {
            write!(f, "\n\n{check}:\n{message}")?;
        }
        Ok(())
    }
}

/// Writes the same text as `Display`, since a test that returns or unwraps the error prints
/// `Debug`.
impl fmt::Debug for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failures {}

/// Runs every check, also after one has failed.
///
/// A check fails by a panic, so the panic hook prints each failure when it happens.
///
/// # Errors
///
/// [`Failures`] if the backend failed at least one check.
pub fn run<H: Harness>(harness: &H) -> Result<(), Failures> {
    let mut failures = Vec::new();
    for_each_check(|check, function: fn(&H)| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| function(harness))) {
            let message = message_of(panic.as_ref());
            failures.push(Failure { check, message });
        }
    });
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the check panicked without a message")
        .to_owned()
}
