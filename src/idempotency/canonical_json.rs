//! Canonical JSON: one text for each value, with exact numbers.

use std::borrow::Cow;
use std::ops::Range;

/// Rewrites JSON so that equal values have equal texts, and different values different ones.
/// Returns `None` if it is not JSON, if it is nested deeper than `max_depth`, or if the exponent of
/// a number exceeds 64 bits.
///
/// For numbers that a 64-bit float represents, this is RFC 8785. That standard rounds all others,
/// so that two account numbers could become equal. Here each number keeps all of its digits. A
/// string is never equal to a number.
pub(crate) fn canonical_json(json: &str, max_depth: usize) -> Option<String> {
    let mut parser = Parser { rest: json, depth_left: max_depth, out: String::with_capacity(json.len()) };
    parser.value()?;
    parser.rest.trim_start_matches(is_space).is_empty().then_some(parser.out)
}

/// Parses one text, and writes its canonical form meanwhile.
struct Parser<'a> {
    rest: &'a str,
    depth_left: usize,
    out: String,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Option<()> {
        self.skip_space();
        match self.rest.bytes().next()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.literal(),
        }
    }

    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.depth_left = self.depth_left.checked_sub(1)?;
        parse(self)?;
        self.depth_left += 1;
        Some(())
    }

    fn object(&mut self) -> Option<()> {
        let start = self.out.len();
        let mut members: Vec<(Cow<'a, str>, Range<usize>)> = Vec::new();
        self.items(b'{', b'}', |parser| {
            parser.skip_space();
            let from = parser.out.len();
            let name = parser.string()?;
            parser.skip_space();
            parser.eat(b':')?;
            parser.out.push(':');
            parser.value()?;
            members.push((name, from - start..parser.out.len() - start));
            Some(())
        })?;
        // RFC 8785 sorts by UTF-16 code units.
        let is_before =
            |a: &(Cow<'_, str>, _), b: &(Cow<'_, str>, _)| a.0.encode_utf16().le(b.0.encode_utf16());
        if !members.is_sorted_by(is_before) {
            members.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            let unsorted = self.out.split_off(start);
            let mut separator = '{';
            for (_, range) in members {
                self.out.push(separator);
                self.out.push_str(&unsorted[range]);
                separator = ',';
            }
            self.out.push('}');
        }
        Some(())
    }

    fn array(&mut self) -> Option<()> {
        self.items(b'[', b']', Self::value)
    }

    /// Parses items that are separated by commas.
    fn items(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(open)?;
        self.out.push(char::from(open));
        self.skip_space();
        let mut is_first = true;
        while self.eat(close).is_none() {
            if !is_first {
                self.eat(b',')?;
                self.out.push(',');
            }
            is_first = false;
            item(self)?;
            self.skip_space();
        }
        self.out.push(char::from(close));
        Some(())
    }

    /// Writes a string, and returns its text.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let mut is_escaped = false;
        let mut has_escapes = false;
        let end = self.rest.bytes().enumerate().skip(1).find_map(|(index, byte)| match byte {
            b'"' if !is_escaped => Some(Some(index + 1)),
            0..0x20 => Some(None),
            _ => {
                is_escaped = byte == b'\\' && !is_escaped;
                has_escapes |= is_escaped;
                None
            }
        })??;
        if !self.rest.starts_with('"') {
            return None;
        }
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !has_escapes {
            // No other text stands for this string.
            self.out.push_str(token);
            return Some(Cow::Borrowed(&token[1..end - 1]));
        }
        let text: String = serde_json::from_str(token).ok()?;
        self.out.push_str(&serde_json::to_string(&text).ok()?);
        Some(Cow::Owned(text))
    }

    fn number(&mut self) -> Option<()> {
        let is_negative = self.eat(b'-').is_some();
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let fraction = if self.eat(b'.').is_some() { self.digits()? } else { "" };
        let mut exponent = 0;
        if self.eat(b'e').or_else(|| self.eat(b'E')).is_some() {
            let sign = if self.eat(b'-').is_some() { -1 } else { 1 };
            if sign > 0 {
                let _ = self.eat(b'+');
            }
            exponent = sign * self.digits()?.parse::<i64>().ok()?;
        }
        write_number(&mut self.out, is_negative, whole, fraction, exponent)
    }

    fn literal(&mut self) -> Option<()> {
        let literal = ["null", "true", "false"].into_iter().find(|literal| self.rest.starts_with(literal))?;
        self.rest = &self.rest[literal.len()..];
        self.out.push_str(literal);
        Some(())
    }

    /// Takes one digit or more.
    fn digits(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(char::from(byte))?;
        Some(())
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches(is_space);
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Writes a decimal number as ECMAScript writes it (`Number::toString`, which RFC 8785 prescribes),
/// with all digits.
fn write_number(
    out: &mut String,
    is_negative: bool,
    whole: &str,
    fraction: &str,
    exponent: i64,
) -> Option<()> {
    let all = [whole, fraction].concat();
    let from_first = all.trim_start_matches('0');
    let digits = from_first.trim_end_matches('0');
    if digits.is_empty() {
        // Also for -0, as in RFC 8785.
        out.push('0');
        return Some(());
    }
    let length = |text: &str| i64::try_from(text.len()).ok();
    // The value is 0.digits · 10^point.
    let leading_zeros = length(&all)? - length(from_first)?;
    let point = exponent.checked_add(length(whole)?)?.checked_sub(leading_zeros)?;
    let count = length(digits)?;
    if is_negative {
        out.push('-');
    }
    match (usize::try_from(point), usize::try_from(point.checked_neg()?)) {
        (Ok(whole @ 1..=21), _) if count <= point => {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', whole - digits.len()));
        }
        (Ok(whole @ 1..=21), _) => {
            out.push_str(&digits[..whole]);
            out.push('.');
            out.push_str(&digits[whole..]);
        }
        (_, Ok(zeros @ 0..6)) => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', zeros));
            out.push_str(digits);
        }
        _ => {
            let (first, others) = digits.split_at(1);
            out.push_str(first);
            if !others.is_empty() {
                out.push('.');
                out.push_str(others);
            }
            let exponent = point.checked_sub(1)?;
            out.push_str(if exponent < 0 { "e" } else { "e+" });
            out.push_str(&exponent.to_string());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn canonical(json: &str) -> Option<String> {
        canonical_json(json, 128)
    }

    #[test]
    fn order_space_and_escapes_make_no_difference() {
        // The examples of RFC 8785, sections 3.2.2 and 3.2.3, without its numbers.
        let json = "{\n \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", \"literals\": [null, true, false]}";
        let expected = "{\"literals\":[null,true,false],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(json).as_deref(), Some(expected));
        let keys = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7, "b":{"y":[],"x":{}}}"#;
        let expected = "{\"\\r\":2,\"1\":4,\"b\":{\"x\":{},\"y\":[]},\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(keys).as_deref(), Some(expected));
    }

    #[test]
    fn numbers_are_written_as_rfc_8785_writes_them_but_exactly() {
        for (json, expected) in [
            ("0", "0"),
            ("-0.0", "0"),
            ("0e7", "0"),
            ("333333333.33333329", "333333333.33333329"),
            ("1E30", "1e+30"),
            ("4.50", "4.5"),
            ("2e-3", "0.002"),
            ("0.000000000000000000000000001", "1e-27"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-1.0", "-1"),
            ("100e-2", "1"),
            ("999999999999999900000", "999999999999999900000"),
            ("1000000000000000000000", "1e+21"),
            ("9007199254740992.0", "9007199254740992"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551616", "18446744073709551616"),
            ("340282366920938463463374607431768211455", "3.40282366920938463463374607431768211455e+38"),
            ("12345678901234567890123.5", "1.23456789012345678901235e+22"),
        ] {
            assert_eq!(canonical(json).as_deref(), Some(expected), "{json}");
        }
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "nullx",
            "1 2",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "[1,]",
            "[1",
            "{\"a\"}",
            "{\"a\":1,}",
            "{1:2}",
            "{a:1}",
            "\"",
            "\"\n\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "[}",
            "]",
            "1e99999999999999999999",
            "'a'",
        ] {
            assert_eq!(canonical(text), None, "{text}");
        }
        assert!(canonical(&format!("{}{}", "[".repeat(128), "]".repeat(128))).is_some());
        assert!(canonical(&format!("{}{}", "[".repeat(129), "]".repeat(129))).is_none());
        assert!(canonical(&"[".repeat(1_000_000)).is_none());
    }

    #[test]
    fn repeated_member_stays_distinct_from_a_single_one() {
        assert_ne!(canonical(r#"{"a":1,"a":2}"#), canonical(r#"{"a":2}"#));
        assert_ne!(canonical(r#"{"a":1,"a":2}"#), canonical(r#"{"a":2,"a":1}"#));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn canonical_text_has_the_same_value_and_is_stable(value in any_json()) {
            for text in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                let once = canonical(&text).unwrap();
                prop_assert_eq!(canonical(&once), Some(once.clone()));
                prop_assert_eq!(canonical(&serde_json::to_string(&value).unwrap()), Some(once));
            }
        }

        #[test]
        fn number_keeps_its_value(number: f64) {
            if number.is_finite() {
                let text = canonical(&serde_json::to_string(&number).unwrap()).unwrap();
                prop_assert_eq!(text.parse::<f64>().unwrap(), number, "{}", text);
            }
        }

        #[test]
        fn different_integers_have_different_texts(one: u128, other: u128) {
            let text = |number: u128| canonical(&number.to_string()).unwrap();
            prop_assert_eq!(text(one) == text(other), one == other);
            prop_assert_ne!(text(one), text(one ^ 1));
        }

        #[test]
        fn exactly_the_texts_that_serde_reads_are_accepted(text in "[-+0-9.eE\\[\\]{}:,\" a\\\\]{0,12}") {
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(canonical(&text).is_some(), is_json, "{}", text);
        }

        #[test]
        fn agrees_with_an_implementation_of_rfc_8785(value in any_json()) {
            fn has_large_integers(value: &Value) -> bool {
                match value {
                    Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() >= 1 << 53),
                    Value::Array(values) => values.iter().any(has_large_integers),
                    Value::Object(members) => members.values().any(has_large_integers),
                    _ => false,
                }
            }
            prop_assume!(!has_large_integers(&value));
            let expected = serde_json_canonicalizer::to_string(&value).unwrap();
            prop_assert_eq!(canonical(&serde_json::to_string(&value).unwrap()), Some(expected));
        }
    }
}
