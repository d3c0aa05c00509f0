//! The operations of a backend, as data.

use std::fmt;

/// One operation of a [`Backend`](crate::Backend).
///
/// The mock injects faults by operation, the telemetry of `limited` labels its measurements with
/// it, and the conformance suite names it in failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Backend::increment`](crate::Backend::increment) and
    /// [`Backend::try_increment`](crate::Backend::try_increment).
    Increment,
    /// [`Backend::increment_all`](crate::Backend::increment_all) and
    /// [`Backend::try_increment_all`](crate::Backend::try_increment_all).
    IncrementAll,
    /// [`Backend::refund`](crate::Backend::refund).
    Refund,
    /// [`Backend::get`](crate::Backend::get).
    Get,
    /// [`Backend::reset`](crate::Backend::reset).
    Reset,
    /// [`Backend::claim`](crate::Backend::claim).
    Claim,
    /// [`Backend::finish`](crate::Backend::finish).
    Finish,
    /// [`Backend::renew`](crate::Backend::renew).
    Renew,
    /// [`Backend::release`](crate::Backend::release).
    Release,
    /// [`Backend::find`](crate::Backend::find).
    Find,
    /// [`Backend::forget`](crate::Backend::forget).
    Forget,
}

impl Operation {
    /// Every operation: first those of counters, then those of claims.
    pub const ALL: [Self; 11] = [
        Self::Increment,
        Self::IncrementAll,
        Self::Refund,
        Self::Get,
        Self::Reset,
        Self::Claim,
        Self::Finish,
        Self::Renew,
        Self::Release,
        Self::Find,
        Self::Forget,
    ];

    /// Returns the name of the method, such as `increment`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Increment => "increment",
            Self::IncrementAll => "increment_all",
            Self::Refund => "refund",
            Self::Get => "get",
            Self::Reset => "reset",
            Self::Claim => "claim",
            Self::Finish => "finish",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Find => "find",
            Self::Forget => "forget",
        }
    }

    /// Returns whether the operation may change stored state.
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::Find)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_operation_has_its_own_name() {
        let names: HashSet<_> = Operation::ALL.map(Operation::as_str).into();
        assert_eq!(names.len(), Operation::ALL.len());
        assert_eq!(Operation::Increment.to_string(), "increment");
    }

    #[test]
    fn only_get_and_find_are_reads() {
        let reads = Operation::ALL.into_iter().filter(|operation| !operation.is_write());
        assert_eq!(reads.collect::<Vec<_>>(), [Operation::Get, Operation::Find]);
    }
}
