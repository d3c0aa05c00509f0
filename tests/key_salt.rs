//! Telemetry with a salt. A program of its own, because the salt belongs to the process.

#[path = "telemetry/subscriber.rs"]
#[expect(dead_code, reason = "this program reads the fields alone")]
mod subscriber;

use limited::memory::MemoryBackend;
use limited::telemetry::{InvalidSalt, key_hash, set_key_salt};
use limited::{Key, LimitedAttempt, Limiter};
use subscriber::StoringSubscriber;

#[test]
fn spans_events_and_debug_contain_the_salted_hash_alone() {
    let salt = "0123456789abcdef";
    set_key_salt(salt).unwrap();
    assert_eq!(set_key_salt("fedcba9876543210"), Err(InvalidSalt::AlreadySet));

    let key = Key::new().user(7);
    // The starts of the outputs of `printf user:7 | openssl dgst -sha256 -hmac 0123456789abcdef`
    // and of `printf user:7 | sha256sum`.
    let (salted, unsalted) = ("6742fcbcc61b074d", "20bdc7ae7082d21e");
    assert_eq!(key_hash(&key), salted);

    let subscriber = StoringSubscriber::default();
    let attempt = tracing::subscriber::with_default(subscriber.clone(), || {
        let limiter = Limiter::new(MemoryBackend::new());
        assert!(limiter.allow_now(&key).unwrap().is_allowed());
        let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, std::time::Duration::from_secs(60));
        attempts.attempt_now(&key).unwrap()
    });
    let entries = subscriber.entries();
    let keys: Vec<_> = entries.iter().filter_map(|entry| entry.field("key")).collect();
    assert!(keys.len() >= 2, "{entries:?}");
    assert_eq!(keys, vec![salted; keys.len()]);

    let printed = format!("{attempt:?} {key:?}");
    assert_eq!(printed.matches(salted).count(), 2, "{printed}");
    assert!(!printed.contains(unsalted) && !printed.contains("user:7"), "{printed}");
}
