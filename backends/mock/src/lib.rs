//! The backend of [`limited`](https://docs.rs/limited) for tests: it keeps the contract until a
//! test injects a fault.
//!
//! Code that limits a rate, or runs something once, has two things to test: what it does when it is
//! refused, and what it does when the backend fails. For the first, a [`MockBackend`] counts and
//! grants claims as the contract says. For the second, it fails, loses a response, returns what the
//! test scripts, or holds a call. It needs no runtime and no clock, and starts no thread: time is
//! an argument of every call.
//!
//! ```
//! use limited_core::{Backend, BackendError, Counter, Hit, Key, Timestamp, Window, WindowLength};
//! use limited_mock::{Fault, MockBackend, Operation};
//!
//! # pollster::block_on(async {
//! let mock = MockBackend::new();
//! let now = Timestamp::from_secs(1_767_225_600);
//! let key = Key::from("user:7");
//! let counter = Counter::new("login", &key, Window::aligned(now, WindowLength::MINUTE))?;
//! let hit = Hit::new(1, 2);
//!
//! // It counts.
//! assert_eq!(mock.increment(&counter, &hit, now).await?.value, 1);
//!
//! // An injected error: nothing is counted.
//! mock.fail_next(BackendError::throttled("slow down"));
//! assert!(mock.increment(&counter, &hit, now).await.is_err());
//!
//! // A lost response: the hit is counted, and the caller gets an error.
//! mock.inject(Fault::lost_response().on(Operation::Increment));
//! assert!(matches!(mock.increment(&counter, &hit, now).await, Err(BackendError::TimedOut(_))));
//! assert_eq!(mock.get(&counter, now).await?.value, 2);
//!
//! // It records what it was asked and what it returned.
//! assert_eq!(mock.count(Operation::Increment), 3);
//! let first = &mock.calls()[0];
//! assert_eq!((first.namespace(), first.key()), ("login", "user:7"));
//! assert_eq!(first.hit(), Some(hit));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! | to | use |
//! |---|---|
//! | fail calls | [`MockBackend::fail_next`], [`MockBackend::fail_every`], [`Fault::error`] |
//! | apply a call and lose its response | [`Fault::lost_response`] |
//! | repeat a write below the caller, as client libraries do | [`Fault::repeated_write`] |
//! | script results of counters | [`MockBackend::return_next`], [`Fault::counter_state`] |
//! | script results of claims | [`Fault::acquisition`], [`Fault::finish_result`], [`Fault::lease_status`], [`Fault::record`] |
//! | hold calls, or drop them while they wait | [`MockBackend::hold`], [`MockBackend::hold_responses`] |
//! | inspect calls | [`MockBackend::calls`], [`MockBackend::count`], [`Call`] |
//! | iterate over all operations | [`Operation::ALL`] |

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

mod backend;
mod call;
mod claims;
mod counters;
mod fault;
mod gate;
mod request;
mod response;

pub use backend::MockBackend;
pub use call::Call;
pub use fault::Fault;
pub use gate::Gate;
pub use limited_core::Operation;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
