//! Fingerprints: what a counter is known by, in place of its namespace and key.
//!
//! A store draws a secret from the operating system, and hashes with it. Whoever picks keys does not know it, and no two
//! counters that are picked without it have the same fingerprint but with a probability of about 2^-98: for a thousand
//! million keys beside ten million that are known, that is one in 10^13. This is a theorem about the construction, and
//! rests on no assumption about a cipher.
//!
//! # The construction
//!
//! A counter is written as numbers below 2^56: first z, which is its family and the lengths of its key and namespace in
//! bytes, then pairs (x, y) of its texts. Fourteen bytes of a text make a pair, and the last fourteen make one too,
//! where its length is no multiple of that; a text of up to fourteen bytes is one pair: its first seven bytes and its
//! last seven, or all of them and 0, and an empty namespace is none. So counters of equal z have equally many pairs,
//! and differ in one if they are not the same. With random numbers a and b below 2^60 for each pair, and c and d for
//! all, they hash to
//!
//! > c + d z + Σ (x + a)(y + b) modulo p = 2^61 − 1
//!
//! which is S. Winograd's inner product (Black, Halevi, Krawczyk, Krovetz and Rogaway, UMAC, CRYPTO '99, use it modulo
//! powers of two; Lemire and Kaser, Strongly Universal String Hashing is Fast, 2014, in fields): where two counters differ
//! in x, the difference of their hashes is a linear function of b with a factor that is not zero, and takes any one value
//! with a probability of 2^-60 at most; likewise for y and a, and for z and d. Of a kind without a number of its own,
//! the kind makes pairs, too.
//!
//! Two such hashes, by random numbers of their own, make a fingerprint: all of the first, and 40 bits of the second, which
//! agree for 2^22 differences of the 2^61 that there are. The first goes through a secret permutation that is not linear,
//! so that the places of entries, should somebody be able to measure them, tell nothing simple about the secret.
//!
//! A key above 224 bytes, or a namespace above 56, does not fit into so many numbers: both go through SHA-256 first, and
//! the theorem is about what comes out.

use limited_core::Counter;
use sha2::{Digest, Sha256};

use crate::families::{Family, Kind, UNLISTED};

/// A prime, by which division is a shift and an addition.
const P: u64 = (1 << 61) - 1;

/// How many bytes make a number, and a pair.
const BYTES: usize = 7;
const PAIR: usize = 2 * BYTES;

/// How many pairs of numbers are hashed at most, of keys, of namespaces, and of kinds: their sum stays below 2^124.8.
const KEYS: usize = 16;
const NAMESPACES: usize = 4;
const KINDS: usize = 3;
const PAIRS: usize = KEYS + NAMESPACES + KINDS;

/// What a counter is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Decides where it is kept. Never zero.
    pub(crate) place: u64,
    /// Tells it from others of that place: 40 bits.
    pub(crate) check: u64,
}

/// The random numbers of one store.
pub(crate) struct Secret {
    /// For each pair of numbers: a and b of the first hash, then of the second.
    pairs: [[u64; 4]; PAIRS],
    /// The numbers c and d of each hash.
    ends: [[u64; 2]; 2],
    /// For the permutation: what is added, and an odd factor.
    mask: u64,
    factor: u64,
}

impl Secret {
    /// A secret made of random numbers.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut number = || random() >> 4;
        Self {
            pairs: std::array::from_fn(|_| std::array::from_fn(|_| number())),
            ends: std::array::from_fn(|_| std::array::from_fn(|_| number())),
            mask: random(),
            factor: random() | 1,
        }
    }

    /// The fingerprint of a counter, whose kind has this number.
    #[inline(always)]
    pub(crate) fn fingerprint(&self, counter: &Counter<'_>, family: Family) -> Fingerprint {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        let mut sums = Sums(self.ends.map(|[c, _]| c.into()));
        match key.len() {
            0..=BYTES => sums.add(self.pairs[0], short(key), 0),
            8..=PAIR => sums.add(self.pairs[0], low(key), high(key)),
            15..=28 => {
                sums.add(self.pairs[0], low(key), low(&key[BYTES..]));
                sums.add(self.pairs[1], high(&key[..key.len() - BYTES]), high(key));
            }
            _ => sums = sums.with_text(&self.pairs[..KEYS], key),
        }
        match namespace.len() {
            0 => {}
            1..=BYTES => sums.add(self.pairs[KEYS], short(namespace), 0),
            _ => sums = sums.with_text(&self.pairs[KEYS..KEYS + NAMESPACES], namespace),
        }
        if key.len() > KEYS * PAIR || namespace.len() > NAMESPACES * PAIR || family == UNLISTED {
            return self.unusual(counter, family);
        }
        self.finish(sums, z(family, key.len(), namespace.len()))
    }

    /// Of long texts, and of kinds without a number.
    #[cold]
    fn unusual(&self, counter: &Counter<'_>, family: Family) -> Fingerprint {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        let mut sums = Sums(self.ends.map(|[c, _]| c.into()));
        let (keys, namespaces) = self.pairs.split_at(KEYS);
        let (namespaces, kinds) = namespaces.split_at(NAMESPACES);
        let z = if key.len() <= KEYS * PAIR && namespace.len() <= NAMESPACES * PAIR {
            sums = sums.with_text(keys, key).with_text(namespaces, namespace);
            z(family, key.len(), namespace.len())
        } else {
            let mut digest = Sha256::new();
            for text in [key, namespace] {
                digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                digest.update(text);
            }
            sums = sums.with_text(keys, &digest.finalize());
            // The lengths are of no counter that is hashed as it is.
            z(family, 0, usize::from(u16::MAX))
        };
        if family == UNLISTED {
            let (tag, length, limit) = Kind::from(counter.window()).numbers();
            for (pair, number) in kinds.iter().zip([tag, length, limit]) {
                sums.add(*pair, number & 0xFFFF_FFFF, number >> 32);
            }
        }
        self.finish(sums, z)
    }

    #[inline(always)]
    fn finish(&self, sums: Sums, z: u64) -> Fingerprint {
        let [first, second] =
            [0, 1].map(|hash| sums.0[hash] + u128::from(self.ends[hash][1]) * u128::from(z));
        let mixed = folded(first) ^ self.mask;
        let place = (mixed ^ (mixed >> 32)).wrapping_mul(self.factor);
        let second = folded(second);
        let second = (second & P) + (second >> 61);
        Fingerprint { place: place.max(1), check: second & 0xFF_FFFF_FFFF }
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

    /// Adds the pairs of a text, as many as there are random numbers for.
    #[inline(always)]
    fn with_text(mut self, pairs: &[[u64; 4]], text: &[u8]) -> Self {
        if text.len() <= PAIR {
            let (x, y) = if text.len() > BYTES { (low(text), high(text)) } else { (short(text), 0) };
            if !text.is_empty() {
                self.add(pairs[0], x, y);
            }
            return self;
        }
        let mut left = text;
        for pair in pairs {
            let Some((bytes, _)) = left.split_first_chunk::<{ PAIR + 1 }>() else {
                // What is left is up to fourteen bytes.
                self.add(*pair, high(&text[..text.len() - BYTES]), high(text));
                break;
            };
            self.add(*pair, low(bytes), low(&bytes[BYTES..]));
            left = &left[PAIR..];
        }
        self
    }
}

/// The number of a counter that comes before its texts.
#[inline(always)]
fn z(family: Family, key: usize, namespace: usize) -> u64 {
    u64::from(family) | (key as u64) << 8 | (namespace as u64) << 24
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
const fn folded(sum: u128) -> u64 {
    (sum as u64 & P) + (sum >> 61) as u64
}

#[cfg(all(test, not(shuttle)))]
mod tests;
