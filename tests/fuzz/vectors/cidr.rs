//! RFC 4291 and RFC 4632, the notations of addresses and blocks.

use std::net::IpAddr;

use limited::http::TrustedProxies;

use crate::targets::trusts;

fn contains(network: &str, address: &str) -> bool {
    let network = TrustedProxies::networks([network]).unwrap_or_else(|error| panic!("{error}"));
    trusts(&network, address.parse::<IpAddr>().unwrap())
}

#[test]
fn address_has_three_notations() {
    // RFC 4291, section 2.2: eight groups; `::` for groups of zeros; the last 32 bits as IPv4.
    for (notations, address) in [
        (&["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"][..], "2001:db8::8:800:200c:417a"),
        (&["FF01:0:0:0:0:0:0:101", "FF01::101", "ff01:0::0:101"], "ff01::101"),
        (&["0:0:0:0:0:0:0:1", "::1", "0::1", "::0001"], "::1"),
        (&["0:0:0:0:0:0:0:0", "::", "0::0"], "::"),
        (&["0:0:0:0:0:0:13.1.68.3", "::13.1.68.3", "::d01:4403"], "::13.1.68.3"),
        (&["0:0:0:0:0:FFFF:129.144.52.38", "::FFFF:129.144.52.38", "129.144.52.38"], "129.144.52.38"),
    ] {
        for notation in notations {
            assert!(contains(notation, address), "{notation}");
            assert!(!contains(notation, "2001:db8::9"), "{notation}");
        }
    }
}

#[test]
fn prefix_may_end_within_a_group() {
    // RFC 4291, section 2.3: a prefix of 60 bits, in every legal notation.
    for network in
        ["2001:0DB8:0000:CD30:0000:0000:0000:0000/60", "2001:0DB8::CD30:0:0:0:0/60", "2001:0DB8:0:CD30::/60"]
    {
        assert!(
            contains(network, "2001:db8:0:cd30::") && contains(network, "2001:db8:0:cd3f:ffff::1"),
            "{network}"
        );
        assert!(
            !contains(network, "2001:db8:0:cd2f::") && !contains(network, "2001:db8:0:cd40::"),
            "{network}"
        );
    }
    // The same section: an address and its prefix may be written together.
    assert!(contains("2001:0DB8:0:CD30:123:4567:89AB:CDEF/60", "2001:db8:0:cd31::"));
    // And these are other prefixes: trailing zeros within a group may not be left out.
    assert!(!contains("2001:0DB8::CD30/60", "2001:db8:0:cd30::"));
    assert!(!contains("2001:0DB8::CD3/60", "2001:db8:0:cd30::"));
}

#[test]
fn text_that_is_no_address_or_block_is_refused() {
    for text in [
        // RFC 4291, section 2.2: `::` once, at most eight groups, at most four digits in a group.
        "2001:DB8:0:CD3/60",
        "1::2::3",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        ":1",
        "1:",
        "1.2.3.4::",
        "::1.2.3",
        // RFC 4632, section 3.1: four numbers, and a length of at most 32.
        "10.0.0/8",
        "10/8",
        "10.0.0.256/8",
        "010.0.0.0/8",
        "10.0.0.0/33",
        "10.0.0.0/255.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/8/8",
        "10.0.0.0/-1",
        " 10.0.0.0/8",
        "::/129",
    ] {
        assert!(TrustedProxies::networks([text]).is_err(), "{text}");
    }
}

#[test]
fn block_of_each_length_has_its_first_and_last_address() {
    // RFC 4632, section 3.1: a block of length n has 2^(32-n) addresses.
    for bits in 1..=32_u32 {
        let size = 1_u64 << (32 - bits);
        let first = u64::from(u32::from_be_bytes([192, 0, 2, 0])) & !(size - 1);
        let address = |number: u64| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        let network = TrustedProxies::networks([format!("{}/{bits}", address(first))]).unwrap();
        assert!(trusts(&network, address(first)) && trusts(&network, address(first + size - 1)), "{bits}");
        assert!(!trusts(&network, address(first - 1)), "{bits}");
        if first + size <= u64::from(u32::MAX) {
            assert!(!trusts(&network, address(first + size)), "{bits}");
        }
    }
    assert!(contains("0.0.0.0/0", "255.255.255.255"));
}
