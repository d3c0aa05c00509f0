//! Steps of several hits, refunds and reads agree with a map that knows one counter at a time.

use std::collections::HashMap;
use std::time::Duration;

use limited_core::bucket::StoredBucket;
use limited_core::{
    Backend, BucketQuota, Counter, Hit, HitLog, Key, MAX_CLOCK_SKEW, Refund, Timestamp, Window, WindowId,
    WindowLength, has_ended, has_passed, is_ahead, retained_until, sliding,
};
use limited_memory::MemoryBackend;
use pollster::block_on;
use proptest::prelude::*;

const START: u64 = 1_767_225_600_000_000_000;

/// Longer than the maximum clock skew, so that each jump back finds the window.
const LENGTH: WindowLength = WindowLength::MINUTE;

/// What the map stores for a counter.
#[derive(Clone, Debug)]
enum Stored {
    Value(u128),
    FirstHit { start: Timestamp, id: WindowId, value: u128 },
    Bucket(StoredBucket),
    Log(HitLog),
}

#[derive(Default)]
struct Model(HashMap<(String, Window), Stored>);

/// What a counter is for an operation at one time: absent if it has expired.
fn live(stored: Option<&Stored>, window: Window, now: Timestamp) -> Option<Stored> {
    let is_live = |stored: &&Stored| match (window, stored) {
        (Window::Aligned { start, length }, _) => {
            !has_passed(retained_until(start, length, MAX_CLOCK_SKEW), now)
        }
        (Window::Span { end, .. }, _) => !has_passed(end.saturating_add(MAX_CLOCK_SKEW), now),
        (Window::FromFirstHit { length }, Stored::FirstHit { start, .. }) => {
            !has_ended(*start, length, now) && !is_ahead(*start, now, MAX_CLOCK_SKEW)
        }
        _ => true,
    };
    let mut live = stored.filter(is_live).cloned();
    if let (Some(Stored::Log(log)), Window::Log { length }) = (&mut live, window) {
        log.expire(length, now, MAX_CLOCK_SKEW);
    }
    live
}

impl Model {
    fn live(&self, counter: &Counter<'_>, now: Timestamp) -> Option<Stored> {
        live(self.0.get(&(counter.key().to_owned(), counter.window())), counter.window(), now)
    }

    /// Returns the value of a counter, in the unit of its quota.
    fn value(&self, counter: &Counter<'_>, now: Timestamp) -> u128 {
        match (self.live(counter, now), counter.bucket(), counter.window()) {
            (Some(Stored::Bucket(bucket)), Some(quota), Window::Bucket { length }) => {
                bucket.live(quota, length, now, MAX_CLOCK_SKEW).value
            }
            (Some(Stored::Log(log)), _, window) => log.value(window.length(), now),
            (Some(Stored::Value(value) | Stored::FirstHit { value, .. }), _, _) => value,
            _ => 0,
        }
    }

    fn previous(&self, counter: &Counter<'_>, now: Timestamp) -> u128 {
        match counter.window().previous() {
            Some(previous) if counter.is_sliding() => self.value(&counter.with_window(previous).fixed(), now),
            _ => 0,
        }
    }

    /// Returns the value after a hit, if it fits.
    fn apply(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Option<u128> {
        let hit = match counter.window() {
            Window::Log { .. } => Hit::new(hit.cost, hit.ceiling),
            window if counter.is_sliding() => {
                sliding::with_previous(hit, self.previous(counter, now), window, now)
            }
            Window::Span { end, .. } if has_passed(end.saturating_add(MAX_CLOCK_SKEW), now) => return None,
            _ => *hit,
        };
        hit.apply(self.value(counter, now))
    }

    fn count(&mut self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) {
        let value = self.apply(counter, hit, now).unwrap();
        if hit.cost == 0 && hit.floor == 0 {
            return;
        }
        let stored = match (self.live(counter, now), counter.window()) {
            (_, Window::Aligned { .. } | Window::Span { .. }) => Stored::Value(value),
            (Some(Stored::FirstHit { start, id, .. }), _) => Stored::FirstHit { start, id, value },
            (_, Window::FromFirstHit { .. }) => Stored::FirstHit { start: now, id: hit.window_id, value },
            (_, Window::Bucket { .. }) => {
                Stored::Bucket(StoredBucket { value, quota: counter.bucket().unwrap() })
            }
            (log, Window::Log { length }) => {
                let mut log = match log {
                    Some(Stored::Log(log)) => log,
                    _ => HitLog::default(),
                };
                assert!(log.hit(hit, length, now));
                Stored::Log(log)
            }
        };
        self.0.insert((counter.key().to_owned(), counter.window()), stored);
    }

    /// Returns whether the refund reaches a counter.
    fn refund(&mut self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> bool {
        let value = self.value(counter, now);
        let mut stored = self.live(counter, now);
        let is_found = match (&mut stored, counter.window()) {
            (Some(Stored::Log(log)), Window::Log { length }) => log.refund(refund, length, now),
            _ if value == 0 || !refund.accepts(value) => false,
            (Some(Stored::FirstHit { id, .. }), _) if *id != refund.window_id => false,
            (Some(Stored::FirstHit { value, .. } | Stored::Value(value)), _) => {
                *value = refund.apply(*value);
                true
            }
            (Some(Stored::Bucket(bucket)), _) => {
                *bucket = refund.apply_to_bucket(*bucket, counter.bucket().unwrap(), now);
                true
            }
            _ => false,
        };
        if let Some(stored) = stored.filter(|_| is_found) {
            self.0.insert((counter.key().to_owned(), counter.window()), stored);
        }
        is_found
    }
}

/// One hit of a step, and a refund of it.
#[derive(Clone, Debug)]
struct Part {
    key: usize,
    kind: usize,
    quota: usize,
    cost: u8,
    ceiling: u8,
    id: u8,
    only_if: bool,
}

#[derive(Clone, Debug)]
struct Step {
    parts: Vec<Part>,
    /// How far the clock advances before the step.
    forward: u64,
    /// How far back the clock is read.
    back: u64,
    /// Refunds the first part instead, charged this long ago.
    refunds: Option<u64>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = (0..3_usize, 0..8_usize, 0..2_usize, 0..4_u8, 1..12_u8, 0..3_u8, any::<bool>());
    let part = part.prop_map(|(key, kind, quota, cost, ceiling, id, only_if)| Part {
        key,
        kind,
        quota,
        cost,
        ceiling,
        id,
        only_if,
    });
    let parts = prop::collection::vec(part, 1..7);
    let nanos = LENGTH.as_nanos();
    let forward = prop_oneof![6 => 0..nanos / 20, 2 => 0..nanos, 1 => 0..3 * nanos];
    let back = prop_oneof![3 => Just(0), 1 => 0..4_000_000_000_u64];
    let refunds = prop_oneof![3 => Just(None), 1 => (0..nanos / 20).prop_map(Some)];
    let step = (parts, forward, back, refunds);
    let step = step.prop_map(|(parts, forward, back, refunds)| Step { parts, forward, back, refunds });
    prop::collection::vec(step, 1..60)
}

fn window(kind: usize, now: Timestamp) -> Window {
    let minute = 60_000_000_000;
    match kind {
        0 | 1 => Window::aligned(now, LENGTH),
        2 => Window::aligned(now, WindowLength::HOUR),
        3 => Window::FromFirstHit { length: LENGTH },
        4 | 5 => Window::Bucket { length: LENGTH },
        6 => Window::Log { length: LENGTH },
        _ => {
            let start = now.as_nanos() - now.as_nanos() % (3 * minute);
            Window::Span {
                start: Timestamp::from_nanos(start),
                end: Timestamp::from_nanos(start + 3 * minute),
            }
        }
    }
}

fn counter<'a>(part: &Part, key: &'a Key<'a>, now: Timestamp) -> Counter<'a> {
    let counter = Counter::new("", key, window(part.kind, now)).unwrap();
    match part.kind {
        1 => counter.sliding(),
        4 | 5 => counter.with_bucket([BucketQuota::new(7, 7), BucketQuota::new(3, 10)][part.quota]),
        _ => counter,
    }
}

fn hit(part: &Part, counter: &Counter<'_>, now: Timestamp) -> Hit<'static> {
    let (cost, ceiling) = (u128::from(part.cost), u128::from(part.ceiling));
    match (counter.bucket(), counter.window()) {
        (Some(quota), Window::Bucket { length }) => {
            let now = u128::from(now.as_nanos()) * u128::from(quota.limit);
            let ceiling = now + (ceiling * u128::from(length.as_nanos())).min(quota.fills_in(length));
            Hit::new(cost * u128::from(length.as_nanos()), ceiling).with_floor(now)
        }
        _ => Hit::new(cost, ceiling).with_window_meta(WindowId(part.id.into()), None),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn steps_and_refunds_agree_with_a_map(steps in steps()) {
        let (backend, mut model, mut latest) = (MemoryBackend::new(), Model::default(), START);
        let keys = ["a", "b", "a key of more than two hundred and twenty-four bytes "].map(|key| {
            Key::from(if key.len() > 1 { key.repeat(8) } else { key.to_owned() })
        });
        for step in &steps {
            latest += step.forward;
            let now = Timestamp::from_nanos(latest - step.back);
            let mut hits: Vec<(Counter<'_>, Hit<'_>)> = Vec::new();
            for part in &step.parts {
                let counter = counter(part, &keys[part.key], now);
                if !hits.iter().any(|(other, _)| other.is_same(&counter)) {
                    hits.push((counter, hit(part, &counter, now)));
                }
            }
            if let Some(ago) = step.refunds {
                let charged_at = now.saturating_sub(Duration::from_nanos(ago));
                let (part, (_, hit)) = (&step.parts[0], &hits[0]);
                let counter = counter(part, &keys[part.key], charged_at);
                // A log has a charge at exact times only.
                let log = match model.live(&counter, now) {
                    Some(Stored::Log(log)) => log.entries().first().map(|(time, _)| *time),
                    _ => None,
                };
                let refund = Refund::new(hit.cost, log.unwrap_or(charged_at)).with_window_id(hit.window_id);
                let value = model.value(&counter, now);
                let refund = if part.only_if { refund.only_if_value(value) } else { refund };
                let state = block_on(backend.refund(&counter, &refund, now)).unwrap();
                let is_found = model.refund(&counter, &refund, now);
                // What no longer counts may have been removed.
                let counts = match counter.window() {
                    Window::Log { length } => !has_ended(refund.charged_at, length, now),
                    Window::Bucket { .. } => full(&counter, value, now) > 0,
                    // A window that refunds have emptied may still be found.
                    _ => value > 0,
                };
                if counts {
                    prop_assert_eq!(state.counted, is_found, "{:?}", counter);
                }
            } else {
                let mut states = Vec::new();
                backend.try_increment_all(&hits, now, &mut states).unwrap().unwrap();
                let fits: Vec<_> =
                    hits.iter().map(|(counter, hit)| model.apply(counter, hit, now).is_some()).collect();
                let counted: Vec<_> = states.iter().map(|state| state.counted).collect();
                prop_assert_eq!(&counted, &fits, "{:?}", hits);
                for ((counter, _), state) in hits.iter().zip(&states) {
                    prop_assert_eq!(state.previous, model.previous(counter, now));
                }
                if fits.iter().all(|fits| *fits) {
                    hits.iter().for_each(|(counter, hit)| model.count(counter, hit, now));
                }
                for ((counter, _), state) in hits.iter().zip(&states) {
                    prop_assert_eq!(full(counter, state.value, now), full(counter, model.value(counter, now), now));
                    let has_log = matches!(counter.window(), Window::Log { .. }) && !fits.iter().all(|fits| *fits);
                    prop_assert_eq!(state.log.is_some(), has_log);
                }
            }
            for (counter, _) in &hits {
                let state = block_on(backend.get(counter, now)).unwrap();
                prop_assert_eq!(full(counter, state.value, now), full(counter, model.value(counter, now), now));
                let log = match model.live(counter, now) {
                    Some(Stored::Log(log)) => log,
                    _ => HitLog::default(),
                };
                let is_log = matches!(counter.window(), Window::Log { .. });
                prop_assert_eq!(state.log.map(|log| counting(&log, now)), is_log.then(|| counting(&log, now)));
            }
        }
    }
}

/// Returns the hits of a log that count at `now`. Those that have ended may have been removed.
fn counting(log: &HitLog, now: Timestamp) -> Vec<(Timestamp, u128)> {
    log.entries().iter().filter(|(time, _)| !has_ended(*time, LENGTH, now)).copied().collect()
}

/// Returns the value of a counter; 0 for a bucket that is full, as for an absent one.
fn full(counter: &Counter<'_>, value: u128, now: Timestamp) -> u128 {
    match counter.bucket() {
        Some(quota) if value <= u128::from(now.as_nanos()) * u128::from(quota.limit) => 0,
        _ => value,
    }
}
