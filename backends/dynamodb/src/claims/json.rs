//! Converts what another program stored in DynamoDB's own types to JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_sdk_dynamodb::types::AttributeValue;

/// Returns the value as JSON, with the names of a map in order; `None` if it contains sets or
/// bytes, which JSON cannot represent.
pub(super) fn to_json(value: &AttributeValue) -> Option<String> {
    let mut json = String::new();
    write_value(&mut json, value)?;
    Some(json)
}

fn write_value(json: &mut String, value: &AttributeValue) -> Option<()> {
    match value {
        AttributeValue::S(text) => write_text(json, text),
        // DynamoDB formats numbers as JSON does.
        AttributeValue::N(number) => json.push_str(number),
        AttributeValue::Bool(truth) => json.push_str(if *truth { "true" } else { "false" }),
        AttributeValue::Null(_) => json.push_str("null"),
        AttributeValue::L(values) => {
            json.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, value)?;
            }
            json.push(']');
        }
        AttributeValue::M(values) => {
            json.push('{');
            for (index, (name, value)) in values.iter().collect::<BTreeMap<_, _>>().into_iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_text(json, name);
                json.push(':');
                write_value(json, value)?;
            }
            json.push('}');
        }
        _ => return None,
    }
    Some(())
}

/// Writes a string as RFC 8259, section 7, requires.
fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => json.extend(['\\', c]),
            // Writing to a `String` does not fail.
            '\0'..='\u{1f}' => _ = write!(json, "\\u{:04x}", u32::from(c)),
            _ => json.push(c),
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::Blob;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn stored(value: &Value) -> AttributeValue {
        match value {
            Value::Null => AttributeValue::Null(true),
            Value::Bool(truth) => AttributeValue::Bool(*truth),
            Value::Number(number) => AttributeValue::N(number.to_string()),
            Value::String(text) => AttributeValue::S(text.clone()),
            Value::Array(values) => AttributeValue::L(values.iter().map(stored).collect()),
            Value::Object(values) => {
                AttributeValue::M(values.iter().map(|(name, value)| (name.clone(), stored(value))).collect())
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::String),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|values| Value::Object(values.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn sets_and_bytes_are_not_converted() {
        for value in [AttributeValue::B(Blob::new([1])), AttributeValue::Ss(vec!["a".to_owned()])] {
            assert_eq!(to_json(&AttributeValue::L(vec![value])), None);
        }
    }

    proptest! {
        #[test]
        fn json_equals_the_stored_value(value in any_json()) {
            let json = to_json(&stored(&value)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{}", json);
        }
    }
}
