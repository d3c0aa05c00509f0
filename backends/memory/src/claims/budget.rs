//! How much the store may hold: records, bytes, and records of one caller.

use std::sync::Arc;

use limited_core::{BackendError, StoredResult};

use super::callers::{Caller, Callers};
use super::claim::result_len;
use crate::capacity::Capacity;

/// The bytes that a record counts as: what it takes in its shard, and its share of free space.
pub(crate) const RECORD_BYTES: usize = 160;

/// The bytes that a result counts as in addition to its length: what the allocation of it takes.
pub(crate) const RESULT_BYTES: usize = 32;

/// The maximums of a store of claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimLimits {
    pub(crate) max_claims: usize,
    pub(crate) max_claims_per_caller: usize,
    pub(crate) max_claim_bytes: usize,
    pub(crate) max_result_bytes: usize,
}

impl ClaimLimits {
    /// No maximums.
    pub(crate) const NONE: Self = Self {
        max_claims: usize::MAX,
        max_claims_per_caller: usize::MAX,
        max_claim_bytes: usize::MAX,
        max_result_bytes: usize::MAX,
    };
}

/// Why a record has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The caller has its maximum of records.
    Caller,
    /// The store has its maximum of records or bytes.
    Store,
}

pub(crate) struct Budget {
    records: Capacity,
    bytes: Capacity,
    callers: Callers,
    max_result_bytes: usize,
    /// Why results were omitted. Shared, so that an omitted result takes no memory.
    too_large: Arc<str>,
    no_room: Arc<str>,
}

impl Budget {
    pub(crate) fn new(limits: ClaimLimits) -> Self {
        let ClaimLimits { max_claims, max_claims_per_caller, max_claim_bytes, max_result_bytes } = limits;
        let too_large = format!(
            "the result has more than {max_result_bytes} bytes, the maximum of the memory backend \
             (`max_result_bytes`)"
        );
        let no_room = format!(
            "the memory backend has no room for the result within its {max_claim_bytes} bytes for claims \
             (`max_claim_bytes`)"
        );
        Self {
            records: Capacity::new(max_claims),
            bytes: Capacity::new(max_claim_bytes),
            callers: Callers::new(max_claims_per_caller),
            max_result_bytes,
            too_large: too_large.into(),
            no_room: no_room.into(),
        }
    }

    pub(crate) fn records(&self) -> usize {
        self.records.reserved()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.reserved()
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.callers
    }

    /// Reserves room for a record. The caller comes first: a caller at its maximum never holds what
    /// another needs, not even for a moment.
    pub(crate) fn reserve_record(&self, caller: Option<Caller>) -> Result<(), Shortage> {
        if !self.callers.try_add(caller) {
            return Err(Shortage::Caller);
        }
        if !self.records.reserve() {
            self.callers.remove(caller);
            return Err(Shortage::Store);
        }
        if !self.bytes.reserve_units(RECORD_BYTES) {
            self.records.release(1);
            self.callers.remove(caller);
            return Err(Shortage::Store);
        }
        Ok(())
    }

    /// Releases the room of a record and its result. `caller` is `None` if it is not counted.
    pub(crate) fn release_record(&self, caller: Option<Caller>, result: Option<usize>) {
        self.callers.remove(caller);
        self.bytes.release(RECORD_BYTES);
        self.release_result(result);
        self.records.release(1);
    }

    /// Returns why a result can never be stored; `None` if it can.
    pub(crate) fn never_fits(&self, result: &StoredResult) -> Option<&Arc<str>> {
        let len = result_len(result)?;
        if len > self.max_result_bytes {
            Some(&self.too_large)
        } else if len.saturating_add(RECORD_BYTES + RESULT_BYTES) > self.bytes.max() {
            Some(&self.no_room)
        } else {
            None
        }
    }

    /// Reserves room for a result. Returns whether there was enough.
    pub(crate) fn reserve_result(&self, result: &StoredResult) -> bool {
        result_len(result).is_none_or(|len| self.bytes.reserve_units(len.saturating_add(RESULT_BYTES)))
    }

    /// Releases the room of a result with this length.
    pub(crate) fn release_result(&self, len: Option<usize>) {
        self.bytes.release(len.map_or(0, |len| len.saturating_add(RESULT_BYTES)));
    }

    pub(crate) fn no_room(&self) -> &Arc<str> {
        &self.no_room
    }

    /// Returns the error of a claim without room.
    pub(crate) fn error(&self, shortage: Shortage) -> BackendError {
        let max_keys = match shortage {
            Shortage::Caller => self.callers.max(),
            // If bytes are short, fewer records than the maximum fill the store.
            Shortage::Store => self.records.reserved().min(self.records.max()),
        };
        BackendError::Full { max_keys }
    }
}
