//! Clients that forge their address. Whatever headers they send, their key stays the same.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Request, StatusCode};
use limited::http::{ClientAddress, KeyError, KeyExtractor, PeerAddress, RateLimitLayer, TrustedProxies};
use tower::service_fn;
use tower_layer::Layer;

use super::{CLIENT, hello, limiter, send};

const XFF: &str = "x-forwarded-for";
const FORWARDED: &str = "forwarded";
const OUTER_PROXY: [u8; 4] = [10, 0, 0, 2];
const INNER_PROXY: [u8; 4] = [10, 0, 0, 1];

/// Headers that a client sends in order to count as another client.
const ATTACKS: &[&[(&str, &[u8])]] = &[
    // One or more foreign addresses.
    &[(XFF, b"203.0.113.9")],
    &[(XFF, b"203.0.113.9, 203.0.113.10, 203.0.113.11")],
    &[(XFF, b"203.0.113.9"), (XFF, b"203.0.113.10")],
    &[(XFF, b"203.0.113.9:4711")],
    &[(XFF, b"[2001:db8::9]:80")],
    &[(XFF, b"2001:db8::9%eth0")],
    &[(XFF, b"::ffff:203.0.113.9")],
    // Addresses that are trusted, or look trusted.
    &[(XFF, b"10.0.0.2")],
    &[(XFF, b"203.0.113.9, 10.0.0.2, 10.0.0.1")],
    &[(XFF, b"127.0.0.1")],
    &[(XFF, b"::1, 10.0.0.2")],
    &[(XFF, b"::ffff:10.0.0.2")],
    // Addresses in which a trusted one is embedded.
    &[(XFF, b"::10.0.0.2, ::ffff:0:10.0.0.2")],
    &[(XFF, b"203.0.113.9, 64:ff9b::10.0.0.2")],
    &[(XFF, b"64:ff9b:1::10.0.0.2, 2002:a00:2::")],
    &[(FORWARDED, b"for=203.0.113.9, for=\"[64:ff9b::10.0.0.2]\"")],
    // Entries that are not addresses, to stop a parser or to be skipped by it.
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
    // Quotes and escapes that could swallow the entry of a proxy.
    &[(FORWARDED, b"for=\"203.0.113.9")],
    &[(FORWARDED, b"for=203.0.113.9;host=\"")],
    &[(FORWARDED, b"for=203.0.113.9;host=\"\\")],
    &[(FORWARDED, b"\"")],
    &[(FORWARDED, b"\"\"\"")],
    &[(FORWARDED, b"for=\"203.0.113.9\\\"")],
    &[(FORWARDED, b"for=203.0.113.9;")],
    &[(FORWARDED, b"for=203.0.113.9,")],
    &[(FORWARDED, b"for=_hidden, for=unknown")],
    // Legal forms that a parser may skip or unescape: empty elements and quoted pairs.
    &[(FORWARDED, b"")],
    &[(FORWARDED, b"for=203.0.113.9,,, ,")],
    &[(FORWARDED, b"for=203.0.113.9"), (FORWARDED, b","), (FORWARDED, b"")],
    &[(FORWARDED, b"for=\"203.0.113\\.9\"")],
    &[(FORWARDED, b"for=\"10.0.0\\.2\"")],
    &[(FORWARDED, b"for=203.0.113.9, for=\"10.0.0\\.2\",")],
    &[(FORWARDED, b"for=\"203.0.113.9\\")],
    &[(FORWARDED, b"for=\"\\\"203.0.113.9\\\"\", for=\"\\")],
    &[(FORWARDED, b";"), (FORWARDED, b"for=203.0.113.9;;")],
    &[(FORWARDED, b"=;=,;,")],
    &[(FORWARDED, b"\xff=\"\xff")],
    // The other of the two headers, and headers that are never read.
    &[(XFF, b"203.0.113.9"), (FORWARDED, b"for=203.0.113.10")],
    &[("x-real-ip", b"203.0.113.9"), ("x-client-ip", b"203.0.113.9"), ("true-client-ip", b"203.0.113.9")],
    &[("x-forwarded", b"for=203.0.113.9"), ("cf-connecting-ip", b"203.0.113.9"), ("via", b"203.0.113.9")],
];

/// Whether a proxy appends to the last line of a header, or adds a line.
#[derive(Clone, Copy, Debug)]
enum Append {
    ToLastLine,
    NewLine,
}

/// How the last hop reaches the service.
#[derive(Clone, Copy, Debug)]
enum Where {
    Tcp,
    /// A Unix socket, whose other end has no address.
    Socket,
}

/// A request on its way from the client to the service.
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

    /// Passes a proxy that was called from an address and reports it in both headers.
    fn through(mut self, from: IpAddr, append: Append) -> Self {
        let forwarded = match from {
            IpAddr::V4(from) => format!("for={from};proto=https"),
            IpAddr::V6(from) => format!("for=\"[{from}]:4711\";proto=https"),
        };
        for (name, entry) in [(XFF, from.to_string()), (FORWARDED, forwarded)] {
            let headers = self.request.headers_mut();
            let mut lines: Vec<Vec<u8>> =
                headers.get_all(name).iter().map(|line| line.as_bytes().to_vec()).collect();
            match (append, lines.last_mut()) {
                (Append::ToLastLine, Some(last)) => last.extend(format!(", {entry}").into_bytes()),
                _ => lines.push(entry.into_bytes()),
            }
            headers.remove(name);
            for line in lines {
                headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&line).unwrap());
            }
        }
        self
    }

    /// Returns the request as the service gets it from its peer.
    fn at_service(mut self, peer: IpAddr) -> Request<String> {
        self.request.extensions_mut().insert(PeerAddress(peer));
        self.request
    }

    /// Returns the request as the service gets it over a Unix socket.
    fn at_socket(self) -> Request<String> {
        self.request
    }
}

fn networks() -> TrustedProxies {
    TrustedProxies::networks(["10.0.0.0/8", "fd00::/8"]).unwrap()
}

#[test]
fn no_attack_gets_a_new_key() {
    let (client, outer, inner) = (CLIENT.into(), OUTER_PROXY.into(), INNER_PROXY.into());
    let peer = ClientAddress::peer;
    let (socket, mut tried) = (Where::Socket, 0);
    for (proxies, reached_at, address) in [
        (0, Where::Tcp, peer()),
        (0, Where::Tcp, peer().x_forwarded_for(TrustedProxies::count(0))),
        (0, Where::Tcp, peer().x_forwarded_for(networks())),
        (0, Where::Tcp, peer().forwarded(networks())),
        (1, Where::Tcp, peer().x_forwarded_for(TrustedProxies::count(1))),
        (1, Where::Tcp, peer().x_forwarded_for(networks())),
        (1, Where::Tcp, peer().forwarded(TrustedProxies::count(1))),
        (1, Where::Tcp, peer().forwarded(networks())),
        (2, Where::Tcp, peer().x_forwarded_for(TrustedProxies::count(2))),
        (2, Where::Tcp, peer().x_forwarded_for(networks())),
        (2, Where::Tcp, peer().forwarded(TrustedProxies::count(2))),
        (2, Where::Tcp, peer().forwarded(networks())),
        (1, socket, peer().x_forwarded_for(TrustedProxies::count(1))),
        (1, socket, peer().x_forwarded_for(networks().and_unix_socket())),
        (1, socket, peer().forwarded(networks().and_unix_socket())),
        (2, socket, peer().x_forwarded_for(networks().and_unix_socket())),
        (2, socket, peer().forwarded(networks().and_unix_socket())),
        // Trust in a socket is no trust in any address.
        (0, Where::Tcp, peer().x_forwarded_for(networks().and_unix_socket())),
        (1, Where::Tcp, peer().forwarded(networks().and_unix_socket())),
    ] {
        for append in [Append::ToLastLine, Append::NewLine] {
            let send_in = |attack: &[(&str, &[u8])]| {
                let sent = Sent::by_client(attack);
                let sent = match proxies {
                    0 => sent,
                    1 => sent.through(client, append),
                    _ => sent.through(client, append).through(outer, append),
                };
                match reached_at {
                    Where::Socket => sent.at_socket(),
                    Where::Tcp => sent.at_service(if proxies == 0 { client } else { inner }),
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
                assert_eq!(address.of(&parts), Some(client), "{shown:?} by {address:?}, {append:?}");
                assert_eq!(send(&mut service, request).status, StatusCode::TOO_MANY_REQUESTS, "{shown:?}");
                tried += 1;
            }
        }
    }
    assert_eq!(tried, 38 * ATTACKS.len());
}

#[test]
fn peer_that_bypasses_the_proxies_is_the_client() {
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
fn client_with_an_ipv6_network_has_one_key() {
    let address = ClientAddress::peer().x_forwarded_for(TrustedProxies::count(1));
    let (limiter, _) = limiter("1/min");
    let mut service = RateLimitLayer::new(limiter, KeyExtractor::address(address)).layer(service_fn(hello));
    for n in 0..50_u16 {
        let client = IpAddr::from([0x2001, 0xdb8, 0, 7, n, n * 3, 0xffff - n, 1]);
        let request = Sent::by_client(&[]).through(client, Append::NewLine).at_service(INNER_PROXY.into());
        assert_eq!(send(&mut service, request).status, if n == 0 { 200 } else { 429 });
    }
}

#[test]
fn ipv4_client_behind_a_translator_has_its_own_key() {
    let address = ClientAddress::peer().x_forwarded_for(networks());
    for prefix in ["64:ff9b::", "64:ff9b:1::", "::ffff:0:", "::", "::ffff:"] {
        let (limiter, _) = limiter("1/min");
        let mut service =
            RateLimitLayer::new(limiter, KeyExtractor::address(address.clone())).layer(service_fn(hello));
        let translated = |host: &str| format!("{prefix}{host}").parse().unwrap();
        for host in ["192.0.2.1", "192.0.2.2", "203.0.113.1"] {
            let request = || Sent::by_client(&[]).at_service(translated(host));
            assert_eq!(send(&mut service, request()).status, 200, "{prefix}{host}");
            assert_eq!(send(&mut service, request()).status, 429, "{prefix}{host}");
            // The same client without a translator, behind a proxy.
            let direct = Sent::by_client(&[]).through(host.parse().unwrap(), Append::NewLine);
            assert_eq!(send(&mut service, direct.at_service(INNER_PROXY.into())).status, 429, "{host}");
        }
    }
}

/// A network is trusted, and not what embeds an address of it.
#[test]
fn address_that_embeds_a_trusted_one_is_not_trusted() {
    for peer in
        ["64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "::10.0.0.1", "::ffff:0:10.0.0.1", "2002:a00:1::"]
    {
        let (peer, client) = (peer.parse().unwrap(), CLIENT.into());
        let request = || Sent::by_client(&[]).through(client, Append::NewLine).at_service(peer);
        let (parts, _) = request().into_parts();
        for trusted in ["10.0.0.0/8", "0.0.0.0/0", "::ffff:0:0/96"] {
            let proxies = TrustedProxies::networks([trusted]).unwrap();
            let address = ClientAddress::peer().x_forwarded_for(proxies);
            assert_eq!(address.of(&parts), Some(peer), "{trusted}");
        }
        let proxies = TrustedProxies::networks([peer.to_string()]).unwrap();
        assert_eq!(ClientAddress::peer().forwarded(proxies).of(&parts), Some(client));
    }
}

/// If a trusted proxy reports no address, the proxy is the client. Entries further left are
/// ignored.
#[test]
fn clients_hidden_by_a_proxy_share_its_key() {
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
        (FORWARDED, "for=203.0.113.9, for=_hidden,, for=10.0.0.2, ,", "10.0.0.2"),
        (FORWARDED, "for=203.0.113.9, ;, for=10.0.0.2", "10.0.0.2"),
        (FORWARDED, "for=203.0.113.9, for=\"10.0.0.2\\\"", "10.0.0.1"),
        (FORWARDED, "for=203.0.113.9, for=192.0.2.7;for=192.0.2.8, for=10.0.0.2", "10.0.0.2"),
    ] {
        for proxies in [TrustedProxies::count(3), networks()] {
            let request = Sent::by_client(&[(header, line.as_bytes())]).at_service(INNER_PROXY.into());
            let found = address(header, proxies.clone()).of(&request.into_parts().0);
            assert_eq!(found, Some(expected.parse().unwrap()), "{header}: {line} by {proxies:?}");
        }
    }
}

#[test]
fn legal_forms_of_forwarded_are_read() {
    for line in [
        "for=\"192.0.2\\.7\"",
        "for=192.0.2.7,",
        "for=203.0.113.9, for=\"192.0.2\\.7:4711\", ,",
        "for=203.0.113.9, for=192.0.2.7,, for=\"10.0.0\\.2\",",
    ] {
        let request = || Sent::by_client(&[(FORWARDED, line.as_bytes())]);
        let address = ClientAddress::peer().forwarded(networks());
        let (parts, _) = request().at_service(INNER_PROXY.into()).into_parts();
        assert_eq!(address.of(&parts), Some(CLIENT.into()), "{line}");
        let address = ClientAddress::peer().forwarded(networks().and_unix_socket());
        let (parts, _) = request().at_socket().into_parts();
        assert_eq!(address.of(&parts), Some(CLIENT.into()), "{line}");
    }
}

/// Without an explicit setting a missing address is the mistake of a server, and trusted by no
/// network.
#[test]
fn socket_is_trusted_only_if_it_is_named() {
    let request = || Sent::by_client(&[]).through(CLIENT.into(), Append::NewLine).at_socket();
    for (address, expected) in [
        (ClientAddress::peer(), None),
        (ClientAddress::peer().x_forwarded_for(networks()), None),
        (ClientAddress::peer().forwarded(TrustedProxies::networks(["0.0.0.0/0", "::/0"]).unwrap()), None),
        (ClientAddress::peer().x_forwarded_for(TrustedProxies::count(0)), None),
        (ClientAddress::peer().x_forwarded_for(networks().and_unix_socket()), Some(CLIENT.into())),
        (
            ClientAddress::peer().x_forwarded_for(TrustedProxies::count(0).and_unix_socket()),
            Some(CLIENT.into()),
        ),
        (ClientAddress::peer().forwarded(TrustedProxies::count(1)), Some(CLIENT.into())),
    ] {
        assert_eq!(address.of(&request().into_parts().0), expected, "{address:?}");
    }
}

#[test]
fn proxy_on_a_socket_that_reports_no_address_leaves_no_key() {
    for line in ["", "unknown", "203.0.113.9, unix:"] {
        let address = ClientAddress::peer().x_forwarded_for(networks().and_unix_socket());
        let (parts, _) = Sent::by_client(&[(XFF, line.as_bytes())]).at_socket().into_parts();
        assert_eq!(address.of(&parts), None, "{line}");
        let error = KeyExtractor::address(address).extract(&parts).unwrap_err();
        let KeyError::Misconfigured(reason) = error else { panic!("{error:?}") };
        assert!(reason.contains("Unix socket") && reason.contains("check that the proxy"), "{reason}");
    }
}
