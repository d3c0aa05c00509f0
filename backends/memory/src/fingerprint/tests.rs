use std::collections::{BTreeSet, HashMap};

use limited_core::{Key, Timestamp, Window, WindowLength};
use proptest::prelude::*;

use super::*;
use crate::families::Families;

/// The construction as it is written down, by division, and byte for byte.
fn by_the_book(secret: &Secret, key: &[u8], namespace: &[u8], family: Family) -> [u128; 2] {
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
    let z = u128::from(family) + ((key.len() as u128) << 8) + ((namespace.len() as u128) << 24);
    [0, 1].map(|hash| {
        let [c, d] = secret.ends[hash].map(u128::from);
        let p = u128::from(P);
        let product = |(pair, (x, y)): (&[u64; 4], (u128, u128))| {
            (x + u128::from(pair[2 * hash])) * (y + u128::from(pair[2 * hash + 1])) % p
        };
        let keys: u128 = secret.pairs.iter().zip(pairs(key)).map(product).sum();
        let namespaces: u128 = secret.pairs[KEYS..].iter().zip(pairs(namespace)).map(product).sum();
        (c + d * z % p + keys + namespaces) % p
    })
}

fn secret(seed: u64) -> Secret {
    let mut state = seed;
    Secret::new(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state ^ (state >> 29)
    })
}

fn window() -> Window {
    Window::Opened { length: WindowLength::MINUTE }
}

fn print(secret: &Secret, namespace: &str, key: &str, family: Family) -> Fingerprint {
    secret.fingerprint(&Counter::new(namespace, &Key::from(key), window()).unwrap(), family)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_fingerprint_is_what_the_construction_says(
        seed: u64, key in "[a-z:é]{1,70}", namespace in "[a-zé]{0,24}", family in 1..UNLISTED,
    ) {
        let secret = secret(seed);
        let [first, second] = by_the_book(&secret, key.as_bytes(), namespace.as_bytes(), family);
        let print = print(&secret, &namespace, &key, family);
        // The permutation, undone: the product with the inverse of its factor.
        let inverse = (0..6).fold(secret.factor, |inverse, _| {
            inverse.wrapping_mul(2_u64.wrapping_sub(secret.factor.wrapping_mul(inverse)))
        });
        let mixed = print.place.wrapping_mul(inverse);
        let mixed = mixed ^ (mixed >> 32);
        prop_assert_eq!(u128::from((mixed ^ secret.mask) % P), first);
        let check = |multiple: u128| (second + multiple * u128::from(P)) & 0xFF_FFFF_FFFF;
        prop_assert!((0..2).map(check).any(|check| check == u128::from(print.check)));
    }

    #[test]
    fn a_byte_that_differs_anywhere_makes_another_fingerprint(
        seed: u64, length in 1..400_usize, at in 0..400_usize, namespaced: bool,
    ) {
        let (secret, mut other) = (secret(seed), vec![b'a'; length]);
        other[at % length] = b'b';
        let [one, other] = ["a".repeat(length), String::from_utf8(other).unwrap()];
        if namespaced {
            prop_assert_ne!(print(&secret, &one, "a", 1), print(&secret, &other, "a", 1));
        } else {
            prop_assert_ne!(print(&secret, "", &one, 1), print(&secret, "", &other, 1));
        }
    }
}

#[test]
fn no_two_of_many_similar_counters_have_a_fingerprint_in_common() {
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
            for family in [1, 2, 254] {
                let print = print(&secret, namespace, key, family);
                let other = seen.insert((print.place, print.check), (namespace, key, family));
                assert_eq!(other, None);
            }
        }
    }
    assert!(seen.len() > 80_000, "{}", seen.len());
}

#[test]
fn kinds_without_a_number_are_told_apart() {
    let (secret, families) = (secret(1), Families::new());
    let mut seen = BTreeSet::new();
    let mut unlisted = 0;
    for millis in 1..=300 {
        let length = WindowLength::try_from(std::time::Duration::from_millis(millis)).unwrap();
        let windows = [
            Window::aligned(Timestamp::EPOCH, length),
            Window::Opened { length },
            Window::Bucket { limit: 0, length },
            Window::Bucket { limit: 1 << 32, length },
        ];
        for window in windows {
            let family = families.number(window.into());
            unlisted += usize::from(family == UNLISTED);
            let key = Key::from("a");
            let counter = Counter::new("", &key, window).unwrap();
            let print = secret.fingerprint(&counter, family);
            assert!(seen.insert((print.place, print.check)));
        }
    }
    assert!(unlisted > 500);
}

#[test]
fn another_store_has_other_fingerprints() {
    let [one, other] = [0, 1].map(|_| Secret::new(crate::random::numbers()));
    assert_ne!(print(&one, "a", "b", 1), print(&other, "a", "b", 1));
}
