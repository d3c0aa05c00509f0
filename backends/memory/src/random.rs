//! Random numbers for the secret of the fingerprints.

/// Returns a source of numbers that no client can guess.
///
/// They come from the operating system. If it has none to give, they come from the seeds that the
/// standard library draws for its hash maps, spread by SipHash.
#[cfg(not(all(test, shuttle)))]
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

/// Returns the same numbers each time, so that the scheduler can repeat a schedule.
#[cfg(all(test, shuttle))]
pub(crate) fn numbers() -> impl FnMut() -> u64 {
    let mut state = 0_u64;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ (state >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 29)
    }
}
