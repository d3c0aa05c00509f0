//! Several hits in one step: all are counted, or none is.

use std::sync::Barrier;
use std::time::Duration;

use limited_core::{
    Backend, BackendError, BucketQuota, Counter, CounterState, Hit, Key, Result, Timestamp, Window, WindowId,
    WindowLength,
};
use limited_memory::{MemoryBackend, WhenFull};
use pollster::block_on;

const START: Timestamp = Timestamp::from_secs(1_767_225_600);

const LENGTHS: [WindowLength; 3] = [WindowLength::SECOND, WindowLength::MINUTE, WindowLength::HOUR];

/// Counts a hit of cost 1 on each key and length of window, all or none, below a limit each.
fn count_all(
    backend: &MemoryBackend,
    hits: &[(&str, WindowLength, u128)],
    now: Timestamp,
) -> Result<Vec<CounterState>> {
    let keys: Vec<_> = hits.iter().map(|(key, ..)| Key::from(*key)).collect();
    let hits: Vec<_> = hits
        .iter()
        .zip(&keys)
        .map(|((_, length, limit), key)| {
            (Counter::new("", key, Window::aligned(now, *length)).unwrap(), Hit::new(1, *limit))
        })
        .collect();
    let mut states = Vec::new();
    match backend.try_increment_all(&hits, now, &mut states) {
        Some(result) => result.map(|()| states),
        None => block_on(backend.increment_all(&hits, now)),
    }
}

fn value(backend: &MemoryBackend, key: &str, length: WindowLength, now: Timestamp) -> u128 {
    let key = Key::from(key);
    let counter = Counter::new("", &key, Window::aligned(now, length)).unwrap();
    block_on(backend.get(&counter, now)).unwrap().value
}

fn counted(states: &[CounterState]) -> Vec<(bool, u128)> {
    states.iter().map(|state| (state.counted, state.value)).collect()
}

#[test]
fn all_hits_are_counted_or_none() {
    let backend = MemoryBackend::new();
    let hits = [("a", LENGTHS[0], 5), ("a", LENGTHS[1], 2), ("b", LENGTHS[2], 9)];
    for round in 1..=2 {
        let states = count_all(&backend, &hits, START).unwrap();
        assert_eq!(counted(&states), [(true, round); 3]);
    }
    let states = count_all(&backend, &hits, START).unwrap();
    assert_eq!(counted(&states), [(true, 2), (false, 2), (true, 2)]);
    for (key, length, _) in hits {
        assert_eq!(value(&backend, key, length, START), 2);
    }
}

#[test]
fn refused_step_adds_no_counter() {
    let backend = MemoryBackend::new();
    let states = count_all(&backend, &[("a", LENGTHS[0], 5), ("b", LENGTHS[0], 0)], START).unwrap();
    assert_eq!(counted(&states), [(true, 0), (false, 0)]);
    assert!(backend.is_empty());
}

#[test]
fn condition_is_decided_and_not_stored() {
    let backend = MemoryBackend::new();
    let (key, now) = (Key::from("a"), u128::from(START.as_nanos()));
    let minute = Counter::new("", &key, Window::aligned(START, WindowLength::MINUTE)).unwrap();
    let block = minute.with_window(Window::BLOCK).with_bucket(BucketQuota::new(1, 1_000));
    let attempts = minute.with_window(Window::FromFirstHit { length: WindowLength::MINUTE });
    let hits = [(minute, Hit::new(1, 9)), (block, Hit::new(0, now)), (attempts, Hit::new(0, 9))];
    let count = |now| counted(&block_on(backend.increment_all(&hits, now)).unwrap());
    assert_eq!(count(START), [(true, 1), (true, 0), (true, 0)]);
    assert_eq!(backend.len(), 1);
    let until = now + 1_000;
    assert!(
        block_on(backend.increment(&block, &Hit::new(1_000, until).with_floor(now), START)).unwrap().counted
    );
    assert_eq!(count(START), [(true, 1), (false, until), (true, 0)]);
}

#[test]
fn two_hits_on_one_counter_are_an_error_that_counts_nothing() {
    let backend = MemoryBackend::new();
    let error = count_all(&backend, &[("a", LENGTHS[0], 5), ("a", LENGTHS[0], 5)], START).unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error}");
    let key = Key::from("a");
    let bucket = Counter::new("", &key, Window::Bucket { length: LENGTHS[0] }).unwrap();
    let error = block_on(backend.increment_all(&[(bucket, Hit::new(1, 1))], START)).unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error}");
    assert!(backend.is_empty());
}

#[test]
fn full_store_counts_all_new_keys_or_none() {
    let backend = MemoryBackend::builder().max_keys(3).build();
    count_all(&backend, &[("a", LENGTHS[2], 9), ("b", LENGTHS[2], 9)], START).unwrap();
    let error =
        count_all(&backend, &[("a", LENGTHS[2], 9), ("c", LENGTHS[2], 9), ("d", LENGTHS[2], 9)], START);
    assert!(matches!(error, Err(BackendError::Full { max_keys: 3 })), "{error:?}");
    assert_eq!((value(&backend, "a", LENGTHS[2], START), backend.len()), (1, 2));
    // A refused step needs no capacity.
    let refused =
        count_all(&backend, &[("a", LENGTHS[2], 1), ("c", LENGTHS[2], 9), ("d", LENGTHS[2], 9)], START);
    assert_eq!(counted(&refused.unwrap()), [(false, 1), (true, 0), (true, 0)]);
    // An expired key makes room.
    let later = START.saturating_add(Duration::from_secs(2 * 3_600 + 5));
    count_all(&backend, &[("c", LENGTHS[2], 9), ("d", LENGTHS[2], 9), ("e", LENGTHS[2], 9)], later).unwrap();
    assert_eq!(backend.len(), 3);
}

#[test]
fn eviction_removes_no_counter_of_the_step() {
    let backend = MemoryBackend::builder().max_keys(3).when_full(WhenFull::EvictSoonest).build();
    // The counters of the step expire first.
    count_all(&backend, &[("a", LENGTHS[0], 9), ("b", LENGTHS[2], 9), ("c", LENGTHS[2], 9)], START).unwrap();
    let states =
        count_all(&backend, &[("a", LENGTHS[0], 9), ("d", LENGTHS[0], 9), ("e", LENGTHS[0], 9)], START);
    assert_eq!(counted(&states.unwrap()), [(true, 2), (true, 1), (true, 1)]);
    assert_eq!((backend.len(), backend.evicted()), (3, 2));
    let keys = ["f", "g", "h", "i"].map(|key| (key, LENGTHS[0], 9));
    let error = count_all(&backend, &keys, START);
    assert!(matches!(error, Err(BackendError::Full { max_keys: 3 })), "{error:?}");
    assert_eq!((backend.len(), backend.evicted(), value(&backend, "a", LENGTHS[0], START)), (3, 2, 2));
}

/// The sets overlap, and each thread has its keys in another order.
#[test]
fn overlapping_steps_of_many_threads_admit_exactly_the_limit() {
    const THREADS: usize = 16;
    const ROUNDS: usize = 200;
    const LIMIT: u128 = 1_000;
    for round in 0..20 {
        let backend = MemoryBackend::new();
        let names: Vec<_> = (0..5).map(|key| format!("{round} {key}")).collect();
        let barrier = Barrier::new(THREADS);
        // How often each key was in a step that was counted.
        let counted: Vec<[u128; 5]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (backend, barrier, names) = (&backend, &barrier, &names);
                    scope.spawn(move || {
                        barrier.wait();
                        let mut counted = [0; 5];
                        for step in 0..ROUNDS {
                            // Three of the five keys, from another one on, forwards or backwards.
                            let mut keys = [0, 1, 2].map(|at| (thread + step + at * (1 + thread % 2)) % 5);
                            if thread % 3 == 0 {
                                keys.reverse();
                            }
                            let hits = keys.map(|key| (names[key].as_str(), WindowLength::HOUR, LIMIT));
                            let states = count_all(backend, &hits, START).unwrap();
                            if states.iter().all(|state| state.counted) {
                                keys.into_iter().for_each(|key| counted[key] += 1);
                            }
                        }
                        counted
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for (key, name) in names.iter().enumerate() {
            let sum: u128 = counted.iter().map(|counted| counted[key]).sum();
            assert_eq!(value(&backend, name, WindowLength::HOUR, START), sum);
            assert!(sum <= LIMIT, "{sum}");
        }
        // 9,600 hits on keys of 5,000 in sum: some key is full.
        assert!((0..5).any(|key| counted.iter().map(|counted| counted[key]).sum::<u128>() == LIMIT));
    }
}

#[test]
fn window_ids_of_a_refused_step_are_not_stored() {
    let backend = MemoryBackend::new();
    let key = Key::from("a");
    let attempts = Counter::new("", &key, Window::FromFirstHit { length: WindowLength::MINUTE }).unwrap();
    let other = attempts.with_window(Window::aligned(START, WindowLength::MINUTE));
    let step = |id, limit| {
        [(attempts, Hit::new(1, 3).with_window_meta(WindowId(id), None)), (other, Hit::new(1, limit))]
    };
    let refused = block_on(backend.increment_all(&step(1, 0), START)).unwrap();
    assert_eq!((refused[0].counted, refused[0].value, &refused[0].meta), (true, 0, &None));
    let states = block_on(backend.increment_all(&step(2, 9), START)).unwrap();
    assert_eq!(states[0].meta.as_ref().unwrap().id, WindowId(2));
}
