//! Why a program ends without a result, and its exit status.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use super::lines::Unreadable;
use super::wording::{count, printable};

/// The reason, and the exit status: 1 if nothing in the input can be used, 2 if an argument is
/// wrong or a file cannot be opened.
#[derive(Debug)]
pub(crate) struct Failure {
    reason: String,
    status: u8,
}

impl Failure {
    /// Creates the failure of reading any of the `lines`. `first` says why the first was left out.
    pub(crate) fn nothing_read(what: &str, lines: u64, first: Option<String>) -> Self {
        let first = first.map(|first| format!("; {}", printable(&first, 200))).unwrap_or_default();
        Self { reason: format!("no {what} could be read in {}{first}", count(lines, "line")), status: 1 }
    }

    /// Creates the failure of replaying these requests, none of which has the key.
    #[allow(dead_code, reason = "the example `attempts` has no choice of keys")]
    pub(crate) fn no_key(key: &str, requests: u64) -> Self {
        let requests = count(requests, "request");
        Self {
            reason: format!("nothing to replay: no {key} in {requests}; choose a key with --by"),
            status: 1,
        }
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
