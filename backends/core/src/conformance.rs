//! The conformance suite: one check for each behaviour that [`Backend`](crate::Backend) requires.
//!
//! The suite needs the feature `conformance`. It needs no runtime and no waiting: the checks pass
//! every `now`, from 1970 to 2554, and never sleep. Together they are some twenty-three thousand
//! small operations, up to 64 of them in parallel. For a backend with a fast path, it is almost
//! twice as many.
//!
//! In a test of the backend's package, [`conformance_tests!`](crate::conformance_tests) creates one
//! `#[test]` for each check. Its argument is a [`Harness`]; the simplest one is a function that
//! returns an empty backend.
//!
//! ```
//! # use limited_core::{Backend, BackendError, Counter, WindowId, Hit, CounterState, Timestamp};
//! # #[derive(Default)]
//! # struct MyBackend;
//! # #[limited_core::async_trait]
//! # impl Backend for MyBackend {
//! #     async fn increment(
//! #         &self, _: &Counter<'_>, _: &Hit<'_>, _: Timestamp,
//! #     ) -> Result<CounterState, BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! #     async fn get(
//! #         &self, _: &Counter<'_>, _: Timestamp,
//! #     ) -> Result<CounterState, BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! #     async fn reset(
//! #         &self, _: &Counter<'_>, _: Option<WindowId>, _: Timestamp,
//! #     ) -> Result<(), BackendError> {
//! #         Err(BackendError::unsupported("an example"))
//! #     }
//! # }
//! limited_core::conformance_tests!(MyBackend::default);
//! # assert!(limited_core::conformance::run(&MyBackend::default).is_err());
//! ```
//!
//! [`run`] runs all checks, and reports those that failed, or what was skipped:
//!
//! ```no_run
//! # fn example<MyBackend: limited_core::Backend + Default>() {
//! match limited_core::conformance::run(&MyBackend::default) {
//!     Ok(report) => println!("{report}"),
//!     Err(failures) => panic!("{failures}"),
//! }
//! # }
//! ```
//!
//! [`checks`] has one function for each check, and [`CHECKS`] lists them. A failed check panics
//! with the broken rule, the expected result, and the result that the backend returned.
//!
//! | your backend | what to do |
//! |---|---|
//! | needs a runtime or a server, or can lose a response | implement [`Harness`] |
//! | blocks | run each operation on a thread for that, see [`Backend`](crate::Backend#stores-that-block) |
//! | stores fewer than 38 digits | store values as text or in two parts, see [`Backend`](crate::Backend#range-of-values) |
//! | is [`Immediate`](crate::Immediate) | use the harness [`PollOnce`]: it fails if a future is pending at its first poll |
//! | implements [`try_increment`](crate::Backend::try_increment) | nothing: each check of counters runs a second time through it |
//!
//! # What is skipped
//!
//! A check passes if the backend or the harness does not offer what it tests: [`Skip`] lists the
//! cases. Say in the test what you expect, so that no check is lost by accident:
//!
//! ```
//! # fn my_backend() -> Box<dyn limited_core::Backend> { unimplemented!() }
//! limited_core::conformance_tests!(my_backend, skips: [Claims, LostResponses, Removal]);
//! ```
//!
//! | to skip nothing | do |
//! |---|---|
//! | [`Skip::Claims`] | implement the six methods of claims |
//! | [`Skip::LostResponses`] | lose a response in [`Harness::lose_next_response`] |
//! | [`Skip::Removal`] | count the entries in [`Harness::stored_entries`] |
//! | [`Skip::FastPath`] | implement [`try_increment`](crate::Backend::try_increment), if no I/O is needed |
//! | [`Skip::ClockSkew`] | tolerate some skew in [`Harness::max_clock_skew`] |
//! | [`Skip::Refunds`] | implement [`refund`](crate::Backend::refund) |
//! | [`Skip::SeveralHits`] | implement `refund`, or [`increment_all`](crate::Backend::increment_all) in one step |
//! | [`Skip::AllAtOnce`] | implement `increment_all` in one step, and report it in [`Harness::increments_all_at_once`] |
//! | [`Skip::Logs`] | count in [logs](crate::Window::Log) |
//! | [`Skip::Spans`] | count in [spans](crate::Window::Span) |

mod arithmetic;
mod buckets;
mod claims;
mod clock;
mod concurrency;
mod expiry;
mod fast_path;
mod get_reset;
mod harness;
mod identity;
mod kinds;
mod list;
mod logs;
mod lost_responses;
mod parallel;
mod probe;
mod random;
mod refunds;
mod refusal;
mod removal;
mod report;
mod sets;
mod several;
mod several_in_parallel;
mod skip;
mod sliding;
mod spans;
mod subject;
mod times;

pub use claims::has_claims;
pub use harness::{Harness, PollOnce};
pub use list::{CHECKS, Check, checks};
pub use report::{Failure, Failures, Report, Skipped, run};
pub use skip::{Skip, skips};
