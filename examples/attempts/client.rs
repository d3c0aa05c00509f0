//! The client of a login: its address, or its name if the server looks names up.
//!
//! A server with `UseDNS` writes the name in the lines of PAM and of accounts that are not allowed,
//! and the address in all others.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use limited::Timestamp;

use super::line::{Event, Malformed};

/// How far apart the lines of a connection are at most. A server closes a connection without a
/// login after two minutes by default. Numbers of processes are reused after much longer.
pub(crate) const CONNECTION: Duration = Duration::from_secs(600);

/// Identifies a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Address(IpAddr),
    Name(String),
}

impl Client {
    pub(crate) fn address(text: &str) -> Result<Self, Malformed> {
        // A link-local address may contain the name of its interface.
        let address = text.split_once('%').map_or(text, |(address, _interface)| address);
        address.parse().map(|address: IpAddr| address.into()).map_err(|_| Malformed::Address)
    }

    pub(crate) fn address_or_name(text: &str) -> Result<Self, Malformed> {
        Self::address(text).or_else(|error| match is_name(text) {
            true => Ok(Self::Name(text.to_ascii_lowercase())),
            false => Err(error),
        })
    }
}

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Returns whether a text can be the name of a host. No top-level domain is a number.
fn is_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let top = text.trim_end_matches('.').rsplit_once('.').map(|(_, top)| top);
    let has_top = top.is_some_and(|top| top.bytes().any(|byte| byte.is_ascii_alphabetic()));
    text.bytes().all(of_name) && (has_top || text == "localhost")
}

/// Replaces each name by the address that another line of the same process has. The events are
/// sorted by time.
pub(crate) fn resolve(events: &mut [Event]) {
    let mut known = HashMap::<String, Vec<(Timestamp, Client)>>::new();
    // Without a number, all connections of a host share a process.
    let of_process = |event: &&Event| !event.process.ends_with(' ');
    for event in events.iter().filter(of_process).filter(|event| matches!(event.client, Client::Address(_))) {
        known.entry(event.process.clone()).or_default().push((event.time, event.client.clone()));
    }
    for event in events.iter_mut().filter(|event| matches!(event.client, Client::Name(_))) {
        let others = known.get(&event.process).into_iter().flatten();
        let nearest = others.min_by_key(|(time, _)| apart(*time, event.time));
        if let Some((_, client)) = nearest.filter(|(time, _)| apart(*time, event.time) <= CONNECTION) {
            event.client = client.clone();
        }
    }
}

/// Returns the time between two times.
pub(crate) fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.saturating_since(other).max(other.saturating_since(one))
}

#[cfg(test)]
mod tests {
    use super::super::line::What;
    use super::*;

    #[test]
    fn client_is_an_address_or_a_name() {
        let address = |text| Client::address(text).map(|client| client.to_string());
        assert_eq!(address("::ffff:192.0.2.1"), Ok("192.0.2.1".into()));
        assert_eq!(address("fe80::1%eth0"), Ok("fe80::1".into()));
        assert_eq!(address("client.example.net"), Err(Malformed::Address));
        let either = |text| Client::address_or_name(text).map(|client| client.to_string());
        assert_eq!(either("192.0.2.1"), Ok("192.0.2.1".into()));
        assert_eq!(either("192-0-2-1.Client.example.net"), Ok("192-0-2-1.client.example.net".into()));
        assert_eq!(either("localhost"), Ok("localhost".into()));
        for text in ["", "UNKNOWN", "192.0.2.300", "192.0.2", "a b.example", "."] {
            assert_eq!(either(text), Err(Malformed::Address), "{text}");
        }
    }

    #[test]
    fn name_is_replaced_by_the_address_of_its_process() {
        let event = |second: u64, process: &str, client: &str| Event {
            time: Timestamp::from_secs(1_780_974_662 + second),
            process: process.into(),
            what: What::PamError(1),
            account: None,
            client: Client::address_or_name(client).unwrap(),
            port: None,
        };
        let name = "client.example.net";
        let mut events = [
            event(0, "gate 7", name),
            event(1, "gate 8", name),
            event(2, "gate 7", "192.0.2.1"),
            event(3, "gate ", name),
            event(4, "gate ", "192.0.2.2"),
            event(603, "gate 7", name),
        ];
        resolve(&mut events);
        let clients = events.map(|event| event.client.to_string());
        assert_eq!(clients, ["192.0.2.1", name, "192.0.2.1", name, "192.0.2.2", name]);
    }
}
