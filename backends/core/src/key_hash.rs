//! Hashes of keys, which logs contain in place of keys.

use std::fmt;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::debug_error;

/// The hash of a key or of another text, for logs: 64 bits, displayed in hexadecimal.
///
/// Without a [salt](set_key_salt), these are the first 64 bits of the SHA-256 of the text (FIPS
/// 180-4). With one, they are the first 64 bits of the HMAC-SHA-256 (RFC 2104), keyed by the salt.
///
/// ```
/// use limited_core::KeyHash;
///
/// // The start of the output of `printf user:7 | sha256sum`.
/// assert_eq!(KeyHash::of("user:7").to_string(), "20bdc7ae7082d21e");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 8]);

impl KeyHash {
    /// Computes the hash of a text. Takes one SHA-256; with a salt, two.
    pub fn of(text: &str) -> Self {
        let digest = match SALT.get() {
            Some(salt) => salt.hmac(text.as_bytes()),
            None => Sha256::digest(text).into(),
        };
        let [a, b, c, d, e, f, g, h, ..]: [u8; 32] = digest;
        Self([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// Debug-prints the hash and the length of a text that logs must not contain.
///
/// The [`Debug`] of keys, records and requests uses it. The hash of a key is the one in spans and
/// events, so that both can be searched for together.
///
/// ```
/// use limited_core::Redacted;
///
/// assert_eq!(format!("{:?}", Redacted("user:7")), "<6 bytes, hash 20bdc7ae7082d21e>");
/// assert_eq!(format!("{:?}", Some(Redacted("user:7"))), "Some(<6 bytes, hash 20bdc7ae7082d21e>)");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Redacted<'a>(pub &'a str);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes, hash {}>", self.0.len(), KeyHash::of(self.0))
    }
}

/// Sets the salt of all [hashes of keys](KeyHash) in this process.
///
/// Without a salt, the key of an address or a phone number can be found from its hash, by trying
/// all of them. With a salt, that takes the salt too. Use a secret of 16 random bytes or more, one
/// for each deployment. Processes with the same salt log the same hashes.
///
/// Call this once, before the first decision: hashes that were logged earlier are unsalted. A call
/// with the same salt changes nothing.
///
/// # Errors
///
/// [`InvalidSalt`] if the salt is too short, or if another one is set already. The salt then stays
/// as it is.
pub fn set_key_salt(salt: impl AsRef<[u8]>) -> Result<(), InvalidSalt> {
    let salt = salt.as_ref();
    if salt.len() < MIN_SALT_LEN {
        return Err(InvalidSalt::TooShort { length: salt.len() });
    }
    let salt = Salt::new(salt);
    if *SALT.get_or_init(|| salt) == salt { Ok(()) } else { Err(InvalidSalt::AlreadySet) }
}

/// Why a [salt](set_key_salt) was not set. The messages do not contain it.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSalt {
    /// The salt can be guessed.
    #[error("the salt has {length} bytes; expected at least {min}, at random", min = MIN_SALT_LEN)]
    TooShort {
        /// The length in bytes.
        length: usize,
    },
    /// The process has another salt.
    #[error("the process already has another salt; set it once, before the first decision")]
    AlreadySet,
}

impl fmt::Debug for InvalidSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TooShort { .. } => "TooShort",
            Self::AlreadySet => "AlreadySet",
        };
        debug_error(f, name, self)
    }
}

const MIN_SALT_LEN: usize = 16;

static SALT: OnceLock<Salt> = OnceLock::new();

/// A salt, padded to the block of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Salt([u8; 64]);

impl Salt {
    fn new(salt: &[u8]) -> Self {
        let mut block = [0; 64];
        match block.get_mut(..salt.len()) {
            Some(start) => start.copy_from_slice(salt),
            None => block[..32].copy_from_slice(&Sha256::digest(salt)),
        }
        Self(block)
    }

    /// Returns the HMAC of a text (RFC 2104).
    fn hmac(&self, text: &[u8]) -> [u8; 32] {
        let keyed = |mask| Sha256::new_with_prefix(self.0.map(|byte| byte ^ mask));
        let inner = keyed(0x36).chain_update(text).finalize();
        keyed(0x5c).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1, 2 and 6.
    #[test]
    fn hmac_agrees_with_the_vectors_of_rfc_4231() {
        for (salt, text, start) in [
            (&[0x0b; 20][..], &b"Hi There"[..], [0xb0, 0x34, 0x4c, 0x61]),
            (b"Jefe", b"what do ya want for nothing?", [0x5b, 0xdc, 0xc1, 0x46]),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                [0x60, 0xe4, 0x31, 0x59],
            ),
        ] {
            assert_eq!(Salt::new(salt).hmac(text)[..4], start);
        }
    }

    #[test]
    fn short_salt_is_an_error_and_not_printed() {
        let error = set_key_salt("hunter2").unwrap_err();
        assert_eq!(error, InvalidSalt::TooShort { length: 7 });
        assert_eq!(format!("{error:?}"), format!("TooShort: {error}"));
        assert!(!format!("{error:?}").contains("hunter2"));
        assert_eq!(KeyHash::of("user:7").to_string(), "20bdc7ae7082d21e", "no salt is set");
    }
}
