//! Random 128-bit ids, for windows and owners.

use limited_core::{BackendError, Cause, Result};

/// Returns 128 random bits from the operating system. No fork, snapshot or clone of a process
/// repeats them.
pub(crate) fn random_id() -> Result<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        BackendError::Other(Cause::with_source("the operating system returned no random bytes", error))
    })?;
    Ok(u128::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_differ() {
        assert_ne!(random_id().unwrap(), random_id().unwrap());
    }
}
