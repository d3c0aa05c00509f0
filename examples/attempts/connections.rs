//! Deduplication: which lines report the same failed login.
//!
//! A server may report one wrong password in several lines of the connection: `Invalid user` before
//! it asks for the password, `Failed password` if the password was wrong, and
//! `maximum authentication attempts exceeded` at the end. Not every server logs all of them. These
//! are counted:
//!
//! - each `Failed password`, as often as it is repeated;
//! - one failed login for a connection without `Failed password` but with `Invalid user` or
//!   `maximum authentication attempts exceeded`, at the time of the first of these lines.
//!
//! `Invalid user` is counted at once, like a server that limits attempts would count it. The first
//! `Failed password` after it on the same connection is the same failed login. Lines of PAM are
//! ignored.

use std::collections::HashMap;
use std::net::IpAddr;

use limited::Timestamp;

use super::line::{Event, What};

/// A password login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) time: Timestamp,
    pub(crate) account: String,
    pub(crate) address: IpAddr,
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
    account: String,
    address: IpAddr,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    port: Option<u16>,
    /// The time of its last line.
    last: Timestamp,
    /// One failed login has been counted for which no `Failed password` has come yet.
    is_ahead: bool,
}

impl Connections {
    /// Returns the login that an event adds; `None` if it has been counted already.
    pub(crate) fn login(&mut self, event: Event) -> Option<Login> {
        let Event { time, process, what, account, address, port } = event;
        let id = Id { process, account: account.clone(), address };
        let known = self.0.get(&id).copied().filter(|known| {
            let same_port = known.port.is_none() || port.is_none() || known.port == port;
            // A connection succeeds once. A failure at the same moment is a line that came late.
            same_port && (what != What::Unwelcome || known.last == time)
        });
        let counted_ahead = known.is_some_and(|known| known.is_ahead);
        let (failed, is_ahead) = match what {
            What::RightPassword => {
                self.0.remove(&id);
                return Some(Login { time, account, address, outcome: Outcome::Succeeded });
            }
            What::WrongPassword(times) => (times - u32::from(counted_ahead && times > 0), false),
            What::Unwelcome | What::MaximumExceeded => match known {
                Some(known) => (0, known.is_ahead),
                None => (1, true),
            },
        };
        let port = port.or(known.and_then(|known| known.port));
        self.0.insert(id, Connection { port, last: time, is_ahead });
        (failed > 0).then_some(Login { time, account, address, outcome: Outcome::Failed(failed) })
    }
}

impl Event {
    /// Returns the login that a repetition adds: `times` more, the last at `time`.
    pub(crate) fn again(self, times: u32, time: Timestamp) -> Self {
        let what = match self.what {
            What::WrongPassword(each) => What::WrongPassword(each.saturating_mul(times)),
            once => once,
        };
        Self { time, what, ..self }
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
