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
//! # Testing your own service
//!
//! Make the service generic over its backend, or let it keep an `Arc<dyn Backend>`. A test passes a
//! clone of the mock and a `ManualClock`. Nothing sleeps, and the outage is exactly where the test
//! puts it:
//!
//! ```
//! use std::time::Duration;
//! use limited::mock::{Fault, MockBackend};
//! use limited::{Backend, BackendError, Limiter, ManualClock, Quota};
//!
//! // The service: 2 messages per minute and sender.
//! struct Messages<B> {
//!     limiter: Limiter<B>,
//! }
//!
//! impl<B: Backend> Messages<B> {
//!     fn new(backend: B, clock: ManualClock) -> Self {
//!         let limiter = Limiter::new(backend).namespace("messages").quota(Quota::per_minute(2));
//!         Self { limiter: limiter.clock(clock) }
//!     }
//!
//!     /// Returns the HTTP status.
//!     async fn send(&self, sender: &str) -> u16 {
//!         match self.limiter.allow(sender).await {
//!             Ok(decision) if decision.is_allowed() => 202,
//!             Ok(_) => 429,
//!             Err(_) => 503,
//!         }
//!     }
//! }
//!
//! # pollster::block_on(async {
//! let (mock, clock) = (MockBackend::new(), ManualClock::new());
//! let messages = Messages::new(mock.clone(), clock.clone());
//!
//! // The limit, and its end.
//! let statuses = [messages.send("ada").await, messages.send("ada").await, messages.send("ada").await];
//! assert_eq!(statuses, [202, 202, 429]);
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(messages.send("ada").await, 202);
//!
//! // An outage for one sender. It is an error, neither an admission nor a refusal.
//! mock.inject(Fault::error(BackendError::unavailable("an outage")).for_key("bob").always());
//! assert_eq!((messages.send("bob").await, messages.send("ada").await), (503, 202));
//!
//! // The outage ends. The failed hits were not counted.
//! mock.clear_faults();
//! let statuses = [messages.send("bob").await, messages.send("bob").await, messages.send("bob").await];
//! assert_eq!(statuses, [202, 202, 429]);
//! # });
//! ```
//!
//! # Reference
//!
//! | to | use |
//! |---|---|
//! | fail calls | [`MockBackend::fail_next`], [`MockBackend::fail_every`], [`Fault::error`] |
//! | fail the calls of one limiter or one key | [`Fault::for_namespace`], [`Fault::for_key`] |
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
pub use call::{Call, CallHit};
pub use fault::Fault;
pub use gate::Gate;
pub use limited_core::Operation;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
