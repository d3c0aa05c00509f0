//! What requests cost, told to whoever asked for it.

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::types::{AttributeValue, ConsumedCapacity, ReturnConsumedCapacity};

use crate::attributes::Item;
use crate::backend::Shared;

/// The bytes of an item that one write unit pays for.
const BYTES_PER_WRITE_UNIT: u32 = 1024;

/// A request to DynamoDB, by its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// `GetItem`: a counter or a claim read, consistently. Read units.
    GetItem,
    /// `UpdateItem`: hits counted or refused, and whatever is done to a claim. Write units.
    UpdateItem,
    /// `DeleteItem`: a counter reset. Write units.
    DeleteItem,
    /// `Query`: a page of an index. Read units.
    Query,
    /// `BatchGetItem`: the items that a page of an index names, consistently. Read units.
    BatchGetItem,
}

impl Operation {
    /// Its name at DynamoDB, such as `UpdateItem`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetItem => "GetItem",
            Self::UpdateItem => "UpdateItem",
            Self::DeleteItem => "DeleteItem",
            Self::Query => "Query",
            Self::BatchGetItem => "BatchGetItem",
        }
    }

    /// Whether its units are write units; they are read units otherwise.
    pub const fn is_write(self) -> bool {
        matches!(self, Self::UpdateItem | Self::DeleteItem)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What one request consumed, as
/// [`on_consumed_capacity`](crate::DynamoDbBackendBuilder::on_consumed_capacity) is told.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Consumed<'a> {
    /// The request.
    pub operation: Operation,
    /// The capacity units of the table and its indexes: [write units](Operation::is_write), or read units.
    pub units: f64,
    /// Whether the units are an estimate: DynamoDB bills a write whose condition failed, and does not say how much.
    pub is_estimated: bool,
    /// The table.
    pub table: &'a str,
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct Listener(Arc<dyn Fn(&Consumed<'_>) + Send + Sync>);

impl Listener {
    pub(crate) fn new(listener: impl Fn(&Consumed<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

impl Shared {
    /// What a request asks to be told of its cost: nothing, where nobody listens.
    pub(crate) fn wanted_capacity(&self) -> Option<ReturnConsumedCapacity> {
        self.settings.on_consumed_capacity.as_ref().map(|_| ReturnConsumedCapacity::Total)
    }

    /// Tells what a request consumed, where the answer says so and somebody listens.
    pub(crate) fn consumed<'a>(
        &self,
        table: &str,
        operation: Operation,
        reported: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        for units in reported.into_iter().filter_map(ConsumedCapacity::capacity_units) {
            self.tell(table, operation, units, false);
        }
    }

    /// Tells what a write whose condition failed is billed: the size of the item that it left as it was.
    pub(crate) fn consumed_in_vain(&self, table: &str, operation: Operation, old: Option<&Item>) {
        if self.settings.on_consumed_capacity.is_some() {
            self.tell(table, operation, f64::from(write_units(old.map_or(0, size_of_item))), true);
        }
    }

    fn tell(&self, table: &str, operation: Operation, units: f64, is_estimated: bool) {
        if let Some(Listener(listener)) = &self.settings.on_consumed_capacity {
            listener(&Consumed { operation, units, is_estimated, table });
        }
    }
}

/// The units of a write to an item of this size: one at least.
fn write_units(bytes: usize) -> u32 {
    // No item has more than 400 KB.
    u32::try_from(bytes).unwrap_or(u32::MAX).div_ceil(BYTES_PER_WRITE_UNIT).max(1)
}

/// The bytes that DynamoDB counts for an item: its names in UTF-8, and its values, after the developer guide's
/// "DynamoDB item sizes and formats".
pub(crate) fn size_of_item(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + size_of_value(value)).sum()
}

fn size_of_value(value: &AttributeValue) -> usize {
    /// What a list or a map takes by itself, and each of its elements.
    const DOCUMENT: usize = 3;
    const ELEMENT: usize = 1;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => size_of_number(number),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| size_of_number(number)).sum(),
        AttributeValue::Bs(bytes) => bytes.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(values) => {
            DOCUMENT + values.iter().map(|value| ELEMENT + size_of_value(value)).sum::<usize>()
        }
        AttributeValue::M(values) => {
            DOCUMENT
                + values
                    .iter()
                    .map(|(name, value)| ELEMENT + name.len() + size_of_value(value))
                    .sum::<usize>()
        }
        // Null, a truth value, or a type that this version of the SDK does not know.
        _ => 1,
    }
}

/// A byte for each two significant digits, and one more.
fn size_of_number(number: &str) -> usize {
    let digits = |c: char| c.is_ascii_digit();
    let significant = number.split(['e', 'E']).next().unwrap_or_default().replace(|c| !digits(c), "");
    significant.trim_matches('0').len().div_ceil(2) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_pays_for_each_kilobyte_that_is_begun() {
        for (bytes, units) in [(0, 1), (1, 1), (1_024, 1), (1_025, 2), (400 * 1_024, 400)] {
            assert_eq!(write_units(bytes), units, "{bytes}");
        }
    }

    #[test]
    fn the_size_of_an_item_is_that_of_its_names_and_values() {
        let item = Item::from([
            ("é".to_owned(), AttributeValue::S("abc".to_owned())),
            ("n".to_owned(), AttributeValue::N("-1200.5".to_owned())),
            ("b".to_owned(), AttributeValue::Bool(true)),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::Null(true)])),
        ]);
        assert_eq!(size_of_item(&item), (2 + 3) + (1 + 4) + (1 + 1) + (1 + 3 + 1 + 1));
        assert_eq!(size_of_number("0"), 1);
        assert_eq!(size_of_number("1000"), 2);
        assert_eq!(size_of_number("1.5E+20"), 2);
        assert_eq!(size_of_number(&"9".repeat(38)), 20);
    }
}
