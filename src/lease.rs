//! Leases: one owner per key at a time. Idempotency and do-once are built on this module.

mod acquire;
mod claim;
mod manager;
mod random_id;

#[cfg(feature = "idempotency")]
pub(crate) use self::acquire::is_same_request;
pub use self::claim::Claim;
pub(crate) use self::manager::{AcquireOutcome, ClaimOptions, LeaseGuard, LeaseManager};
pub(crate) use self::random_id::random_id;
