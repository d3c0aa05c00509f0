//! Deduplication: which lines report the same failed login.
//!
//! A server may report one wrong password in several lines of the connection: `Invalid user` before
//! it asks for the password, `error: PAM: …` and `Failed …` if the password was wrong, and
//! `maximum authentication attempts exceeded` at the end. Not every server logs all of them. These
//! are counted for a connection:
//!
//! - each `Failed password`, as often as it is repeated;
//! - each `Failed keyboard-interactive` or each `error: PAM: …`, whichever are more;
//! - the failures of the module `pam_unix`, if there are none of the above and no other line of the
//!   connection (`attempts/pam.rs`);
//! - one failed login if there are none of the above, but `Invalid user`, `ROOT LOGIN REFUSED` or
//!   `maximum authentication attempts exceeded`, at the time of the first of these lines.
//!
//! A connection that ends before a login, without any of these lines, is no failed login
//! (`attempts/ended.rs`).
//!
//! `Invalid user` is counted at once, like a server that limits attempts would count it. The first
//! wrong password after it on the same connection is the same failed login.

use std::collections::HashMap;

use limited::Timestamp;

use super::client::Client;
use super::line::{Event, What};

/// A password login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) time: Timestamp,
    /// `None` if the log does not name it.
    pub(crate) account: Option<String>,
    pub(crate) client: Client,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It failed this many times.
    Failed(u32),
    Succeeded,
}

/// The counted logins of each connection.
///
/// A connection has its own process, one account, one address and one port. Process numbers are
/// reused, and some lines have no port: so a connection ends when its port changes, or with the
/// next `Invalid user`.
#[derive(Debug, Default)]
pub(crate) struct Connections(HashMap<Id, Connection>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Id {
    process: String,
    account: Option<String>,
    client: Client,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    port: Option<u16>,
    /// The time of its last line.
    last: Timestamp,
    failures: Failures,
}

/// What the lines of a connection report, by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    passwords: u32,
    interactive: u32,
    pam_errors: u32,
    by_module: u32,
    /// Lines that report a failure without a wrong password.
    is_unwelcome: bool,
}

impl Failures {
    const fn add(&mut self, what: What) {
        match what {
            What::Unwelcome | What::MaximumExceeded => self.is_unwelcome = true,
            What::WrongPassword(times) => self.passwords = self.passwords.saturating_add(times),
            What::WrongInteractive(times) => self.interactive = self.interactive.saturating_add(times),
            What::PamError(times) => self.pam_errors = self.pam_errors.saturating_add(times),
            What::PamModule(times) => self.by_module = self.by_module.saturating_add(times),
            What::RightPassword => {}
        }
    }

    /// Returns the number of failed logins, which never falls when lines are added.
    fn count(self) -> u32 {
        let by_keyboard = self.interactive.max(self.pam_errors);
        let by_server = self.passwords.saturating_add(by_keyboard).max(self.is_unwelcome.into());
        by_server.max(self.by_module)
    }
}

impl Connections {
    /// Returns the login that an event adds; `None` if it has been counted already.
    pub(crate) fn login(&mut self, event: Event) -> Option<Login> {
        let Event { time, process, what, account, client, port } = event;
        let id = Id { process, account: account.clone(), client: client.clone() };
        if what == What::RightPassword {
            self.0.remove(&id);
            return Some(Login { time, account, client, outcome: Outcome::Succeeded });
        }
        let known = self.0.get(&id).copied().filter(|known| {
            let same_port = known.port.is_none() || port.is_none() || known.port == port;
            // A connection succeeds once. A failure at the same moment is a line that came late.
            let same_line = what != What::Unwelcome || known.last == time;
            // Lines of `pam_unix` are left only if the server says nothing about their connection.
            let same_source = (known.failures.by_module > 0) == matches!(what, What::PamModule(_));
            same_port && same_line && same_source
        });
        let counted = known.map_or_else(Failures::default, |known| known.failures);
        let mut failures = counted;
        failures.add(what);
        let port = port.or(known.and_then(|known| known.port));
        self.0.insert(id, Connection { port, last: time, failures });
        let failed = failures.count() - counted.count();
        (failed > 0).then_some(Login { time, account, client, outcome: Outcome::Failed(failed) })
    }
}

impl Event {
    /// Returns the login that a repetition adds: `times` more, the last at `time`.
    pub(crate) fn again(self, times: u32, time: Timestamp) -> Self {
        Self { time, what: self.what.times(times), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::{Says, parse};
    use super::super::stamp::Stamps;
    use super::*;

    /// Returns how many failed logins each line adds.
    fn counts(lines: &[(u64, u32, &str)]) -> Vec<u32> {
        let (mut connections, mut stamps) = (Connections::default(), Stamps::new(2024));
        let mut count = |second: &u64, pid: &u32, message: &str| {
            let line = format!("Jun  9 03:11:{second:02} gate sshd[{pid}]: {message}");
            let Ok(Says::Login(event)) = parse(&line, &mut stamps).map(|line| line.says) else {
                panic!("{line}")
            };
            match connections.login(event).map(|login| login.outcome) {
                Some(Outcome::Failed(times)) => times,
                Some(Outcome::Succeeded) | None => 0,
            }
        };
        lines.iter().map(|(second, pid, message)| count(second, pid, message)).collect()
    }

    const UNWELCOME: &str = "Invalid user ana from 192.0.2.1";
    const FAILED: &str = "Failed password for invalid user ana from 192.0.2.1 port 4 ssh2";
    const REPEATED: &str =
        "message repeated 5 times: [ Failed password for invalid user ana from 192.0.2.1 port 4 ssh2]";
    const EXCEEDED: &str =
        "maximum authentication attempts exceeded for invalid user ana from 192.0.2.1 port 4 ssh2";

    #[test]
    fn failed_login_in_several_lines_counts_once() {
        assert_eq!(counts(&[(1, 7, UNWELCOME), (3, 7, FAILED)]), [1, 0]);
        assert_eq!(counts(&[(1, 7, UNWELCOME), (3, 7, FAILED), (5, 7, FAILED)]), [1, 0, 1]);
        assert_eq!(
            counts(&[(1, 7, UNWELCOME), (3, 7, FAILED), (9, 7, REPEATED), (9, 7, EXCEEDED)]),
            [1, 0, 5, 0]
        );
        assert_eq!(counts(&[(1, 7, UNWELCOME), (9, 7, REPEATED)]), [1, 4]);
        let not_allowed = "User ana from 192.0.2.1 not allowed because not listed in AllowUsers";
        assert_eq!(counts(&[(1, 7, not_allowed), (3, 7, FAILED)]), [1, 0]);
    }

    #[test]
    fn connection_without_password_lines_counts_once() {
        assert_eq!(counts(&[(1, 7, UNWELCOME)]), [1]);
        assert_eq!(counts(&[(1, 7, EXCEEDED)]), [1]);
        assert_eq!(counts(&[(1, 7, UNWELCOME), (3, 7, EXCEEDED)]), [1, 0]);
    }

    #[test]
    fn wrong_password_that_pam_reports_too_counts_once() {
        const PAM: &str = "error: PAM: Authentication failure for ana from 192.0.2.1";
        const INTERACTIVE: &str = "Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2";
        const PASSWORD: &str = "Failed password for ana from 192.0.2.1 port 4 ssh2";

        // By default the server logs the third wrong password, and PAM each of them.
        let lines = [(1, 7, PAM), (2, 7, PAM), (3, 7, PAM), (3, 7, INTERACTIVE), (5, 7, PASSWORD)];
        assert_eq!(counts(&lines), [1, 1, 1, 0, 1]);
        assert_eq!(
            counts(&[(1, 7, PAM), (1, 7, INTERACTIVE), (3, 7, PAM), (3, 7, INTERACTIVE)]),
            [1, 0, 1, 0]
        );
        let repeated =
            "message repeated 2 times: [ error: PAM: Authentication failure for ana from 192.0.2.1]";
        assert_eq!(counts(&[(1, 7, PAM), (5, 7, repeated)]), [1, 2]);
        let unknown = "error: PAM: Authentication error for illegal user ana from 192.0.2.1";
        assert_eq!(counts(&[(1, 7, UNWELCOME), (3, 7, unknown), (3, 7, FAILED)]), [1, 0, 1]);
    }

    #[test]
    fn connections_are_counted_separately() {
        assert_eq!(counts(&[(1, 7, UNWELCOME), (2, 8, FAILED), (3, 7, FAILED)]), [1, 1, 0]);
        // The process number was reused.
        assert_eq!(counts(&[(1, 7, UNWELCOME), (2, 7, UNWELCOME)]), [1, 1]);
        assert_eq!(counts(&[(1, 7, FAILED), (2, 7, &EXCEEDED.replace("port 4", "port 5"))]), [1, 1]);
        assert_eq!(counts(&[(1, 7, UNWELCOME), (2, 7, &FAILED.replace("ana", "bob"))]), [1, 1]);
        assert_eq!(counts(&[(1, 7, UNWELCOME), (2, 7, &FAILED.replace("2.1", "2.2"))]), [1, 1]);
    }

    #[test]
    fn lines_of_the_same_second_may_come_in_any_order() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let lines = order.map(|place| (1, 7, [UNWELCOME, FAILED, EXCEEDED][place]));
            assert_eq!(counts(&lines).iter().sum::<u32>(), 1, "{order:?}");
        }
    }
}
