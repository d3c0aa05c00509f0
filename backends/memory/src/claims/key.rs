//! The identity of a claim record.

use std::sync::Arc;

use limited_core::{ClaimKey, ClaimKind};

/// Namespace, kind and key of a claim. The store holds it twice: in the map and in the expiry
/// queue.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct StoredKey {
    /// Namespace and key, concatenated.
    text: Arc<str>,
    namespace_len: usize,
    kind: ClaimKind,
}

impl From<&ClaimKey<'_>> for StoredKey {
    fn from(key: &ClaimKey<'_>) -> Self {
        Self {
            text: [key.namespace(), key.key()].concat().into(),
            namespace_len: key.namespace().len(),
            kind: key.kind(),
        }
    }
}
