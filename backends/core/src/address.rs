//! Addresses as the identity of a client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns the network that identifies a client: an IPv4 address as it is, and the first
/// `ipv6_prefix` bits of an IPv6 address, at most 128.
///
/// An IPv6 address that [embeds an IPv4 address](embedded_ipv4) counts as that IPv4 address.
///
/// ```
/// use limited_core::client_network;
///
/// let network = |address: &str| client_network(address.parse().unwrap(), 64).to_string();
/// assert_eq!(network("192.0.2.1"), "192.0.2.1");
/// assert_eq!(network("2001:db8::1:2:3:4"), "2001:db8::");
/// assert_eq!(network("64:ff9b::192.0.2.1"), "192.0.2.1");
/// ```
pub fn client_network(address: IpAddr, ipv6_prefix: u8) -> IpAddr {
    let IpAddr::V6(address) = address else { return address };
    if let Some(embedded) = embedded_ipv4(address) {
        return embedded.into();
    }
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(ipv6_prefix.into())).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask).into()
}

/// Returns the IPv4 address of a client that a translator or a tunnel presents as IPv6.
///
/// | form | source |
/// |---|---|
/// | `::ffff:a.b.c.d`, IPv4-mapped | RFC 4291, section 2.5.5.2 |
/// | `::ffff:0:a.b.c.d`, IPv4-translated (SIIT) | RFC 2765, section 2.1 |
/// | `::a.b.c.d`, IPv4-compatible, deprecated | RFC 4291, section 2.5.5.1 |
/// | `64:ff9b::a.b.c.d`, NAT64 | RFC 6052, section 2.1 |
/// | `64:ff9b:1::/48`, local NAT64, see below | RFC 8215 |
/// | `2002:aabb:ccdd::/48`, 6to4 | RFC 3056, section 2 |
/// | `2001::/32`, Teredo | RFC 4380, section 4 |
///
/// Without this, a prefix of 64 bits makes one client of all IPv4 clients behind a translator. A
/// 6to4 site is one IPv4 address with 65,536 networks of 64 bits.
///
/// `::` and `::1` embed nothing. No client has an address in `0.0.0.0/8`, so those are not
/// unwrapped in any form.
///
/// # Local NAT64
///
/// Within `64:ff9b:1::/48`, an operator chooses where the IPv4 address is. Two layouts of RFC 6052,
/// section 2.2, are recognised by the bits that the RFC requires to be zero:
///
/// - a prefix of 96 bits: the IPv4 address is the last 32 bits, and one of the last 24 is set;
/// - a prefix of 48 bits: the last 40 bits are zero.
///
/// Every other address there stays IPv6. Bits beside the IPv4 address never distinguish clients, so
/// a client gets no second key by changing them. For a prefix of the operator's own, such as
/// `2001:db8:122::/48`, nothing is known, and the address stays IPv6.
///
/// # Not for trust
///
/// Use the result to count, not to grant access: `64:ff9b::10.0.0.1` need not be the host
/// `10.0.0.1`.
///
/// ```
/// use limited_core::embedded_ipv4;
///
/// assert_eq!(embedded_ipv4("64:ff9b::192.0.2.33".parse()?), Some([192, 0, 2, 33].into()));
/// assert_eq!(embedded_ipv4("2001:db8::1".parse()?), None);
/// assert_eq!(embedded_ipv4("::1".parse()?), None);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
pub const fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    let embedded = match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            low_32_bits(bits)
        }
        [0x64, 0xff9b, 1, ..] => match local_nat64(bits) {
            Some(embedded) => embedded,
            None => return None,
        },
        [0x2002, ..] => low_32_bits(bits >> 80),
        // Teredo inverts the client's address.
        [0x2001, 0, ..] => !low_32_bits(bits),
        _ => return None,
    };
    if embedded >> 24 == 0 { None } else { Some(Ipv4Addr::from_bits(embedded)) }
}

/// Returns the IPv4 address in an address of `64:ff9b:1::/48`.
const fn local_nat64(bits: u128) -> Option<u32> {
    const RESERVED: u128 = 0xff << 56;
    if bits & RESERVED != 0 {
        None
    } else if bits & 0xff_ffff != 0 {
        Some(low_32_bits(bits))
    } else if bits & 0xff_ffff_ffff == 0 {
        Some(low_32_bits(bits >> 64) << 16 | low_32_bits(bits >> 40) & 0xffff)
    } else {
        None
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are the result")]
const fn low_32_bits(bits: u128) -> u32 {
    bits as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn embedded(address: &str) -> Option<String> {
        embedded_ipv4(address.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn every_form_of_an_embedded_address_is_unwrapped() {
        for address in [
            "::ffff:192.0.2.33",
            "::ffff:0:192.0.2.33",
            "::192.0.2.33",
            // RFC 6052, section 2.4, table 2.
            "64:ff9b::192.0.2.33",
            // The layouts of RFC 6052, section 2.4, table 1, under the prefix of RFC 8215.
            "64:ff9b:1:c000:2:2100::",
            "64:ff9b:1::192.0.2.33",
            "64:ff9b:1:344::192.0.2.33",
            "64:ff9b:1:ffff:ff:ffff:192.0.2.33",
            "2002:c000:221::1",
            "2002:c000:221:ffff:ffff:ffff:ffff:ffff",
            // RFC 4380, section 4: the client's address is inverted.
            "2001:0:4136:e378:8000:63bf:3fff:fdde",
        ] {
            assert_eq!(embedded(address).as_deref(), Some("192.0.2.33"), "{address}");
        }
    }

    #[test]
    fn address_without_an_embedded_one_stays_ipv6() {
        for address in [
            "::",
            "::1",
            "::ff:ffff",
            "::ffff:0.0.0.0",
            "64:ff9b::",
            "64:ff9b::1",
            "64:ff9b:0:0:1::192.0.2.33",
            "64:ff9b:2::192.0.2.33",
            "64:ff9a::192.0.2.33",
            "::fffe:192.0.2.33",
            "::1:0:192.0.2.33",
            "::ffff:1:192.0.2.33",
            "fe80::1",
            "2001:db8::192.0.2.33",
            // RFC 6052, section 2.4, table 1: the prefix is the operator's own.
            "2001:db8:c000:221::",
            "2001:db8:1c0:2:21::",
            "2001:db8:122:c000:2:2100::",
            "2001:db8:122:3c0:0:221::",
            "2001:db8:122:344:c0:2:2100::",
            "2001:db8:122:344::192.0.2.33",
            // The layouts of 56 and 64 bits, and a reserved octet that is not zero.
            "64:ff9b:1:3c0:0:221::",
            "64:ff9b:1:344:c0:2:2100:0",
            "64:ff9b:1:344:100::192.0.2.33",
        ] {
            assert_eq!(embedded(address), None, "{address}");
        }
    }

    #[test]
    fn clients_behind_a_translator_have_a_key_each() {
        for prefix in ["::ffff:", "::ffff:0:", "::", "64:ff9b::", "64:ff9b:1::", "64:ff9b:1:7::"] {
            let network = |host: &str| client_network(format!("{prefix}{host}").parse().unwrap(), 64);
            assert_ne!(network("192.0.2.1"), network("192.0.2.2"), "{prefix}");
            assert_eq!(network("192.0.2.1").to_string(), "192.0.2.1", "{prefix}");
        }
    }

    #[test]
    fn client_of_one_ipv6_network_has_one_key() {
        let network = |address: &str, bits| client_network(address.parse().unwrap(), bits).to_string();
        assert_eq!(network("2001:db8:1:2:ffff::1", 64), network("2001:db8:1:2::2", 64));
        assert_eq!(network("2001:db8:1:2::1", 48), "2001:db8:1::");
        assert_eq!(network("2001:db8::1", 128), "2001:db8::1");
        assert_eq!(network("2001:db8::1", 255), "2001:db8::1");
        assert_eq!(network("2001:db8::1", 0), "::");
        assert_eq!(network("::1", 64), "::");
        assert_eq!(network("192.0.2.1", 0), "192.0.2.1");
    }

    proptest! {
        /// The bits between the prefix and the IPv4 address make no second key.
        #[test]
        fn local_nat64_has_one_key_for_each_ipv4_address(subnet: u16, between in 0_u32..1 << 24, host in 1_u32 << 24..) {
            prop_assume!(host & 0xff_ffff != 0);
            let prefix = 0x0064_ff9b_0001_u128 << 80 | u128::from(subnet) << 64;
            let address = Ipv6Addr::from_bits(prefix | u128::from(between) << 32 | u128::from(host));
            prop_assert_eq!(embedded_ipv4(address), Some(Ipv4Addr::from_bits(host)));
        }
    }
}
