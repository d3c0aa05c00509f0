//! Why a program ends without a result, and its exit status.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use super::lines::Unreadable;

/// The reason, and the exit status: 1 if nothing in the input can be read, 2 if an argument is
/// wrong or a file cannot be opened.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: String,
    status: u8,
}

impl Failure {
    pub(crate) fn nothing_read(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), status: 1 }
    }

    /// Creates the failure of reading the log with this name.
    pub(crate) fn unreadable(name: &str, error: &Unreadable) -> Self {
        let status = if matches!(error, Unreadable::Io(_)) { 2 } else { 1 };
        Self { reason: format!("cannot read {name}: {error}"), status }
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { reason: error.to_string(), status: 2 }
    }
}
