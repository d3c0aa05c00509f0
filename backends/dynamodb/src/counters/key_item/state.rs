//! The state of a key's item, and what hits and refunds make of each of its windows. No I/O.

use std::sync::Arc;
use std::time::Duration;

use limited_core::bucket::StoredBucket;
use limited_core::coalesce::PendingHit;
use limited_core::{
    BackendError, BucketQuota, CounterState, Hit, HitLog, Refund, Result, Timestamp, Window, WindowId,
    WindowMeta, has_ended, is_ahead,
};

use super::names::{Names, is_over};
use crate::attributes::{EXPIRES_AT, Item, SLOT_PREFIX, number, text, time, unreadable};

/// The first number that DynamoDB cannot store: it keeps 38 digits.
pub(super) const TOO_LARGE: u128 = 10_u128.pow(38);

/// The time of an operation, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The latest time of all operations of a batch. It decides whether a window is live.
    pub(super) latest: Timestamp,
    pub(super) skew: Duration,
}

/// A hit on a window of the key.
#[derive(Clone, Debug)]
pub(super) struct KeyHit {
    pub(super) window: Window,
    pub(super) is_sliding: bool,
    pub(super) hit: PendingHit,
}

impl KeyHit {
    /// Returns the window before, if the hit depends on one.
    pub(super) fn previous(&self) -> Option<Window> {
        if self.is_sliding { self.window.previous() } else { None }
    }

    /// Returns the hit with the ceiling that the previous window leaves.
    pub(super) fn effective(&self, previous: u128) -> PendingHit {
        let mut hit = self.hit.clone();
        if self.is_sliding {
            hit.needs_previous = true;
            hit.lower_ceiling(previous, self.window);
        }
        hit
    }
}

/// The attributes of a key's item; none if there is no item.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyState {
    pub(super) attributes: Item,
}

impl KeyState {
    /// Returns the state without what no later write needs to know.
    pub(super) fn to_remember(&self) -> Self {
        let keep = |name: &str| {
            name == EXPIRES_AT
                || name.starts_with(['W', 'S', 'F', 'B', 'L']) && !name.starts_with(SLOT_PREFIX)
        };
        let kept = self.attributes.iter().filter(|(name, _)| keep(name));
        Self { attributes: kept.map(|(name, value)| (name.clone(), value.clone())).collect() }
    }

    pub(super) fn expires_at(&self) -> Result<Option<u64>> {
        number(&self.attributes, EXPIRES_AT)
    }

    /// Returns the number of the last write of a writer.
    pub(super) fn slot(&self, name: &str) -> Option<u64> {
        number(&self.attributes, name).ok().flatten()
    }

    /// Returns each writer's slot: the number of its last write.
    pub(super) fn slots(&self) -> Vec<(String, u64)> {
        let slots = self.attributes.iter().filter(|(name, _)| name.starts_with(SLOT_PREFIX));
        slots.filter_map(|(name, value)| Some((name.clone(), value.as_n().ok()?.parse().ok()?))).collect()
    }

    /// Reads the state of a window.
    pub(super) fn window(&self, window: Window) -> Result<WindowState> {
        let (item, names) = (&self.attributes, Names::of(window));
        Ok(match window {
            Window::Aligned { .. } | Window::Span { .. } => WindowState::Count(number(item, &names.value)?),
            Window::FromFirstHit { .. } => {
                let opened_at = time(item, &names.opened_at())?;
                let id = text(item, &names.generation())?.map(|id| u128::from_str_radix(id, 16));
                let id = id.transpose().map_err(|_| unreadable(&names.generation()))?.unwrap_or_default();
                // Null, if the first hit had no metadata.
                let metadata = item.get(&names.note()).and_then(|value| value.as_s().ok());
                let meta =
                    WindowMeta { id: WindowId(id), metadata: metadata.map(|text| text.as_str().into()) };
                WindowState::FromFirstHit(FirstHitWindow {
                    count: number(item, &names.value)?,
                    opened: opened_at.map(|opened_at| (opened_at, Arc::new(meta))),
                    opened_text: text(item, &names.opened_at())?.map(str::to_owned),
                })
            }
            Window::Bucket { .. } => WindowState::Bucket(Bucket {
                count: number(item, &names.value)?,
                limit: number(item, &names.limit())?,
                capacity: number(item, &names.capacity())?,
            }),
            Window::Log { .. } => {
                let text = text(item, &names.value)?;
                let log = text.map(str::parse::<HitLog>).transpose();
                let log = log.map_err(|_| unreadable(&names.value))?.unwrap_or_default();
                WindowState::Log(Log { text: text.map(str::to_owned), log })
            }
        })
    }

    /// Reads the count of the window before.
    pub(super) fn previous_count(&self, previous: Option<Window>) -> Result<Option<u128>> {
        match previous.map(|window| self.window(window)).transpose()? {
            Some(WindowState::Count(count)) => Ok(count),
            _ => Ok(None),
        }
    }
}

/// The state of one window, as the item has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WindowState {
    /// An aligned window or a span.
    Count(Option<u128>),
    FromFirstHit(FirstHitWindow),
    Bucket(Bucket),
    Log(Log),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstHitWindow {
    pub(super) count: Option<u128>,
    pub(super) opened: Option<(Timestamp, Arc<WindowMeta>)>,
    /// When the first hit opened the window, as the item has it.
    pub(super) opened_text: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) count: Option<u128>,
    pub(super) limit: Option<u64>,
    pub(super) capacity: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// The log as the item has it.
    pub(super) text: Option<String>,
    pub(super) log: HitLog,
}

impl FirstHitWindow {
    /// Returns whether the window is open at `now`.
    pub(super) fn is_open(&self, window: Window, now: Timestamp, skew: Duration) -> bool {
        self.opened.as_ref().is_some_and(|(start, _)| {
            !has_ended(*start, window.length(), now) && !is_ahead(*start, now, skew)
        })
    }
}

impl Bucket {
    /// Returns the bucket; `None` if it is absent. Without a limit, the unit of the count is
    /// unknown.
    pub(super) fn stored(self) -> Option<StoredBucket> {
        let (value, limit) = (self.count?, self.limit?);
        Some(StoredBucket { value, quota: BucketQuota::new(limit, self.capacity.unwrap_or(limit)) })
    }

    pub(super) fn of(stored: StoredBucket) -> Self {
        Self {
            count: Some(stored.value),
            limit: Some(stored.quota.limit),
            capacity: Some(stored.quota.capacity),
        }
    }
}

impl WindowState {
    /// Returns the state after a hit, or `None` if it does not fit.
    ///
    /// # Errors
    ///
    /// [`Invalid`](BackendError::Invalid) if the value would have more than 38 digits.
    pub(super) fn hit(&self, hit: &PendingHit, window: Window, times: Times) -> Result<Option<Self>> {
        let plain = Hit::new(hit.cost, hit.ceiling).with_floor(hit.floor);
        let after = match self {
            Self::Count(_) if is_refused_span(window, hit.now, times.skew) => None,
            Self::Count(count) => {
                plain.apply(count.unwrap_or_default()).map(|value| Self::Count(Some(value)))
            }
            Self::FromFirstHit(state) => {
                let is_open = state.is_open(window, times.latest, times.skew);
                let before = if is_open { state.count.unwrap_or_default() } else { 0 };
                plain.apply(before).map(|value| {
                    let opened = if is_open { state.opened.clone() } else { None };
                    let meta = || WindowMeta { id: hit.window_id, metadata: hit.metadata.clone() };
                    Self::FromFirstHit(FirstHitWindow {
                        count: Some(value),
                        opened: Some(opened.unwrap_or_else(|| (hit.now, Arc::new(meta())))),
                        opened_text: None,
                    })
                })
            }
            Self::Bucket(bucket) => {
                let Some(quota) = hit.bucket else {
                    return Err(BackendError::invalid("a bucket needs a quota"));
                };
                let live = bucket
                    .stored()
                    .map(|stored| stored.live(quota, window.length(), times.latest, times.skew));
                let value = plain.apply(live.unwrap_or_default().value);
                value.map(|value| Self::Bucket(Bucket::of(StoredBucket { value, quota })))
            }
            Self::Log(log) => {
                let mut log = log.log.clone();
                log.expire(window.length(), hit.now, times.skew);
                let fits = log.hit(&plain, window.length(), hit.now);
                fits.then_some(Self::Log(Log { text: None, log }))
            }
        };
        match after.as_ref().map(Self::number) {
            Some(number) if number >= TOO_LARGE => {
                Err(BackendError::invalid("a count or an arrival time has more than 38 digits"))
            }
            _ => Ok(after),
        }
    }

    /// Returns the count as the item has it.
    fn number(&self) -> u128 {
        match self {
            Self::Count(count)
            | Self::FromFirstHit(FirstHitWindow { count, .. })
            | Self::Bucket(Bucket { count, .. }) => count.unwrap_or_default(),
            Self::Log(_) => 0,
        }
    }

    /// Returns the result of an operation at `now` that leaves this state: of one that was not
    /// counted.
    pub(super) fn counter_state(
        &self,
        window: Window,
        quota: Option<BucketQuota>,
        now: Timestamp,
        skew: Duration,
    ) -> CounterState {
        match (self, window) {
            (Self::Count(count), Window::Aligned { start, .. } | Window::Span { start, .. }) => {
                let value = if is_over(window, now, skew) { 0 } else { count.unwrap_or_default() };
                CounterState::new(false, value).with_start(start)
            }
            (Self::FromFirstHit(state), _) if state.is_open(window, now, skew) => {
                let value = CounterState::new(false, state.count.unwrap_or_default());
                match &state.opened {
                    Some((start, meta)) => value.with_start(*start).with_meta(Arc::clone(meta)),
                    None => value,
                }
            }
            (Self::Bucket(bucket), _) => {
                let live = bucket.stored().zip(quota);
                let live = live.map(|(stored, quota)| stored.live(quota, window.length(), now, skew));
                let live = live.unwrap_or_default();
                CounterState::new(false, live.value).with_clock_lead(live.clock_lead)
            }
            (Self::Log(log), _) => {
                let mut log = log.log.clone();
                log.expire(window.length(), now, skew);
                let state = CounterState::new(false, log.value(window.length(), now));
                let state = match log.newest() {
                    Some(newest) => state.with_start(newest),
                    None => state,
                };
                state.with_log(Arc::new(log))
            }
            _ => CounterState::new(false, 0),
        }
    }

    /// Returns the state after a refund to a hit of this quota, or `None` if the counter that was
    /// charged is absent or does not accept it.
    pub(super) fn refund(
        &self,
        refund: &Refund,
        window: Window,
        quota: Option<BucketQuota>,
        now: Timestamp,
        skew: Duration,
    ) -> Option<Self> {
        match self {
            Self::Count(count) => {
                let count = count.filter(|count| refund.accepts(*count) && !is_over(window, now, skew))?;
                Some(Self::Count(Some(refund.apply(count))))
            }
            Self::FromFirstHit(state) => {
                let count = state.count.filter(|count| refund.accepts(*count))?;
                let is_charged = state.opened.as_ref().is_some_and(|(_, meta)| meta.id == refund.window_id)
                    && state.is_open(window, now, skew);
                let after = FirstHitWindow { count: Some(refund.apply(count)), ..state.clone() };
                is_charged.then_some(Self::FromFirstHit(after))
            }
            Self::Bucket(bucket) => {
                let (stored, quota) = (bucket.stored()?, quota?);
                let live = stored.live(quota, window.length(), now, skew);
                let is_charged = live.value > 0 && refund.accepts(live.value);
                let after = refund.apply_to_bucket(stored, quota, now);
                is_charged.then_some(Self::Bucket(Bucket { count: Some(after.value), ..*bucket }))
            }
            Self::Log(log) => {
                let mut after = log.log.clone();
                after.expire(window.length(), now, skew);
                let is_charged = after.refund(refund, window.length(), now);
                is_charged.then_some(Self::Log(Log { text: None, log: after }))
            }
        }
    }

    /// Returns what a refund takes from this state, in its own unit, if it takes all of it from any
    /// higher value too. `None` if the outcome depends on the value.
    pub(super) fn refund_amount(
        &self,
        refund: &Refund,
        quota: Option<BucketQuota>,
        now: Timestamp,
    ) -> Option<u128> {
        let (count, amount) = match self {
            Self::Count(count) | Self::FromFirstHit(FirstHitWindow { count, .. }) => (*count, refund.cost),
            Self::Bucket(bucket) => {
                let stored = StoredBucket { value: u128::MAX, ..bucket.stored()? };
                (bucket.count, u128::MAX - refund.apply_to_bucket(stored, quota?, now).value)
            }
            Self::Log(_) => return None,
        };
        let takes_all = refund.only_if_value.is_none() && count? >= amount;
        (takes_all && amount > 0).then_some(amount)
    }
}

/// Returns whether a span ended so long ago that its count may be gone. A hit on it is refused.
fn is_refused_span(window: Window, now: Timestamp, skew: Duration) -> bool {
    matches!(window, Window::Span { .. }) && is_over(window, now, skew)
}
