use std::collections::{BTreeSet, HashMap};

use limited_core::{Key, Timestamp, WindowLength};
use proptest::prelude::*;

use super::*;

/// Computes both hashes as the module documentation defines them, with divisions and byte for byte.
fn reference_hashes(secret: &Secret, key: &[u8], namespace: &[u8], window: Window) -> [u128; 2] {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number * 256 + u128::from(*byte));
    let pairs = |text: &[u8]| -> Vec<(u128, u128)> {
        let pair = |bytes: &[u8]| (number(&bytes[..7]), number(&bytes[7..]));
        match text.len() {
            0 => vec![],
            1..=7 => vec![(number(text), 0)],
            8..=14 => vec![(number(&text[..7]), number(&text[text.len() - 7..]))],
            length => {
                let mut pairs: Vec<_> = text.chunks_exact(14).map(pair).collect();
                if length % 14 > 0 {
                    pairs.push(pair(&text[length - 14..]));
                }
                pairs
            }
        }
    };
    let kind = match window {
        Window::Aligned { .. } => 0,
        Window::FromFirstHit { .. } => 1,
        Window::Bucket { .. } => 2,
        Window::Log { .. } => 3,
        Window::Span { .. } => 4,
    };
    let (time, end) = match window {
        Window::Span { start, end } => (start.as_nanos(), Some(u128::from(end.as_nanos()))),
        window => (window.length().as_nanos(), None),
    };
    let split = |time: u128| (time % (1 << 32), time >> 32);
    let (low, high) = split(time.into());
    let texts = (key.len() as u128) + ((namespace.len() as u128) << 8);
    let head = (texts + (kind << 16) + (low << 19), high);
    [0, 1].map(|hash| {
        let p = u128::from(P);
        let product = |(pair, (x, y)): (&[u64; 4], (u128, u128))| {
            (x + u128::from(pair[2 * hash])) * (y + u128::from(pair[2 * hash + 1])) % p
        };
        let head = product((&secret.pairs[0], head));
        let keys: u128 = secret.pairs[HEAD_PAIRS..].iter().zip(pairs(key)).map(product).sum();
        let namespaces: u128 =
            secret.pairs[HEAD_PAIRS + KEY_PAIRS..].iter().zip(pairs(namespace)).map(product).sum();
        let end = end.map_or(0, |end| product((&secret.pairs[SPAN_PAIR], split(end))));
        (head + keys + namespaces + end) % p
    })
}

fn secret(seed: u64) -> Secret {
    let mut state = seed;
    Secret::new(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    })
}

/// Returns windows of every kind.
fn windows(length: WindowLength) -> [Window; 6] {
    let span = |start| Window::Span { start, end: start.saturating_add(length.as_duration()) };
    [
        Window::aligned(Timestamp::EPOCH, length),
        Window::FromFirstHit { length },
        Window::Bucket { length },
        Window::Log { length },
        span(Timestamp::EPOCH),
        span(Timestamp::from_nanos(u64::MAX - length.as_nanos())),
    ]
}

fn fingerprint(secret: &Secret, namespace: &str, key: &str, window: Window) -> Fingerprint {
    secret.location(&Counter::new(namespace, &Key::from(key), window).unwrap()).fingerprint
}

/// Returns the fingerprint in a window of a minute.
fn minute_fingerprint(secret: &Secret, namespace: &str, key: &str) -> Fingerprint {
    fingerprint(secret, namespace, key, Window::FromFirstHit { length: WindowLength::MINUTE })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn fingerprint_agrees_with_the_documented_construction(
        seed: u64, key in "[a-z:é]{1,70}", namespace in "[a-zé]{0,24}", kind in 0..6_usize,
        length in WindowLength::MIN.as_nanos()..=WindowLength::MAX.as_nanos(),
    ) {
        let secret = secret(seed);
        let window = windows(WindowLength::try_from(std::time::Duration::from_nanos(length)).unwrap())[kind];
        let [first, second] = reference_hashes(&secret, key.as_bytes(), namespace.as_bytes(), window);
        let fingerprint = fingerprint(&secret, &namespace, &key, window);
        // Invert the permutation with the inverse of its factor.
        let inverse = (0..6).fold(secret.factor, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(secret.factor.wrapping_mul(inverse)))
        });
        let mixed = fingerprint.hash.wrapping_mul(inverse);
        let mixed = mixed ^ (mixed >> 32);
        prop_assert_eq!(u128::from((mixed ^ secret.mask) % P), first);
        let tag = |multiple: u128| (second + multiple * u128::from(P)) & 0xFF_FFFF_FFFF;
        prop_assert!((0..2).map(tag).any(|tag| tag == u128::from(fingerprint.tag)));
    }

    #[test]
    fn one_different_byte_changes_the_fingerprint(
        seed: u64, length in 1..400_usize, at in 0..400_usize, namespaced: bool,
    ) {
        let (secret, mut other) = (secret(seed), vec![b'a'; length]);
        other[at % length] = b'b';
        let [one, other] = ["a".repeat(length), String::from_utf8(other).unwrap()];
        if namespaced {
            prop_assert_ne!(minute_fingerprint(&secret, &one, "a"), minute_fingerprint(&secret, &other, "a"));
        } else {
            prop_assert_ne!(minute_fingerprint(&secret, "", &one), minute_fingerprint(&secret, "", &other));
        }
    }
}

#[test]
fn similar_counters_have_different_fingerprints() {
    let secret = Secret::new(crate::random::numbers());
    let mut seen = HashMap::new();
    let mut texts: BTreeSet<String> = (0..400).map(|length| "a".repeat(length)).collect();
    for bits in 0..1 << 10 {
        for length in [0, 1, 3, 5, 10] {
            texts.insert((0..length).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { 'b' }).collect());
        }
    }
    texts.extend((0..40).map(|at| format!("{}b", "a".repeat(at))));
    for key in texts.iter().filter(|text| !text.is_empty()) {
        for namespace in texts.iter().filter(|text| text.len() < 4 || text.len() > 50).take(20) {
            for window in
                [WindowLength::MINUTE, WindowLength::HOUR].map(|length| Window::FromFirstHit { length })
            {
                let fingerprint = fingerprint(&secret, namespace, key, window);
                let other = seen.insert((fingerprint.hash, fingerprint.tag), (namespace, key, window));
                assert_eq!(other, None);
            }
        }
    }
    assert!(seen.len() > 50_000, "{}", seen.len());
}

#[test]
fn window_kind_length_and_limit_change_the_fingerprint() {
    let secret = secret(1);
    let mut seen = BTreeSet::new();
    for millis in 1..=300 {
        let length = WindowLength::try_from(std::time::Duration::from_millis(millis)).unwrap();
        for window in windows(length) {
            // The second key goes through SHA-256.
            for key in ["a".to_owned(), "a".repeat(300)] {
                let fingerprint = fingerprint(&secret, "", &key, window);
                assert!(seen.insert((fingerprint.hash, fingerprint.tag)), "{window:?}");
            }
        }
    }
}

#[test]
fn start_and_end_of_a_span_change_the_fingerprint() {
    let secret = secret(1);
    let mut seen = BTreeSet::new();
    let times = (0..64).map(|bit| 1_u64 << bit).chain([0]).map(Timestamp::from_nanos);
    let times: Vec<_> = times.collect();
    for (start, end) in times.iter().flat_map(|start| times.iter().map(|end| (*start, *end))) {
        for key in ["a".to_owned(), "a".repeat(300)] {
            let fingerprint = fingerprint(&secret, "", &key, Window::Span { start, end });
            assert!(seen.insert((fingerprint.hash, fingerprint.tag)), "{start:?} {end:?}");
        }
    }
}

#[test]
fn sums_do_not_overflow() {
    let secret = Secret::new(|| u64::MAX);
    let (key, namespace) =
        ("\u{7f}".repeat(KEY_PAIRS * PAIR_BYTES), "\u{7f}".repeat(NAMESPACE_PAIRS * PAIR_BYTES));
    for window in windows(WindowLength::MAX) {
        let sums = reference_hashes(&secret, key.as_bytes(), namespace.as_bytes(), window);
        let fingerprint = fingerprint(&secret, &namespace, &key, window);
        let tag = |multiple: u128| (sums[1] + multiple * u128::from(P)) & 0xFF_FFFF_FFFF;
        assert!((0..2).map(tag).any(|tag| tag == u128::from(fingerprint.tag)), "{window:?}");
    }
    // The largest possible numbers, although no text consists of bytes above 127 alone.
    let mut sums = Sums([0; 2]);
    sums.add(secret.pairs[0], (1 << 51) - 1, (1 << 60) - 1);
    for pair in &secret.pairs[1..] {
        sums.add(*pair, (1 << 56) - 1, (1 << 56) - 1);
    }
    assert_eq!(u128::from(fold(sums.0[0])) % u128::from(P), sums.0[0] % u128::from(P));
}

#[test]
fn each_store_has_its_own_fingerprints() {
    let [one, other] = [0, 1].map(|_| Secret::new(crate::random::numbers()));
    assert_ne!(minute_fingerprint(&one, "a", "b"), minute_fingerprint(&other, "a", "b"));
}

#[test]
fn claims_differ_by_kind_namespace_key_and_caller() {
    let secret = secret(3);
    // Lengths on both sides of every bound, and texts that are equal if concatenated.
    let lengths = [1, 6, 7, 8, 13, 14, 15, 28, 29, 56, 57, 223, 224, 225, 1024];
    let texts: Vec<_> = lengths.into_iter().map(|length| "a".repeat(length)).collect();
    let mut seen = HashMap::new();
    for namespace in texts.iter().map(String::as_str).chain(["", "b", "payments"]) {
        for text in texts.iter().map(String::as_str).chain(["b", "ab", "payments"]) {
            let key = Key::from(text);
            for kind in ClaimKind::ALL {
                let claim = ClaimKey::new(namespace, kind, &key).unwrap();
                for (what, fingerprint) in [
                    ("claim", secret.claim_fingerprint(&claim)),
                    ("caller", secret.caller_fingerprint(&claim, text)),
                ] {
                    let identity = format!("{what} {kind:?} {namespace:?} {text:?}");
                    let other = seen.insert((fingerprint.hash, fingerprint.tag), identity);
                    assert_eq!(other, None, "{what} {kind:?} {namespace:?} {text:?}");
                }
            }
        }
    }
}

#[test]
fn claims_are_hashed_with_the_secret_of_their_store() {
    let key = Key::from("8e03978e-40d5-43dd-bc93-6894a57f9324");
    let claim = ClaimKey::new("payments", ClaimKind::Idempotency, &key).unwrap();
    let hashes: BTreeSet<_> = (0..100).map(|seed| secret(seed).claim_fingerprint(&claim).hash).collect();
    assert_eq!(hashes.len(), 100);
    // No shard and no place of an index is more likely than another.
    let shards: BTreeSet<_> = hashes.iter().map(|hash| hash % 16).collect();
    let places: BTreeSet<_> = hashes.iter().map(|hash| hash >> 60).collect();
    assert_eq!((shards.len(), places.len()), (16, 16));
}
