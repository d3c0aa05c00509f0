//! The reference: a small backend that keeps the contract, or breaks it in exactly one way.

mod acquire;
mod counters;
mod finish;
mod logs;
mod operations;
mod refunds;
mod several;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use limited_core::bucket::{LiveBucket, StoredBucket, convert};
use limited_core::conformance::Harness;
use limited_core::{
    BucketQuota, Counter, CounterState, HitLog, MAX_CLOCK_SKEW, Timestamp, Window, WindowLength, WindowMeta,
    bucket_full_at, has_ended, has_passed, is_ahead, retained_until,
};

use crate::Defect::{self, *};
use acquire::Slots;

/// Counters and claims in maps behind locks, behind a simulated network that may lose responses.
#[derive(Debug, Default)]
pub(crate) struct Reference {
    defect: Option<Defect>,
    /// Whether it forgets as early as the contract allows, by the latest time that it has seen for
    /// any key.
    forgets: bool,
    /// Whether `increment` tries the fast path first, so that a defect shows in the fast path too.
    prefers_fast_path: bool,
    latest: AtomicU64,
    states: Mutex<HashMap<Id, State>>,
    claims: Mutex<Slots>,
    /// The first value that was read of each previous window. Only for the defect that caches them.
    previous_values: Mutex<HashMap<Id, u128>>,
    loses_next_response: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Id {
    namespace: String,
    key: String,
    kind: u8,
    start: Option<Timestamp>,
    length: u64,
    /// Only for the defect that separates limits.
    limit: u64,
}

#[derive(Clone, Debug, Default)]
struct State {
    value: u128,
    start: Option<Timestamp>,
    meta: Option<Arc<WindowMeta>>,
    /// The quota of the hit that wrote a bucket.
    bucket: Option<BucketQuota>,
    /// The hits of a log.
    log: HitLog,
    clock_lead: Duration,
}

/// Creates a [`Reference`] with this defect.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReferenceHarness {
    pub(crate) defect: Option<Defect>,
    pub(crate) prefers_fast_path: bool,
    /// Whether the reference forgets, and the harness reports what is stored.
    pub(crate) forgets: bool,
}

impl Harness for ReferenceHarness {
    type Backend = Reference;

    fn backend(&self) -> Reference {
        let Self { defect, prefers_fast_path, forgets } = *self;
        let forgets = forgets
            || matches!(
                defect,
                Some(
                    CountsForgottenWindows
                        | DeletesExpiredRecords
                        | DeletesFencingTokensAheadOfTime
                        | KeepsExpiredCounters
                        | KeepsExpiredClaims
                )
            );
        Reference { defect, forgets, prefers_fast_path, ..Reference::default() }
    }

    fn lose_next_response(&self, backend: &Reference) -> bool {
        backend.loses_next_response.store(true, Ordering::Relaxed);
        true
    }

    fn increments_all_at_once(&self) -> bool {
        true
    }

    fn stored_entries(&self, backend: &Reference) -> Option<usize> {
        backend.forgets.then(|| backend.states().len() + backend.slots().len())
    }
}

/// # Storage
impl Reference {
    pub(crate) fn forgetting_as_early_as_allowed() -> Self {
        Self { forgets: true, ..Self::default() }
    }

    /// Returns whether the next write will lose its response.
    pub(crate) fn loses_next_response(&self) -> bool {
        self.loses_next_response.load(Ordering::Relaxed)
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    fn states(&self) -> MutexGuard<'_, HashMap<Id, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self, namespace: &str, key: &str) -> (String, String) {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        match self.defect {
            Some(JoinsNamespaceAndKey) => (String::new(), format!("{namespace}:{key}")),
            Some(FoldsCase) => (namespace, key.to_lowercase()),
            Some(TrimsKeys) => (namespace, key.trim().to_owned()),
            Some(TruncatesKeys) => (namespace, key.chars().take(255).collect()),
            _ => (namespace, key),
        }
    }

    fn id(&self, counter: &Counter<'_>) -> Id {
        let (namespace, key) = self.names(counter.namespace(), counter.key());
        let (kind, start) = match counter.window() {
            Window::Aligned { start, .. } => (0, Some(start)),
            Window::FromFirstHit { .. } => (1, None),
            Window::Bucket { .. } => (2, None),
            Window::Log { .. } => (3, None),
            Window::Span { start, .. } => (4, Some(start)),
        };
        let length = counter.window().length().as_nanos();
        let id = Id { namespace, key, kind, start, length, limit: 0 };
        match self.defect {
            Some(MergesWindowKinds) => Id { kind: 0, start: None, ..id },
            Some(MergesWindowLengths) => Id { length: 0, ..id },
            Some(SeparatesLimits) => Id { limit: counter.bucket().map_or(0, |quota| quota.limit), ..id },
            Some(SeparatesComposedKeys) if counter.dimensions().is_some() => Id { kind: id.kind + 5, ..id },
            Some(KeepsOneWindowPerKey) => Id { start: None, ..id },
            Some(SpansIgnoreTheirEnd) if kind == 4 => Id { length: 0, ..id },
            Some(TreatsSpansAsAligned) if kind == 4 => Id { kind: 0, ..id },
            _ => id,
        }
    }

    /// Returns whether the counter is stored and has not expired.
    fn is_live(&self, counter: &Counter<'_>, now: Timestamp) -> bool {
        let (id, now) = (self.id(counter), self.time(now));
        self.states().get(&id).is_some_and(|state| !self.has_expired(state, counter.window(), now))
    }

    /// Returns the stored state, or an empty one if it has expired.
    fn live(&self, state: Option<&State>, counter: &Counter<'_>, now: Timestamp) -> State {
        let window = counter.window();
        if let (Window::Bucket { length }, Some(quota)) = (window, counter.bucket()) {
            return self.live_bucket(state, quota, length, now);
        }
        let absent = || State {
            start: match window {
                Window::Aligned { start, .. } | Window::Span { start, .. } => Some(start),
                _ => None,
            },
            ..State::default()
        };
        state.filter(|state| !self.has_expired(state, window, now)).cloned().unwrap_or_else(absent)
    }

    /// Returns the state of a bucket in the unit of `quota`.
    fn live_bucket(
        &self,
        state: Option<&State>,
        quota: BucketQuota,
        length: WindowLength,
        now: Timestamp,
    ) -> State {
        let stored = state.and_then(|state| Some(StoredBucket { value: state.value, quota: state.bucket? }));
        let live = stored.map_or_else(LiveBucket::default, |stored| match self.defect {
            Some(RefillsWhenTimeGoesBack)
                if stored.value > BucketQuota { capacity: 5, ..stored.quota }.highest_value(length, now) =>
            {
                LiveBucket::default()
            }
            Some(ToleratesNoSkewOfBuckets) => stored.live(quota, length, now, Duration::ZERO),
            Some(KeepsTheUnitOfAnotherLimit) => {
                StoredBucket { quota, ..stored }.live(quota, length, now, MAX_CLOCK_SKEW)
            }
            Some(RoundsConvertedValuesDown) if stored.quota.limit != quota.limit => {
                let mut live = stored.live(quota, length, now, MAX_CLOCK_SKEW);
                let (from, to) = (u128::from(stored.quota.limit), u128::from(quota.limit));
                live.value = stored.value / from * to + stored.value % from * to / from;
                live
            }
            Some(KeepsBucketsOfAWrongClock) => stored.live(quota, length, now, Duration::MAX),
            Some(JudgesBucketsByTheReader) => {
                let value = convert(stored.value, stored.quota.limit, quota.limit);
                StoredBucket { value, quota }.live(quota, length, now, MAX_CLOCK_SKEW)
            }
            _ => stored.live(quota, length, now, MAX_CLOCK_SKEW),
        });
        State { value: live.value, clock_lead: live.clock_lead, bucket: Some(quota), ..State::default() }
    }

    fn has_expired(&self, state: &State, window: Window, now: Timestamp) -> bool {
        match (window, state.start) {
            _ if self.has(ReadsExpiredAsLive) => false,
            (Window::FromFirstHit { .. }, Some(start)) if is_ahead(start, now, MAX_CLOCK_SKEW) => {
                !self.has(KeepsWindowsOfAWrongClock)
            }
            (Window::FromFirstHit { length }, Some(start)) => match self.defect {
                Some(EndsANanosecondLate) => {
                    has_ended(start, length, now.saturating_sub(Duration::from_nanos(1)))
                }
                Some(RestartsWhenTimeGoesBack) => now < start || has_ended(start, length, now),
                Some(PanicsWhenTimeGoesBack) => {
                    let age = now.as_nanos().checked_sub(start.as_nanos());
                    age.expect("time goes forwards") >= length.as_nanos()
                }
                Some(SaturatesTheEnd) => now >= start.saturating_add(length.as_duration()),
                _ => has_ended(start, length, now),
            },
            (Window::Aligned { start, length }, known) => {
                let other = known.is_some_and(|known| known != start);
                other || has_passed(retained_until(start, length, MAX_CLOCK_SKEW), now)
            }
            (Window::Span { .. }, _) => self.has_span_passed(window, now),
            (Window::FromFirstHit { .. } | Window::Bucket { .. } | Window::Log { .. }, _) => false,
        }
    }

    fn state(&self, counted: bool, window: Window, state: State) -> CounterState {
        let omits_lead = counted || self.has(OmitsTheClockLead);
        let lead = if omits_lead { Duration::ZERO } else { state.clock_lead };
        let mut result = CounterState::new(counted, state.value).with_clock_lead(lead);
        (result.start, result.meta) = (state.start, state.meta);
        match (self.defect, window) {
            (Some(OmitsTheStartOfFirstHitWindows), Window::FromFirstHit { .. }) => result.start = None,
            (Some(OmitsTheStartOfAlignedWindows), Window::Aligned { .. }) => result.start = None,
            _ => {}
        }
        result
    }

    fn time(&self, now: Timestamp) -> Timestamp {
        match self.defect {
            Some(UsesTheSystemTime) => SystemTime::now().into(),
            Some(StoresMilliseconds) => Timestamp::from_nanos(now.as_nanos() / 1_000_000 * 1_000_000),
            _ => now,
        }
    }
}

/// # Forgetting
impl Reference {
    fn forget_some(&self, states: &mut HashMap<Id, State>, length: WindowLength, now: Timestamp) {
        let latest = self.latest.fetch_max(now.as_nanos(), Ordering::Relaxed);
        // The clock was wrong before.
        if now.saturating_add(2 * length.as_duration() + MAX_CLOCK_SKEW).as_nanos() < latest {
            self.latest.store(now.as_nanos(), Ordering::Relaxed);
        }
        if self.has(KeepsExpiredCounters) {
            return;
        }
        states.retain(|id, state| match (self.defect, id.kind, state.start) {
            (Some(ForgetsWindowsAtTheirEnd), 0, Some(start)) => !has_ended(start, length_of(id), now),
            (Some(ForgetsWindowsWithoutAWeight), 0, Some(start)) => {
                !has_passed(retained_until(start, length_of(id), Duration::ZERO), now)
            }
            (Some(ForgetsFullBuckets), 2, None) => !has_passed(full_at(state), now),
            _ => !self.is_forgotten(&Id { start: state.start, ..id.clone() }, state),
        });
    }

    /// Returns whether this counter is forgotten: as early as the contract allows, if `forgets` is
    /// set.
    fn is_forgotten(&self, id: &Id, state: &State) -> bool {
        let from = match (id.kind, id.start) {
            (0 | 1, Some(start)) => retained_until(start, length_of(id), MAX_CLOCK_SKEW),
            (2, None) => full_at(state).saturating_add(MAX_CLOCK_SKEW),
            (3, None) => match state.log.newest() {
                Some(newest) => {
                    newest.saturating_add(Duration::from_nanos(id.length)).saturating_add(MAX_CLOCK_SKEW)
                }
                None => Timestamp::EPOCH,
            },
            (4, Some(start)) => {
                start.saturating_add(Duration::from_nanos(id.length)).saturating_add(MAX_CLOCK_SKEW)
            }
            _ => return false,
        };
        self.forgets && has_passed(from, Timestamp::from_nanos(self.latest.load(Ordering::Relaxed)))
    }

    /// Returns whether the latest time has passed the window after this one.
    fn has_no_weight(&self, window: Window) -> bool {
        let latest = Timestamp::from_nanos(self.latest.load(Ordering::Relaxed));
        matches!(window, Window::Aligned { start, length }
            if has_passed(retained_until(start, length, Duration::ZERO), latest))
    }

    /// Returns the result of a hit on a forgotten aligned window: refused, with the earliest known
    /// window.
    fn refused_as_forgotten(&self, length: WindowLength) -> CounterState {
        let latest = Timestamp::from_nanos(self.latest.load(Ordering::Relaxed));
        let forgotten = latest.saturating_sub(2 * length.as_duration() + MAX_CLOCK_SKEW).as_nanos();
        let earliest_known = forgotten - forgotten % length.as_nanos() + length.as_nanos();
        CounterState::new(false, 0).with_start(Timestamp::from_nanos(earliest_known))
    }
}

/// Returns when a bucket is full again.
fn full_at(state: &State) -> Timestamp {
    bucket_full_at(state.value, state.bucket.map_or(0, |quota| quota.limit))
}

fn length_of(id: &Id) -> WindowLength {
    Duration::from_nanos(id.length).try_into().expect("the length of a stored window is valid")
}

/// Lets other threads run between two steps that should have been one: for long enough that those
/// which start together have all begun, also on a busy machine.
fn yield_to_others() {
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2) {
        thread::yield_now();
    }
}
