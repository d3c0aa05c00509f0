//! Blocks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use limited_core::{Escaped, debug_error};

/// A block of addresses in CIDR notation (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    first: IpAddr,
    bits: u8,
}

/// A text that is neither an address nor a block of addresses.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid network `{}`; expected an address, or a block such as 10.0.0.0/8 or 2001:db8::/32", Escaped(.0))]
pub struct InvalidNetwork(String);

impl fmt::Debug for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_error(f, "InvalidNetwork", self)
    }
}

impl Network {
    pub(super) fn contains(self, address: IpAddr) -> bool {
        first_bits(address, self.bits) == self.first
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let width = width(address);
        let bits = match bits {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= width).ok_or_else(invalid)?
            }
            Some(_) => return Err(invalid()),
        };
        // Addresses are compared as IPv4 if possible, so an IPv4 block written as IPv6 becomes
        // IPv4.
        let (address, bits) = match (address.to_canonical(), bits.checked_sub(96)) {
            (mapped @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => (mapped, bits),
            _ => (address, bits),
        };
        Ok(Self { first: first_bits(address, bits), bits })
    }
}

const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Returns the address with all but its first bits cleared.
fn first_bits(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn network_contains_exactly_its_addresses() {
        assert!(contains("10.0.0.0/8", "10.255.0.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("10.1.2.3/8", "10.9.9.9"), "bits below the prefix are ignored");
        assert!(contains("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(contains("64:ff9b::10.0.0.0/104", "64:ff9b::10.9.9.9"));
        assert!(!contains("64:ff9b::10.0.0.0/104", "10.9.9.9"));
    }

    #[test]
    fn network_of_zero_bits_contains_its_whole_address_family() {
        assert!(contains("0.0.0.0/0", "203.0.113.9"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
        assert!(!contains("::/0", "203.0.113.9"));
    }

    #[test]
    fn invalid_network_is_an_error() {
        for text in
            ["", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/+8", "10.0/8", "a.b", "::1%eth0"]
        {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork(text.to_owned())));
        }
    }

    #[test]
    fn error_shows_the_text_on_one_line() {
        let error = "10.0.0.0/8\n::1".parse::<Network>().unwrap_err();
        assert!(error.to_string().starts_with(r"invalid network `10.0.0.0/8\n::1`;"), "{error}");
    }

    proptest! {
        #[test]
        fn first_bits_keeps_the_prefix_and_clears_the_rest(address: u128, bits: u8) {
            let IpAddr::V6(first) = first_bits(Ipv6Addr::from_bits(address).into(), bits) else { unreachable!() };
            let differing = (address ^ first.to_bits()).leading_zeros();
            prop_assert!(differing >= u32::from(bits.min(128)));
            prop_assert!(first.to_bits().trailing_zeros() >= 128 - u32::from(bits.min(128)));
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "[0-9a-f:./]{0,24}|\\PC{0,12}") {
            let _ = text.parse::<Network>();
        }
    }
}
