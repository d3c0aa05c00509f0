//! A parser for the login lines of `sshd`.
//!
//! ```text
//! Jun  9 03:11:02 gate sshd[2112]: Failed password for invalid user admin from 192.0.2.1 port 40022 ssh2
//! time            host program pid message
//! ```
//!
//! A user name is whatever the client sent, including spaces and ` from 192.0.2.9 port 22`. It
//! comes before the address and the port that the server saw, so these are read from the end of the
//! message.

use std::net::IpAddr;

use limited::Timestamp;

use super::stamp::{Stamps, word};

/// A line about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) time: Timestamp,
    /// The host, and the process if known: one process serves one connection.
    pub(crate) process: String,
    pub(crate) what: What,
    pub(crate) account: String,
    pub(crate) address: IpAddr,
    /// The port of the client. Older servers do not log it with every message.
    pub(crate) port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The account is unknown or not allowed. The server asks for a password anyway, and may or may
    /// not log that it was wrong.
    Unwelcome,
    /// This many passwords were wrong.
    WrongPassword(u32),
    /// The server closed the connection after too many attempts.
    MaximumExceeded,
    /// The password was right.
    RightPassword,
}

/// A line of any program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) host: &'a str,
    pub(crate) has_year: bool,
    pub(crate) says: Says,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Login(Event),
    /// "last message repeated": the previous line of the same host, this many times more.
    Again(u32, Timestamp),
    Other,
}

/// Why a line cannot be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("expected a timestamp at the start, such as `Jun  9 03:11:02` or `2026-06-09T03:11:02+02:00`")]
    NoTime,
    #[error("the date fits no year near the previous line; set the first year of the log with --year")]
    Year,
    #[error("the time is before 1970 or after 2554")]
    TimeOutOfRange,
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
pub(crate) fn parse<'a>(line: &'a str, stamps: &mut Stamps) -> Result<Line<'a>, Malformed> {
    let stamped = stamps.read(line)?;
    let (host, rest) = word(stamped.rest);
    if host.is_empty() || rest.is_empty() {
        return Err(Malformed::NoProgram);
    }
    let says = match sshd(rest) {
        Some((pid, message)) => match read_message(message)? {
            Some(Message { what, account, address, port }) => Says::Login(Event {
                time: stamped.time,
                process: format!("{host} {pid}"),
                what,
                account: account.to_owned(),
                address,
                port,
            }),
            None => Says::Other,
        },
        None => match rest.strip_prefix("last message repeated ") {
            Some(rest) => Says::Again(repetitions(word(rest).0)?, stamped.time),
            None => Says::Other,
        },
    };
    Ok(Line { host, has_year: stamped.has_year, says })
}

/// Returns the process and the message of an SSH server line. In newer versions its parts have
/// their own names.
fn sshd(text: &str) -> Option<(&str, &str)> {
    let rest = ["sshd-session", "sshd-auth", "sshd"].into_iter().find_map(|name| text.strip_prefix(name))?;
    match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("]: "),
        None => rest.strip_prefix(": ").map(|message| ("", message)),
    }
}

struct Message<'a> {
    what: What,
    account: &'a str,
    address: IpAddr,
    port: Option<u16>,
}

fn read_message(text: &str) -> Result<Option<Message<'_>>, Malformed> {
    let Some(rest) = text.strip_prefix("message repeated ") else { return read_single(text) };
    let (times, rest) = rest.split_once(" times: [").ok_or(Malformed::Repetition)?;
    let inner = rest.strip_suffix(']').ok_or(Malformed::Repetition)?;
    let times = repetitions(times)?;
    let message = read_single(inner.strip_prefix(' ').unwrap_or(inner))?;
    Ok(message.map(|message| message.times(times)))
}

fn repetitions(text: &str) -> Result<u32, Malformed> {
    text.parse().map_err(|_| Malformed::Repetition)
}

impl Message<'_> {
    /// All others count once per connection, however often they are logged.
    const fn times(self, times: u32) -> Self {
        let what = match self.what {
            What::WrongPassword(each) => What::WrongPassword(each.saturating_mul(times)),
            once => once,
        };
        Self { what, ..self }
    }
}

fn read_single(text: &str) -> Result<Option<Message<'_>>, Malformed> {
    // Written by the unprivileged half of the server.
    let text = text.strip_suffix(" [preauth]").unwrap_or(text);
    let text = text.strip_prefix("error: ").unwrap_or(text);
    let (what, subject) = if let Some(rest) = text.strip_prefix("Failed ") {
        let Some(subject) = by_password(rest)? else { return Ok(None) };
        (What::WrongPassword(1), subject)
    } else if let Some(rest) = text.strip_prefix("Accepted ") {
        let Some(subject) = by_password(rest)? else { return Ok(None) };
        (What::RightPassword, subject)
    } else if let Some(subject) = text.strip_prefix("maximum authentication attempts exceeded for ") {
        (What::MaximumExceeded, with_port(subject)?)
    } else if let Some(subject) = text.strip_prefix("Invalid user ") {
        (What::Unwelcome, subject)
    } else if let Some(rest) = text.strip_prefix("User ")
        && let Some((subject, _why)) = rest.rsplit_once(" not allowed because ")
    {
        (What::Unwelcome, subject)
    } else {
        return Ok(None);
    };
    let (account, address, port) = parse_subject(subject)?;
    Ok(Some(Message { what, account, address, port }))
}

/// Returns the account after `Failed password` or `Accepted password`. `None` for other methods:
/// clients offer each of their keys (`publickey`), and ask for the list of methods (`none`).
fn by_password(text: &str) -> Result<Option<&str>, Malformed> {
    if !["password", "keyboard-interactive"].iter().any(|method| text.starts_with(method)) {
        return Ok(None);
    }
    let (_method, subject) = text.split_once(" for ").ok_or(Malformed::NoAddress)?;
    with_port(subject).map(Some)
}

/// Returns the account and address of a message that ends with a port and the protocol.
fn with_port(text: &str) -> Result<&str, Malformed> {
    let subject = text.strip_suffix(" ssh2").ok_or(Malformed::NoAddress)?;
    let subject = subject.strip_prefix("invalid user ").unwrap_or(subject);
    if split_port(subject).1.is_none() {
        return Err(Malformed::NoAddress);
    }
    Ok(subject)
}

/// Parses `{account} from {address}`, with or without ` port {port}`, from its end.
fn parse_subject(text: &str) -> Result<(&str, IpAddr, Option<u16>), Malformed> {
    let (subject, port) = split_port(text);
    let (account, address) = subject.rsplit_once(" from ").ok_or(Malformed::NoAddress)?;
    // A link-local address may contain the name of its interface.
    let address = address.split_once('%').map_or(address, |(address, _interface)| address);
    let address: IpAddr = address.parse().map_err(|_| Malformed::Address)?;
    Ok((account, address.to_canonical(), port))
}

fn split_port(text: &str) -> (&str, Option<u16>) {
    match text.rsplit_once(" port ") {
        Some((subject, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse() {
            Ok(port) => (subject, Some(port)),
            Err(_) => (text, None),
        },
        _ => (text, None),
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
        (event.what, event.account, event.address.to_string(), event.port)
    }

    fn expected(what: What, account: &str, port: Option<u16>) -> (What, String, String, Option<u16>) {
        (what, account.into(), "192.0.2.1".into(), port)
    }

    #[test]
    fn wrong_password_is_parsed() {
        let event = event("Failed password for invalid user admin from 192.0.2.1 port 40022 ssh2");
        assert_eq!(event.time, Timestamp::from_secs(1_780_974_662));
        assert_eq!(event.process, "gate 2112");
        assert_eq!((event.what, &*event.account), (What::WrongPassword(1), "admin"));
        assert_eq!((event.address, event.port), ([192, 0, 2, 1].into(), Some(40022)));
    }

    #[test]
    fn every_password_message_is_parsed() {
        use What::{MaximumExceeded, RightPassword, Unwelcome, WrongPassword};
        for (message, what, port) in [
            ("Failed password for ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            ("Failed password for invalid user ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
            ("Failed keyboard-interactive/pam for ana from 192.0.2.1 port 4 ssh2", WrongPassword(1), Some(4)),
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
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1",
            "PAM 5 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.1  user=root",
            "Disconnecting: Too many authentication failures [preauth]",
            "input_userauth_request: invalid user ana [preauth]",
            "Connection closed by authenticating user ana 192.0.2.1 port 4 [preauth]",
            "User child is on pid 2113",
            "message repeated 2 times: [ Connection closed by 192.0.2.1 port 4]",
        ] {
            assert_eq!(says(&format!("{START}{message}")), Ok(Says::Other), "{message}");
        }
        for line in [
            "Jun  9 03:11:02 gate su: Failed password for ana from 192.0.2.1 port 4 ssh2",
            "Jun  9 03:11:02 gate sshdx[1]: Failed password for ana from 192.0.2.1 port 4 ssh2",
            "Jun  9 03:11:02 gate app[1]: sshd[2]: Failed password for ana from 192.0.2.1 port 4 ssh2",
        ] {
            assert_eq!(says(line), Ok(Says::Other), "{line}");
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
