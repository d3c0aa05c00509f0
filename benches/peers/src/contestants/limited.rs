//! `limited` over its memory backend: at once, waited for, in a task, and through a trait object.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use limited::Algorithm::{self, FixedWindow, SlidingWindow, TokenBucket};
use limited::memory::MemoryBackend;
use limited::{Backend, Decision, DynBackend, Error, Key, Limiter, Quota};
use tokio::runtime::{Builder, Runtime};

use crate::contestant::{Contestant, Entry, Forgets, Setting};
use crate::ready::ready;

pub(super) const ENTRIES: &[Entry] = &[
    at_once("limited/fixed-window/now", |setting| now(setting, FixedWindow)),
    at_once("limited/sliding-window/now", |setting| now(setting, SlidingWindow)),
    at_once("limited/token-bucket/now", |setting| now(setting, TokenBucket)),
    polled("limited/fixed-window/await", |setting| awaited(setting, FixedWindow)),
    polled("limited/sliding-window/await", |setting| awaited(setting, SlidingWindow)),
    polled("limited/token-bucket/await", |setting| awaited(setting, TokenBucket)),
    in_task("limited/fixed-window/task", |setting| task(setting, FixedWindow)),
    in_task("limited/sliding-window/task", |setting| task(setting, SlidingWindow)),
    in_task("limited/token-bucket/task", |setting| task(setting, TokenBucket)),
    in_places("limited/fixed-window/places", |setting| places(setting, FixedWindow)),
    boxed("limited/fixed-window/dyn", |setting| dynamic(setting, FixedWindow)),
    boxed("limited/sliding-window/dyn", |setting| dynamic(setting, SlidingWindow)),
    boxed("limited/token-bucket/dyn", |setting| dynamic(setting, TokenBucket)),
];

type Enter = fn(&Setting) -> Box<dyn Contestant>;

const fn at_once(name: &'static str, enter: Enter) -> Entry {
    let about = "`allow_now(&str)`; reads `remaining` and `retry_after`";
    Entry { name, about, own_store: true, forgets: Forgets::ByItself, enter }
}

const fn polled(name: &'static str, enter: Enter) -> Entry {
    let about = "`allow(&str)`, each future polled by the smallest executor; reads the same";
    Entry { name, about, own_store: false, forgets: Forgets::ByItself, enter }
}

const fn in_task(name: &'static str, enter: Enter) -> Entry {
    let about = "`allow(&str).await` in a loop, in one tokio task, and nowhere else; reads the same";
    Entry { name, about, own_store: false, forgets: Forgets::ByItself, enter }
}

const fn in_places(name: &'static str, enter: Enter) -> Entry {
    let about = "the same in a program that awaits it in two places, and so calls what is else inlined";
    Entry { name, about, own_store: false, forgets: Forgets::ByItself, enter }
}

const fn boxed(name: &'static str, enter: Enter) -> Entry {
    let about = "`allow(&str)` over `Arc<dyn DynBackend>`, polled as above; reads the same";
    Entry { name, about, own_store: false, forgets: Forgets::ByItself, enter }
}

fn now(setting: &Setting, algorithm: Algorithm) -> Box<dyn Contestant> {
    Box::new(AtOnce(limiter(backend(setting), setting, algorithm)))
}

fn awaited(setting: &Setting, algorithm: Algorithm) -> Box<dyn Contestant> {
    Box::new(Polled(limiter(backend(setting), setting, algorithm)))
}

fn task(setting: &Setting, algorithm: Algorithm) -> Box<dyn Contestant> {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    Box::new(InTask(limiter(backend(setting), setting, algorithm), runtime))
}

fn places(setting: &Setting, algorithm: Algorithm) -> Box<dyn Contestant> {
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    Box::new(InPlaces(limiter(backend(setting), setting, algorithm), runtime))
}

fn dynamic(setting: &Setting, algorithm: Algorithm) -> Box<dyn Contestant> {
    let backend: Arc<dyn DynBackend> = Arc::new(backend(setting));
    Box::new(Polled(limiter(backend, setting, algorithm)))
}

/// With its defaults; but where keys are to be forgotten soon, without the 5 seconds that a clock may jump back.
fn backend(setting: &Setting) -> MemoryBackend {
    if setting.forgets {
        MemoryBackend::builder().allowed_skew(Duration::ZERO).build()
    } else {
        MemoryBackend::new()
    }
}

fn limiter<B>(backend: B, setting: &Setting, algorithm: Algorithm) -> Limiter<B> {
    let quota = Quota::new(setting.limit.count.into(), setting.limit.period).expect("a quota");
    Limiter::new(backend).quota(quota).algorithm(algorithm)
}

/// What a program reads of a decision.
#[inline]
fn read(decision: Result<Decision, Error>) -> bool {
    let decision = decision.expect("memory does not fail");
    black_box(decision.remaining());
    black_box(decision.retry_after());
    decision.is_allowed()
}

struct AtOnce(Limiter<MemoryBackend>);

impl Contestant for AtOnce {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        read(self.0.allow_now(key))
    }

    fn known_keys(&self) -> Option<usize> {
        Some(self.0.backend().len())
    }
}

struct Polled<B>(Limiter<B>);

impl<B: Backend> Contestant for Polled<B> {
    #[inline]
    fn decide(&self, key: &'static str) -> bool {
        read(ready(self.0.allow(key)))
    }
}

struct InTask<B>(Limiter<B>, Runtime);

impl<B: Backend> Contestant for InTask<B> {
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

/// A `&str` of a type of its own, so that what is compiled for it is compiled apart.
struct Apart(&'static str);

impl From<Apart> for Key<'static> {
    fn from(Apart(text): Apart) -> Self {
        text.into()
    }
}

struct InPlaces<B>(Limiter<B>, Runtime);

impl<B: Backend> Contestant for InPlaces<B> {
    fn decide(&self, key: &'static str) -> bool {
        self.1.block_on(async { read(self.0.allow(Apart(key)).await) })
    }

    fn decide_each(&self, keys: &[&'static str]) -> usize {
        self.1.block_on(async {
            let mut admitted = 0;
            for key in keys {
                admitted += usize::from(black_box(read(self.0.allow(Apart(black_box(*key))).await)));
            }
            admitted
        })
    }
}
