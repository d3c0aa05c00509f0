//! Connections that ended before a login, without a failed login in the log.
//!
//! ```text
//! Connection closed by authenticating user root 192.0.2.1 port 40022 [preauth]
//! Disconnected from authenticating user root 192.0.2.1 port 40022 [preauth]
//! Timeout before authentication for connection from 192.0.2.1 to 192.0.2.80, pid = 7
//! ```
//!
//! A server that takes keys only logs no failure by default if none of the client's keys fits. Then
//! such a line is the only trace. It is no proof of an attempt: a client also ends a connection if
//! its user cancels, and a port scan looks the same. So these connections are not failed logins.
//! They are counted for themselves.

use std::collections::HashMap;
use std::net::IpAddr;

use limited::Timestamp;

use super::client::{CONNECTION, Client, apart};
use super::line::Event;
use super::message::bare;
use super::pam::is_near;

/// A line about the end of a connection before its login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) time: Timestamp,
    /// The host, and the process if known.
    pub(crate) process: String,
    /// `None` if the line does not name it.
    pub(crate) client: Option<Client>,
}

/// What a message says about the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) client: Option<IpAddr>,
    /// The process of the connection, if another one reports its end.
    pub(crate) process: Option<&'a str>,
}

/// Starts of messages about an end. After a login they look alike, except for the name of the user.
const STARTS: [&str; 5] = [
    "Connection closed by ",
    "Connection reset by ",
    "Disconnected from ",
    "Disconnecting",
    "Received disconnect from ",
];

/// Reads a message of `sshd`. `None`: it is about something else.
pub(crate) fn read(text: &str) -> Option<Message<'_>> {
    let text = match text.strip_prefix("message repeated ") {
        Some(repeated) => repeated.split_once(": [")?.1.strip_suffix(']')?.trim_start(),
        None => text,
    };
    let message = bare(text);
    if let Some(client) = message.strip_prefix("Timeout before authentication for ") {
        let process = client.split_once(", pid = ").map(|(_, process)| process);
        let client = client.strip_prefix("connection from ").unwrap_or(client);
        let address = client.split(' ').next().and_then(|word| word.parse().ok());
        return Some(Message { client: address, process });
    }
    let subject = STARTS.iter().find_map(|start| message.strip_prefix(start))?.trim_start();
    let names_user = ["authenticating user ", "invalid user "].iter().any(|kind| subject.starts_with(kind));
    if !names_user && !text.ends_with(" [preauth]") {
        return None;
    }
    // The name of the user comes before the address, and may look like one.
    let address = |word: &str| word.strip_suffix(':').unwrap_or(word).parse().ok();
    Some(Message { client: subject.rsplit(' ').find_map(address), process: None })
}

/// Identifies a connection, together with its time. A process with a number serves one connection.
fn id<'e>(process: &'e str, client: Option<&'e Client>) -> (&'e str, Option<&'e Client>) {
    (process, client.filter(|_| process.ends_with(' ')))
}

/// Counts the connections that ended without one of the events, which are sorted by time. Several
/// lines may be about the end of one connection.
pub(crate) fn count_without(events: &[Event], ends: &mut [End]) -> u64 {
    let mut reported = HashMap::<_, Vec<Timestamp>>::new();
    for event in events {
        reported.entry(id(&event.process, Some(&event.client))).or_default().push(event.time);
    }
    ends.sort_by_key(|end| end.time);
    let mut last = HashMap::new();
    let mut count = 0;
    for End { time, process, client } in &*ends {
        let id = id(process, client.as_ref());
        let is_reported = reported.get(&id).is_some_and(|times| is_near(times, *time));
        let is_again = last.insert(id, *time).is_some_and(|other| apart(other, *time) <= CONNECTION);
        count += u64::from(!is_reported && !is_again);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::super::line::What;
    use super::*;

    #[test]
    fn end_before_a_login_is_read() {
        for (text, client) in [
            ("Connection closed by authenticating user root 192.0.2.1 port 4 [preauth]", true),
            ("Connection closed by authenticating user root 192.0.2.1 port 4", true),
            ("Connection closed by invalid user 203.0.113.9 192.0.2.1 port 4 [preauth]", true),
            ("Connection reset by authenticating user root 192.0.2.1 port 4 [preauth]", true),
            ("Disconnected from authenticating user root 192.0.2.1 port 4 [preauth]", true),
            ("Disconnected from 192.0.2.1 [preauth]", true),
            ("Received disconnect from 192.0.2.1: 11: Bye Bye [preauth]", true),
            ("error: Received disconnect from 192.0.2.1 port 4:3: Auth fail [preauth]", true),
            ("Disconnecting authenticating user root 192.0.2.1 port 4: Too many failures [preauth]", true),
            ("Disconnecting: Too many authentication failures for root [preauth]", false),
            ("fatal: Timeout before authentication for 192.0.2.1 port 4", true),
            ("Timeout before authentication for connection from 192.0.2.1 to 192.0.2.80, pid = 7", true),
            ("message repeated 2 times: [ Connection closed by 192.0.2.1 port 4 [preauth]]", true),
        ] {
            let read = read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.client, client.then(|| [192, 0, 2, 1].into()), "{text}");
            assert_eq!(read.process, text.contains("pid = ").then_some("7"), "{text}");
        }
    }

    #[test]
    fn end_after_a_login_is_not() {
        for text in [
            "Connection closed by 192.0.2.1 port 4",
            "Disconnected from user ana 192.0.2.1 port 4",
            "Received disconnect from 192.0.2.1 port 4:11: disconnected by user",
            "Failed password for ana from 192.0.2.1 port 4 ssh2",
            "message repeated 2 times",
            "",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn connections_without_a_failure_are_counted_once() {
        let end = |second: u64, process: &str, client: Option<&str>| End {
            time: Timestamp::from_secs(1_780_974_662 + second),
            process: process.into(),
            client: client.map(|client| Client::address(client).unwrap()),
        };
        let failed = Event {
            time: Timestamp::from_secs(1_780_974_662),
            process: "gate 7".into(),
            what: What::WrongPassword(1),
            account: None,
            client: Client::address("192.0.2.1").unwrap(),
            port: None,
        };
        let mut ends = [
            end(700, "gate 7", None), // another connection: the number of the process was reused
            end(9, "gate 7", Some("192.0.2.1")),
            end(9, "gate 8", Some("192.0.2.1")),
            end(10, "gate 8", None),
            end(9, "gate ", Some("192.0.2.1")),
            end(9, "gate ", Some("192.0.2.2")),
        ];
        assert_eq!(count_without(&[failed], &mut ends), 4);
        assert_eq!(count_without(&[], &mut ends), 5);
    }
}
