//! Leases: one owner per key at a time. Idempotency and do-once are built on this module.
//!
//! A claim takes this path:
//!
//! 1. **Acquire.** The backend gives the key to a random owner id until the lease expires, and
//!    returns a fencing token. If another owner holds the key, the call polls until the key is
//!    free, the run is finished, or `wait_timeout` is over.
//! 2. **Run.** The handler runs while this module renews the lease, after each third of it. If a
//!    renewal is rejected, [`Claim::is_held`] returns `false` from then on, and [`Claim::lost`]
//!    completes. The handler goes on, unless `stop_when_lost` is set. No lease is renewed beyond
//!    `max_run_time`.
//! 3. **Finish or release.** The result is recorded, or the key is released after an error. The
//!    backend rejects both if a newer owner holds the key. The caller then gets
//!    [`RunError::LeaseLost`], and the newer claim is untouched.
//!
//! Each step is one request. If its response is lost, it is sent again with the same owner id, so
//! that the backend recognises the repetition. A claim is sent twice and then given up with a
//! release. A final write is sent up to five times. If the backend confirms none of them, the lease
//! decides. After the handler ran, the caller gets [`RunError::NotRecorded`] for a finish and
//! [`RunError::Failed`] for a release. A call that marks an action as done before it runs gets
//! [`RunError::Backend`].
//!
//! A run may be dropped at any await point. The key is then free, in progress until the lease
//! expires, or finished. The backend rules out all other states.

mod acquire;
mod claim;
mod error;
mod manager;
mod random_id;
mod settings;
mod waiting;

pub(crate) use self::acquire::AcquireOutcome;
#[cfg(feature = "idempotency")]
pub(crate) use self::acquire::is_same_request;
pub use self::claim::Claim;
pub use self::error::RunError;
#[cfg(feature = "idempotency")]
pub(crate) use self::manager::LeaseGuard;
pub(crate) use self::manager::{ClaimOptions, LeaseManager};
pub(crate) use self::random_id::random_id;
pub(crate) use self::settings::{Settings, setting_methods};
pub(crate) use self::waiting::WaitingCalls;
