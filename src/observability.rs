#![doc = include_str!("observability.md")]

#[cfg(feature = "tracing")]
use limited_core::Key;

/// Describes every metric to the installed recorder, with its unit. Call it once, after installing one; without it
/// nothing is missing but the descriptions.
#[cfg(feature = "metrics")]
pub fn describe_metrics() {
    crate::observe::numbers::describe();
}

/// How a key is told in spans and events: the first 64 bits of the SHA-256 of the rendered key, in hexadecimal.
///
/// ```
/// # use limited::Key;
/// use limited::observability::key_fingerprint;
///
/// // As `printf user:7 | sha256sum` begins.
/// assert_eq!(key_fingerprint(&Key::new().user("7")), "20bdc7ae7082d21e");
/// ```
#[cfg(feature = "tracing")]
pub fn key_fingerprint(key: &Key<'_>) -> String {
    crate::observe::events::Fingerprint(key.as_str()).to_string()
}
