//! A parser for the login lines of `sshd`.
//!
//! ```text
//! Jun  9 03:11:02 gate sshd[2112]: Failed password for invalid user admin from 192.0.2.1 port 40022 ssh2
//! time            host program pid message
//! ```

use limited::Timestamp;

use super::client::Client;
use super::ended::{self, End};
use super::header::{self, Record};
use super::message::{self, Message, repetitions};
use super::stamp::{Clock, Stamps, word};
use super::unread::{self, Unread};

/// A line about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: Timestamp,
    /// The host, and the process if known: one process serves one connection.
    pub(crate) process: String,
    pub(crate) what: What,
    /// `None` if the line does not name it.
    pub(crate) account: Option<String>,
    pub(crate) client: Client,
    /// The port of the client. Older servers do not log it with every message.
    pub(crate) port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The account is unknown or not allowed, such as `root` on many servers. In most cases the
    /// server asks for a password anyway, and may or may not log that it was wrong.
    Unwelcome,
    /// This many passwords were wrong.
    WrongPassword(u32),
    /// This many passwords were wrong, by the method `keyboard-interactive`. The server does not
    /// log the first of them by default.
    WrongInteractive(u32),
    /// PAM refused this many passwords of the method `keyboard-interactive`.
    PamError(u32),
    /// The module `pam_unix` refused this many passwords.
    PamModule(u32),
    /// The server closed the connection after too many attempts.
    MaximumExceeded,
    /// The password was right.
    RightPassword,
}

/// A line of any program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// `None` if the line means the host of the line before.
    pub(crate) host: Option<String>,
    pub(crate) clock: Clock,
    pub(crate) is_sshd: bool,
    pub(crate) says: Says,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Login(Event),
    /// "last message repeated": the previous line of the same host, this many times more.
    Again(u32, Timestamp),
    /// A connection ended before a login.
    Ended(End),
    Other,
    /// It looks like a failed login, and has no form that is read.
    Unread(Unread),
}

/// Why a line cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("expected a timestamp at the start, such as `Jun  9 03:11:02` or `2026-06-09T03:11:02+02:00`")]
    NoTime,
    #[error("the time has the name of a zone instead of an offset; export the log with `-o short-iso`")]
    Zone,
    #[error("the date fits no year near the previous line; set the first year of the log with --year")]
    Year,
    #[error("the time is before 1970 or after 2554")]
    TimeOutOfRange,
    #[error("expected an object of `journalctl -o json` with __REALTIME_TIMESTAMP and MESSAGE")]
    Json,
    #[error("expected a host and a program after the time")]
    NoProgram,
    #[error("the message of sshd ends without an address or a port; it may be cut")]
    NoAddress,
    #[error("the message of sshd has no valid address")]
    Address,
    #[error("expected a number of repetitions, and the repeated message in brackets")]
    Repetition,
}

/// Parses a line without its line break.
pub(crate) fn parse(line: &str, stamps: &mut Stamps) -> Result<Line, Malformed> {
    let record = header::read(line, stamps)?;
    let is_sshd = matches!(&*record.program, "sshd" | "sshd-session" | "sshd-auth" | "sshd(pam_unix)");
    let mut host = Some(record.host.clone().into_owned());
    let says = if is_sshd {
        match message::read(&record.message)? {
            Some(message) => Says::Login(event(&record, message)),
            None => match ended::read(&record.message) {
                Some(message) => Says::Ended(end(&record, message)),
                None => other(&record, line, is_sshd),
            },
        }
    } else if let Some(times) = repeated(&record) {
        host = host.filter(|host| host != DASHES);
        Says::Again(repetitions(times)?, record.time)
    } else {
        other(&record, line, is_sshd)
    };
    Ok(Line { host, clock: record.clock, is_sshd, says })
}

fn event(record: &Record<'_>, message: Message<'_>) -> Event {
    let Message { what, account, client, port } = message;
    let process = format!("{} {}", record.host, record.process);
    Event { time: record.time, process, what, account: account.map(str::to_owned), client, port }
}

fn end(record: &Record<'_>, message: ended::Message<'_>) -> End {
    let process = format!("{} {}", record.host, message.process.unwrap_or(&record.process));
    End { time: record.time, process, client: message.client.map(Client::from) }
}

fn other(record: &Record<'_>, line: &str, is_sshd: bool) -> Says {
    unread::check(record, line, is_sshd).map_or(Says::Other, Says::Unread)
}

/// macOS writes `--- last message repeated 3 times ---` without a host.
const DASHES: &str = "---";

/// Returns the number in `last message repeated 3 times`, which no program writes but the logger.
fn repeated<'r>(record: &'r Record<'_>) -> Option<&'r str> {
    let rest = record.message.strip_prefix("last message repeated ")?;
    matches!(&*record.program, "" | "syslogd").then(|| word(rest).0)
}

impl What {
    /// Returns the event that stands for this many like it. Passwords are counted each, and all
    /// others once per connection, however often they are logged.
    pub(crate) const fn times(self, times: u32) -> Self {
        match self {
            Self::WrongPassword(each) => Self::WrongPassword(each.saturating_mul(times)),
            Self::WrongInteractive(each) => Self::WrongInteractive(each.saturating_mul(times)),
            Self::PamError(each) => Self::PamError(each.saturating_mul(times)),
            Self::PamModule(each) => Self::PamModule(each.saturating_mul(times)),
            once => once,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &str = "Jun  9 03:11:02 gate sshd[2112]: ";

    fn says(line: &str) -> Result<Says, Malformed> {
        parse(line, &mut Stamps::new(2026)).map(|line| line.says)
    }

    fn event(message: &str) -> Event {
        match says(&format!("{START}{message}")) {
            Ok(Says::Login(event)) => event,
            other => panic!("{message}: {other:?}"),
        }
    }

    fn read(message: &str) -> (What, String, String, Option<u16>) {
        let event = event(message);
        (event.what, event.account.unwrap(), event.client.to_string(), event.port)
    }

    fn expected(what: What, account: &str, port: Option<u16>) -> (What, String, String, Option<u16>) {
        (what, account.into(), "192.0.2.1".into(), port)
    }

    #[test]
    fn wrong_password_is_parsed() {
        let event = event("Failed password for invalid user admin from 192.0.2.1 port 40022 ssh2");
        assert_eq!(event.time, Timestamp::from_secs(1_780_974_662));
        assert_eq!(event.process, "gate 2112");
        assert_eq!((event.what, event.account.as_deref()), (What::WrongPassword(1), Some("admin")));
        assert_eq!((event.client.to_string(), event.port), ("192.0.2.1".into(), Some(40022)));
    }

    #[test]
    fn every_password_message_is_parsed() {
        use What::{
            MaximumExceeded, PamError, PamModule, RightPassword, Unwelcome, WrongInteractive, WrongPassword,
        };
        for (message, what, port) in [
            ("Failed password for ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            ("Failed password for invalid user ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            (
                "Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2",
                WrongInteractive(1),
                Some(4),
            ),
            (
                "Failed keyboard-interactive/bsdauth for ana from 192.0.2.1 port 4 ssh2",
                WrongInteractive(1),
                Some(4),
            ),
            ("Failed password for illegal user ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            (
                "[ID 800047 auth.info] Failed password for ana from 192.0.2.1 port 4 ssh2",
                WrongPassword(1),
                Some(4),
            ),
            ("Failed password for ana from 192.0.2.1 port 4 ssh1", WrongPassword(1), Some(4)),
            (
                "(pam_unix) authentication failure; logname= tty=ssh ruser= rhost=192.0.2.1  user=ana",
                PamModule(1),
                None,
            ),
            ("Illegal user ana from 192.0.2.1", Unwelcome, None),
            ("error: PAM: Authentication failure for ana from 192.0.2.1", PamError(1), None),
            ("error: PAM: authentication error for illegal user ana from 192.0.2.1", PamError(1), None),
            ("error: PAM: Authentication failure for ana from 192.0.2.1 via 192.0.2.80", PamError(1), None),
            (
                "error: PAM: Have exhausted maximum number of retries for service for ana from 192.0.2.1",
                PamError(1),
                None,
            ),
            (
                "message repeated 2 times: [ error: PAM: Authentication failure for ana from 192.0.2.1]",
                PamError(2),
                None,
            ),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=ana",
                PamModule(1),
                None,
            ),
            (
                "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=ana",
                PamModule(5),
                None,
            ),
            ("Failed password for ana from ::ffff:192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            (
                "message repeated 5 times: [ Failed password for ana from 192.0.2.1 port 4 ssh2]",
                WrongPassword(5),
                Some(4),
            ),
            ("Invalid user ana from 192.0.2.1", Unwelcome, None),
            ("Invalid user ana from 192.0.2.1 port 4", Unwelcome, Some(4)),
            ("Invalid user ana from 192.0.2.1 port 4 [preauth]", Unwelcome, Some(4)),
            ("message repeated 2 times: [ Invalid user ana from 192.0.2.1 port 4]", Unwelcome, Some(4)),
            ("User ana from 192.0.2.1 not allowed because not listed in AllowUsers", Unwelcome, None),
            (
                "error: maximum authentication attempts exceeded for ana from 192.0.2.1 port 4 ssh2 [preauth]",
                MaximumExceeded,
                Some(4),
            ),
            (
                "maximum authentication attempts exceeded for invalid user ana from 192.0.2.1 port 4 ssh2",
                MaximumExceeded,
                Some(4),
            ),
            ("Accepted password for ana from 192.0.2.1 port 4 ssh2", RightPassword, Some(4)),
        ] {
            assert_eq!(read(message), expected(what, "ana", port), "{message}");
        }
    }

    #[test]
    fn other_messages_and_programs_are_ignored() {
        for message in [
            "Failed publickey for ana from 192.0.2.1 port 4 ssh2: RSA SHA256:x",
            "Failed none for invalid user ana from 192.0.2.1 port 4 ssh2",
            "Accepted publickey for ana from 192.0.2.1 port 4 ssh2: RSA SHA256:x",
            "pam_unix(sshd:auth): check pass; user unknown",
            "pam_sss(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1",
            "input_userauth_request: invalid user ana [preauth]",
            "Disconnected from user ana 192.0.2.1 port 4",
            "User child is on pid 2113",
            "message repeated 2 times: [ Connection closed by 192.0.2.1 port 4]",
        ] {
            assert_eq!(says(&format!("{START}{message}")), Ok(Says::Other), "{message}");
        }
        assert_eq!(says("Jun  9 03:11:02 gate systemd[1]: Started sshd.service."), Ok(Says::Other));
    }

    #[test]
    fn failed_logins_in_an_unknown_form_are_unread() {
        for line in [
            "Jun  9 03:11:02 gate su: Failed password for ana from 192.0.2.1 port 4 ssh2",
            "Jun  9 03:11:02 gate sshdx[1]: Failed password for ana from 192.0.2.1 port 4 ssh2",
            "Jun  9 03:11:02 gate app[1]: sshd[2]: Failed password for ana from 192.0.2.1 port 4 ssh2",
            "Jun  9 03:11:02 gate sshd 7 wrote without a colon",
        ] {
            assert_eq!(says(line), Ok(Says::Unread(Unread::Program)), "{line}");
        }
        for message in ["Failed smartcard for ana from 192.0.2.1 port 4 ssh2", "Login failed for ana"] {
            assert_eq!(says(&format!("{START}{message}")), Ok(Says::Unread(Unread::Message)), "{message}");
        }
    }

    #[test]
    fn named_server_parts_and_missing_process_numbers_are_parsed() {
        let message = "Failed password for ana from 192.0.2.1 port 4 ssh2";
        for (program, process) in [
            ("sshd-session[7]", "gate 7"),
            ("sshd-auth[7]", "gate 7"),
            ("sshd[7]", "gate 7"),
            ("sshd", "gate "),
        ] {
            let line = format!("2026-06-09T03:11:02.5+02:00 gate {program}: {message}");
            let Ok(Says::Login(event)) = says(&line) else { panic!("{line}") };
            assert_eq!(event.process, process);
        }
    }

    #[test]
    fn user_name_that_looks_like_a_message_is_a_user_name() {
        for name in [
            "",
            " ",
            "a b",
            "root from 203.0.113.9 port 22 ssh2",
            "root from 203.0.113.9",
            "x from 203.0.113.9 port 22 ssh2 [preauth]",
            " from 203.0.113.9 port 22",
            "port 22",
            "invalid user root",
            "x not allowed because y",
            "é\u{202e}",
        ] {
            for (message, what, port) in [
                (
                    format!("Failed password for invalid user {name} from 192.0.2.1 port 4 ssh2"),
                    What::WrongPassword(1),
                    Some(4),
                ),
                (
                    format!(
                        "message repeated 3 times: [ Failed password for invalid user {name} from 192.0.2.1 port 4 ssh2]"
                    ),
                    What::WrongPassword(3),
                    Some(4),
                ),
                (format!("Invalid user {name} from 192.0.2.1"), What::Unwelcome, None),
                (
                    format!("error: PAM: Authentication error for illegal user {name} from 192.0.2.1"),
                    What::PamError(1),
                    None,
                ),
                (format!("Invalid user {name} from 192.0.2.1 port 4"), What::Unwelcome, Some(4)),
                (
                    format!(
                        "error: maximum authentication attempts exceeded for invalid user {name} from 192.0.2.1 port 4 ssh2 [preauth]"
                    ),
                    What::MaximumExceeded,
                    Some(4),
                ),
            ] {
                assert_eq!(read(&message), expected(what, name, port), "{message}");
            }
        }
    }

    #[test]
    fn repetition_is_parsed_only_outside_a_message_of_a_program() {
        let time = Timestamp::from_secs(1_780_974_662);
        let again = Ok(Says::Again(3, time));
        assert_eq!(says("Jun  9 03:11:02 gate last message repeated 3 times"), again);
        assert_eq!(says("Jun  9 03:11:02 gate app: last message repeated 3 times"), Ok(Says::Other));
    }

    #[test]
    fn malformed_lines_are_errors() {
        for (message, wrong) in [
            ("Failed password for ana from 192.0.2.1 port 4", Malformed::NoAddress),
            ("Failed password for ana from 192.0.2.1 ssh2", Malformed::NoAddress),
            ("Failed password for ana from 192.0.2.1 port 70000 ssh2", Malformed::NoAddress),
            ("Failed password for ana from 192.0.2.1 port +4 ssh2", Malformed::NoAddress),
            ("Failed password for ana fr", Malformed::NoAddress),
            ("Failed password", Malformed::NoAddress),
            ("Failed password for ana from UNKNOWN port 65535 ssh2", Malformed::Address),
            ("Failed password for ana from 192.0.2 port 4 ssh2", Malformed::Address),
            ("Invalid user ana", Malformed::NoAddress),
            ("Invalid user ana from client.example.net", Malformed::Address),
            ("pam_unix(sshd:auth): authentication failure; rhost=", Malformed::Address),
            ("error: PAM: Authentication failure for ana", Malformed::NoAddress),
            ("message repeated 5 times", Malformed::Repetition),
            ("message repeated x times: [ Invalid user ana from 192.0.2.1]", Malformed::Repetition),
            ("message repeated 5 times: [ Invalid user ana from 192.0.2.1", Malformed::Repetition),
        ] {
            assert_eq!(says(&format!("{START}{message}")), Err(wrong), "{message}");
        }
        assert_eq!(says("Jun  9 03:11:02 gate last message repeated many times"), Err(Malformed::Repetition));
        assert_eq!(says("Jun  9 03:11:02"), Err(Malformed::NoProgram));
        assert_eq!(says("Jun  9 03:11:02 gate"), Err(Malformed::NoProgram));
        assert_eq!(says("--- log rotated ---"), Err(Malformed::NoTime));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let text = String::from_utf8_lossy(&bytes);
            let _ = says(&text);
            let _ = says(&format!("{START}{text}"));
        }

        #[test]
        fn no_change_to_a_line_panics(at in 0..110_usize, removed in 0_usize..9, put in "[ \\[\\]é:a-f0-9]{0,6}") {
            let line = format!("{START}message repeated 5 times: [ Failed password for invalid user ana from 192.0.2.1 port 4 ssh2]");
            let end = (at + removed).min(line.len());
            let _ = says(&format!("{}{put}{}", &line[..at], &line[end..]));
        }

        #[test]
        fn the_address_is_the_servers_whatever_the_name_is(name in "(from|port|ssh2|invalid user|203[.]0[.]113[.]9|[0-9]{1,3}| |\\PC){0,9}") {
            let (_, account, address, port) =
                read(&format!("Failed password for invalid user {name} from 192.0.2.1 port 4 ssh2"));
            prop_assert_eq!((account, address, port), (name.clone(), "192.0.2.1".to_owned(), Some(4)));
            let (_, account, address, _) = read(&format!("Invalid user {name} from 192.0.2.1"));
            prop_assert_eq!((account, address), (name, "192.0.2.1".to_owned()));
        }
    }
}
