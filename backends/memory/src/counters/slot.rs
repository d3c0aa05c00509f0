//! One entry of a table: 32 bytes with the identity of a counter and its counts.

use limited_core::bucket::StoredBucket;
use limited_core::{CounterState, Hit, Timestamp, WindowLength};

use super::state::bucket_retained_until;
use super::window_kind::{Kind, KindId, UNINTERNED};
use super::windows::{KNOWN, Reading, WindowMode, Windows};
use crate::fingerprint::Fingerprint;

/// The counts of a counter if they fit, or the position of its [overflow](super::overflow) entry.
///
/// | word | bits | content |
/// |---|---|---|
/// | 0 | 64 | [`Fingerprint::hash`]; 0 in an empty slot |
/// | 1 | 40 | [`Fingerprint::tag`] |
/// | | 8 | the id of the window kind, for a bucket with the quota of the hit that wrote it |
/// | | 16 | windows: the start of the newest one, upper part |
/// | 2 | 32 | windows: the start of the newest one, lower part |
/// | | 32 | windows: the count of the newest one |
/// | 3 | 32, 32 | windows: the counts of the previous one, and of the one before that |
/// | 2, 3 | 128 | bucket: its value |
/// | 2 | 64 | overflow: the position of the entry |
///
/// The start of a window is stored without its lowest 16 bits. Windows last at least a millisecond,
/// so no two windows that start at multiples of one length start within 2^16 nanoseconds. No slot
/// is on two cache lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(align(32))]
pub(crate) struct Slot([u64; 4]);

/// The kind id of slots that refer to an overflow entry.
const OVERFLOW: KindId = UNINTERNED;

/// Number of bits of a start that are not stored.
const DROPPED_BITS: u32 = 16;

/// What a slot that is not empty holds, according to its kind id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotContent {
    Overflow(usize),
    Packed(KindId),
}

impl Slot {
    /// Creates a slot of aligned windows. Returns `None` if a count does not fit.
    pub(crate) fn windows(fingerprint: Fingerprint, kind_id: KindId, windows: &Windows) -> Option<Self> {
        let [newest, previous, oldest] = windows.counts.map(|count| u32::try_from(count).ok());
        let start = windows.newest >> DROPPED_BITS;
        Some(Self([
            fingerprint.hash,
            fingerprint.tag << 24 | u64::from(kind_id) << 16 | start >> 32,
            (start & 0xFFFF_FFFF) | u64::from(newest?) << 32,
            u64::from(previous?) | u64::from(oldest?) << 32,
        ]))
    }

    /// Creates a slot of a bucket.
    pub(crate) fn bucket(fingerprint: Fingerprint, kind_id: KindId, value: u128) -> Self {
        let mut slot = Self([fingerprint.hash, fingerprint.tag << 24 | u64::from(kind_id) << 16, 0, 0]);
        slot.set_value(value);
        slot
    }

    /// Creates a slot that refers to an overflow entry.
    pub(crate) fn overflow(fingerprint: Fingerprint, position: usize) -> Self {
        Self([fingerprint.hash, fingerprint.tag << 24 | u64::from(OVERFLOW) << 16, position as u64, 0])
    }

    #[inline(always)]
    pub(crate) const fn hash(&self) -> u64 {
        self.0[0]
    }

    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    #[inline(always)]
    pub(crate) const fn fingerprint(&self) -> Fingerprint {
        Fingerprint { hash: self.0[0], tag: self.0[1] >> 24 }
    }

    #[inline(always)]
    pub(crate) fn content(&self) -> SlotContent {
        match self.kind_id() {
            #[expect(clippy::cast_possible_truncation, reason = "the position was stored from a usize")]
            OVERFLOW => SlotContent::Overflow(self.0[2] as usize),
            kind_id => SlotContent::Packed(kind_id),
        }
    }

    /// Returns whether a slot that is not empty holds counts.
    #[inline(always)]
    pub(crate) const fn is_packed(&self) -> bool {
        self.kind_id() != OVERFLOW
    }

    #[inline(always)]
    pub(crate) const fn kind_id(&self) -> KindId {
        self.0[1].to_le_bytes()[2]
    }

    /// Returns the value of a bucket.
    #[inline(always)]
    pub(crate) const fn value(&self) -> u128 {
        self.0[2] as u128 | (self.0[3] as u128) << 64
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "splits the value into its halves")]
    pub(crate) const fn set_value(&mut self, value: u128) {
        self.0[2] = value as u64;
        self.0[3] = (value >> 64) as u64;
    }

    /// Returns the stored part of the start of the newest window.
    #[inline(always)]
    const fn start(&self) -> u64 {
        (self.0[1] & 0xFFFF) << 32 | self.0[2] & 0xFFFF_FFFF
    }

    /// Returns a time that lies less than 2^16 nanoseconds before the start of the newest window.
    #[inline(always)]
    const fn starts_from(&self) -> u64 {
        self.start() << DROPPED_BITS
    }

    /// Returns the windows of a slot of aligned windows.
    pub(crate) const fn known(&self, length: WindowLength) -> Windows {
        let newest = self.starts_from().div_ceil(length.as_nanos()) * length.as_nanos();
        let [_, _, two, three] = self.0;
        let counts = [(two >> 32) as u128, (three & 0xFFFF_FFFF) as u128, (three >> 32) as u128];
        const { assert!(KNOWN == 3) };
        Windows { newest, counts }
    }

    /// Returns when the entry may be removed, if its window is of this kind.
    pub(crate) fn retained_until(&self, kind: Kind, reading: Reading) -> Timestamp {
        match kind {
            Kind::Aligned { length } => self.known(length).retained_until(length, reading),
            Kind::Bucket { length, quota } => {
                bucket_retained_until(StoredBucket { value: self.value(), quota }, length, reading)
            }
        }
    }

    /// Counts a hit in the newest window like [`Windows::increment`], if the counts fit. Returns
    /// `None` otherwise, and changes nothing.
    #[inline(always)]
    pub(crate) fn try_increment(
        &mut self,
        start: Timestamp,
        length: WindowLength,
        hit: &Hit<'_>,
        now: Timestamp,
        mode: WindowMode,
    ) -> Option<Outcome> {
        if self.start() != start.as_nanos() >> DROPPED_BITS || hit.floor != 0 {
            return None;
        }
        let count = self.0[2] >> 32;
        let cost = u64::try_from(hit.cost).ok()?;
        let after = count.checked_add(cost)?;
        let (room, previous) = match mode {
            WindowMode::Fixed => (hit.ceiling.checked_sub(after.into()), 0),
            WindowMode::Sliding => {
                let previous = self.0[3] & 0xFFFF_FFFF;
                let room = hit.ceiling.checked_sub(after.into());
                (room.filter(|room| fits(*room, previous, start, length, now)), previous)
            }
        };
        let counted = room.is_some();
        if counted {
            let after = u32::try_from(after).ok()?;
            self.0[2] = (self.0[2] & 0xFFFF_FFFF) | u64::from(after) << 32;
        }
        let value = if counted { after } else { count };
        Some(Outcome { counted, value: value.into(), previous, start: Some(start) })
    }
}

/// What a slot alone decides about a hit: the fields of a [`CounterState`] that are not empty then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) counted: bool,
    value: u128,
    previous: u64,
    start: Option<Timestamp>,
}

impl Outcome {
    #[inline(always)]
    pub(crate) const fn of_bucket(counted: bool, value: u128) -> Self {
        Self { counted, value, previous: 0, start: None }
    }
}

impl From<Outcome> for CounterState {
    #[inline(always)]
    fn from(Outcome { counted, value, previous, start }: Outcome) -> Self {
        let mut state = Self::new(counted, value).with_previous(previous.into());
        state.start = start;
        state
    }
}

/// Returns whether the [weight](limited_core::sliding::weight) of the previous window fits into the
/// rest of the limit: `previous · left ≤ room · length`, without the division.
#[inline(always)]
fn fits(room: u128, previous: u64, start: Timestamp, length: WindowLength, now: Timestamp) -> bool {
    if previous == 0 {
        return true;
    }
    let elapsed = now.as_nanos().saturating_sub(start.as_nanos());
    let left = length.as_nanos().saturating_sub(elapsed);
    // The weight is at most `previous`, which is below 2^32.
    let Ok(room) = u64::try_from(room) else { return true };
    u128::from(previous) * u128::from(left) <= u128::from(room) * u128::from(length.as_nanos())
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const FINGERPRINT: Fingerprint = Fingerprint { hash: 0x1234_5678_9ABC_DEF0, tag: 0xFF_FFFF_FFFF };

    fn any_length() -> impl Strategy<Value = WindowLength> {
        let nanos = WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos();
        prop_oneof![nanos, 1_000_000..1_100_000_u64, Just(60_000_000_000)]
            .prop_map(|nanos| WindowLength::try_from(Duration::from_nanos(nanos)).unwrap())
    }

    fn any_count() -> impl Strategy<Value = u128> {
        prop_oneof![0..6_u128, Just(u128::from(u32::MAX)), (0..=u32::MAX).prop_map(u128::from)]
    }

    fn any_bound() -> impl Strategy<Value = u128> {
        prop_oneof![0..12_u128, any::<u128>(), any::<u64>().prop_map(u128::from), Just(u128::from(u32::MAX))]
    }

    #[test]
    fn slot_takes_32_bytes() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (32, 32));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn windows_that_fit_are_read_back_unchanged(
            time: u64, length in any_length(), counts in prop::array::uniform3(any_count()), kind_id in 1..OVERFLOW,
        ) {
            let windows = Windows { newest: time - time % length.as_nanos(), counts };
            let slot = Slot::windows(FINGERPRINT, kind_id, &windows).unwrap();
            prop_assert_eq!(slot.known(length), windows);
            prop_assert_eq!((slot.fingerprint(), slot.content()), (FINGERPRINT, SlotContent::Packed(kind_id)));
            prop_assert!(windows.newest - slot.starts_from() < 1 << DROPPED_BITS);
            let outgrown = Windows { counts: [counts[0], counts[1] + (1 << 32), counts[2]], ..windows };
            prop_assert_eq!(Slot::windows(FINGERPRINT, kind_id, &outgrown), None);
        }

        #[test]
        fn values_and_positions_are_read_back_unchanged(value: u128, position: u32, kind_id in 1..OVERFLOW) {
            let slot = Slot::bucket(FINGERPRINT, kind_id, value);
            prop_assert_eq!((slot.value(), slot.fingerprint(), slot.content()), (value, FINGERPRINT, SlotContent::Packed(kind_id)));
            let slot = Slot::overflow(FINGERPRINT, position as usize);
            prop_assert_eq!((slot.fingerprint(), slot.content()), (FINGERPRINT, SlotContent::Overflow(position as usize)));
        }

        /// The fast path decides like the general arithmetic.
        #[test]
        fn try_increment_agrees_with_windows_increment(
            time: u64, length in any_length(), counts in prop::array::uniform3(any_count()),
            cost in any_bound(), ceiling in any_bound(), floor in prop_oneof![4 => Just(0), 1 => 0..9_u128],
            later in prop_oneof![6 => Just(0), 1 => 0..4_u64], elapsed: u64, slides: bool,
        ) {
            let mode = if slides { WindowMode::Sliding } else { WindowMode::Fixed };
            let newest = time - time % length.as_nanos();
            let Some(start) = newest.checked_add(later * length.as_nanos()) else { return Ok(()) };
            let now = Timestamp::from_nanos(start.saturating_add(elapsed % (2 * length.as_nanos())));
            let start = Timestamp::from_nanos(start);
            let hit = Hit::new(cost, ceiling).with_floor(floor);
            // Before the epoch nothing was counted.
            let age = |age: u64| if newest >= age * length.as_nanos() { counts[usize::try_from(age).unwrap()] } else { 0 };
            let known = Windows { newest, counts: [age(0), age(1), age(2)] };
            let mut slot = Slot::windows(FINGERPRINT, 1, &known).unwrap();
            let before = slot;
            let at = Reading { now, skew: Duration::from_secs(5) }.in_window(start, length, mode);
            let (expected, after) = known.increment(&hit, at);
            match slot.try_increment(start, length, &hit, now, mode) {
                Some(outcome) => {
                    prop_assert_eq!(CounterState::from(outcome), expected);
                    prop_assert_eq!(slot.known(length), after.unwrap_or(known));
                }
                None => prop_assert_eq!(slot, before),
            }
        }
    }
}
