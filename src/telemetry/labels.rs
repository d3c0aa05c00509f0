//! Values of the labels `outcome` and `kind`.

use limited_core::BackendError;

/// The future of the run was dropped, or the handler panicked.
pub(super) const DROPPED: &str = "dropped";

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
