//! Rule 3: counters with equal namespace, key and window are one; all others are apart.

use std::time::Duration;

use super::Harness;
use super::subject::{NOW, Probe, START, Subject, each_kind};
use crate::{Backend, Counter, Hit, Key, Window, WindowLength};

pub(super) fn namespace_and_key_are_apart<H: Harness>(subject: &Subject<'_, H>) {
    let places = places(subject.namespace);
    for window in each_kind(START, WindowLength::MINUTE) {
        let counters = places.iter().map(|(namespace, key)| subject.counter_of(namespace, window, key));
        all_apart(&counters.collect::<Vec<_>>());
    }
}

pub(super) fn keys_are_told_apart_byte_by_byte<H: Harness>(subject: &Subject<'_, H>) {
    let keys = || tricky_keys().map(String::from).chain(long_keys());
    let namespaces = tricky_namespaces(subject.namespace);
    for window in each_kind(START, WindowLength::MINUTE) {
        all_apart(&keys().map(|key| subject.counter(window, key)).collect::<Vec<_>>());
        all_apart(&namespaces.each_ref().map(|namespace| subject.counter_of(namespace, window, "key")));
    }
}

pub(super) fn kinds_of_window_are_apart<H: Harness>(subject: &Subject<'_, H>) {
    // One length, one start, one key: what is left is the kind.
    all_apart(&each_kind(START, WindowLength::MINUTE).map(|window| subject.counter(window, "key")));
    all_apart(&each_kind(START, WindowLength::DAY).map(|window| subject.counter(window, "key")));
}

pub(super) fn lengths_of_window_are_apart<H: Harness>(subject: &Subject<'_, H>) {
    let nearly_a_minute = WindowLength::try_from(Duration::from_nanos(60_000_000_001));
    let lengths = [
        WindowLength::MIN,
        WindowLength::SECOND,
        WindowLength::MINUTE,
        nearly_a_minute.expect("a minute and a nanosecond are a length"),
        WindowLength::HOUR,
        WindowLength::DAY,
        WindowLength::MAX,
    ];
    // A minute, an hour and a day start together here, which only their length tells.
    all_apart(&lengths.map(|length| subject.counter(Window::aligned(START, length), "aligned")));
    all_apart(&lengths.map(|length| subject.counter(Window::FromFirstHit { length }, "opened")));
}

pub(super) fn buckets_of_different_quotas_are_apart<H: Harness>(subject: &Subject<'_, H>) {
    let quotas = [
        (100, WindowLength::MINUTE),
        (101, WindowLength::MINUTE),
        (10, WindowLength::MINUTE),
        (1, WindowLength::MINUTE),
        // The same rate is not the same quota: it differs in its unit.
        (6_000, WindowLength::HOUR),
        (100, WindowLength::HOUR),
        (100, WindowLength::SECOND),
        (u64::MAX >> 8, WindowLength::MINUTE),
    ];
    all_apart(&quotas.map(|(limit, length)| subject.counter(Window::Bucket { limit, length }, "bucket")));
}

pub(super) fn equal_counters_are_one<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 3: counters with equal namespace, key and window are one, whoever asks";
    for counter in subject.each_kind("shared", NOW) {
        let first = counter.first_hit(2, 5, NOW);
        let same = counter.with_window(counter.window);
        // The limit is no part of the identity: each hit is held against its own.
        same.expect(&same.hit(1, 2, NOW), &same.then(&first, false, 0), rule);
        same.expect(&same.hit(4, 6, NOW), &same.then(&first, true, 4), rule);
        counter.expect(&counter.get(NOW), &counter.then(&first, false, 4), rule);
    }

    let composed = Key::new().tenant("4").user("2").ip([192, 0, 2, 1]);
    let plain = Key::from(composed.as_str());
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let [composed, plain] = [&composed, &plain].map(|key| {
        let counter = Counter::new(subject.namespace, key, window).expect("both keys are valid");
        subject.block_on(subject.backend.increment(&counter, &Hit::new(1, 5), NOW))
    });
    let values = [composed, plain].map(|answer| answer.map(|tally| tally.value));
    assert!(
        matches!(values, [Ok(1), Ok(2)]),
        "rule 3: a composed key and the plain string that it renders are one key, whatever is stored beside it\n  \
         expected the values 1 and 2\n  but saw  {values:?}"
    );
}

/// Counts in each of these a cost of its own, a power of two, so that the sum in each tells which of them it holds.
#[track_caller]
fn all_apart<H: Harness>(counters: &[Probe<'_, H>]) {
    for (position, counter) in counters.iter().enumerate() {
        counter.hit(1 << position, 1 << counters.len(), START);
    }
    for (position, counter) in counters.iter().enumerate() {
        let value = counter.get(START).value;
        let tokens = value.saturating_sub(counter.floor(START)) / counter.unit();
        let strangers = counters
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != position && tokens >> other & 1 == 1)
            .map(|(_, other)| format!("\n    {other}"));
        assert!(
            tokens == 1 << position,
            "rule 3: different counters count apart\n  expected the value {}\n  but saw  {value}\n  of {counter}\n  \
             which also counted the hits of: {}",
            counter.floor(START) + (counter.unit() << position),
            strangers.collect::<String>()
        );
    }
}

/// Namespaces and keys that are one string when they are joined, and yet are apart; no other check has them.
pub(super) fn places(own: &str) -> Vec<(String, String)> {
    let mut places = vec![
        (String::from(own), String::from("abc")),
        (format!("{own}a"), String::from("bc")),
        (format!("{own}ab"), String::from("c")),
        (format!("{own}abc"), String::from("abc")),
        (String::new(), format!("{own}abc")),
    ];
    // Whatever a backend joins or escapes them with, it has to tell where one ends and the other begins.
    for separator in [":", "#", "/", ".", "|", "\0", "%", "\\", "%3A"] {
        places.push((format!("{own}a"), format!("b{separator}c")));
        places.push((format!("{own}a{separator}b"), String::from("c")));
        places.push((format!("{own}a{separator}"), String::from("b")));
        places.push((format!("{own}a"), format!("{separator}b")));
        places.push((String::new(), format!("{own}a{separator}b")));
    }
    places
}

/// Keys that a store may take for one another.
pub(super) fn tricky_keys() -> impl Iterator<Item = &'static str> {
    [
        "key",
        "Key",
        "KEY",
        "key ",
        " key",
        "key\t",
        "key\n",
        "key\0",
        "\u{feff}key",
        // Composed and decomposed, ligature, dotless, full width: equal only to those who normalize.
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{fb01}",
        "fi",
        "\u{131}",
        "i",
        "I",
        "\u{130}",
        "\u{ff4b}ey",
        "\u{212a}",
        "k",
        "stra\u{df}e",
        "strasse",
        "0",
        "00",
        "0.0",
        "-0",
        "1e3",
        "1000",
        "null",
        "%00",
        "*",
        "?",
        "[a]",
        "'",
        "\"",
        "💥",
    ]
    .into_iter()
}

/// The longest keys, which differ in their last byte, or in whether they have it.
pub(super) fn long_keys() -> impl Iterator<Item = String> {
    let long = "x".repeat(Key::MAX_LEN - 1);
    ["a", "b", "A", ""].into_iter().map(move |last| format!("{long}{last}"))
}

/// Namespaces that differ in case, at their end, or at the end of many bytes.
pub(super) fn tricky_namespaces(own: &str) -> [String; 6] {
    let long = "long".repeat(512);
    ["/", "/x", "/X", "/x ", &format!("{long}a"), &format!("{long}b")]
        .map(|namespace| format!("{own}{namespace}"))
}
