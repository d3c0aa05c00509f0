//! The result of an idempotent run.

use crate::RunError;

/// The result of the handler, and whether the handler ran now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The handler ran now and returned this value.
    Executed(T),
    /// The handler ran before and returned this value then.
    Replayed(T),
}

impl<T> Outcome<T> {
    /// Returns the value, executed or replayed.
    pub fn into_inner(self) -> T {
        match self {
            Self::Executed(value) | Self::Replayed(value) => value,
        }
    }

    /// Returns a reference to the value, executed or replayed.
    pub const fn get(&self) -> &T {
        match self {
            Self::Executed(value) | Self::Replayed(value) => value,
        }
    }

    /// Returns whether an earlier run returned the value.
    pub const fn is_replayed(&self) -> bool {
        matches!(self, Self::Replayed(_))
    }

    /// Returns the value of the telemetry label `outcome`.
    pub(crate) const fn label<E>(result: &Result<Self, RunError<E, T>>) -> &'static str {
        match result {
            Ok(Self::Executed(_)) => "executed",
            Ok(Self::Replayed(_)) => "replayed",
            Err(error) => error.label(),
        }
    }
}
