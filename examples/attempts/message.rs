//! The messages of `sshd` about logins.
//!
//! ```text
//! Failed password for invalid user admin from 192.0.2.1 port 40022 ssh2
//! error: PAM: Authentication failure for illegal user admin from 192.0.2.1
//! pam_unix(sshd:auth): authentication failure; … rhost=192.0.2.1  user=root
//! ```
//!
//! A user name is whatever the client sent, including spaces and ` from 192.0.2.9 port 22`. It
//! comes before the address and the port that the server saw, so these are read from the end of the
//! message.

use std::net::IpAddr;

use super::client::Client;
use super::line::{Malformed, What};

/// A message about a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) what: What,
    /// `None` if the message does not name it.
    pub(crate) account: Option<&'a str>,
    pub(crate) client: Client,
    pub(crate) port: Option<u16>,
}

/// Reads a message of `sshd`. `None`: it is not about a login by password.
pub(crate) fn read(text: &str) -> Result<Option<Message<'_>>, Malformed> {
    let Some(rest) = text.strip_prefix("message repeated ") else { return read_single(text) };
    let (times, rest) = rest.split_once(" times: [").ok_or(Malformed::Repetition)?;
    let inner = rest.strip_suffix(']').ok_or(Malformed::Repetition)?;
    let times = repetitions(times)?;
    let message = read_single(inner.strip_prefix(' ').unwrap_or(inner))?;
    Ok(message.map(|message| Message { what: message.what.times(times), ..message }))
}

pub(crate) fn repetitions(text: &str) -> Result<u32, Malformed> {
    text.parse().map_err(|_| Malformed::Repetition)
}

fn read_single(text: &str) -> Result<Option<Message<'_>>, Malformed> {
    let text = bare(text);
    let (what, subject) = if let Some(rest) = text.strip_prefix("Failed ") {
        let Some((what, subject)) = by_password(rest)? else { return Ok(None) };
        (what, parse_subject(subject, Client::address)?)
    } else if let Some(rest) = text.strip_prefix("Accepted ") {
        let Some((_, subject)) = by_password(rest)? else { return Ok(None) };
        (What::RightPassword, parse_subject(subject, Client::address)?)
    } else if let Some(subject) = text.strip_prefix("maximum authentication attempts exceeded for ") {
        (What::MaximumExceeded, parse_subject(with_port(subject)?, Client::address)?)
    } else if let Some(subject) =
        ["Invalid user ", "Illegal user "].iter().find_map(|start| text.strip_prefix(start))
    {
        (What::Unwelcome, parse_subject(subject, Client::address)?)
    } else if let Some(rest) = text.strip_prefix("User ")
        && let Some((subject, _why)) = rest.rsplit_once(" not allowed because ")
    {
        (What::Unwelcome, parse_subject(subject, Client::address_or_name)?)
    } else if let Some(client) = text.strip_prefix("ROOT LOGIN REFUSED FROM ") {
        let (address, port) = split_port(client);
        (What::Unwelcome, Subject { account: "root", client: Client::address(address)?, port })
    } else if let Some(rest) = text.strip_prefix("PAM: ")
        && let Some((why, subject)) = rest.split_once(" for ")
    {
        // One of the reasons contains ` for `: "… maximum number of retries for service".
        let subject =
            subject.strip_prefix("service for ").filter(|_| why.ends_with(" retries")).unwrap_or(subject);
        return read_pam_error(subject).map(Some);
    } else {
        return read_pam_module(text);
    };
    let Subject { account, client, port } = subject;
    Ok(Some(Message { what, account: Some(account), client, port }))
}

/// Strips what depends on the system, and not on the message.
pub(crate) fn bare(text: &str) -> &str {
    // Solaris numbers its messages.
    let numbered = text.strip_prefix("[ID ").and_then(|rest| rest.split_once("] ")).map(|(_, rest)| rest);
    let text = numbered.unwrap_or(text);
    // Written by the unprivileged half of the server.
    let text = text.strip_suffix(" [preauth]").unwrap_or(text);
    ["error: ", "fatal: "].iter().find_map(|level| text.strip_prefix(level)).unwrap_or(text)
}

/// Returns the account after `Failed password` or `Accepted password`. `None` for other methods:
/// clients offer each of their keys (`publickey`), and ask for the list of methods (`none`).
fn by_password(text: &str) -> Result<Option<(What, &str)>, Malformed> {
    let what = if text.starts_with("password") {
        What::WrongPassword(1)
    } else if text.starts_with("keyboard-interactive") {
        What::WrongInteractive(1)
    } else {
        return Ok(None);
    };
    let (_method, subject) = text.split_once(" for ").ok_or(Malformed::NoAddress)?;
    with_port(subject).map(|subject| Some((what, subject)))
}

/// Returns the account and address of a message that ends with a port and the protocol.
fn with_port(text: &str) -> Result<&str, Malformed> {
    let subject = text.strip_suffix(" ssh2").or_else(|| text.strip_suffix(" ssh1"));
    let subject = without_kind(subject.ok_or(Malformed::NoAddress)?);
    if split_port(subject).1.is_none() {
        return Err(Malformed::NoAddress);
    }
    Ok(subject)
}

/// Strips the words for an account that does not exist. Old servers call it illegal.
fn without_kind(subject: &str) -> &str {
    ["invalid user ", "illegal user "].iter().find_map(|kind| subject.strip_prefix(kind)).unwrap_or(subject)
}

/// Parses `{account} from {address}`. macOS adds ` via {address of the server}`.
fn read_pam_error(subject: &str) -> Result<Message<'_>, Malformed> {
    let via = subject.rsplit_once(" via ").filter(|(_, server)| server.parse::<IpAddr>().is_ok());
    let subject = without_kind(via.map_or(subject, |(subject, _)| subject));
    let Subject { account, client, port } = parse_subject(subject, Client::address_or_name)?;
    Ok(Message { what: What::PamError(1), account: Some(account), client, port })
}

/// Reads `authentication failure; …` and `5 more authentication failures; …` of the module
/// `pam_unix`. Other modules may be asked after it, so it may fail although the login succeeds.
fn read_pam_module(text: &str) -> Result<Option<Message<'_>>, Malformed> {
    let failures = |rest: &str| rest.starts_with("authentication failure");
    let modules = ["pam_unix(sshd:auth): ", "(pam_unix) "];
    let first = modules.iter().find_map(|module| text.strip_prefix(module)).unwrap_or(text);
    let (times, fields) = if failures(first) {
        (1, first)
    } else if let Some((times, more)) = text.strip_prefix("PAM ").unwrap_or(text).split_once(" more ")
        && failures(more)
        && let Ok(times) = times.parse()
    {
        (times, more)
    } else {
        return Ok(None);
    };
    let (_, rest) = fields.split_once(" rhost=").ok_or(Malformed::NoAddress)?;
    let (host, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let account = rest.trim_start().strip_prefix("user=").filter(|account| !account.is_empty());
    Ok(Some(Message {
        what: What::PamModule(times),
        account,
        client: Client::address_or_name(host)?,
        port: None,
    }))
}

struct Subject<'a> {
    account: &'a str,
    client: Client,
    port: Option<u16>,
}

/// Parses `{account} from {client}`, with or without ` port {port}`, from its end.
fn parse_subject(
    text: &str,
    client: impl Fn(&str) -> Result<Client, Malformed>,
) -> Result<Subject<'_>, Malformed> {
    let (subject, port) = split_port(text);
    let (account, from) = subject.rsplit_once(" from ").ok_or(Malformed::NoAddress)?;
    Ok(Subject { account, client: client(from)?, port })
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
