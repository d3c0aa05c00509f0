//! Fingerprints identify counters and claims, in place of their namespace and key.
//!
//! A store draws a secret from the operating system, and hashes with it. Clients that choose keys
//! do not know the secret. Two counters that are chosen without it have the same fingerprint with a
//! probability of about 2^-98. With ten million known keys and a thousand million other keys, any
//! two of them collide with a probability of one in 10^13. This is a theorem about the
//! construction, and assumes nothing about a cipher. It holds for two claims as well: counters and
//! claims have separate stores, each with a secret of its own.
//!
//! # Construction
//!
//! A counter is written as pairs (x, y) of numbers:
//!
//! - The first pair, the head, encodes the kind and the length of the window, and the lengths of
//!   key and namespace in bytes. For a span it encodes the start in place of the length, and a
//!   second pair encodes the end.
//! - The head of a claim encodes its kind, and the lengths of key and namespace.
//! - The texts follow. Each fourteen bytes of a text make a pair. If the length is no multiple of
//!   fourteen, the last fourteen bytes make one more pair.
//! - A text of eight to fourteen bytes is one pair: its first seven and its last seven bytes. A
//!   text of up to seven bytes is one pair of these bytes and 0. An empty namespace makes no pair.
//!
//! So counters with the same head have the same number of pairs, and two different ones differ in
//! at least one pair. With random numbers a and b below 2^60 for each pair, the hash is
//!
//! > Σ (x + a)(y + b) modulo p = 2^61 − 1
//!
//! This is S. Winograd's inner product. Black, Halevi, Krawczyk, Krovetz and Rogaway use it modulo
//! powers of two (UMAC, CRYPTO '99), Lemire and Kaser in fields (Strongly Universal String Hashing
//! is Fast, 2014).
//!
//! Let two counters differ in an x: that of the head, or if the heads are equal, any other. The
//! difference of their hashes is then a linear function of the b of that pair, and its factor is
//! not zero. So the difference takes any one value with a probability of at most 2^-60. The same
//! holds for a y and its a.
//!
//! Two such hashes with independent random numbers make a fingerprint: all of the first, and 40
//! bits of the second. These bits agree for 2^22 of the 2^61 possible differences. The first hash
//! also goes through a secret nonlinear permutation. So positions of entries, if an attacker can
//! measure them, reveal nothing simple about the secret.
//!
//! The shard of a counter follows from the pairs of its texts alone, by the same permutation. So
//! all counters of one key are in one shard. They still have all bits of their fingerprints.
//!
//! There are random numbers for keys of up to 224 bytes and namespaces of up to 56 bytes. If one of
//! them is longer, both go through SHA-256 first, and the theorem holds for the digest.
//!
//! # Cost
//!
//! A fingerprint takes two multiplications for the head, and two for each fourteen bytes. That is
//! some 5 ns for a key of twenty bytes, a quarter of a decision about a key in the processor's
//! cache. Outside the cache it saves the access to a key that would be stored elsewhere.

use limited_core::{ClaimKey, ClaimKind, Counter, Window};
use sha2::{Digest, Sha256};

/// A prime. Reducing a number modulo this prime takes a shift and an addition.
const P: u64 = (1 << 61) - 1;

/// Number of bytes in a number, and in a pair.
const NUMBER_BYTES: usize = 7;
const PAIR_BYTES: usize = 2 * NUMBER_BYTES;

/// Number of pairs with random numbers: for the head, for keys, for namespaces, and for the end of
/// a span. Their sum stays below 2^124.8.
const HEAD_PAIRS: usize = 1;
const KEY_PAIRS: usize = 16;
const NAMESPACE_PAIRS: usize = 4;
const SPAN_PAIR: usize = HEAD_PAIRS + KEY_PAIRS + NAMESPACE_PAIRS;
const PAIRS: usize = SPAN_PAIR + 1;

/// Replaces the length of the namespace if both texts went through SHA-256.
const DIGESTED: usize = 0xFF;

/// The kind of a span.
const SPAN: u64 = 4;

/// Added to the kind of a claim for the fingerprint of its caller.
const CALLER: u64 = 1 << 8;

/// Number of shards. A full table moves to a larger one under its lock; many shards keep that
/// short.
#[cfg(not(all(test, shuttle)))]
pub(crate) const SHARDS: usize = 1024;
#[cfg(all(test, shuttle))]
pub(crate) const SHARDS: usize = 2;

/// Number of bits that select the shard.
const SHARD_BITS: u32 = SHARDS.ilog2();

/// Identifies a counter in one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Determines the position in a table. Never zero.
    pub(crate) hash: u64,
    /// Distinguishes counters with equal hashes: 40 bits.
    pub(crate) tag: u64,
}

/// Returns the shard that the upper bits of a hash select.
#[inline(always)]
const fn shard(hash: u64) -> usize {
    (hash >> (u64::BITS - SHARD_BITS)) as usize
}

/// Where a counter is stored. All counters of one key are in the same shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) shard: usize,
    pub(crate) fingerprint: Fingerprint,
}

/// The hashes of a key and a namespace, which all counters of that key share.
pub(crate) struct KeyHash {
    sums: Sums,
    shard: usize,
    /// What the head encodes: the lengths of key and namespace.
    lengths: u64,
}

impl KeyHash {
    /// Returns the shard of all counters of the key.
    #[inline(always)]
    pub(crate) const fn shard(&self) -> usize {
        self.shard
    }
}

/// The random numbers of one store.
#[repr(align(64))]
pub(crate) struct Secret {
    /// For each pair: a and b of the first hash, then of the second.
    pairs: [[u64; 4]; PAIRS],
    /// The permutation: a mask, and an odd factor.
    mask: u64,
    factor: u64,
}

impl Secret {
    /// Creates a secret from random numbers.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        Self {
            pairs: std::array::from_fn(|_| std::array::from_fn(|_| random() >> 4)),
            mask: random(),
            factor: random() | 1,
        }
    }

    /// Returns where a counter is stored.
    pub(crate) fn location(&self, counter: &Counter<'_>) -> Location {
        let key = self.short_key(counter).unwrap_or_else(|| self.long_key(counter));
        self.window_location(&key, counter.window()).unwrap_or_else(|| self.span_location(&key, counter))
    }

    /// Returns where a counter is stored. Returns `None` for a span, and if key or namespace is too
    /// long to hash without SHA-256.
    #[inline(always)]
    pub(crate) fn short_location(&self, counter: &Counter<'_>) -> Option<Location> {
        self.window_location(&self.short_key(counter)?, counter.window())
    }

    /// Returns the hashes of the key and the namespace of a counter. Returns `None` if one of them
    /// is too long to hash without SHA-256.
    #[inline(always)]
    pub(crate) fn short_key(&self, counter: &Counter<'_>) -> Option<KeyHash> {
        let (key, namespace) = (counter.key().as_bytes(), counter.namespace().as_bytes());
        if key.len() > KEY_PAIRS * PAIR_BYTES || namespace.len() > NAMESPACE_PAIRS * PAIR_BYTES {
            return None;
        }
        let mut sums = Sums([0; 2]);
        let pairs = &self.pairs[HEAD_PAIRS..SPAN_PAIR];
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
        Some(self.key_hash(sums, key.len(), namespace.len()))
    }

    /// Returns the hashes of a long key or namespace.
    #[cold]
    fn long_key(&self, counter: &Counter<'_>) -> KeyHash {
        let mut sums = Sums([0; 2]);
        sums.add_text(&self.pairs[HEAD_PAIRS..SPAN_PAIR], &digest(counter.key(), counter.namespace()));
        // No counter that is hashed without SHA-256 has these lengths.
        self.key_hash(sums, 0, DIGESTED)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is mixed")]
    fn key_hash(&self, sums: Sums, key: usize, namespace: usize) -> KeyHash {
        let shard = shard(self.mix(sums.0[0] as u64));
        KeyHash { sums, shard, lengths: key as u64 | (namespace as u64) << 8 }
    }

    /// Returns where the counter of a key in a window is stored. Returns `None` for a span.
    #[inline(always)]
    pub(crate) fn window_location(&self, key: &KeyHash, window: Window) -> Option<Location> {
        let (kind, length) = match window {
            Window::Aligned { length, .. } => (0, length),
            Window::FromFirstHit { length } => (1, length),
            Window::Bucket { length } => (2, length),
            Window::Log { length } => (3, length),
            Window::Span { .. } => return None,
        };
        let fingerprint = self.finish(&self.with_head(key, kind, length.as_nanos()));
        Some(Location { shard: key.shard, fingerprint })
    }

    /// Returns where the counter of a key in a span is stored.
    #[cold]
    fn span_location(&self, key: &KeyHash, counter: &Counter<'_>) -> Location {
        let Window::Span { start, end } = counter.window() else {
            unreachable!("all other windows have a length");
        };
        let mut sums = self.with_head(key, SPAN, start.as_nanos());
        sums.add(self.pairs[SPAN_PAIR], end.as_nanos() & 0xFFFF_FFFF, end.as_nanos() >> 32);
        Location { shard: key.shard, fingerprint: self.finish(&sums) }
    }

    /// Returns the sums of a key and of the head of a counter.
    #[inline(always)]
    fn with_head(&self, key: &KeyHash, kind: u64, nanos: u64) -> Sums {
        // Both numbers are below 2^51, and the kind takes three bits.
        let x = key.lengths | kind << 16 | (nanos & 0xFFFF_FFFF) << 19;
        let mut sums = key.sums;
        sums.add(self.pairs[0], x, nanos >> 32);
        sums
    }

    /// Returns the fingerprint of a claim. A secret is for counters or for claims, not for both.
    pub(crate) fn claim_fingerprint(&self, key: &ClaimKey<'_>) -> Fingerprint {
        self.text_fingerprint(claim_kind(key.kind()), key.key(), key.namespace())
    }

    /// Returns the fingerprint of the caller of a claim. It is no fingerprint of a claim.
    pub(crate) fn caller_fingerprint(&self, key: &ClaimKey<'_>, caller: &str) -> Fingerprint {
        self.text_fingerprint(CALLER | claim_kind(key.kind()), caller, key.namespace())
    }

    fn text_fingerprint(&self, kind: u64, key: &str, namespace: &str) -> Fingerprint {
        let mut sums = Sums([0; 2]);
        let mut head = |key: usize, namespace: usize| {
            sums.add(self.pairs[0], key as u64 | (namespace as u64) << 8 | kind << 16, 0);
        };
        let (key_pairs, namespace_pairs) = self.pairs[HEAD_PAIRS..SPAN_PAIR].split_at(KEY_PAIRS);
        if key.len() > KEY_PAIRS * PAIR_BYTES || namespace.len() > NAMESPACE_PAIRS * PAIR_BYTES {
            // No text that is hashed without SHA-256 has these lengths.
            head(0, DIGESTED);
            sums.add_text(key_pairs, &digest(key, namespace));
        } else {
            head(key.len(), namespace.len());
            sums.add_any_text(key_pairs, key.as_bytes());
            sums.add_any_text(namespace_pairs, namespace.as_bytes());
        }
        self.finish(&sums)
    }

    /// Permutes the numbers of 64 bits.
    #[inline(always)]
    const fn mix(&self, number: u64) -> u64 {
        let mixed = number ^ self.mask;
        (mixed ^ (mixed >> 32)).wrapping_mul(self.factor)
    }

    #[inline(always)]
    fn finish(&self, sums: &Sums) -> Fingerprint {
        let [first, second] = sums.0.map(fold);
        let hash = self.mix(first);
        let second = (second & P) + (second >> 61);
        Fingerprint { hash: hash.max(1), tag: second & 0xFF_FFFF_FFFF }
    }
}

/// The sums of the two hashes so far.
#[derive(Clone, Copy)]
struct Sums([u128; 2]);

impl Sums {
    #[inline(always)]
    fn add(&mut self, [a, b, c, d]: [u64; 4], x: u64, y: u64) {
        self.0[0] += u128::from(x + a) * u128::from(y + b);
        self.0[1] += u128::from(x + c) * u128::from(y + d);
    }

    /// Adds the pairs of a text of any length, up to the number of random pairs.
    fn add_any_text(&mut self, pairs: &[[u64; 4]], text: &[u8]) {
        match text.len() {
            0 => {}
            1..=NUMBER_BYTES => self.add(pairs[0], short(text), 0),
            _ => self.add_text(pairs, text),
        }
    }

    /// Adds the pairs of a text of eight bytes or more, up to the number of random pairs.
    #[inline(always)]
    fn add_text(&mut self, pairs: &[[u64; 4]], text: &[u8]) {
        if text.len() <= PAIR_BYTES {
            return self.add(pairs[0], low(text), high(text));
        }
        let mut left = text;
        for pair in pairs {
            let Some((bytes, _)) = left.split_first_chunk::<{ PAIR_BYTES + 1 }>() else {
                // Up to fourteen bytes are left: the last fourteen of the text cover them.
                self.add(*pair, high(&text[..text.len() - NUMBER_BYTES]), high(text));
                break;
            };
            self.add(*pair, low(bytes), low(&bytes[NUMBER_BYTES..]));
            left = &left[PAIR_BYTES..];
        }
    }
}

/// Returns the number of a kind of claims.
const fn claim_kind(kind: ClaimKind) -> u64 {
    kind as u64
}

/// Returns the SHA-256 hash of two texts and their lengths.
fn digest(key: &str, namespace: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in [key, namespace] {
        digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(text);
    }
    digest.finalize().into()
}

/// Returns the first seven bytes of eight or more.
#[inline(always)]
fn low(text: &[u8]) -> u64 {
    text.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) & ((1 << 56) - 1))
}

/// Returns the last seven bytes of eight or more.
#[inline(always)]
fn high(text: &[u8]) -> u64 {
    text.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) >> 8)
}

/// Returns a text of up to seven bytes, read with overlapping loads.
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

/// Returns a number that is congruent modulo [`P`] to a sum below 2^124.8.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "splits 125 bits into the lower 61 and the rest")]
const fn fold(sum: u128) -> u64 {
    (sum as u64 & P) + (sum >> 61) as u64
}

#[cfg(all(test, not(shuttle)))]
mod tests;
