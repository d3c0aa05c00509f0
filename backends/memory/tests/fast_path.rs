//! `try_increment` returns what `increment` would return, or counts nothing.

use limited_core::{
    Backend, BackendError, BucketQuota, Counter, CounterState, Hit, Key, Timestamp, Window, WindowId,
    WindowLength,
};
use limited_memory::MemoryBackend;
use pollster::block_on;
use proptest::prelude::*;

const START: u64 = 1_767_225_600_000_000_000;

/// One hit, in a window of any kind.
#[derive(Clone, Debug)]
struct Step {
    key: usize,
    kind: usize,
    quota: usize,
    /// How far the clock advances before the hit.
    forward: u64,
    /// How far back the clock is read.
    back: u64,
    cost: u128,
    ceiling: u128,
    slides: bool,
}

/// Returns short and long keys. The last two go through SHA-256 before they are fingerprinted.
fn keys() -> [String; 7] {
    [1, 7, 14, 20, 100, 225, 1024].map(|length| "k".repeat(length))
}

fn window(kind: usize, now: Timestamp) -> Window {
    match kind {
        0 => Window::aligned(now, WindowLength::SECOND),
        1 => Window::aligned(now, WindowLength::MINUTE),
        2 => Window::FromFirstHit { length: WindowLength::SECOND },
        3 => Window::Bucket { length: WindowLength::SECOND },
        _ => Window::Bucket { length: WindowLength::MINUTE },
    }
}

/// Returns the quota of a bucket: one that changes, and one whose capacity has almost 64 bits.
fn quota(step: &Step) -> BucketQuota {
    match step.kind {
        3 => BucketQuota::new([7, 7, 7, 8, 100][step.quota], [16, 16, 3, 16, 16][step.quota]),
        _ => BucketQuota::new(u64::MAX, u64::MAX - 1),
    }
}

fn hit(step: &Step, window: Window, now: Timestamp) -> Hit<'static> {
    match window {
        Window::Bucket { length } => {
            let (now, length) =
                (u128::from(now.as_nanos()) * u128::from(quota(step).limit), u128::from(length.as_nanos()));
            Hit::new(step.cost * length, now.saturating_add(step.ceiling % 16 * length)).with_floor(now)
        }
        _ => Hit::new(step.cost, step.ceiling).with_window_meta(WindowId(step.cost), None),
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let length = WindowLength::SECOND.as_nanos();
    let forward = prop_oneof![4 => Just(0), 4 => 0..length / 4, 1 => 0..4 * length, 1 => 0..200 * length];
    // Beyond the maximum clock skew, the result depends on what was removed meanwhile.
    let back = prop_oneof![6 => Just(0), 1 => 0..length, 1 => 0..5 * length];
    let cost = prop_oneof![4 => 0..4_u128, 1 => Just(u128::from(u32::MAX))];
    let ceiling = prop_oneof![4 => 0..20_u128, 1 => Just(1 << 40)];
    let key = prop_oneof![6 => Just(3_usize), 1 => 0..7_usize];
    let step = (key, 0..5_usize, 0..5_usize, forward, back, cost, ceiling, any::<bool>());
    let step = step.prop_map(|(key, kind, quota, forward, back, cost, ceiling, slides)| Step {
        key,
        kind,
        quota,
        forward,
        back,
        cost,
        ceiling,
        slides,
    });
    prop::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn try_increment_agrees_with_increment(steps in steps()) {
        let (fast, plain) = (MemoryBackend::new(), MemoryBackend::new());
        let (keys, mut latest) = (keys(), START);
        for step in &steps {
            latest += step.forward;
            let now = Timestamp::from_nanos(latest - step.back);
            let key = Key::from(keys[step.key].as_str());
            let window = window(step.kind, now);
            let counter = Counter::new("namespace", &key, window).unwrap().with_bucket(quota(step));
            let counter = if step.slides && step.kind < 2 { counter.sliding() } else { counter };
            let hit = hit(step, window, now);
            let increment = |backend: &MemoryBackend| block_on(backend.increment(&counter, &hit, now));
            let counted = fast.try_increment(&counter, &hit, now);
            let seen = counted.unwrap_or_else(|| increment(&fast)).unwrap();
            prop_assert_eq!(seen, increment(&plain).unwrap(), "{:?}", step);
        }
    }
}

#[test]
fn known_key_takes_the_fast_path_and_every_other_hit_its_retry() {
    let now = Timestamp::from_nanos(START);
    let key = Key::from("key");
    for (kind, is_fast) in [(0, true), (1, true), (2, false), (3, true), (4, true)] {
        let backend = MemoryBackend::new();
        let window = window(kind, now);
        let step = Step { key: 0, kind, quota: 0, forward: 0, back: 0, cost: 1, ceiling: 3, slides: false };
        let counter = Counter::new("", &key, window).unwrap().with_bucket(quota(&step));
        let hit = hit(&step, window, now);
        assert!(backend.try_increment(&counter, &hit, now).is_none(), "{window:?}");
        assert!(backend.is_empty(), "try_increment counted a new key: {window:?}");
        assert!(backend.try_increment(&counter.retry(), &hit, now).unwrap().unwrap().counted);
        assert!(block_on(backend.increment(&counter, &hit, now)).unwrap().counted);
        // Only an aligned window slides.
        assert_eq!(
            backend.try_increment(&counter.sliding(), &Hit::new(0, 9), now).is_some(),
            kind < 2,
            "{window:?}"
        );
        for counted in [true, false] {
            let result = backend.try_increment(&counter, &hit, now).map(Result::unwrap);
            let retried = || backend.try_increment(&counter.retry(), &hit, now).map(Result::unwrap).unwrap();
            assert_eq!(result.is_some(), is_fast, "{window:?}");
            let state: CounterState = result.unwrap_or_else(retried);
            assert_eq!(state.counted, counted, "{window:?}");
        }
    }
}

#[test]
fn sliding_counter_without_an_aligned_window_counts_nothing() {
    let now = Timestamp::from_nanos(START);
    let key = Key::from("key");
    for kind in [2, 3] {
        let backend = MemoryBackend::new();
        let window = window(kind, now);
        let step = Step { key: 0, kind, quota: 0, forward: 0, back: 0, cost: 1, ceiling: 9, slides: false };
        let counter = Counter::new("", &key, window).unwrap().with_bucket(quota(&step));
        let hit = hit(&step, window, now);
        let counted = block_on(backend.increment(&counter, &hit, now)).unwrap();
        assert!(backend.try_increment(&counter.sliding(), &hit, now).is_none(), "{window:?}");
        for error in [
            backend.try_increment(&counter.sliding().retry(), &hit, now).unwrap().unwrap_err(),
            block_on(backend.increment(&counter.sliding(), &hit, now)).unwrap_err(),
            block_on(backend.get(&counter.sliding(), now)).unwrap_err(),
        ] {
            assert!(matches!(error, BackendError::Invalid(_)), "{error}");
        }
        let after = block_on(backend.increment(&counter, &hit, now)).unwrap();
        assert_eq!(after.value, counted.value + hit.cost, "{window:?}");
    }
}
