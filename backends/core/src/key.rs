//! Keys: what a limit or a claim applies to.

mod from;

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::{Redacted, client_network, debug_error};

/// What a limit or a claim applies to: a user, an address, a route.
///
/// A key is its rendered string: non-empty UTF-8 of at most [`Key::MAX_LEN`] bytes. A `&str` is a
/// key without copying. A composed key has parts, each with a name and a value:
///
/// ```
/// # use limited_core::Key;
/// assert_eq!(Key::from("signup").as_str(), "signup");
/// assert_eq!(Key::new().tenant(42).user("7").as_str(), "tenant:42:user:7");
/// assert_eq!(Key::new().tenant("42:user").user("7").as_str(), "tenant:42%3Auser:user:7");
/// ```
///
/// # Numbers and addresses
///
/// An integer is the key of its decimal text, whatever its type: `42_u64`, `42_i32` and `"42"` are
/// one key. An address is the key that [`Key::ip`] renders. Both allocate one string.
///
/// ```
/// # use limited_core::Key;
/// # use std::net::{IpAddr, Ipv4Addr};
/// assert_eq!(Key::from(42_u64), Key::from("42"));
/// assert_eq!(Key::from(Ipv4Addr::LOCALHOST), Key::new().ip(Ipv4Addr::LOCALHOST));
/// ```
///
/// Two kinds of numbers need a name each, such as `("order", 42)` and `("user", 42)`, or a
/// namespace each.
///
/// # Different compositions render differently
///
/// In names and values `%`, `:` and `=` are escaped as `%25`, `%3A` and `%3D`. So a value cannot
/// imitate a part, and a text cannot imitate the hash of a [secret](Key::secret). A plain string is
/// not escaped: `"tenant:42"` *is* the key that `Key::new().tenant("42")` renders. Compose a key
/// instead of formatting it, if a part comes from outside.
///
/// # Dimensions
///
/// A composed key contains its tenant, user and address, for backends that index them. They are not
/// part of its identity: equality, order and hash are those of the rendered string.
///
/// # In logs
///
/// [`Debug`](fmt::Debug) prints the [hash](crate::KeyHash) and the length of a key, because keys
/// name users and addresses. [`Display`](fmt::Display) and [`as_str`](Key::as_str) return the key.
#[derive(Clone)]
pub struct Key<'a> {
    rendered: Cow<'a, str>,
    dimensions: Option<Arc<Dimensions>>,
}

/// The parts of a composed key that a backend may index, to find usage by them. They are not
/// escaped.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dimensions {
    /// The tenant, from [`Key::tenant`].
    pub tenant: Option<String>,
    /// The user, from [`Key::user`].
    pub user: Option<String>,
    /// The address, from [`Key::ip`] or [`Key::ip_network`]. Of a network it is the first address.
    pub ip: Option<IpAddr>,
}

impl fmt::Debug for Dimensions {
    /// Writes hashes and lengths of the parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant, user, ip } = self;
        let ip = ip.map(|ip| ip.to_string());
        f.debug_struct("Dimensions")
            .field("tenant", &tenant.as_deref().map(Redacted))
            .field("user", &user.as_deref().map(Redacted))
            .field("ip", &ip.as_deref().map(Redacted))
            .finish()
    }
}

/// Why no backend accepts a key.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key is the empty string.
    #[error("the key is empty; expected 1 to {max} bytes", max = Key::MAX_LEN)]
    Empty,
    /// The key is longer than [`Key::MAX_LEN`].
    #[error("the key has {length} bytes; expected at most {max}: shorten it, or hash it with `Key::secret`", max = Key::MAX_LEN)]
    TooLong {
        /// The length in bytes.
        length: usize,
    },
}

impl fmt::Debug for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Empty => "Empty",
            Self::TooLong { .. } => "TooLong",
        };
        debug_error(f, name, self)
    }
}

/// # Composing a key
///
/// Each method appends one part. A part after a plain string follows it like any other part:
/// `Key::from("login").user("7")` is `login:user:7`.
impl Key<'_> {
    /// Appends a tenant, by its text or its number: `tenant:{tenant}`.
    #[must_use]
    pub fn tenant(self, tenant: impl fmt::Display) -> Key<'static> {
        let tenant = tenant.to_string();
        let mut key = self.part("tenant", &tenant);
        key.dimensions_mut().tenant = Some(tenant);
        key
    }

    /// Appends a user, by its text or its number: `user:{user}`.
    #[must_use]
    pub fn user(self, user: impl fmt::Display) -> Key<'static> {
        let user = user.to_string();
        let mut key = self.part("user", &user);
        key.dimensions_mut().user = Some(user);
        key
    }

    /// Appends an address: `ip:{address}`.
    ///
    /// An IPv4 address written as IPv6 (`::ffff:192.0.2.1`) becomes the IPv4 address. The colons of
    /// an IPv6 address are escaped like any other colon.
    ///
    /// ```
    /// # use limited_core::Key;
    /// # use std::net::IpAddr;
    /// assert_eq!(Key::new().ip([192, 0, 2, 1]).as_str(), "ip:192.0.2.1");
    /// let mapped: IpAddr = "::ffff:192.0.2.1".parse()?;
    /// assert_eq!(Key::new().ip(mapped), Key::new().ip([192, 0, 2, 1]));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    ///
    /// An IPv6 client can use any address of its network, and gets a key for each. To limit such
    /// clients, use [`ip_network`](Self::ip_network).
    #[must_use]
    pub fn ip(self, address: impl Into<IpAddr>) -> Key<'static> {
        let address = address.into().to_canonical();
        let mut key = self.part("ip", address);
        key.dimensions_mut().ip = Some(address);
        key
    }

    /// Appends the network of an address, which identifies the client: `ip:{network}/{bits}` for
    /// the first `ipv6_prefix` bits of an IPv6 address, and `ip:{address}` for an IPv4 address.
    ///
    /// Most providers assign a /64 or larger to each IPv6 customer. With 64 bits, all addresses of
    /// a customer are one key. Some providers assign a /56 or a /48. IPv4 addresses are never
    /// grouped. An IPv6 address that [embeds an IPv4 address](crate::embedded_ipv4), such as a
    /// NAT64 address, counts as that IPv4 address. A prefix of 128 bits or more is the full
    /// address, as in [`ip`](Self::ip).
    ///
    /// ```
    /// # use limited_core::Key;
    /// # use std::net::IpAddr;
    /// let network = |address: &str| address.parse::<IpAddr>().map(|ip| Key::new().ip_network(ip, 64));
    /// assert_eq!(network("2001:db8::1")?, network("2001:db8::2:3")?);
    /// assert_ne!(network("2001:db8::1")?, network("2001:db8:0:1::1")?);
    /// assert_eq!(network("192.0.2.1")?, Key::new().ip([192, 0, 2, 1]));
    /// assert_eq!(network("64:ff9b::192.0.2.1")?, Key::new().ip([192, 0, 2, 1]));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn ip_network(self, address: impl Into<IpAddr>, ipv6_prefix: u8) -> Key<'static> {
        match client_network(address.into(), ipv6_prefix) {
            IpAddr::V6(network) if ipv6_prefix < 128 => {
                let mut key = self.part("ip", format_args!("{network}/{ipv6_prefix}"));
                key.dimensions_mut().ip = Some(network.into());
                key
            }
            address => self.ip(address),
        }
    }

    /// Appends the SHA-256 hash of a secret, such as an API key or a bearer token:
    /// `{name}:sha256={hash}`.
    ///
    /// The key, the backend and the logs contain only the hash (FIPS 180-4, in hexadecimal). A
    /// secret that can be guessed, such as a PIN, can also be guessed from its hash.
    #[must_use]
    pub fn secret(self, name: &str, secret: impl AsRef<[u8]>) -> Key<'static> {
        let mut key = self.part(name, "");
        let rendered = key.rendered.to_mut();
        rendered.push_str("sha256=");
        for byte in Sha256::digest(secret.as_ref()) {
            for nibble in [byte >> 4, byte & 0xf] {
                rendered.push(char::from_digit(nibble.into(), 16).unwrap_or_default());
            }
        }
        key
    }

    /// Appends a named part: `{name}:{value}`. The value is a text, a number, or any other type
    /// that displays as one.
    ///
    /// ```
    /// # use limited_core::Key;
    /// assert_eq!(Key::new().part("order", 981).part("route", "/pay").as_str(), "order:981:route:/pay");
    /// ```
    #[must_use]
    pub fn part(self, name: &str, value: impl fmt::Display) -> Key<'static> {
        let mut rendered = self.rendered.into_owned();
        if !rendered.is_empty() {
            rendered.push(':');
        }
        escape_into(&mut rendered, name);
        rendered.push(':');
        // Writing to a string never fails.
        let _ = write!(EscapingWriter(&mut rendered), "{value}");
        Key { rendered: Cow::Owned(rendered), dimensions: self.dimensions }
    }

    fn dimensions_mut(&mut self) -> &mut Dimensions {
        Arc::make_mut(self.dimensions.get_or_insert_default())
    }
}

impl Key<'static> {
    /// Creates an empty key to append parts to. [No backend accepts](InvalidKey::Empty) an empty
    /// key.
    pub const fn new() -> Self {
        Self { rendered: Cow::Borrowed(""), dimensions: None }
    }
}

/// # Reading a key
impl Key<'_> {
    /// The maximum length of a rendered key, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// Returns the rendered key.
    pub fn as_str(&self) -> &str {
        &self.rendered
    }

    /// Returns the tenant, user and address that the key was composed of; `None` for a key without
    /// these parts.
    pub fn dimensions(&self) -> Option<&Dimensions> {
        self.dimensions.as_deref()
    }

    /// Checks that a backend accepts this key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if the key is empty or too long.
    pub fn validate(&self) -> Result<(), InvalidKey> {
        match self.rendered.len() {
            0 => Err(InvalidKey::Empty),
            1..=Self::MAX_LEN => Ok(()),
            length => Err(InvalidKey::TooLong { length }),
        }
    }

    /// Returns the same key with an owned string.
    pub fn into_owned(self) -> Key<'static> {
        Key { rendered: Cow::Owned(self.rendered.into_owned()), dimensions: self.dimensions }
    }
}

impl Default for Key<'static> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key<'_> {
    /// Writes the hash and the length of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&Redacted(self.as_str())).finish()
    }
}

impl PartialEq<Key<'_>> for Key<'_> {
    fn eq(&self, other: &Key<'_>) -> bool {
        self.rendered == other.rendered
    }
}

impl Eq for Key<'_> {}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rendered.cmp(&other.rendered)
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rendered.hash(state);
    }
}

/// Escapes what is written to it.
struct EscapingWriter<'a>(&'a mut String);

impl Write for EscapingWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape_into(self.0, text);
        Ok(())
    }
}

fn escape_into(rendered: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '%' => rendered.push_str("%25"),
            ':' => rendered.push_str("%3A"),
            '=' => rendered.push_str("%3D"),
            other => rendered.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn key_does_not_contain_the_secret() {
        let key = Key::new().secret("api_key", "abc");
        // The SHA-256 of "abc", from FIPS 180-4, appendix B.1.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(key.as_str(), format!("api_key:sha256={hash}"));
        assert_ne!(key, Key::new().part("api_key", format!("sha256={hash}")));
        assert!(!format!("{:?}", Key::new().secret("pin", "hunter2")).contains("hunter2"));
    }

    #[test]
    fn debug_prints_the_hash_and_the_length_of_a_key() {
        let key = Key::new().tenant("acme").user("alice").ip([192, 0, 2, 1]);
        for printed in [format!("{key:?}"), format!("{:?}", key.dimensions().unwrap())] {
            for part in ["acme", "alice", "192.0"] {
                assert!(!printed.contains(part), "{printed}");
            }
        }
        assert_eq!(format!("{:?}", Key::new().user("7")), "Key(<6 bytes, hash 20bdc7ae7082d21e>)");
        assert_eq!(format!("{}", Key::new().user("7")), "user:7");
    }

    #[test]
    fn composed_key_has_its_dimensions() {
        let key = Key::new().tenant("4:2").user("7").ip([192, 0, 2, 1]).part("route", "/login");
        assert_eq!(key.as_str(), "tenant:4%3A2:user:7:ip:192.0.2.1:route:/login");
        let dimensions = key.dimensions().unwrap();
        assert_eq!(dimensions.tenant.as_deref(), Some("4:2"));
        assert_eq!(dimensions.user.as_deref(), Some("7"));
        assert_eq!(dimensions.ip, Some([192, 0, 2, 1].into()));
        assert_eq!(Key::from(&key).dimensions(), Some(dimensions));
        assert_eq!(Key::new().user("7").as_str(), "user:7");
        assert_eq!(Key::from("plain").dimensions(), None);
    }

    #[test]
    fn number_is_a_value_of_a_part() {
        let key = Key::new().tenant(4_u64).user(-7).part("order", u128::MAX);
        assert_eq!(
            key,
            Key::new().tenant("4").user("-7").part("order", "340282366920938463463374607431768211455")
        );
        assert_eq!(key.dimensions().unwrap().user.as_deref(), Some("-7"));
        // A value that is displayed in several pieces is escaped in each.
        let pieces = Key::new().part("path", format_args!("{}:{}", "a=b", '%'));
        assert_eq!(pieces.as_str(), "path:a%3Db%3A%25");
    }

    #[test]
    fn addresses_of_one_network_are_one_key() {
        let network = |address: &str, bits| Key::new().ip_network(address.parse::<IpAddr>().unwrap(), bits);
        assert_eq!(network("2001:db8:1:2:ffff::1", 64).as_str(), "ip:2001%3Adb8%3A1%3A2%3A%3A/64");
        assert_eq!(network("2001:db8:1:2:ffff::1", 64), network("2001:db8:1:2::9", 64));
        assert_ne!(network("2001:db8:1:2::1", 64), network("2001:db8:1:3::1", 64));
        assert_eq!(network("2001:db8:1:2::1", 48), network("2001:db8:1:3::1", 48));
        let key = network("2001:db8::1", 64);
        assert_eq!(key.dimensions().unwrap().ip, Some("2001:db8::".parse().unwrap()));
    }

    #[test]
    fn network_is_no_address_and_no_other_network() {
        let first: IpAddr = "2001:db8::".parse().unwrap();
        assert_ne!(Key::new().ip_network(first, 64), Key::new().ip(first));
        assert_ne!(Key::new().ip_network(first, 64), Key::new().ip_network(first, 48));
        for bits in [128, 129, 255] {
            assert_eq!(Key::new().ip_network(first, bits), Key::new().ip(first));
        }
    }

    #[test]
    fn ipv4_address_is_never_grouped() {
        for address in ["192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "::ffff:0:192.0.2.1"] {
            let address: IpAddr = address.parse().unwrap();
            for bits in [0, 24, 64, 128] {
                assert_eq!(Key::new().ip_network(address, bits), Key::new().ip([192, 0, 2, 1]), "{address}");
            }
        }
    }

    #[test]
    fn only_keys_of_1_to_1024_bytes_are_valid() {
        assert_eq!(Key::from("").validate(), Err(InvalidKey::Empty));
        assert_eq!(Key::from("x".repeat(1024)).validate(), Ok(()));
        assert_eq!(Key::from("é".repeat(513)).validate(), Err(InvalidKey::TooLong { length: 1026 }));
        assert_eq!(format!("{:?}", InvalidKey::Empty), "Empty: the key is empty; expected 1 to 1024 bytes");
    }

    /// One part of a generated composition.
    #[derive(Clone, Debug, PartialEq)]
    enum Part {
        Text(String, String),
        Secret(String, String),
    }

    fn compose(parts: &[Part]) -> Key<'static> {
        parts.iter().fold(Key::new(), |key, part| match part {
            Part::Text(name, value) => key.part(name, value),
            Part::Secret(name, secret) => key.secret(name, secret),
        })
    }

    fn any_parts() -> impl Strategy<Value = Vec<Part>> {
        // The alphabet consists of separators and escapes, so that near collisions are likely.
        let text = || "[a%:=53AD]{0,4}|sha256=?";
        let part = (text(), text(), any::<bool>()).prop_map(|(name, value, secret)| {
            if secret { Part::Secret(name, value) } else { Part::Text(name, value) }
        });
        prop::collection::vec(part, 1..4)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn different_compositions_render_differently(one in any_parts(), other in any_parts()) {
            prop_assert_eq!(compose(&one) == compose(&other), one == other);
        }
    }
}
