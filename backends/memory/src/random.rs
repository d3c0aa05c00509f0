//! Random numbers for a secret.

/// Numbers that nobody can guess: the operating system's, or where it has none to give, those that the standard library
/// seeds its hash maps with, spread by SipHash.
#[cfg(not(shuttle))]
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    let seeds = RandomState::new();
    let (mut bytes, mut drawn) = ([0; 512], 0_usize);
    move || {
        let at = drawn % (bytes.len() / 8);
        if at == 0 && getrandom::fill(&mut bytes).is_err() {
            for (number, bytes) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
                *bytes = seeds.hash_one(drawn + number).to_ne_bytes();
            }
        }
        drawn += 1;
        bytes.as_chunks().0.get(at).map_or(0, |number| u64::from_ne_bytes(*number))
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
