//! The memory backend and the mock, which is a plain map, return the same for random operations.

use std::time::Duration;

use limited::{Backend, Clock, Key, ManualClock};
use limited_core::{BucketQuota, Counter, Hit, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowLength};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use proptest::prelude::*;

use crate::common::block_on;

#[derive(Clone, Debug)]
struct Operation {
    kind: Kind,
    action: Action,
    key: usize,
    length: usize,
    cost: u64,
    forward: u64,
    back: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Aligned,
    FromFirstHit,
    Bucket,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Increment,
    IncrementSliding,
    Get,
    GetSliding,
    Reset,
    ResetThisWindow,
    ResetAnotherWindow,
}

const KEYS: [&str; 3] = ["a", "b", "a:b"];
const LENGTHS: [u64; 2] = [6, 60];
const LIMIT: u64 = 8;

fn operation() -> impl Strategy<Value = Operation> {
    use Action::{Get, GetSliding, Increment, IncrementSliding, Reset, ResetAnotherWindow, ResetThisWindow};
    let kind = prop::sample::select(vec![Kind::Aligned, Kind::Aligned, Kind::FromFirstHit, Kind::Bucket]);
    let action = prop_oneof![
        8 => Just(Increment), 6 => Just(IncrementSliding), 2 => Just(Get), 2 => Just(GetSliding),
        1 => Just(Reset), 1 => Just(ResetThisWindow), 1 => Just(ResetAnotherWindow),
    ];
    // Mostly small steps, sometimes several windows, and back by no more than the maximum skew.
    let forward = prop_oneof![4 => Just(0), 8 => 0..2_000_u64, 2 => 0..70_000_u64, 1 => 0..300_000_u64];
    let back = prop_oneof![3 => Just(0), 1 => 0..u64::try_from(MAX_CLOCK_SKEW.as_millis()).unwrap()];
    (kind, action, 0..KEYS.len(), 0..LENGTHS.len(), 1..12_u64, forward, back).prop_map(
        |(kind, action, key, length, cost, forward, back)| Operation {
            kind,
            action,
            key,
            length,
            cost,
            forward,
            back,
        },
    )
}

fn window(kind: Kind, length: WindowLength, now: Timestamp) -> Window {
    match kind {
        Kind::Aligned => Window::aligned(now, length),
        Kind::FromFirstHit => Window::FromFirstHit { length },
        Kind::Bucket => Window::Bucket { length },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn memory_and_mock_return_the_same(operations in prop::collection::vec(operation(), 1..100)) {
        let (memory, mock, clock) = (MemoryBackend::new(), MockBackend::new(), ManualClock::new());
        let mut window_id = 0;
        for operation in operations {
            clock.advance(Duration::from_millis(operation.forward));
            let now = clock.now().saturating_sub(Duration::from_millis(operation.back));
            let length = WindowLength::try_from(Duration::from_secs(LENGTHS[operation.length])).unwrap();
            let key = Key::from(KEYS[operation.key]);
            let counter = Counter::new("", &key, window(operation.kind, length, now)).unwrap();
            let counter = counter.with_bucket(BucketQuota::new(LIMIT, LIMIT));
            let hit = match counter.window() {
                Window::Bucket { .. } => {
                    let (now, length) = (u128::from(now.as_nanos() * LIMIT), u128::from(length.as_nanos()));
                    let ceiling = now + length * u128::from(LIMIT);
                    Hit::new(length * u128::from(operation.cost), ceiling).with_floor(now)
                }
                _ => Hit::new(operation.cost.into(), LIMIT.into()),
            };
            window_id += 1;
            let metadata = window_id.to_string();
            let hit = hit.with_window_meta(WindowId(window_id), (window_id % 3 > 0).then_some(&metadata));
            match operation.action {
                Action::Increment => prop_assert_eq!(
                    block_on(memory.increment(&counter, &hit, now)).unwrap(),
                    block_on(mock.increment(&counter, &hit, now)).unwrap(),
                ),
                Action::Get => prop_assert_eq!(
                    block_on(memory.get(&counter, now)).unwrap(),
                    block_on(mock.get(&counter, now)).unwrap(),
                ),
                Action::IncrementSliding => prop_assert_eq!(
                    block_on(memory.increment(&counter.sliding(), &hit, now)).ok(),
                    block_on(mock.increment(&counter.sliding(), &hit, now)).ok(),
                ),
                Action::GetSliding => prop_assert_eq!(
                    block_on(memory.get(&counter.sliding(), now)).ok(),
                    block_on(mock.get(&counter.sliding(), now)).ok(),
                ),
                Action::Reset | Action::ResetThisWindow | Action::ResetAnotherWindow => {
                    let window = match operation.action {
                        Action::Reset => None,
                        Action::ResetThisWindow => {
                            let meta = block_on(mock.get(&counter, now)).unwrap().meta;
                            Some(meta.map_or(WindowId(0), |meta| meta.id))
                        }
                        _ => Some(WindowId(u128::MAX)),
                    };
                    block_on(memory.reset(&counter, window, now)).unwrap();
                    block_on(mock.reset(&counter, window, now)).unwrap();
                }
            }
        }
    }
}
