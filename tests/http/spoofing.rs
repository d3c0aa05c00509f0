//! Clients that lie about their address: whatever they send, they stay in their own bucket.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request, StatusCode};
use limited::http::{ClientAddress, KeyExtractor, PeerAddress, RateLimitLayer, TrustedProxies};
use tower::service_fn;
use tower_layer::Layer;

use crate::{CLIENT, hello, limiter, send};

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
const OUTER_PROXY: [u8; 4] = [10, 0, 0, 2];
const INNER_PROXY: [u8; 4] = [10, 0, 0, 1];

/// What a client sends in the hope of being taken for somebody else, each line a header.
const ATTACKS: &[&[(&str, &[u8])]] = &[
    // Somebody else's address, in any number.
    &[(XFF, b"203.0.113.9")],
    &[(XFF, b"203.0.113.9, 203.0.113.10, 203.0.113.11")],
    &[(XFF, b"203.0.113.9"), (XFF, b"203.0.113.10")],
    &[(XFF, b"203.0.113.9:4711")],
    &[(XFF, b"[2001:db8::9]:80")],
    &[(XFF, b"2001:db8::9%eth0")],
    &[(XFF, b"::ffff:203.0.113.9")],
    // Addresses that are trusted, or look like it.
    &[(XFF, b"10.0.0.2")],
    &[(XFF, b"203.0.113.9, 10.0.0.2, 10.0.0.1")],
    &[(XFF, b"127.0.0.1")],
    &[(XFF, b"::1, 10.0.0.2")],
    &[(XFF, b"::ffff:10.0.0.2")],
    // What is no address, to stop a reader, or to be skipped by one.
    &[(XFF, b"")],
    &[(XFF, b",")],
    &[(XFF, b"203.0.113.9,")],
    &[(XFF, b"203.0.113.9,,,,,")],
    &[(XFF, b"unknown")],
    &[(XFF, b"_hidden, unknown, -")],
    &[(XFF, b"203.0.113.9\t")],
    &[(XFF, b"203.0.113.9 10.0.0.2")],
    &[(XFF, b"\"203.0.113.9")],
    &[(XFF, b"\xff\xfe, 203.0.113.9")],
    &[(XFF, b"for=203.0.113.9")],
    // The same in `Forwarded`.
    &[(FORWARDED, b"for=203.0.113.9")],
    &[(FORWARDED, b"for=203.0.113.9, for=203.0.113.10")],
    &[(FORWARDED, b"for=203.0.113.9"), (FORWARDED, b"for=\"[2001:db8::9]:80\"")],
    &[(FORWARDED, b"For=10.0.0.2;by=10.0.0.1")],
    &[(FORWARDED, b"for=203.0.113.9;proto=https;by=10.0.0.1, for=10.0.0.2")],
    // Quotes and escapes that would swallow what a proxy adds.
    &[(FORWARDED, b"for=\"203.0.113.9")],
    &[(FORWARDED, b"for=203.0.113.9;host=\"")],
    &[(FORWARDED, b"for=203.0.113.9;host=\"\\")],
    &[(FORWARDED, b"\"")],
    &[(FORWARDED, b"\"\"\"")],
    &[(FORWARDED, b"for=\"203.0.113.9\\\"")],
    &[(FORWARDED, b"for=203.0.113.9;")],
    &[(FORWARDED, b"for=203.0.113.9,")],
    &[(FORWARDED, b"for=_hidden, for=unknown")],
    &[(FORWARDED, b"=;=,;,")],
    &[(FORWARDED, b"\xff=\"\xff")],
    // The header that is not read, and those that nobody reads.
    &[(XFF, b"203.0.113.9"), (FORWARDED, b"for=203.0.113.10")],
    &[("x-real-ip", b"203.0.113.9"), ("x-client-ip", b"203.0.113.9"), ("true-client-ip", b"203.0.113.9")],
    &[("x-forwarded", b"for=203.0.113.9"), ("cf-connecting-ip", b"203.0.113.9"), ("via", b"203.0.113.9")],
];

/// How a proxy adds to a header: to its last line, or in a line of its own.
#[derive(Clone, Copy, Debug)]
enum Adds {
    ToTheLine,
    ALine,
}

/// A request as it reaches the service.
struct Sent {
    request: Request<String>,
}

impl Sent {
    fn by_client(attack: &[(&str, &[u8])]) -> Self {
        let mut request = Request::get("/").body(String::new()).unwrap();
        for (name, value) in attack {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
        }
        Self { request }
    }

    /// Through a proxy, which was called from an address, and tells of it in both headers.
    fn through(mut self, from: IpAddr, adds: Adds) -> Self {
        let forwarded = match from {
            IpAddr::V4(from) => format!("for={from};proto=https"),
            IpAddr::V6(from) => format!("for=\"[{from}]:4711\";proto=https"),
        };
        for (name, entry) in [(XFF, from.to_string()), (FORWARDED, forwarded)] {
            let headers = self.request.headers_mut();
            let mut lines: Vec<Vec<u8>> =
                headers.get_all(name).iter().map(|line| line.as_bytes().to_vec()).collect();
            match (adds, lines.last_mut()) {
                (Adds::ToTheLine, Some(last)) => last.extend(format!(", {entry}").into_bytes()),
                _ => lines.push(entry.into_bytes()),
            }
            headers.remove(name);
            for line in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&line).unwrap());
            }
        }
        self
    }

    /// At the service, by the peer that it sees.
    fn at_service(mut self, peer: IpAddr) -> Request<String> {
        self.request.extensions_mut().insert(PeerAddress(peer));
        self.request
    }
}

fn networks() -> TrustedProxies {
    TrustedProxies::networks(["10.0.0.0/8", "fd00::/8"]).unwrap()
}

#[test]
fn no_attack_gets_a_fresh_bucket() {
    let (client, outer, inner) = (CLIENT.into(), OUTER_PROXY.into(), INNER_PROXY.into());
    let peer = ClientAddress::peer;
    let mut tried = 0;
    for (proxies, address) in [
        (0, peer()),
        (0, peer().x_forwarded_for(TrustedProxies::count(0))),
        (0, peer().x_forwarded_for(networks())),
        (0, peer().forwarded(networks())),
        (1, peer().x_forwarded_for(TrustedProxies::count(1))),
        (1, peer().x_forwarded_for(networks())),
        (1, peer().forwarded(TrustedProxies::count(1))),
        (1, peer().forwarded(networks())),
        (2, peer().x_forwarded_for(TrustedProxies::count(2))),
        (2, peer().x_forwarded_for(networks())),
        (2, peer().forwarded(TrustedProxies::count(2))),
        (2, peer().forwarded(networks())),
    ] {
        for adds in [Adds::ToTheLine, Adds::ALine] {
            let send_in = |attack: &[(&str, &[u8])]| {
                let sent = Sent::by_client(attack);
                match proxies {
                    0 => sent.at_service(client),
                    1 => sent.through(client, adds).at_service(inner),
                    _ => sent.through(client, adds).through(outer, adds).at_service(inner),
                }
            };
            let (limiter, _) = limiter("1/min");
            let mut service =
                RateLimitLayer::new(limiter, KeyExtractor::address(address.clone())).layer(service_fn(hello));
            assert_eq!(send(&mut service, send_in(&[])).status, StatusCode::OK);
            for attack in ATTACKS {
                let shown: Vec<_> =
                    attack.iter().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
                let request = send_in(attack);
                let (parts, _) = send_in(attack).into_parts();
                assert_eq!(address.of(&parts), Some(client), "{shown:?} by {address:?}, {adds:?}");
                assert_eq!(send(&mut service, request).status, StatusCode::TOO_MANY_REQUESTS, "{shown:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 24 * ATTACKS.len());
}

#[test]
fn who_reaches_the_service_around_the_proxies_is_the_client() {
    for address in
        [ClientAddress::peer().x_forwarded_for(networks()), ClientAddress::peer().forwarded(networks())]
    {
        let (limiter, _) = limiter("1/min");
        let mut service =
            RateLimitLayer::new(limiter, KeyExtractor::address(address)).layer(service_fn(hello));
        for (n, status) in [(0, 200), (1, 429), (2, 429), (3, 429)] {
            let spoofed = format!("192.0.2.{n}");
            let forwarded = format!("for={spoofed}");
            let request = Sent::by_client(&[(XFF, spoofed.as_bytes()), (FORWARDED, forwarded.as_bytes())]);
            assert_eq!(send(&mut service, request.at_service([203, 0, 113, 200].into())).status, status);
        }
    }
}

#[test]
fn a_client_with_a_network_of_its_own_has_one_bucket() {
    let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
    let (limiter, _) = limiter("1/min");
    let mut service = RateLimitLayer::new(limiter, KeyExtractor::address(address)).layer(service_fn(hello));
    for n in 0..50_u16 {
        let client = IpAddr::from([0x2001, 0xdb8, 0, 7, n, n * 3, 0xffff - n, 1]);
        let request = Sent::by_client(&[]).through(client, Adds::ALine).at_service(INNER_PROXY.into());
        assert_eq!(send(&mut service, request).status, if n == 0 { 200 } else { 429 });
    }
}

/// Where a trusted proxy tells of no address, the proxy is the client: nobody further left is believed.
#[test]
fn whom_a_proxy_hides_shares_the_key_of_the_proxy() {
    let address = |header: &str, proxies: TrustedProxies| match header {
        XFF => ClientAddress::peer().x_forwarded_for(proxies),
        _ => ClientAddress::peer().forwarded(proxies),
    };
    for (header, line, expected) in [
        (XFF, "203.0.113.9, unknown", "10.0.0.1"),
        (XFF, "203.0.113.9, _hidden, 10.0.0.2", "10.0.0.2"),
        (XFF, "203.0.113.9, 999.0.0.1, 10.0.0.2", "10.0.0.2"),
        (XFF, "203.0.113.9,, 10.0.0.2", "10.0.0.2"),
        (XFF, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (FORWARDED, "for=203.0.113.9, for=unknown", "10.0.0.1"),
        (FORWARDED, "for=203.0.113.9, for=_hidden, for=10.0.0.2", "10.0.0.2"),
        (FORWARDED, "for=203.0.113.9, by=10.0.0.2, for=10.0.0.2", "10.0.0.2"),
        (FORWARDED, "for=203.0.113.9, for=192.0.2.7;for=192.0.2.8, for=10.0.0.2", "10.0.0.2"),
    ] {
        for proxies in [TrustedProxies::count(3), networks()] {
            let request = Sent::by_client(&[(header, line.as_bytes())]).at_service(INNER_PROXY.into());
            let found = address(header, proxies.clone()).of(&request.into_parts().0);
            assert_eq!(found, Some(expected.parse().unwrap()), "{header}: {line} by {proxies:?}");
        }
    }
}
