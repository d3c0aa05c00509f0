//! Interns window kinds, so that a slot stores one byte instead of the kind.
//!
//! The kind of a window is what the successive windows of a counter have in common: its variant and
//! its length. The kind of a bucket also contains the quota of the hit that wrote it. That is no
//! part of the counter's identity, so a slot changes its kind if the quota changes.
//!
//! Aligned windows and buckets each have one half of the table. A limit that wanders over many
//! values therefore fills the half of the buckets only.

use std::sync::OnceLock;

use limited_core::{BucketQuota, WindowLength};

/// What slots store as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Aligned {
        length: WindowLength,
    },
    /// A bucket, with the quota of the hit that wrote its value.
    Bucket {
        length: WindowLength,
        quota: BucketQuota,
    },
}

/// The id of a kind in one store: from 1 to [`CAPACITY`], or [`UNINTERNED`].
pub(crate) type KindId = u8;

/// The id of every kind that is not in the table.
pub(crate) const UNINTERNED: KindId = u8::MAX;

/// Number of positions at which a kind of one half may be looked up first.
const FIRST_CHOICES: usize = 64;

/// Number of positions that a kind may have, and the distance between them.
const PROBES: usize = 16;
const STEP: usize = 8;

/// Maximum number of interned kinds. Aligned windows have even positions, buckets have odd ones.
const CAPACITY: usize = 2 * FIRST_CHOICES + (PROBES - 1) * STEP;

/// A table of kinds that only grows. A kind that finds no room stays uninterned, and its entries
/// store the kind themselves.
pub(crate) struct KindTable(Box<[OnceLock<Kind>]>);

impl KindTable {
    pub(crate) fn new() -> Self {
        Self((0..CAPACITY).map(|_| OnceLock::new()).collect())
    }

    /// Returns the id of a kind, the same one each time. Adds the kind if there is room.
    pub(crate) fn intern(&self, kind: Kind) -> KindId {
        let first = Self::first_choice(kind);
        let mut positions = (0..PROBES).map(|probe| first + probe * STEP);
        let found = positions.find(|at| *self.0[*at].get_or_init(|| kind) == kind);
        found.and_then(|position| KindId::try_from(position + 1).ok()).unwrap_or(UNINTERNED)
    }

    fn first_choice(kind: Kind) -> usize {
        let (half, length, quota) = match kind {
            Kind::Aligned { length } => (0, length, BucketQuota::new(0, 0)),
            Kind::Bucket { length, quota } => (1, length, quota),
        };
        let mixed = length.as_nanos() ^ quota.limit.rotate_left(32) ^ quota.capacity.rotate_left(16);
        let hash = usize::from(mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]);
        2 * (hash % FIRST_CHOICES) + half
    }

    /// Returns the kind with this id, if it is interned.
    #[inline(always)]
    pub(crate) fn kind(&self, kind_id: KindId) -> Option<Kind> {
        self.0.get(usize::from(kind_id).wrapping_sub(1))?.get().copied()
    }

    /// Returns the quota of the bucket kind with this id.
    #[inline(always)]
    pub(crate) fn bucket(&self, kind_id: KindId) -> Option<BucketQuota> {
        match self.kind(kind_id) {
            Some(Kind::Bucket { quota, .. }) => Some(quota),
            _ => None,
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use super::*;

    fn lengths() -> impl Iterator<Item = WindowLength> {
        (1..=200).map(|millis| WindowLength::try_from(Duration::from_millis(millis)).unwrap())
    }

    fn bucket(length: WindowLength, limit: u64) -> Kind {
        Kind::Bucket { length, quota: BucketQuota::new(limit, limit) }
    }

    #[test]
    fn each_interned_kind_has_one_id_of_its_own() {
        let table = KindTable::new();
        let kinds: Vec<_> =
            lengths().flat_map(|length| [Kind::Aligned { length }, bucket(length, 1)]).collect();
        let ids: Vec<_> = kinds.iter().map(|kind| table.intern(*kind)).collect();
        assert!(ids.contains(&UNINTERNED), "400 kinds do not fit into the table");
        for (kind, id) in kinds.iter().zip(&ids) {
            assert_eq!(table.intern(*kind), *id);
            if *id != UNINTERNED {
                assert_eq!(table.kind(*id), Some(*kind));
            }
        }
        let interned = ids.iter().filter(|id| **id != UNINTERNED).count();
        assert!(interned > 150, "{interned}");
        assert_eq!(table.kind(UNINTERNED), None);
        assert_eq!(table.kind(0), None);
    }

    #[test]
    fn limits_that_wander_leave_room_for_windows() {
        let table = KindTable::new();
        for limit in 0..10_000 {
            table.intern(bucket(WindowLength::SECOND, limit));
        }
        assert_eq!(table.intern(bucket(WindowLength::SECOND, 10_000)), UNINTERNED);
        let interned =
            lengths().filter(|length| table.intern(Kind::Aligned { length: *length }) != UNINTERNED);
        assert!(interned.count() > 75);
    }
}
