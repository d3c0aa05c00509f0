//! The item of a claim: its key.

use limited_core::ClaimKey;

use crate::attributes::{CLAIM_KIND, IDEMPOTENCY_KEY, Item, key_attributes};
use crate::format::identifier;

/// The bytes that DynamoDB accepts as a sort key, which the key of a claim is in an index.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 1024;

/// The key of a claim's item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimItem {
    idempotency_key: String,
    kind: &'static str,
}

impl ClaimItem {
    pub(super) fn of(key: &ClaimKey<'_>) -> Self {
        Self {
            idempotency_key: identifier(key.namespace(), key.key(), MAX_IDEMPOTENCY_KEY_BYTES),
            kind: key.kind().as_str(),
        }
    }

    pub(super) fn attributes(&self) -> Item {
        key_attributes((IDEMPOTENCY_KEY, &self.idempotency_key), (CLAIM_KIND, self.kind))
    }

    /// Returns the bytes of the key's values.
    pub(super) fn bytes(&self) -> usize {
        self.idempotency_key.len() + self.kind.len()
    }
}

#[cfg(test)]
mod tests {
    use limited_core::{ClaimKind, Key};

    use super::*;

    #[test]
    fn claim_key_fits_a_sort_key_too() {
        let idempotency_key = |namespace: &str, key: &str| {
            let key = Key::from(key);
            ClaimItem::of(&ClaimKey::new(namespace, ClaimKind::Idempotency, &key).unwrap()).idempotency_key
        };
        assert_eq!(idempotency_key("api", "order-981"), "api#order-981");
        assert_eq!(idempotency_key("", &"k".repeat(1_024)), "k".repeat(1_024));
        assert!(idempotency_key("n", &"k".repeat(1_023)).starts_with("#sha256="));
        assert_ne!(idempotency_key("n", &"k".repeat(1_023)), idempotency_key("m", &"k".repeat(1_023)));
    }
}
