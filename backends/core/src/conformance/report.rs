//! Runs all checks, and reports those that failed.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Harness;
use super::list::{CHECKS, for_each_check};
use super::skip::Skip;

/// A check that a backend failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The name of the check.
    pub check: &'static str,
    /// The broken rule, the expected result, and the result that the backend returned.
    pub message: String,
}

/// A check that tested less than it could.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The name of the check.
    pub check: &'static str,
    /// What it skipped.
    pub skip: Skip,
}

/// The report of a suite that a backend passed. `Display` says what was skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<Skipped>);

impl Report {
    /// Returns the checks that tested less than they could, in the order of [`CHECKS`].
    pub fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.0.iter()
    }

    /// Writes one line for each reason.
    fn write_skipped(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for skip in Skip::ALL {
            let checks = self.0.iter().filter(|skipped| skipped.skip == skip).count();
            match skip {
                _ if checks == 0 => {}
                Skip::FastPath => write!(f, "\n{checks} run through `increment` alone: {skip}")?,
                _ => write!(f, "\n{checks} skipped: {skip}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backend passed {} conformance checks", CHECKS.len())?;
        self.write_skipped(f)
    }
}

/// The checks that a backend failed: at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct Failures {
    failures: Vec<Failure>,
    report: Report,
}

impl Failures {
    /// Returns the failures, in the order of [`CHECKS`].
    pub fn iter(&self) -> impl Iterator<Item = &Failure> {
        self.failures.iter()
    }

    /// Returns the checks that passed and tested less than they could, in the order of [`CHECKS`].
    pub fn skipped(&self) -> impl Iterator<Item = &Skipped> {
        self.report.skipped()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the backend failed {} of {} conformance checks", self.failures.len(), CHECKS.len())?;
        self.report.write_skipped(f)?;
        for Failure { check, message } in &self.failures {
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

/// Runs every check, also after one has failed. The report says what was skipped.
///
/// A check fails by a panic, so the panic hook prints each failure when it happens.
///
/// # Errors
///
/// [`Failures`] if the backend failed at least one check.
pub fn run<H: Harness>(harness: &H) -> Result<Report, Failures> {
    let (mut failures, mut report) = (Vec::new(), Report::default());
    for_each_check(|check, function: fn(&H) -> Option<Skip>| {
        match catch_unwind(AssertUnwindSafe(|| function(harness))) {
            Ok(skip) => report.0.extend(skip.map(|skip| Skipped { check, skip })),
            Err(panic) => failures.push(Failure { check, message: message_of(panic.as_ref()) }),
        }
    });
    if failures.is_empty() { Ok(report) } else { Err(Failures { failures, report }) }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the check panicked without a message")
        .to_owned()
}
