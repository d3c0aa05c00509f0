//! What a decision costs, over the memory backend: at once, waited for, and through a trait object.
//!
//! ```sh
//! cargo bench --bench decisions
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use limited::{Algorithm, DynBackend, Limiter, Quota};
use limited_memory::MemoryBackend;
use pollster::block_on;

const KEYS: [usize; 3] = [1, 1_000, 100_000];

/// A quota that is never used up, so that every decision counts.
fn quota() -> Quota {
    Quota::per_hour(u64::MAX)
}

fn keys(count: usize) -> Vec<String> {
    (0..count).map(|user| format!("tenant:42:user:{user:05}")).collect()
}

/// Visits every key once per cycle, in an order that no prefetcher guesses.
struct Walk<'a> {
    keys: &'a [String],
    at: usize,
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> &'a str {
        self.at = (self.at + 61_803) % self.keys.len();
        &self.keys[self.at]
    }
}

fn each_size(
    criterion: &mut Criterion,
    name: &str,
    bench: impl Fn(&mut BenchmarkGroup<'_, WallTime>, usize),
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(50).measurement_time(Duration::from_secs(2));
    for count in KEYS {
        bench(&mut group, count);
    }
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        each_size(criterion, &format!("allow_now/{algorithm}"), |group, count| {
            let keys = keys(count);
            let limiter = Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(quota());
            let mut walk = Walk { keys: &keys, at: 0 };
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| limiter.allow_now(black_box(walk.next())));
            });
        });
    }
    each_size(criterion, "allow_now/refused", |group, count| {
        let keys = keys(count);
        let limiter = Limiter::new(MemoryBackend::new()).quota(Quota::per_day(1));
        keys.iter().for_each(|key| drop(limiter.allow_now(key)));
        let mut walk = Walk { keys: &keys, at: 0 };
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| limiter.allow_now(black_box(walk.next())));
        });
    });
    each_size(criterion, "allow/fixed-window", |group, count| {
        let keys = keys(count);
        let limiter = Limiter::new(MemoryBackend::new()).quota(quota());
        let mut walk = Walk { keys: &keys, at: 0 };
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| block_on(limiter.allow(black_box(walk.next()))));
        });
    });
    each_size(criterion, "allow through DynBackend/fixed-window", |group, count| {
        let keys = keys(count);
        let backend: Arc<dyn DynBackend> = Arc::new(MemoryBackend::new());
        let limiter = Limiter::new(backend).quota(quota());
        let mut walk = Walk { keys: &keys, at: 0 };
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| block_on(limiter.allow(black_box(walk.next()))));
        });
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
