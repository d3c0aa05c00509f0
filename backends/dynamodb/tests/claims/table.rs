//! A table of claims behind a wire, and backends over it.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    Acquisition, Backend, ClaimKey, ClaimKind, ClaimRequest, Completion, Grant, Key, Owner, Record,
    StoredResult, Timestamp,
};
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};

use crate::support::{Wire, client};

/// 2026-11-21T12:00:00Z.
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_795_262_400);
pub(crate) const NOON_TEXT: &str = "2026-11-21T12:00:00.000000000Z";
pub(crate) const LEASE: Duration = Duration::from_secs(30);
pub(crate) const ALICE: Owner = Owner(0xa11ce);
pub(crate) const BOB: Owner = Owner(0xb0b);

pub(crate) type Item = HashMap<String, AttributeValue>;

/// The table `claims` of a new emulator.
pub(crate) struct Table {
    pub(crate) wire: Wire,
}

impl Table {
    /// Returns the table without creating it.
    pub(crate) fn not_created() -> Self {
        Self { wire: Wire::new() }
    }

    /// Creates the table and clears the record. Returns the table and a backend.
    pub(crate) async fn new() -> (Self, DynamoDbBackend) {
        let table = Self::not_created();
        let backend = table.backend();
        backend.create_idempotency_table().await.unwrap();
        table.wire.clear();
        (table, backend)
    }

    pub(crate) fn builder(&self) -> DynamoDbBackendBuilder {
        DynamoDbBackend::builder(client(&self.wire)).idempotency_table_name("claims")
    }

    /// Returns a backend with a client of its own, like that of another process.
    pub(crate) fn backend(&self) -> DynamoDbBackend {
        self.builder().build()
    }

    /// Reads the item of the key `order` in the namespace `api`, claimed for idempotency. Returns
    /// an empty map if there is none.
    pub(crate) async fn item(&self) -> Item {
        let request = client(&self.wire).get_item().table_name("claims").consistent_read(true);
        let request = request.key("IdempotencyKey", text("api#order")).key("SK", text("IDEMPOTENCY"));
        request.send().await.unwrap().item.unwrap_or_default()
    }

    /// Writes that item as another program would.
    pub(crate) async fn put(&self, attributes: impl IntoIterator<Item = (&str, AttributeValue)>) {
        let request = client(&self.wire).put_item().table_name("claims");
        let request = request.item("IdempotencyKey", text("api#order")).item("SK", text("IDEMPOTENCY"));
        let request =
            attributes.into_iter().fold(request, |request, (name, value)| request.item(name, value));
        request.send().await.unwrap();
        self.wire.clear();
    }

    /// Deletes that item, as TTL does.
    pub(crate) async fn delete(&self) {
        let request = client(&self.wire).delete_item().table_name("claims");
        let request = request.key("IdempotencyKey", text("api#order")).key("SK", text("IDEMPOTENCY"));
        request.send().await.unwrap();
    }

    /// Returns the operations since the record was last cleared, and clears it.
    pub(crate) fn take_operations(&self) -> Vec<String> {
        self.wire.take_operations()
    }
}

pub(crate) fn order<'a>(key: &'a Key<'static>) -> ClaimKey<'a> {
    ClaimKey::new("api", ClaimKind::Idempotency, key).unwrap()
}

/// Returns the key `order`.
pub(crate) fn key() -> Key<'static> {
    Key::from("order".to_owned())
}

pub(crate) fn after(duration: Duration) -> Timestamp {
    NOON.saturating_add(duration)
}

pub(crate) fn seconds(seconds: u64) -> Timestamp {
    after(Duration::from_secs(seconds))
}

pub(crate) async fn claim(backend: &DynamoDbBackend, owner: Owner, now: Timestamp) -> Acquisition {
    let request = ClaimRequest::new(owner, now.saturating_add(LEASE));
    backend.claim(&order(&key()), &request, now).await.unwrap()
}

/// Returns the grant of a claim that succeeded.
#[track_caller]
pub(crate) fn granted(claimed: Acquisition) -> Grant {
    match claimed {
        Acquisition::Acquired(grant) => grant,
        Acquisition::Held(record) => panic!("the key is held: {record:?}"),
    }
}

/// Returns the record of a key that was held.
#[track_caller]
pub(crate) fn held(claimed: Acquisition) -> Record {
    match claimed {
        Acquisition::Held(record) => record,
        Acquisition::Acquired(grant) => panic!("the claim was granted: {grant:?}"),
    }
}

/// Returns a completion with this value, which never expires.
pub(crate) fn done(owner: Owner, value: &str) -> Completion<'static> {
    Completion::new(owner).with_result(StoredResult::Value(value.into()))
}

pub(crate) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(crate) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Returns the `LockToken` of an owner.
pub(crate) fn token(owner: Owner) -> AttributeValue {
    text(format!("{:032x}", owner.0))
}
