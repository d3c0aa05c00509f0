//! Lines that look like a failed login, and are in no form that is read.
//!
//! Without these, a log of another system would look like a log without failures.

use super::header::Record;
use super::message::bare;

/// Why a line about a failed login is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    #[error("a message of sshd in an unknown form")]
    Message,
    #[error("it is of another program than sshd, or has an unknown header")]
    Program,
}

/// Returns why a line counts as unread, if it does. The line is one that was not read.
pub(crate) fn check(record: &Record<'_>, line: &str, is_sshd: bool) -> Option<Unread> {
    if is_sshd {
        let message = bare(&record.message);
        let is_other = OTHER.iter().any(|start| message.starts_with(start));
        let is_failure = message.starts_with("Failed ") || names_failure(message);
        return (is_failure && !is_other).then_some(Unread::Message);
    }
    let names_sshd = match &*record.program {
        "" => line.contains("sshd"),
        program => {
            program.starts_with("sshd") && program != "sshd-keygen" || record.message.contains("sshd[")
        }
    };
    // The whole line: it may lack a host, and so the first word of the message looks like one.
    (names_sshd || names_failure(line)).then_some(Unread::Program)
}

/// Starts of messages that are no failed passwords, or repeat one that another line reports.
const OTHER: &[&str] = &[
    "Accepted ",
    "Connection closed ",
    "Connection reset ",
    "Disconnected ",
    "Disconnecting",
    "Failed gssapi",
    "Failed hostbased ",
    "Failed none ",
    "Failed publickey ",
    "Failed to release session",
    "Postponed ",
    "Received disconnect ",
    "input_userauth_request: ",
    "message repeated ",
    "pam_",
    "userauth_pubkey: ",
];

fn names_failure(text: &str) -> bool {
    const FAILURES: [&str; 14] = [
        "auth fail",
        "authentication error",
        "authentication fail",
        "bad password",
        "fail login",
        "failed keyboard-interactive",
        "failed login",
        "failed password",
        "illegal user",
        "incorrect password",
        "invalid user",
        "login failed",
        "nonexistent user",
        "wrong password",
    ];

    let text = text.to_ascii_lowercase();
    FAILURES.iter().any(|failure| text.contains(failure))
}
