//! Rule 3: counters with equal namespace, key and window are the same counter; all others are
//! distinct.

use std::time::Duration;

use super::Harness;
use super::kinds::each_kind;
use super::probe::CounterProbe;
use super::subject::Subject;
use super::times::{NOW, START};
use crate::{Backend, Counter, Hit, Key, Window, WindowLength};

pub(super) fn namespace_and_key_are_separate<H: Harness>(subject: &Subject<'_, H>) {
    let names = namespaces_and_keys(subject.namespace);
    for window in each_kind(START, WindowLength::MINUTE) {
        let counters = names.iter().map(|(namespace, key)| subject.counter_in(namespace, window, key));
        assert_distinct(&counters.collect::<Vec<_>>());
    }
}

pub(super) fn keys_and_namespaces_are_compared_byte_by_byte<H: Harness>(subject: &Subject<'_, H>) {
    let keys = || tricky_keys().map(String::from).chain(long_keys());
    let namespaces = tricky_namespaces(subject.namespace);
    for window in each_kind(START, WindowLength::MINUTE) {
        assert_distinct(&keys().map(|key| subject.counter(window, key)).collect::<Vec<_>>());
        assert_distinct(&namespaces.each_ref().map(|namespace| subject.counter_in(namespace, window, "key")));
    }
}

pub(super) fn kinds_of_window_are_distinct<H: Harness>(subject: &Subject<'_, H>) {
    // Length, start and key are equal; only the kind differs.
    assert_distinct(&each_kind(START, WindowLength::MINUTE).map(|window| subject.counter(window, "key")));
    assert_distinct(&each_kind(START, WindowLength::DAY).map(|window| subject.counter(window, "key")));
}

pub(super) fn lengths_of_window_are_distinct<H: Harness>(subject: &Subject<'_, H>) {
    let nearly_a_minute = WindowLength::try_from(Duration::from_nanos(60_000_000_001));
    let lengths = [
        WindowLength::MIN,
        WindowLength::SECOND,
        WindowLength::MINUTE,
        nearly_a_minute.expect("a minute and a nanosecond are a valid length"),
        WindowLength::HOUR,
        WindowLength::DAY,
        WindowLength::MAX,
    ];
    // A minute, an hour and a day start together here; only their lengths differ.
    assert_distinct(&lengths.map(|length| subject.counter(Window::aligned(START, length), "aligned")));
    assert_distinct(
        &lengths.map(|length| subject.counter(Window::FromFirstHit { length }, "from first hit")),
    );
    assert_distinct(&lengths.map(|length| subject.counter(Window::Bucket { length }, "bucket")));
}

pub(super) fn equal_counters_are_the_same_counter<H: Harness>(subject: &Subject<'_, H>) {
    let rule = "rule 3: counters with equal namespace, key and window are the same counter, for every caller";
    for counter in subject.each_kind("shared", NOW) {
        let first = counter.first_hit(2, 5, NOW);
        let same = counter.with_window(counter.window);
        // The limit is no part of the identity: each hit is held against its own.
        same.expect(&same.hit(1, 2, NOW), &same.uncounted(&first, 0), rule);
        same.expect(&same.hit(4, 6, NOW), &same.counted(&first, 4), rule);
        counter.expect(&counter.get(NOW), &counter.uncounted(&first, 4), rule);
    }

    let composed = Key::new().tenant("4").user("2").ip([192, 0, 2, 1]);
    let plain = Key::from(composed.as_str());
    let window = Window::aligned(NOW, WindowLength::MINUTE);
    let [composed, plain] = [&composed, &plain].map(|key| {
        let counter = Counter::new(subject.namespace, key, window).expect("both keys are valid");
        subject.block_on(subject.backend.increment(&counter, &Hit::new(1, 5), NOW))
    });
    let values = [composed, plain].map(|result| result.map(|state| state.value));
    assert!(
        matches!(values, [Ok(1), Ok(2)]),
        "rule 3: a composed key and the plain string that it renders are the same key\n  \
         expected the values 1 and 2\n  but saw  {values:?}"
    );
}

/// Counts another power of two on each counter, so that the value of each shows which hits it
/// counted.
#[track_caller]
fn assert_distinct<H: Harness>(counters: &[CounterProbe<'_, H>]) {
    for (position, counter) in counters.iter().enumerate() {
        counter.hit(1 << position, 1 << counters.len(), START);
    }
    for (position, counter) in counters.iter().enumerate() {
        let value = counter.get(START).value;
        let tokens = value.saturating_sub(counter.floor(START)) / counter.unit();
        let others = counters
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != position && tokens >> other & 1 == 1)
            .map(|(_, other)| format!("\n    {other}"));
        assert!(
            tokens == 1 << position,
            "rule 3: different counters count separately\n  expected the value {}\n  but saw  {value}\n  of {counter}\n  \
             which also counted the hits of: {}",
            counter.floor(START) + (counter.unit() << position),
            others.collect::<String>()
        );
    }
}

/// Returns distinct pairs of namespace and key that are equal strings if they are joined. No other
/// check uses them.
pub(super) fn namespaces_and_keys(own: &str) -> Vec<(String, String)> {
    let mut names = vec![
        (String::from(own), String::from("abc")),
        (format!("{own}a"), String::from("bc")),
        (format!("{own}ab"), String::from("c")),
        (format!("{own}abc"), String::from("abc")),
        (String::new(), format!("{own}abc")),
    ];
    // Whatever separator or escape a backend uses, it has to keep the end of one from the start of
    // the other.
    for separator in [":", "#", "/", ".", "|", "\0", "%", "\\", "%3A"] {
        names.push((format!("{own}a"), format!("b{separator}c")));
        names.push((format!("{own}a{separator}b"), String::from("c")));
        names.push((format!("{own}a{separator}"), String::from("b")));
        names.push((format!("{own}a"), format!("{separator}b")));
        names.push((String::new(), format!("{own}a{separator}b")));
    }
    names
}

/// Returns distinct keys that a store may wrongly treat as equal.
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
        // Composed and decomposed, ligature, dotless, full width: equal only after normalization.
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

/// Returns the longest keys, which differ in their last byte or its absence.
pub(super) fn long_keys() -> impl Iterator<Item = String> {
    let long = "x".repeat(Key::MAX_LEN - 1);
    ["a", "b", "A", ""].into_iter().map(move |last| format!("{long}{last}"))
}

/// Returns namespaces that differ in case, at their end, or at the end of many bytes.
pub(super) fn tricky_namespaces(own: &str) -> [String; 6] {
    let long = "long".repeat(512);
    ["/", "/x", "/X", "/x ", &format!("{long}a"), &format!("{long}b")]
        .map(|namespace| format!("{own}{namespace}"))
}
