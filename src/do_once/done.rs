//! The result of an action that runs once.

use limited_core::Timestamp;

use crate::RunError;

/// The action is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done<T> {
    /// This call ran the action, or marked it as done.
    Executed {
        /// When the action was recorded as done.
        at: Timestamp,
        /// The value of the action.
        value: T,
    },
    /// An earlier call had done it. The action did not run now.
    AlreadyDone {
        /// When the action was recorded as done.
        at: Timestamp,
    },
}

impl<T> Done<T> {
    /// Returns when the action was recorded as done.
    pub const fn at(&self) -> Timestamp {
        match self {
            Self::Executed { at, .. } | Self::AlreadyDone { at } => *at,
        }
    }

    /// Returns the value of the telemetry label `outcome`.
    pub(crate) const fn label<E, U>(result: &Result<Self, RunError<E, U>>) -> &'static str {
        match result {
            Ok(Self::Executed { .. }) => "executed",
            Ok(Self::AlreadyDone { .. }) => "already_done",
            Err(error) => error.label(),
        }
    }
}
