//! What a key is created from.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Key;

impl<'a> From<&'a str> for Key<'a> {
    fn from(key: &'a str) -> Self {
        Self { rendered: Cow::Borrowed(key), dimensions: None }
    }
}

impl<'a> From<&'a String> for Key<'a> {
    fn from(key: &'a String) -> Self {
        Self::from(key.as_str())
    }
}

impl From<String> for Key<'static> {
    fn from(key: String) -> Self {
        Self { rendered: Cow::Owned(key), dimensions: None }
    }
}

impl<'a> From<Cow<'a, str>> for Key<'a> {
    fn from(rendered: Cow<'a, str>) -> Self {
        Self { rendered, dimensions: None }
    }
}

impl<'a> From<&'a Key<'_>> for Key<'a> {
    fn from(key: &'a Key<'_>) -> Self {
        Self { rendered: Cow::Borrowed(key.as_str()), dimensions: key.dimensions.clone() }
    }
}

/// Creates the key of a scope and a name in it with [`Key::part`], such as
/// `("password-reset", "user-123")` or `("order", 981)`.
impl<S: AsRef<str>, N: fmt::Display> From<(S, N)> for Key<'static> {
    fn from((scope, name): (S, N)) -> Self {
        Self::new().part(scope.as_ref(), name)
    }
}

macro_rules! from_integers {
    ($($integer:ty)*) => {$(
        /// Creates the key of the decimal text.
        impl From<$integer> for Key<'static> {
            fn from(number: $integer) -> Self {
                Self::from(number.to_string())
            }
        }
    )*};
}

from_integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

macro_rules! from_addresses {
    ($($address:ty)*) => {$(
        /// Creates the key that [`Key::ip`] renders.
        impl From<$address> for Key<'static> {
            fn from(address: $address) -> Self {
                Self::new().ip(address)
            }
        }
    )*};
}

from_addresses! { IpAddr Ipv4Addr Ipv6Addr }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_name_are_a_key() {
        assert_eq!(Key::from(("password-reset", "user-123")).as_str(), "password-reset:user-123");
        assert_ne!(Key::from(("a:b", "c")), Key::from(("a", "b:c")));
        assert_eq!(Key::from(("order", 981)), Key::from(("order", "981")));
    }

    #[test]
    fn plain_string_is_borrowed() {
        let text = String::from("user");
        let key = Key::from(&text);
        assert!(std::ptr::eq(key.as_str(), text.as_str()));
    }

    #[test]
    fn integer_is_the_key_of_its_decimal_text() {
        for key in
            [Key::from(42), Key::from(42_u64), Key::from(42_i64), Key::from(42_usize), Key::from(42_u128)]
        {
            assert_eq!(key, Key::from("42"));
        }
        assert_eq!(Key::from(-1_i32).as_str(), "-1");
        assert_eq!(Key::from(u128::MAX).as_str(), "340282366920938463463374607431768211455");
        assert_eq!(Key::from(0_u32).validate(), Ok(()));
    }

    #[test]
    fn integer_is_no_composed_key() {
        assert_ne!(Key::from(42), Key::new().part("", 42));
        assert_ne!(Key::from(42), Key::new().user(42));
    }

    #[test]
    fn address_is_the_key_of_its_part() {
        let (v4, v6) = (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::from_bits(1));
        assert_eq!(Key::from(v4).as_str(), "ip:192.0.2.1");
        assert_eq!(Key::from(IpAddr::V4(v4)), Key::from(v4));
        assert_eq!(Key::from(v4.to_ipv6_mapped()), Key::from(v4));
        assert_eq!(Key::from(v6), Key::new().ip(v6));
        assert_eq!(Key::from(v6).dimensions().unwrap().ip, Some(v6.into()));
    }
}
