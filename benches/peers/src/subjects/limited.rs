//! `limited` over its memory backend: `allow_now`, and `allow` in several kinds of programs.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use limited::Algorithm::{self, FixedWindow, SlidingWindow, TokenBucket};
use limited::memory::MemoryBackend;
use limited::{Backend, Decision, Error, Key, Limiter, Quota, Quotas};
use tokio::runtime::{Builder, Runtime};

use crate::poll_once::poll_once;
use crate::subject::{Build, Cleanup, Entry, Limit, Settings, Subject};

const NOW: &str = "`allow_now(&str)`; reads `remaining` and `retry_after`";
const AWAIT: &str = "`allow(&str)`, each future polled once by itself; reads the same";
const TASK: &str =
    "`allow(&str).await` in a loop, in one tokio task; the only call site, so it is inlined; reads the same";
const NOT_INLINED: &str =
    "the same in a program with two call sites of `allow`, so that it is called instead of inlined";
const DYN: &str = "`allow(&str)` over `Arc<dyn Backend>`, each future polled once by itself; reads the same";

const THREE: &str = "`allow_now(&str)` by three quotas, in one step, all or none; reads the same";
const REFUND: &str = "`allow_now(&str)`, and then `refund_now` of it if the limit is ample; reads the same";

pub(super) const ENTRIES: &[Entry] = &[
    with_own_store("limited/fixed-window/now", |settings| now(settings, FixedWindow)),
    with_own_store("limited/sliding-window/now", |settings| now(settings, SlidingWindow)),
    with_own_store("limited/token-bucket/now", |settings| now(settings, TokenBucket)),
    entry("limited/fixed-window/await", AWAIT, |settings| polled(settings, FixedWindow)),
    entry("limited/sliding-window/await", AWAIT, |settings| polled(settings, SlidingWindow)),
    entry("limited/token-bucket/await", AWAIT, |settings| polled(settings, TokenBucket)),
    entry("limited/fixed-window/task", TASK, |settings| in_task(settings, FixedWindow)),
    entry("limited/sliding-window/task", TASK, |settings| in_task(settings, SlidingWindow)),
    entry("limited/token-bucket/task", TASK, |settings| in_task(settings, TokenBucket)),
    entry("limited/fixed-window/not-inlined", NOT_INLINED, |settings| not_inlined(settings, FixedWindow)),
    entry("limited/fixed-window/dyn", DYN, |settings| dynamic(settings, FixedWindow)),
    entry("limited/sliding-window/dyn", DYN, |settings| dynamic(settings, SlidingWindow)),
    entry("limited/token-bucket/dyn", DYN, |settings| dynamic(settings, TokenBucket)),
    entry("limited/fixed-window/three-limits", THREE, |settings| three_limits(settings, FixedWindow)),
    entry("limited/sliding-window/three-limits", THREE, |settings| three_limits(settings, SlidingWindow)),
    entry("limited/token-bucket/three-limits", THREE, |settings| three_limits(settings, TokenBucket)),
    entry("limited/fixed-window/refunded", REFUND, |settings| refunded(settings, FixedWindow)),
    entry("limited/sliding-window/refunded", REFUND, |settings| refunded(settings, SlidingWindow)),
    entry("limited/token-bucket/refunded", REFUND, |settings| refunded(settings, TokenBucket)),
];

const fn entry(name: &'static str, about: &'static str, build: Build) -> Entry {
    Entry { name, about, own_store: false, cleanup: Cleanup::Automatic, build }
}

const fn with_own_store(name: &'static str, build: Build) -> Entry {
    Entry { own_store: true, ..entry(name, NOW, build) }
}

fn now(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    Box::new(Now(limiter(backend(settings), settings, algorithm)))
}

fn polled(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    Box::new(Polled(limiter(backend(settings), settings, algorithm)))
}

fn in_task(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    Box::new(InTask(limiter(backend(settings), settings, algorithm), runtime()))
}

fn not_inlined(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    Box::new(NotInlined(limiter(backend(settings), settings, algorithm), runtime()))
}

fn dynamic(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    let backend: Arc<dyn Backend> = Arc::new(backend(settings));
    Box::new(Polled(limiter(backend, settings, algorithm)))
}

/// The quota of the settings, and those of twice and four times its length.
fn three_limits(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    let Limit { count, period } = settings.limit;
    let quota = |times| Quota::new((count * times).into(), period * times).expect("the quota is valid");
    let quotas = Quotas::new([quota(1), quota(2), quota(4)]).expect("the windows differ");
    Box::new(Now(limiter(backend(settings), settings, algorithm).quotas(quotas)))
}

fn refunded(settings: &Settings, algorithm: Algorithm) -> Box<dyn Subject> {
    let limiter = limiter(backend(settings), settings, algorithm);
    Box::new(Refunded { limiter, is_refunded: settings.limit == Limit::AMPLE })
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().expect("a runtime without drivers can be built")
}

/// Uses the defaults, but allows no clock skew if keys are to be removed soon. By default they are
/// kept for 5 more seconds, because a clock may jump back that far.
fn backend(settings: &Settings) -> MemoryBackend {
    if settings.remove_expired {
        MemoryBackend::builder().max_clock_skew(Duration::ZERO).build()
    } else {
        MemoryBackend::new()
    }
}

fn limiter<B>(backend: B, settings: &Settings, algorithm: Algorithm) -> Limiter<B> {
    let quota = Quota::new(settings.limit.count.into(), settings.limit.period).expect("the quota is valid");
    Limiter::new(backend).quota(quota).algorithm(algorithm)
}

/// Reads what a program reads of a decision.
#[inline]
fn read(decision: Result<Decision, Error>) -> bool {
    let decision = decision.expect("the memory backend does not fail");
    black_box(decision.remaining());
    black_box(decision.retry_after());
    decision.is_allowed()
}

struct Now(Limiter<MemoryBackend>);

impl Subject for Now {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        read(self.0.allow_now(key))
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.0.backend().len())
    }
}

struct Refunded {
    limiter: Limiter<MemoryBackend>,
    /// Otherwise a small limit would never be used up.
    is_refunded: bool,
}

impl Subject for Refunded {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        let decision = self.limiter.allow_now(key);
        if let (true, Ok(decision)) = (self.is_refunded, &decision) {
            self.limiter.refund_now(key, decision).expect("the memory backend refunds");
        }
        read(decision)
    }
}

struct Polled<B>(Limiter<B>);

impl<B: Backend> Subject for Polled<B> {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        read(poll_once(self.0.allow(key)))
    }
}

struct InTask<B>(Limiter<B>, Runtime);

impl<B: Backend> Subject for InTask<B> {
    fn decide(&self, key: &'static str) -> bool {
        self.decide_each(&[key]) > 0
    }

    fn decide_each(&self, keys: &[&'static str]) -> usize {
        self.1.block_on(async {
            let mut admitted = 0;
            for key in keys {
                admitted += usize::from(black_box(read(self.0.allow(black_box(*key)).await)));
            }
            admitted
        })
    }
}

/// A `&str` in a type of its own, so that `allow` is compiled separately for [`NotInlined`].
struct SeparateKey(&'static str);

impl From<SeparateKey> for Key<'static> {
    fn from(SeparateKey(text): SeparateKey) -> Self {
        text.into()
    }
}

struct NotInlined<B>(Limiter<B>, Runtime);

impl<B: Backend> Subject for NotInlined<B> {
    fn decide(&self, key: &'static str) -> bool {
        self.1.block_on(async { read(self.0.allow(SeparateKey(key)).await) })
    }

    fn decide_each(&self, keys: &[&'static str]) -> usize {
        self.1.block_on(async {
            let mut admitted = 0;
            for key in keys {
                admitted += usize::from(black_box(read(self.0.allow(SeparateKey(black_box(*key))).await)));
            }
            admitted
        })
    }
}
