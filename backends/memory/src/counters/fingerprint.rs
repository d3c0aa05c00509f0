//! Fingerprints: what a counter is known by, in place of its namespace and key.
//!
//! A store draws a secret from the operating system, and hashes with it. Whoever picks keys does not know it, and no two
//! counters that are picked without it have the same fingerprint but with a probability of about 2^-98: for a thousand
//! million keys beside ten million that are known, that is one in 10^13. This is a theorem about the construction, and
//! rests on no assumption about a cipher.
//!
//! # The construction
//!
//! A counter is written as pairs (x, y) of numbers. The first one, its head, says of what kind its window is and how
//! long, the limit of a bucket, and how many bytes its key and its namespace have; a bucket whose limit does not fit
//! into that has a second one. Then come the texts. Fourteen bytes of a text make a pair, and the last fourteen make one
//! too, where its length is no multiple of that; a text of up to fourteen bytes is one pair: its first seven bytes and
//! its last seven, or all of them and 0, and an empty namespace is none. So counters of one head have equally many pairs,
//! and differ in one if they are not the same. With random numbers a and b below 2^60 for each pair they hash to
//!
//! > Σ (x + a)(y + b) modulo p = 2^61 − 1
//!
//! which is S. Winograd's inner product (Black, Halevi, Krawczyk, Krovetz and Rogaway, UMAC, CRYPTO '99, use it modulo
//! powers of two; Lemire and Kaser, Strongly Universal String Hashing is Fast, 2014, in fields): where two counters differ
//! in an x, the head's or, where their heads are the same, another one, the difference of their hashes is a linear
//! function of its b with a factor that is not zero, and takes any one value with a probability of 2^-60 at most;
//! likewise for a y and its a.
//!
//! Two such hashes, by random numbers of their own, make a fingerprint: all of the first, and 40 bits of the second, which
//! agree for 2^22 differences of the 2^61 that there are. The first goes through a secret permutation that is not linear,
//! so that the places of entries, should somebody be able to measure them, tell nothing simple about the secret.
//!
//! A key above 224 bytes, or a namespace above 56, does not fit into so many numbers: both go through SHA-256 first, and
//! the theorem is about what comes out.
//!
//! # What it costs
//!
//! Two multiplications for the head, and two for each fourteen bytes: some 5 ns for a key of twenty, a quarter of a
//! decision about a key that is in the cache. Beyond the cache it is what spares the way to a key kept elsewhere.

use limited_core::{Counter, Window};
use sha2::{Digest, Sha256};

/// A prime, by which division is a shift and an addition.
const P: u64 = (1 << 61) - 1;

/// How many bytes make a number, and a pair.
const NUMBER_BYTES: usize = 7;
const PAIR_BYTES: usize = 2 * NUMBER_BYTES;

/// How many pairs there are random numbers for: head and limit, keys, and namespaces. Their sum stays below 2^124.8.
const HEAD_PAIRS: usize = 2;
const KEY_PAIRS: usize = 16;
const NAMESPACE_PAIRS: usize = 4;
const PAIRS: usize = HEAD_PAIRS + KEY_PAIRS + NAMESPACE_PAIRS;

/// Stands for the length of a namespace where both texts have gone through SHA-256.
const DIGESTED: usize = 0xFF;

/// A table that is full moves to a larger one while it is locked: with many shards that is soon done.
#[cfg(not(shuttle))]
pub(crate) const SHARDS: usize = 1024;
#[cfg(shuttle)]
pub(crate) const SHARDS: usize = 2;

/// How many bits of a hash choose the shard.
pub(crate) const SHARD_BITS: u32 = SHARDS.ilog2();

/// What a counter is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Decides where it is kept. Never zero.
    pub(crate) hash: u64,
    /// Tells it from others of that place: 40 bits.
    pub(crate) tag: u64,
}

impl Fingerprint {
    /// The shard that it belongs to.
    #[inline(always)]
    pub(crate) const fn shard(self) -> usize {
        (self.hash >> (u64::BITS - SHARD_BITS)) as usize
    }
}

/// The random numbers of one store.
#[repr(align(64))]
pub(crate) struct Secret {
    /// For each pair of numbers: a and b of the first hash, then of the second.
    pairs: [[u64; 4]; PAIRS],
    /// For the permutation: what is added, and an odd factor.
    mask: u64,
    factor: u64,
}

impl Secret {
    /// A secret made of random numbers.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        Self {
            pairs: std::array::from_fn(|_| std::array::from_fn(|_| random() >> 4)),
            mask: random(),
            factor: random() | 1,
        }
    }

    /// The fingerprint of a counter.
    pub(crate) fn fingerprint(&self, counter: &Counter<'_>) -> Fingerprint {
        self.short_fingerprint(counter).unwrap_or_else(|| self.long_fingerprint(counter))
    }

    /// The fingerprint of a counter whose texts are short enough to be hashed as they are.
    #[inline(always)]
    pub(crate) fn short_fingerprint(&self, counter: &Counter<'_>) -> Option<Fingerprint> {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        if key.len() > KEY_PAIRS * PAIR_BYTES || namespace.len() > NAMESPACE_PAIRS * PAIR_BYTES {
            return None;
        }
        let mut sums = self.head(counter, key.len(), namespace.len());
        let pairs = &self.pairs[HEAD_PAIRS..];
        match key.len() {
            0..=NUMBER_BYTES => sums.add(pairs[0], short(key), 0),
            8..=PAIR_BYTES => sums.add(pairs[0], low(key), high(key)),
            15..=28 => {
                sums.add(pairs[0], low(key), low(&key[NUMBER_BYTES..]));
                sums.add(pairs[1], high(&key[..key.len() - NUMBER_BYTES]), high(key));
            }
            _ => sums.add_text(&pairs[..KEY_PAIRS], key),
        }
        match namespace.len() {
            0 => {}
            1..=NUMBER_BYTES => sums.add(pairs[KEY_PAIRS], short(namespace), 0),
            _ => sums.add_text(&pairs[KEY_PAIRS..], namespace),
        }
        Some(self.finish(&sums))
    }

    /// The fingerprint of a counter whose texts are not.
    #[cold]
    fn long_fingerprint(&self, counter: &Counter<'_>) -> Fingerprint {
        let mut digest = Sha256::new();
        for text in [counter.key(), counter.namespace()] {
            digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(text);
        }
        // The lengths are of no counter that is hashed as it is.
        let mut sums = self.head(counter, 0, DIGESTED);
        sums.add_text(&self.pairs[HEAD_PAIRS..], &digest.finalize());
        self.finish(&sums)
    }

    /// The sums of the head, and of a limit that does not fit into it.
    #[inline(always)]
    fn head(&self, counter: &Counter<'_>, key: usize, namespace: usize) -> Sums {
        let (kind, limit, limit_apart) = match counter.window() {
            Window::Aligned { .. } => (0, 0, None),
            Window::FromFirstHit { .. } => (1, 0, None),
            Window::Bucket { limit, .. } if limit < 1 << 30 => (2, limit, None),
            Window::Bucket { limit, .. } => (3, 0, Some(limit)),
        };
        // Below 2^62.
        let length = counter.window().length().as_nanos();
        let x = key as u64 | (namespace as u64) << 8 | kind << 16 | (length & 0xFFFF_FFFF) << 18;
        let y = length >> 32 | limit << 30;
        let mut sums = Sums([0; 2]);
        sums.add(self.pairs[0], x, y);
        if let Some(limit) = limit_apart {
            sums.add(self.pairs[1], limit & 0xFFFF_FFFF, limit >> 32);
        }
        sums
    }

    #[inline(always)]
    fn finish(&self, sums: &Sums) -> Fingerprint {
        let [first, second] = sums.0.map(fold);
        let mixed = first ^ self.mask;
        let hash = (mixed ^ (mixed >> 32)).wrapping_mul(self.factor);
        let second = (second & P) + (second >> 61);
        Fingerprint { hash: hash.max(1), tag: second & 0xFF_FFFF_FFFF }
    }
}

/// The sums of two hashes, so far.
struct Sums([u128; 2]);

impl Sums {
    #[inline(always)]
    fn add(&mut self, [a, b, c, d]: [u64; 4], x: u64, y: u64) {
        self.0[0] += u128::from(x + a) * u128::from(y + b);
        self.0[1] += u128::from(x + c) * u128::from(y + d);
    }

    /// Adds the pairs of a text of eight bytes or more, as many as there are random numbers for.
    #[inline(always)]
    fn add_text(&mut self, pairs: &[[u64; 4]], text: &[u8]) {
        if text.len() <= PAIR_BYTES {
            return self.add(pairs[0], low(text), high(text));
        }
        let mut left = text;
        for pair in pairs {
            let Some((bytes, _)) = left.split_first_chunk::<{ PAIR_BYTES + 1 }>() else {
                // What is left is up to fourteen bytes.
                self.add(*pair, high(&text[..text.len() - NUMBER_BYTES]), high(text));
                break;
            };
            self.add(*pair, low(bytes), low(&bytes[NUMBER_BYTES..]));
            left = &left[PAIR_BYTES..];
        }
    }
}

/// The first seven bytes of eight or more.
#[inline(always)]
fn low(text: &[u8]) -> u64 {
    text.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) & ((1 << 56) - 1))
}

/// The last seven bytes of eight or more.
#[inline(always)]
fn high(text: &[u8]) -> u64 {
    text.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) >> 8)
}

/// A text of up to seven bytes, by loads that overlap.
#[inline(always)]
fn short(text: &[u8]) -> u64 {
    let length = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (length % 8 - 4));
    }
    match *text {
        [one] => one.into(),
        [one, two] => u64::from(one) | u64::from(two) << 8,
        [one, two, three] => u64::from(one) | u64::from(two) << 8 | u64::from(three) << 16,
        _ => 0,
    }
}

/// A number that is the same as one below 2^124.8 modulo [`P`].
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower part, and what is above 61 of 125 bits")]
const fn fold(sum: u128) -> u64 {
    (sum as u64 & P) + (sum >> 61) as u64
}

#[cfg(all(test, not(shuttle)))]
mod tests;
