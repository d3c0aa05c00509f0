//! The salt of hashes in logs. A program of its own, because the salt belongs to the process.

use limited_core::{InvalidSalt, Key, KeyHash, Redacted, set_key_salt};

/// One test, because its steps share the salt.
#[test]
fn salt_changes_every_hash_and_is_set_once() {
    let salt = "0123456789abcdef";
    let key = Key::new().user(7);
    let unsalted = KeyHash::of(key.as_str());
    assert_eq!(unsalted.to_string(), "20bdc7ae7082d21e");

    set_key_salt(salt).unwrap();
    let salted = KeyHash::of(key.as_str());
    // The start of the output of `printf user:7 | openssl dgst -sha256 -hmac 0123456789abcdef`.
    assert_eq!(salted.to_string(), "6742fcbcc61b074d");
    assert_ne!(salted, unsalted);
    for printed in [format!("{key:?}"), format!("{:?}", Redacted(key.as_str()))] {
        assert!(printed.contains(&salted.to_string()), "{printed}");
        assert!(!printed.contains(&unsalted.to_string()), "{printed}");
    }

    // The same salt again, such as by a second part of the program, and another one.
    assert_eq!(set_key_salt(salt), Ok(()));
    assert_eq!(set_key_salt("another salt of 24 bytes"), Err(InvalidSalt::AlreadySet));
    assert_eq!(set_key_salt("short"), Err(InvalidSalt::TooShort { length: 5 }));
    assert_eq!(KeyHash::of(key.as_str()), salted);
}
