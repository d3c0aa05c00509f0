//! Random numbers for a secret.

/// Numbers that nobody can guess: the operating system's, or where it has none to give, those that the standard library
/// seeds its hash maps with, spread by SipHash.
#[cfg(not(shuttle))]
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    let seeds = RandomState::new();
    let mut drawn = 0_u64;
    move || {
        drawn += 1;
        getrandom::u64().unwrap_or_else(|_| seeds.hash_one(drawn))
    }
}

/// Always the same ones, so that a scheduler can repeat what it has tried.
#[cfg(shuttle)]
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 29)
    }
}
