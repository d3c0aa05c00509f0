//! Fingerprints: what a counter is known by, in place of its namespace and key.
//!
//! A store draws a secret from the operating system, and hashes with it. Whoever picks keys does not know it, and
//! no two counters that are picked without it have the same fingerprint but with a probability of about 2^-101; for
//! a thousand million keys beside ten million that are known, that is one in 10^14. This is a theorem about the
//! construction, and rests on no assumption about a cipher.
//!
//! # The construction
//!
//! A counter is written as numbers below 2^56: one with its family and the lengths of its key and namespace in bytes,
//! then the bytes of the key, seven to a number, the last number filled up with zeros, then those of the namespace. Of
//! a kind that has no number, the kind follows. So no two counters are written alike, and two that differ only after
//! their first number have equally many. Taken in pairs (x, y), filled up with a zero, and with random numbers a and b
//! for each pair and c for all, they hash to
//!
//! > c + Σ (x + a)(y + b) modulo p = 2^61 − 1
//!
//! which is a universal family of S. Winograd's inner products (Black, Halevi, Krawczyk, Krovetz and Rogaway, UMAC,
//! CRYPTO '99, use it modulo powers of two; Lemire and Kaser, Strongly Universal String Hashing is Fast, 2014, in
//! fields): where two counters differ in x, the difference of their hashes is a linear function of b whose factor is not
//! zero, and so takes every value with a probability of 1/p. With c, hashes are uniform, and independent in pairs.
//!
//! Two such hashes, by random numbers of their own, make a fingerprint: all of the first, and 40 bits of the second.
//! The first goes through a secret permutation that is not linear, so that the places of entries, should somebody be
//! able to measure them, tell nothing simple about the secret.
//!
//! What does not fit into so many numbers goes through SHA-256 first, its lengths apart.

use limited_core::Counter;
use sha2::{Digest, Sha256};

use crate::families::{Family, Kind, UNLISTED};

/// A prime, by which division is a shift and an addition.
const P: u64 = (1 << 61) - 1;

/// How many bytes make a number.
const BYTES: usize = 7;

/// How many pairs of numbers are hashed at most: their sum stays below 2^128.
const PAIRS: usize = 32;

/// How many bytes of key and namespace are hashed as they are: for the first number and those of a kind, and for each
/// text the last number and the one that fills a pair, there is room too.
const LONGEST: usize = (2 * PAIRS - 12) * BYTES;

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
    /// The number c of each hash.
    ends: [u64; 2],
    /// For the permutation: what is added, and an odd factor.
    mask: u64,
    factor: u64,
}

impl Secret {
    /// A secret made of random numbers.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut number = || random() & P;
        Self {
            pairs: std::array::from_fn(|_| std::array::from_fn(|_| number())),
            ends: [number(), number()],
            mask: random(),
            factor: random() | 1,
        }
    }

    /// The fingerprint of a counter, whose kind has this number.
    #[inline]
    pub(crate) fn fingerprint(&self, counter: &Counter<'_>, family: Family) -> Fingerprint {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        if key.len() + namespace.len() <= LONGEST && family != UNLISTED {
            let head = head(family, key.len(), namespace.len());
            return self.finish(self.texts(head, key, namespace).sums);
        }
        self.unusual(counter, family)
    }

    #[cold]
    fn unusual(&self, counter: &Counter<'_>, family: Family) -> Fingerprint {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        let mut sums = if key.len() + namespace.len() <= LONGEST {
            self.texts(head(family, key.len(), namespace.len()), key, namespace)
        } else {
            let mut digest = Sha256::new();
            for text in [key, namespace] {
                digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
                digest.update(text);
            }
            // A namespace longer than any that is hashed as it is says that this is a digest.
            self.texts(head(family, 32, LONGEST + 1), &digest.finalize(), &[])
        };
        if family == UNLISTED {
            let (tag, length, limit) = Kind::from(counter.window()).numbers();
            let half = |number: u64| (number & 0xFFFF_FFFF, number >> 32);
            sums.add(self, tag, 0);
            for (low, high) in [half(length), half(limit)] {
                sums.add(self, low, high);
            }
        }
        self.finish(sums.sums)
    }

    #[inline(always)]
    fn texts(&self, head: u64, key: &[u8], namespace: &[u8]) -> Sums {
        let mut sums = Sums { sums: [0; 2], pairs: 0 };
        sums.add(self, head, word(key, 0));
        let mut at = BYTES;
        while at < key.len() {
            sums.add(self, word(key, at), word(key, at + BYTES));
            at += 2 * BYTES;
        }
        at = 0;
        while at < namespace.len() {
            sums.add(self, word(namespace, at), word(namespace, at + BYTES));
            at += 2 * BYTES;
        }
        sums
    }

    #[inline(always)]
    fn finish(&self, sums: [u128; 2]) -> Fingerprint {
        let [first, second] = [0, 1].map(|hash| modulo(sums[hash] + u128::from(self.ends[hash])));
        let mixed = first ^ self.mask;
        let place = (mixed ^ (mixed >> 32)).wrapping_mul(self.factor);
        Fingerprint { place: place.max(1), check: second & 0xFF_FFFF_FFFF }
    }
}

/// The sums over pairs of numbers, so far.
struct Sums {
    sums: [u128; 2],
    pairs: usize,
}

impl Sums {
    #[inline(always)]
    fn add(&mut self, secret: &Secret, x: u64, y: u64) {
        // Never more than there are: a fingerprint would still be one, if it were.
        let [a, b, c, d] = secret.pairs[self.pairs % PAIRS];
        self.sums[0] += u128::from(x + a) * u128::from(y + b);
        self.sums[1] += u128::from(x + c) * u128::from(y + d);
        self.pairs += 1;
    }
}

/// The first number of a counter.
#[inline(always)]
fn head(family: Family, key: usize, namespace: usize) -> u64 {
    u64::from(family) | (key as u64) << 8 | (namespace as u64) << 24
}

/// The seven bytes at `at`, the first one lowest; fewer at the end of the text, and none past it.
#[inline(always)]
fn word(text: &[u8], at: usize) -> u64 {
    const SEVEN: u64 = (1 << 56) - 1;
    if let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        return u64::from_le_bytes(*bytes) & SEVEN;
    }
    let Some(left @ 1..) = text.len().checked_sub(at) else {
        return 0;
    };
    if let Some(bytes) = text.last_chunk() {
        // Of the last eight bytes those that are left, at most seven.
        return u64::from_le_bytes(*bytes) >> (64 - 8 * left.min(BYTES));
    }
    short(text)
}

/// A text of one to seven bytes, by loads that overlap.
#[inline(always)]
fn short(text: &[u8]) -> u64 {
    let length = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (length - 4));
    }
    match *text {
        [one] => one.into(),
        [one, two] => u64::from(one) | u64::from(two) << 8,
        [one, two, three] => u64::from(one) | u64::from(two) << 8 | u64::from(three) << 16,
        _ => 0,
    }
}

/// The remainder by [`P`].
#[inline(always)]
const fn modulo(number: u128) -> u64 {
    let p = P as u128;
    let once = (number & p) + ((number >> 61) & p) + (number >> 122);
    #[expect(clippy::cast_possible_truncation, reason = "below 2^63")]
    let once = once as u64;
    let twice = (once & P) + (once >> 61);
    if twice >= P { twice - P } else { twice }
}
