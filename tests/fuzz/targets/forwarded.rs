//! `X-Forwarded-For` and `Forwarded`: an address comes only from what trusted proxies wrote.

use std::net::IpAddr;

use http::{HeaderValue, Request};
use limited::http::{ClientAddress, PeerAddress, TrustedProxies};
use proptest::prelude::*;

use super::fuzz;
use crate::inputs;

const WORDS: &[&str] = &[
    ",",
    ", ",
    ";",
    "=",
    "\"",
    "\\",
    "\\\"",
    " ",
    "\t",
    ":",
    "[",
    "]",
    "%",
    "%eth0",
    "for",
    "for=",
    "For=\"",
    "by=",
    "host=\"a,b\"",
    "proto=https",
    "unknown",
    "_hidden",
    "10.0.0.1",
    "203.0.113.9",
    "[2001:db8::1]",
    "[fd00::1]:80",
    "::1",
    "::ffff:10.0.0.1",
    ":4711",
    ":99999",
];

/// Which header a client reads its address from.
type Header = fn(ClientAddress, TrustedProxies) -> ClientAddress;

fn in_networks() -> TrustedProxies {
    TrustedProxies::networks(["10.0.0.0/8", "fd00::/8"]).unwrap()
}

/// Returns the address that is found in lines of a header.
fn found(
    header: Header,
    name: &str,
    proxies: TrustedProxies,
    peer: Option<IpAddr>,
    lines: &[HeaderValue],
) -> Option<IpAddr> {
    let mut request = Request::get("/");
    if let Some(peer) = peer {
        request = request.extension(PeerAddress(peer));
    }
    for line in lines {
        request = request.header(name, line);
    }
    header(ClientAddress::peer(), proxies).of(&request.body(()).unwrap().into_parts().0)
}

/// How a proxy writes an address.
#[derive(Clone, Debug)]
struct Entry {
    address: IpAddr,
    port: Option<u16>,
    has_brackets: bool,
    /// Pairs of `Forwarded` before and after the address.
    pairs: (String, String),
    /// Whether the proxy starts a new line.
    on_new_line: bool,
}

fn entry(address: impl Strategy<Value = IpAddr>) -> impl Strategy<Value = Entry> {
    let pairs = || {
        let pair = prop_oneof![
            Just("proto=https".to_owned()),
            Just("by=_proxy".to_owned()),
            // A quoted string may contain every separator.
            "[ -~]{0,8}".prop_map(|text| format!("host={}", inputs::quoted(&text))),
        ];
        prop::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join(";"))
    };
    let entry = (address, any::<Option<u16>>(), any::<bool>(), (pairs(), pairs()), any::<bool>());
    entry.prop_map(|(address, port, has_brackets, pairs, on_new_line)| Entry {
        address,
        port,
        has_brackets,
        pairs,
        on_new_line,
    })
}

impl Entry {
    fn node(&self) -> String {
        match (self.address, self.port) {
            (IpAddr::V4(address), None) => address.to_string(),
            (IpAddr::V6(address), None) if self.has_brackets => format!("[{address}]"),
            (IpAddr::V6(address), None) => address.to_string(),
            (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        }
    }

    fn element(&self) -> String {
        let node = self.node();
        let client = match self.address {
            // A colon needs quotes (RFC 7239, section 4), and an IPv6 address brackets (section 6).
            IpAddr::V6(address) if self.port.is_none() => format!("for=\"[{address}]\""),
            _ if node.contains(':') => format!("for=\"{node}\""),
            _ => format!("for={node}"),
        };
        let (before, after) = &self.pairs;
        let pairs = [before, &client, after].into_iter().filter(|pair| !pair.is_empty());
        pairs.map(String::as_str).collect::<Vec<_>>().join(";")
    }
}

/// Returns the lines that arrive if the client sends `forged`, and each proxy appends its entry.
fn appended(forged: &[HeaderValue], entries: &[Entry], write: impl Fn(&Entry) -> String) -> Vec<HeaderValue> {
    let mut lines = forged.to_vec();
    for entry in entries {
        let own = write(entry).into_bytes();
        match lines.last_mut().filter(|_| !entry.on_new_line) {
            Some(last) => *last = inputs::sanitized([last.as_bytes(), b", ", &own].concat()),
            None => lines.push(inputs::sanitized(own)),
        }
    }
    lines
}

fn address_is_that_of_the_client_whatever_it_sends(header: Header, name: &str, write: fn(&Entry) -> String) {
    let forged = prop::collection::vec(inputs::header_value(WORDS), 0..3);
    let hops = prop::collection::vec(entry(inputs::proxy_address()), 0..4);
    let chain = (forged, entry(inputs::client_address()), hops, inputs::proxy_address());
    fuzz(&chain, |(forged, client, mut hops, peer)| {
        let (address, proxies) = (client.address, hops.len() + 1);
        hops.insert(0, client);
        let lines = appended(&forged, &hops, write);
        for trusted in [in_networks(), TrustedProxies::count(proxies)] {
            assert_eq!(found(header, name, trusted, Some(peer), &lines), Some(address), "{lines:?}");
        }
        // Without a proxy in front, the peer is the client.
        for trusted in [in_networks(), TrustedProxies::count(0)] {
            assert_eq!(found(header, name, trusted, Some(address), &lines), Some(address), "{lines:?}");
        }
        // A peer without an address is trusted only if it was declared.
        assert_eq!(found(header, name, in_networks(), None, &lines), None);
        let unix = found(header, name, in_networks().and_unix_socket(), None, &lines);
        assert_eq!(unix, Some(address), "{lines:?}");
    });
}

#[test]
fn x_forwarded_for_yields_the_address_that_the_outermost_proxy_saw() {
    let header: Header = ClientAddress::x_forwarded_for;
    address_is_that_of_the_client_whatever_it_sends(header, "x-forwarded-for", Entry::node);
}

#[test]
fn forwarded_yields_the_address_that_the_outermost_proxy_saw() {
    let header: Header = ClientAddress::forwarded;
    address_is_that_of_the_client_whatever_it_sends(header, "forwarded", Entry::element);
}
