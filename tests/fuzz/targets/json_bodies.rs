//! Bodies that are compared as canonical JSON.

use std::collections::BTreeMap;

use http::HeaderValue;
use limited::http::BodyComparison;
use proptest::prelude::*;
use serde_json::Value;

use super::fuzz;
use crate::client::Payments;
use crate::inputs;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"a\"",
    "\"b\":",
    "\"",
    "\\",
    "\\u0061",
    "\\ud83d",
    "\\ude00",
    "null",
    "true",
    "0",
    "-0",
    "1",
    "1.0",
    "10e-1",
    "1e400",
    "1e99999999999999999999",
    ".",
    "e",
    " ",
    "\n",
];

/// A JSON value whose numbers are integers.
#[derive(Clone, Debug, PartialEq)]
enum Json {
    Literal(&'static str),
    Integer(i128),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        prop::sample::select(&["null", "true", "false"]).prop_map(Json::Literal),
        (any::<i128>(), 0..128_u32).prop_map(|(number, shift)| Json::Integer(number >> shift)),
        any::<String>().prop_map(Json::Text),
        "[\"\\\\/\u{8}\n\u{7f}é€😀]{0,4}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map("[a-c\u{e000}😀]{0,2}", inner, 0..4).prop_map(Json::Object),
        ]
    })
}

/// Makes the choices that JSON leaves to its writer.
struct Writer<'a> {
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    out: String,
}

impl Writer<'_> {
    fn choose(&mut self, count: u8) -> u8 {
        self.choices.next().unwrap() % count
    }

    fn space(&mut self) {
        let space = [" ", "\n\t", "", "\r"][usize::from(self.choose(4))];
        self.out.push_str(space);
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            if self.choose(3) == 0 || matches!(c, '"' | '\\' | '\0'..' ') {
                let units = c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect::<String>();
                self.out.push_str(&units);
            } else {
                self.out.push(c);
            }
        }
        self.out.push('"');
    }

    fn value(&mut self, value: &Json) {
        self.space();
        match value {
            Json::Literal(literal) => self.out.push_str(literal),
            Json::Integer(number) => {
                let suffix = ["", ".0", "e0", "0e-1", ".000E+0"][usize::from(self.choose(5))];
                // A zero has no other digits before its point.
                let suffix = if *number == 0 && suffix == "0e-1" { "" } else { suffix };
                self.out.push_str(&format!("{number}{suffix}"));
            }
            Json::Text(text) => self.text(text),
            Json::Array(values) => self.nested('[', ']', values, Self::value),
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if !members.is_empty() {
                    let rotation = usize::from(self.choose(4)) % members.len();
                    members.rotate_left(rotation);
                }
                self.nested('{', '}', &members, |writer, (name, value)| {
                    writer.space();
                    writer.text(name);
                    writer.space();
                    writer.out.push(':');
                    writer.value(value);
                });
            }
        }
        self.space();
    }

    fn nested<T>(&mut self, open: char, close: char, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.out.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write(self, item);
        }
        if items.is_empty() {
            self.space();
        }
        self.out.push(close);
    }
}

fn written(value: &Json, choices: &[u8]) -> Vec<u8> {
    let mut writer = Writer { choices: choices.iter().cycle(), out: String::new() };
    writer.value(value);
    writer.out.into_bytes()
}

/// Changes the last leaf of a value.
fn changed(value: &Json) -> Json {
    match value {
        Json::Literal("null") => Json::Literal("true"),
        Json::Literal(_) => Json::Literal("null"),
        Json::Integer(number) => Json::Integer(number.wrapping_add(1)),
        Json::Text(text) => Json::Text(format!("{text}0")),
        Json::Array(values) => match values.split_last() {
            Some((last, others)) => Json::Array(others.iter().cloned().chain([changed(last)]).collect()),
            None => Json::Object(BTreeMap::new()),
        },
        Json::Object(members) => {
            let mut members = members.clone();
            match members.last_entry() {
                Some(mut last) => *last.get_mut() = changed(last.get()),
                None => return Json::Array(Vec::new()),
            }
            Json::Object(members)
        }
    }
}

#[test]
fn equal_values_are_one_request_and_different_ones_are_two() {
    let choices = || prop::collection::vec(any::<u8>(), 1..40);
    let case = (any_json(), any_json(), choices(), choices());
    fuzz(&case, |(value, other, one_way, another_way)| {
        let payments = Payments::new(|layer| layer.compare_body(BodyComparison::CanonicalJson));
        let first = written(&value, &one_way);
        assert_eq!(payments.post(&JSON, first.clone()).status, 201);
        let again = written(&value, &another_way);
        let shown =
            || (String::from_utf8_lossy(&first).into_owned(), String::from_utf8_lossy(&again).into_owned());
        assert!(payments.post(&JSON, again.clone()).is_replayed(), "{:?}", shown());
        let response = payments.post(&JSON, written(&changed(&value), &one_way));
        assert_eq!(response.reason().as_deref(), Some("idempotency-key-reused"), "{:?}", shown());
        assert_eq!(
            payments.post(&JSON, written(&other, &one_way)).is_replayed(),
            other == value,
            "{other:?}"
        );
    });
}

/// Returns whether two values are equal, with numbers rounded to floats.
fn are_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| are_equal(value, other)))
        }
        _ => one == other,
    }
}

#[test]
fn different_texts_are_one_request_only_if_they_are_equal_json() {
    fuzz(&(inputs::text(WORDS), inputs::text(WORDS), inputs::text(WORDS)), |(before, middle, after)| {
        let one = format!("{before}{middle}{after}");
        let payments = Payments::new(|layer| layer.compare_body(BodyComparison::CanonicalJson));
        assert_eq!(payments.post(&JSON, one.clone().into()).status, 201);
        assert!(payments.post(&JSON, one.clone().into()).is_replayed(), "{one}");
        for other in [format!("{before}{after}"), format!(" {one}"), one.replace("1.0", "1")] {
            if other != one && payments.post(&JSON, other.clone().into()).is_replayed() {
                // A number beyond the range of a float is JSON that `Value` cannot hold.
                let values = [&one, &other].map(|text| serde_json::from_str::<Value>(text).ok());
                if let [Some(one), Some(other)] = &values {
                    assert!(are_equal(one, other), "{one} {other}");
                }
                assert_eq!(values[0].is_some(), values[1].is_some(), "{one:?} {other:?}");
            }
        }
    });
}
