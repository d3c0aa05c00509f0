//! Measures the time of a decision with the memory backend: `allow_now`, `allow`, and `allow`
//! through a trait object.
//!
//! ```sh
//! cargo bench --bench decisions
//! ```

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use limited::{Algorithm, Backend, Decision, Error, Limiter, Quota};
use limited_memory::MemoryBackend;
use pollster::block_on;

const KEYS: [usize; 3] = [1, 1_000, 100_000];

/// Returns a quota that is never used up, so that every call is admitted and counted.
fn ample() -> Quota {
    Quota::per_hour(u64::MAX)
}

/// Returns every key once per cycle, in an order that no prefetcher predicts.
struct KeyCycle {
    keys: Vec<String>,
    at: usize,
}

impl KeyCycle {
    fn new(count: usize) -> Self {
        Self { keys: (0..count).map(|user| format!("tenant:42:user:{user:05}")).collect(), at: 0 }
    }

    fn next(&mut self) -> &str {
        self.at = (self.at + 61_803) % self.keys.len();
        &self.keys[self.at]
    }
}

/// Measures `decide` with a new limiter for each number of keys. Every key is known before.
fn each_size<B>(
    criterion: &mut Criterion,
    name: &str,
    limiter: impl Fn() -> Limiter<B>,
    decide: impl Fn(&Limiter<B>, &str) -> Result<Decision, Error>,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1)).sample_size(50).measurement_time(Duration::from_secs(2));
    for count in KEYS {
        let (limiter, mut keys) = (limiter(), KeyCycle::new(count));
        keys.keys.iter().for_each(|key| drop(decide(&limiter, key)));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| decide(&limiter, black_box(keys.next())));
        });
    }
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    for algorithm in Algorithm::ALL {
        let limiter = || Limiter::new(MemoryBackend::new()).algorithm(algorithm).quota(ample());
        each_size(criterion, &format!("allow_now/{algorithm}"), limiter, |limiter, key| {
            limiter.allow_now(key)
        });
    }
    let limiter = || Limiter::new(MemoryBackend::new()).quota(Quota::per_day(1));
    each_size(criterion, "allow_now/refused", limiter, |limiter, key| limiter.allow_now(key));

    let limiter = || Limiter::new(MemoryBackend::new()).quota(ample());
    each_size(criterion, "allow/fixed-window", limiter, |limiter, key| block_on(limiter.allow(key)));

    let limiter = || {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        Limiter::new(backend).quota(ample())
    };
    each_size(criterion, "allow through a trait object/fixed-window", limiter, |limiter, key| {
        block_on(limiter.allow(key))
    });
}

criterion_group!(benches, decisions);
criterion_main!(benches);
