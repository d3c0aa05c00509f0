//! Numbers that nobody else has: generations and owners.

use limited_core::{BackendError, Cause};

/// 128 random bits of the operating system's, which no fork, snapshot or clone of a process repeats.
pub(crate) fn random_id() -> Result<u128, BackendError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        BackendError::Other(Cause::with_source("the system has no randomness to give", error))
    })?;
    Ok(u128::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
