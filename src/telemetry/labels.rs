//! The values of the labels `outcome` and `kind`.
#![cfg_attr(
    not(any(feature = "tracing", feature = "metrics")),
    expect(dead_code, reason = "only the features `tracing` and `metrics` use the labels")
)]

use limited_core::BackendError;

#[cfg(feature = "idempotency")]
use crate::Outcome;
use crate::{Done, RunError};

/// The future of the run was dropped, or the handler panicked.
pub(super) const DROPPED: &str = "dropped";

#[cfg(feature = "idempotency")]
pub(super) const fn idempotent_run<T, E>(result: &Result<Outcome<T>, RunError<E, T>>) -> &'static str {
    match result {
        Ok(Outcome::Executed(_)) => "executed",
        Ok(Outcome::Replayed(_)) => "replayed",
        Err(error) => run_error(error),
    }
}

pub(super) const fn do_once_run<T, U, E>(result: &Result<Done<T>, RunError<E, U>>) -> &'static str {
    match result {
        Ok(Done::Executed { .. }) => "executed",
        Ok(Done::AlreadyDone { .. }) => "already_done",
        Err(error) => run_error(error),
    }
}

const fn run_error<T, E>(error: &RunError<E, T>) -> &'static str {
    match error {
        RunError::ReplayedError(_) => "replayed_error",
        RunError::KeyReused => "key_reused",
        RunError::InProgress { .. } => "in_progress",
        RunError::Failed(_) => "failed",
        RunError::NotStored { outcome: Some(_), .. } => "not_stored",
        RunError::NotStored { outcome: None, .. } => "replayed_not_stored",
        RunError::LeaseLost { .. } => "lease_lost",
        RunError::NotRecorded { .. } => "not_recorded",
        RunError::InvalidKey(_) => "invalid",
        #[cfg(feature = "idempotency")]
        RunError::InvalidRequest(_) => "invalid",
        #[cfg(feature = "idempotency")]
        RunError::Decode(_) => "decode",
        RunError::Backend(_) => "backend_failed",
    }
}

pub(super) const fn error_kind(error: &BackendError) -> &'static str {
    match error {
        BackendError::Throttled(_) => "throttled",
        BackendError::TimedOut(_) => "timed_out",
        BackendError::Unavailable(_) => "unavailable",
        BackendError::MissingTable(_) => "missing_table",
        BackendError::AccessDenied(_) => "access_denied",
        BackendError::Misconfigured(_) => "misconfigured",
        BackendError::Invalid(_) => "invalid",
        BackendError::Full { .. } => "full",
        BackendError::Unsupported(_) => "unsupported",
        BackendError::Corrupt(_) => "corrupt",
        _ => "other",
    }
}
