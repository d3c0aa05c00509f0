//! The backend of [`limited`](https://docs.rs/limited) for tests: it behaves like a real one until told otherwise.
//!
//! Whoever limits a rate, or does something once, has two things to test: what their code does when it is refused, and
//! what it does when the backend fails. For the first, a [`MockBackend`] counts and grants as the contract says. For the
//! second, it is told to fail, to lose an answer, to answer what a test wants, or to keep a call waiting. It needs no
//! runtime and no clock, and starts no thread: time is an argument of every call.
//!
//! ```
//! use limited_core::{BackendError, Counter, Hit, ImmediateBackend, Key, Timestamp, Window, WindowLength};
//! use limited_mock::{Fault, MockBackend, Operation};
//!
//! let mock = MockBackend::new();
//! let now = Timestamp::from_secs(1_767_225_600);
//! let key = Key::from("user:7");
//! let counter = Counter::new("login", &key, Window::aligned(now, WindowLength::MINUTE))?;
//! let hit = Hit::new(1, 2);
//!
//! // It counts.
//! assert_eq!(mock.increment_now(&counter, &hit, now)?.value, 1);
//!
//! // It fails when told to, and has counted nothing then.
//! mock.fail_next(BackendError::throttled("slow down"));
//! assert!(mock.increment_now(&counter, &hit, now).is_err());
//!
//! // Or it counts, and its answer never comes.
//! mock.inject(Fault::lost_response().on(Operation::Increment));
//! assert!(matches!(mock.increment_now(&counter, &hit, now), Err(BackendError::TimedOut(_))));
//! assert_eq!(mock.get_now(&counter, now)?.value, 2);
//!
//! // It remembers what it was asked, and what it answered.
//! assert_eq!(mock.count(Operation::Increment), 3);
//! let first = &mock.calls()[0];
//! assert_eq!((first.namespace(), first.key()), ("login", "user:7"));
//! assert_eq!(first.hit(), Some(hit));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | to | there is |
//! |---|---|
//! | fail calls | [`MockBackend::fail_next`], [`MockBackend::fail_every`], [`Fault::error`] |
//! | do as asked, and lose the answer | [`Fault::lost_response`] |
//! | repeat a write below the caller, as a client library does | [`Fault::repeated_write`] |
//! | script answers of counters | [`MockBackend::return_next`], [`Fault::answer`] |
//! | script answers of claims | [`Fault::claimed`], [`Fault::recorded`], [`Fault::ownership`], [`Fault::found`] |
//! | keep calls waiting, or drop them where they wait | [`MockBackend::hold`], [`MockBackend::hold_responses`] |
//! | see what was asked | [`MockBackend::calls`], [`MockBackend::count`], [`Call`] |
//! | go through every operation | [`Operation::ALL`] |

#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod answer;
mod backend;
mod call;
mod claims;
mod counters;
mod fault;
mod gate;
mod operation;

pub use backend::MockBackend;
pub use call::Call;
pub use fault::Fault;
pub use gate::Gate;
pub use limited_core::Operation;
