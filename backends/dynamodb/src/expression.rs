//! The expressions of an `UpdateItem`: the update, its condition, their names and values.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

/// An update of one item, or the condition of a deletion.
///
/// Attributes have short names that begin with `#`, because many attribute names are reserved words
/// of DynamoDB.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub(crate) set: Vec<String>,
    pub(crate) remove: Vec<String>,
    /// All of them must hold.
    pub(crate) conditions: Vec<String>,
    pub(crate) names: HashMap<String, String>,
    pub(crate) values: HashMap<String, AttributeValue>,
}

impl Update {
    pub(crate) fn expression(&self) -> String {
        let mut expression = String::new();
        for (clause, parts) in [("SET", &self.set), ("REMOVE", &self.remove)] {
            if !parts.is_empty() {
                expression += &format!("{clause} {} ", parts.join(", "));
            }
        }
        expression.trim_end().to_owned()
    }

    pub(crate) fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }

    pub(crate) fn name(&mut self, short: &str, name: &str) {
        self.names.insert(short.to_owned(), name.to_owned());
    }

    pub(crate) fn number(&mut self, short: &str, number: impl ToString) {
        self.values.insert(short.to_owned(), AttributeValue::N(number.to_string()));
    }

    pub(crate) fn text(&mut self, short: &str, text: impl Into<String>) {
        self.values.insert(short.to_owned(), AttributeValue::S(text.into()));
    }
}
