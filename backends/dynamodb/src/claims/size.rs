//! Whether a record fits an item of DynamoDB, known before anything is sent.

use std::sync::Arc;

use limited_core::{BackendError, ClaimMetadata, StoredResult};

use crate::item::ClaimItem;

/// The bytes that an item may have: names and values, after the developer guide's "DynamoDB item sizes and formats".
const LARGEST_ITEM: usize = 400 * 1024;

/// What is kept free for the attributes whose size is not the caller's (their names, times, numbers, the token, the
/// hash, a reason for not keeping a result: less than 1 KB), and for what DynamoDB adds for each clause of an update
/// when it holds the request itself against the same limit.
const OURS: usize = 2 * 1024;

/// The bytes that an index takes as its partition key, which these are in one.
const LONGEST_INDEXED: usize = 2048;

/// The parts of a record whose sizes are the caller's, but for the result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// The longer one of tenant and name of the function.
    longest_indexed: usize,
    bytes: usize,
}

impl Rest {
    pub(super) fn of(item: &ClaimItem, tenant: Option<&str>, metadata: &ClaimMetadata<'_>) -> Self {
        let [tenant, function, request] =
            [tenant, metadata.function_name, metadata.request].map(|text| text.map_or(0, str::len));
        let bytes = [item.idempotency_key.len(), item.kind.len(), tenant, function, request];
        Self {
            longest_indexed: tenant.max(function),
            bytes: bytes.into_iter().fold(0, usize::saturating_add),
        }
    }

    /// The bytes that are left for a result.
    fn room(self) -> Option<usize> {
        (LARGEST_ITEM - OURS).checked_sub(self.bytes)
    }

    /// An error where a claim brings more than an item can hold.
    pub(super) fn check(self) -> Result<(), BackendError> {
        if self.longest_indexed > LONGEST_INDEXED {
            return Err(BackendError::invalid(format!(
                "a tenant or the name of a function has {} bytes, and DynamoDB indexes {LONGEST_INDEXED} at most",
                self.longest_indexed
            )));
        }
        if self.room().is_none() {
            return Err(BackendError::invalid(format!(
                "the details of the claim take {} bytes with its key, and an item of DynamoDB has room for {}: \
                 keep less of the request",
                self.bytes,
                LARGEST_ITEM - OURS
            )));
        }
        Ok(())
    }

    /// What to store instead of a result that does not fit; `None` for one that does.
    pub(super) fn left_out(self, result: &StoredResult) -> Option<StoredResult> {
        let room = self.room().unwrap_or_default();
        let bytes = bytes_of(result);
        (bytes > room).then(|| {
            not_kept(format!(
                "the result has {bytes} bytes, and an item of DynamoDB has room for {room} beside the rest of the record"
            ))
        })
    }
}

/// What to store instead of a result that DynamoDB has refused.
pub(super) fn left_out(result: &StoredResult) -> StoredResult {
    not_kept(format!(
        "the result has {} bytes, and would take the item of DynamoDB over {LARGEST_ITEM}",
        bytes_of(result)
    ))
}

fn not_kept(reason: String) -> StoredResult {
    StoredResult::Omitted { reason: Arc::from(reason) }
}

fn bytes_of(result: &StoredResult) -> usize {
    match result {
        StoredResult::Nothing => 0,
        StoredResult::Value(text) | StoredResult::Error(text) | StoredResult::Omitted { reason: text } => {
            text.len()
        }
    }
}
