//! Blocks of addresses: a network trusts exactly the addresses with its prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Request;
use limited::http::{ClientAddress, PeerAddress, TrustedProxies};
use proptest::prelude::*;

use super::fuzz;
use crate::inputs;

const WORDS: &[&str] = &[
    "10.0.0.0",
    "192.0.2.7",
    "::",
    "2001:db8::",
    "::ffff:",
    "/",
    "0",
    "8",
    "32",
    "128",
    "129",
    ".",
    ":",
    "+",
    "%",
];

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

/// Returns whether the network trusts this peer.
pub(crate) fn trusts(network: &TrustedProxies, peer: IpAddr) -> bool {
    let request =
        Request::get("/").extension(PeerAddress(peer)).header("x-forwarded-for", CLIENT.to_string());
    let parts = request.body(()).unwrap().into_parts().0;
    ClientAddress::peer().x_forwarded_for(network.clone()).of(&parts) == Some(CLIENT)
}

/// Returns the bits of the address, and the width of its family.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

#[test]
fn network_trusts_exactly_the_addresses_with_its_prefix() {
    let address = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        // Not an IPv4 address in IPv6: those are compared as IPv4.
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits | (1 << 127)))),
    ];
    let case = (address, any::<u8>(), any::<u8>(), inputs::text(WORDS));
    fuzz(&case, |(address, prefix, flipped, text)| {
        let (value, width) = bits(address);
        let (prefix, flipped) = (u32::from(prefix) % (width + 1), u32::from(flipped) % width);
        let other = value ^ (1 << (width - 1 - flipped));
        let other = match address {
            IpAddr::V4(_) => Ipv4Addr::from_bits(u32::try_from(other).unwrap()).into(),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::from_bits(other)),
        };
        let network = TrustedProxies::networks([format!("{address}/{prefix}")]).unwrap();
        assert!(trusts(&network, address));
        // Only the first `prefix` bits count, so a change of any other bit makes no difference.
        assert_eq!(trusts(&network, other), flipped >= prefix, "{address}/{prefix} {other}");
        let narrow = format!("{address}/{}", width + 1 + prefix);
        assert!(TrustedProxies::networks([narrow]).is_err());

        match TrustedProxies::networks([&text]) {
            Ok(network) => {
                let (first, prefix) = text.split_once('/').unwrap_or((&text, "128"));
                let first: IpAddr = first.parse().unwrap();
                // IPv4 peers are compared as IPv4, so a network of fewer bits than the mapping has
                // contains none of them.
                let is_mapped = matches!(first, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
                if !is_mapped || prefix.parse::<u32>().unwrap() >= 96 {
                    assert!(trusts(&network, first), "{text}");
                }
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
        }
    });
}
