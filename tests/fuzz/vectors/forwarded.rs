//! RFC 7239, the header `Forwarded`.

use std::net::IpAddr;

use http::Request;
use limited::http::{ClientAddress, PeerAddress, TrustedProxies};

/// Returns the address that the outermost of all proxies reports in these lines.
fn client(lines: &[&str], proxies: usize) -> Option<IpAddr> {
    let request = Request::get("/").extension(PeerAddress([10, 0, 0, 1].into()));
    let request = lines.iter().fold(request, |request, line| request.header("forwarded", *line));
    let parts = request.body(()).unwrap().into_parts().0;
    ClientAddress::peer().forwarded(TrustedProxies::count(proxies)).of(&parts)
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn elements_have_pairs_in_any_order_and_case() {
    // Section 4: names are case-insensitive, and an element has each pair at most once.
    for (line, expected) in [
        ("for=192.0.2.60", "192.0.2.60"),
        ("For=192.0.2.60", "192.0.2.60"),
        ("FOR=192.0.2.60;Proto=http;By=203.0.113.43", "192.0.2.60"),
        ("by=203.0.113.43;proto=http;for=192.0.2.60", "192.0.2.60"),
        ("for=\"192.0.2.60\";host=\"shop.example:8080\"", "192.0.2.60"),
        ("for=192.0.2.60;secret=token_68", "192.0.2.60"),
    ] {
        assert_eq!(client(&[line], 1), address(expected), "{line}");
    }
}

#[test]
fn lines_and_elements_are_one_list() {
    // Section 4: a proxy appends to the list, or adds a line after the others. Section 7.1: both
    // mean the same.
    for lines in [
        &["for=192.0.2.43,for=198.51.100.17"][..],
        &["for=192.0.2.43, for=198.51.100.17"],
        &["for=192.0.2.43", "for=198.51.100.17"],
        &["for=192.0.2.43,", " , for=198.51.100.17;proto=https"],
    ] {
        assert_eq!(client(lines, 1), address("198.51.100.17"), "{lines:?}");
        assert_eq!(client(lines, 2), address("192.0.2.43"), "{lines:?}");
        assert_eq!(client(lines, 0), address("10.0.0.1"), "{lines:?}");
    }
}

#[test]
fn node_is_an_address_with_an_optional_port() {
    // Section 6: an IPv6 address is in brackets, and a node with a colon or a bracket in quotes. A
    // port is a number (section 6.2) or obfuscated (section 6.3).
    for (node, expected) in [
        ("192.0.2.43", "192.0.2.43"),
        ("\"192.0.2.43:47011\"", "192.0.2.43"),
        ("\"192.0.2.43:_port-1\"", "192.0.2.43"),
        ("\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("\"[2001:DB8:CAFE::17]:4711\"", "2001:db8:cafe::17"),
        ("\"[2001:db8:cafe::17]:_obf.us\"", "2001:db8:cafe::17"),
    ] {
        assert_eq!(client(&[&format!("for={node}")], 1), address(expected), "{node}");
    }
}

#[test]
fn node_without_an_address_ends_the_walk() {
    // Section 6.2: `unknown`. Section 6.3: an identifier that starts with `_`. Then the proxy that
    // wrote it counts as the client.
    for node in
        ["unknown", "_hidden", "_SEVKISEK", "\"_gazonk:80\"", "\"unknown:80\"", "\"\"", "192.0.2.1:65536"]
    {
        let line = format!("for=192.0.2.43, for={node}, for=198.51.100.17");
        assert_eq!(client(&[&line], 3), address("198.51.100.17"), "{node}");
        assert_eq!(client(&[&format!("for={node}")], 1), address("10.0.0.1"), "{node}");
    }
    // Section 5: an element need not have `for`.
    assert_eq!(client(&["for=192.0.2.43, by=203.0.113.43"], 2), address("10.0.0.1"));
}
