//! How many records each caller has.

use std::collections::HashMap;
use std::num::NonZeroU64;

use limited_core::ClaimKey;

use crate::fingerprint::{Fingerprint, Secret};
use crate::sync::{Mutex, lock};

/// Number of shards.
const SHARDS: usize = 64;

/// Identifies a caller: the first hash of its fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller(NonZeroU64);

/// Counts records by caller. The locks are innermost: a thread that holds one takes no other lock.
pub(crate) struct Callers {
    shards: Box<[Mutex<HashMap<Caller, usize>>]>,
    max: usize,
}

impl Callers {
    /// Creates counts with a maximum for each caller. Nothing is counted if the maximum is that of
    /// `usize`.
    pub(crate) fn new(max: usize) -> Self {
        let shards = if max == usize::MAX { 0 } else { SHARDS };
        Self { shards: (0..shards).map(|_| Mutex::default()).collect(), max }
    }

    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// Returns the caller of a claim; `None` if it is not counted.
    pub(crate) fn identify(&self, secret: &Secret, key: &ClaimKey<'_>) -> Option<Caller> {
        if self.shards.is_empty() {
            return None;
        }
        let Fingerprint { hash, .. } = secret.caller_fingerprint(key, caller(key.key())?);
        NonZeroU64::new(hash).map(Caller)
    }

    /// Counts a record, unless the caller has its maximum. Returns whether it was counted.
    pub(crate) fn try_add(&self, caller: Option<Caller>) -> bool {
        self.update(caller, |count| if count < self.max { count + 1 } else { count })
    }

    /// Counts a record, also beyond the maximum.
    pub(crate) fn add(&self, caller: Option<Caller>) {
        self.update(caller, |count| count.saturating_add(1));
    }

    pub(crate) fn remove(&self, caller: Option<Caller>) {
        self.update(caller, |count| count.saturating_sub(1));
    }

    /// Replaces the count of a caller. Returns whether it changed, or is not counted.
    fn update(&self, caller: Option<Caller>, update: impl FnOnce(usize) -> usize) -> bool {
        let Some(caller) = caller else { return true };
        let Some(shard) = self.shards.get((caller.0.get() >> 48) as usize % SHARDS) else { return true };
        let mut counts = lock(shard);
        let before = counts.get(&caller).copied().unwrap_or(0);
        let after = update(before);
        if after > 0 {
            counts.insert(caller, after);
        } else {
            counts.remove(&caller);
            if counts.len() < counts.capacity() / 4 {
                let len = counts.len();
                counts.shrink_to(2 * len);
            }
        }
        before != after
    }

    #[cfg(all(test, not(shuttle)))]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

/// Returns the key without its last part, which has a name and a value. Returns `None` for a key of
/// one part, and for a plain text without colons.
fn caller(key: &str) -> Option<&str> {
    key.rsplitn(3, ':').nth(2)
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use limited_core::Key;

    use super::*;

    #[test]
    fn caller_is_the_key_without_its_last_part() {
        let of = |key: &Key<'_>| caller(key.as_str()).map(str::to_owned);
        assert_eq!(of(&Key::new().user(7).part("idempotency-key", "a")).as_deref(), Some("user:7"));
        let key = Key::new().tenant(4).user(7).part("idempotency-key", "a:b:c");
        assert_eq!(of(&key).as_deref(), Some("tenant:4:user:7"));
        assert_eq!(of(&Key::new().part("idempotency-key", "a:b:c")), None);
        assert_eq!(of(&Key::from("order-981")), None);
    }

    #[test]
    fn caller_without_records_takes_no_memory() {
        let callers = Callers::new(2);
        let caller = NonZeroU64::new(7).map(Caller);
        assert_eq!([0; 3].map(|_| callers.try_add(caller)), [true, true, false]);
        callers.add(caller);
        assert_eq!(callers.len(), 1);
        (0..3).for_each(|_| callers.remove(caller));
        assert_eq!(callers.len(), 0);
        assert!(callers.try_add(caller));
    }
}
