//! The result of an action that runs once.

use limited_core::Timestamp;

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
}
