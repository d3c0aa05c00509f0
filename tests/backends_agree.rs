//! The memory backend against the mock's plain map, over random operations: they never differ.

mod common;

use std::time::Duration;

use common::block_on;
use limited::{Backend, Clock, Key, ManualClock};
use limited_core::{Counter, Hit, MAX_CLOCK_SKEW, Timestamp, Window, WindowId, WindowLength};
use limited_memory::MemoryBackend;
use limited_mock::MockBackend;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Operation {
    kind: Kind,
    what: What,
    key: usize,
    length: usize,
    cost: u64,
    forward: u64,
    back: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Aligned,
    Opened,
    Bucket,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Increment,
    IncrementSliding,
    Get,
    GetSliding,
    Reset,
    ResetThisGeneration,
    ResetAnotherGeneration,
}

const KEYS: [&str; 3] = ["a", "b", "a:b"];
const LENGTHS: [u64; 2] = [6, 60];
const LIMIT: u64 = 8;

fn operation() -> impl Strategy<Value = Operation> {
    use What::{
        Get, GetSliding, Increment, IncrementSliding, Reset, ResetAnotherGeneration, ResetThisGeneration,
    };
    let kind = prop::sample::select(vec![Kind::Aligned, Kind::Aligned, Kind::Opened, Kind::Bucket]);
    let what = prop_oneof![
        8 => Just(Increment), 6 => Just(IncrementSliding), 2 => Just(Get), 2 => Just(GetSliding),
        1 => Just(Reset), 1 => Just(ResetThisGeneration), 1 => Just(ResetAnotherGeneration),
    ];
    // Mostly small steps; now and then several windows; and back by no more than the allowed skew.
    let forward = prop_oneof![4 => Just(0), 8 => 0..2_000_u64, 2 => 0..70_000_u64, 1 => 0..300_000_u64];
    let back = prop_oneof![3 => Just(0), 1 => 0..u64::try_from(MAX_CLOCK_SKEW.as_millis()).unwrap()];
    (kind, what, 0..KEYS.len(), 0..LENGTHS.len(), 1..12_u64, forward, back).prop_map(
        |(kind, what, key, length, cost, forward, back)| Operation {
            kind,
            what,
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
        Kind::Opened => Window::FromFirstHit { length },
        Kind::Bucket => Window::Bucket { limit: LIMIT, length },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn memory_and_mock_answer_alike(operations in prop::collection::vec(operation(), 1..100)) {
        let (memory, mock, clock) = (MemoryBackend::new(), MockBackend::new(), ManualClock::new());
        let mut window_id = 0;
        for operation in operations {
            clock.advance(Duration::from_millis(operation.forward));
            let now = clock.now().saturating_sub(Duration::from_millis(operation.back));
            let length = WindowLength::try_from(Duration::from_secs(LENGTHS[operation.length])).unwrap();
            let key = Key::from(KEYS[operation.key]);
            let window = window(operation.kind, length, now);
            let counter = Counter::new("", &key, window).unwrap();
            let hit = match window {
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
            match operation.what {
                What::Increment => prop_assert_eq!(
                    block_on(memory.increment(&counter, &hit, now)).unwrap(),
                    block_on(mock.increment(&counter, &hit, now)).unwrap(),
                ),
                What::Get => prop_assert_eq!(
                    block_on(memory.get(&counter, now)).unwrap(),
                    block_on(mock.get(&counter, now)).unwrap(),
                ),
                What::IncrementSliding => prop_assert_eq!(
                    block_on(memory.increment(&counter.sliding(), &hit, now)).ok(),
                    block_on(mock.increment(&counter.sliding(), &hit, now)).ok(),
                ),
                What::GetSliding => prop_assert_eq!(
                    block_on(memory.get(&counter.sliding(), now)).ok(),
                    block_on(mock.get(&counter.sliding(), now)).ok(),
                ),
                What::Reset | What::ResetThisGeneration | What::ResetAnotherGeneration => {
                    let named = match operation.what {
                        What::Reset => None,
                        What::ResetThisGeneration => {
                            let meta = block_on(mock.get(&counter, now)).unwrap().meta;
                            Some(meta.map_or(WindowId(0), |meta| meta.id))
                        }
                        _ => Some(WindowId(u128::MAX)),
                    };
                    block_on(memory.reset(&counter, named, now)).unwrap();
                    block_on(mock.reset(&counter, named, now)).unwrap();
                }
            }
        }
    }
}
