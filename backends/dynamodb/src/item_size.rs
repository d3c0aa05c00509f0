//! The size of an item, as DynamoDB counts it: the developer guide's "DynamoDB item sizes and
//! formats".

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{BackendError, ClaimMetadata, Result, StoredResult};

use crate::attributes::Item;

/// The bytes of an item that one write unit pays for.
const BYTES_PER_WRITE_UNIT: u32 = 1024;

/// The bytes that an item may have: its names and values.
const MAX_ITEM_BYTES: usize = 400 * 1024;

/// The bytes reserved for what the caller does not size. These are names, times, numbers, the
/// token, the hash and the reason for omitting a result: less than 1 KB. The rest is for what
/// DynamoDB adds for each clause of an update, since it compares the request with the same limit.
const RESERVED: usize = 2 * 1024;

/// The bytes that an index accepts as its partition key.
const MAX_INDEXED_BYTES: usize = 2048;

/// Returns the write units of a write that leaves the item as it is: at least one.
pub(crate) fn write_units(item: Option<&Item>) -> u32 {
    units_of_bytes(item.map_or(0, item_bytes))
}

fn units_of_bytes(bytes: usize) -> u32 {
    // An item has at most 400 KB, so the conversion never saturates.
    u32::try_from(bytes).unwrap_or(u32::MAX).div_ceil(BYTES_PER_WRITE_UNIT).max(1)
}

/// Returns the bytes that DynamoDB counts for an item: its names in UTF-8, and its values.
fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    /// What a list or a map takes itself, and for each of its elements.
    const DOCUMENT: usize = 3;
    const ELEMENT: usize = 1;
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => number_bytes(number),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|number| number_bytes(number)).sum(),
        AttributeValue::Bs(bytes) => bytes.iter().map(|bytes| bytes.as_ref().len()).sum(),
        AttributeValue::L(values) => {
            DOCUMENT + values.iter().map(|value| ELEMENT + value_bytes(value)).sum::<usize>()
        }
        AttributeValue::M(values) => {
            let element = |(name, value): (&String, _)| ELEMENT + name.len() + value_bytes(value);
            DOCUMENT + values.iter().map(element).sum::<usize>()
        }
        // Null, a boolean, or a type that this version of the SDK does not know.
        _ => 1,
    }
}

/// Returns one byte for each two significant digits, and one more.
fn number_bytes(number: &str) -> usize {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.replace(|c: char| !c.is_ascii_digit(), "");
    digits.trim_matches('0').len().div_ceil(2) + 1
}

/// The size of a claim's record without its result: the parts that the caller sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemSize {
    /// The longer one of the tenant and the function name.
    longest_indexed: usize,
    bytes: usize,
}

impl ItemSize {
    /// Returns the size of a record with a key of `key_bytes`.
    pub(crate) fn of_claim(key_bytes: usize, tenant: Option<&str>, metadata: &ClaimMetadata<'_>) -> Self {
        let [tenant, function, request] =
            [tenant, metadata.function_name, metadata.request].map(|text| text.map_or(0, str::len));
        Self {
            longest_indexed: tenant.max(function),
            bytes: [key_bytes, tenant, function, request].into_iter().fold(0, usize::saturating_add),
        }
    }

    /// Returns the bytes that are left for a result.
    fn room(self) -> Option<usize> {
        (MAX_ITEM_BYTES - RESERVED).checked_sub(self.bytes)
    }

    /// Returns an error if a claim brings more than an item can hold.
    pub(crate) fn check(self) -> Result<()> {
        if self.longest_indexed > MAX_INDEXED_BYTES {
            return Err(BackendError::invalid(format!(
                "the tenant or the function name has {} bytes; DynamoDB indexes at most {MAX_INDEXED_BYTES}",
                self.longest_indexed
            )));
        }
        if self.room().is_none() {
            return Err(BackendError::invalid(format!(
                "the key and the metadata of the claim have {} bytes; an item has room for {}: store less of the request",
                self.bytes,
                MAX_ITEM_BYTES - RESERVED
            )));
        }
        Ok(())
    }

    /// Returns what to store instead of a result that does not fit; `None` if it fits.
    pub(crate) fn omission(self, result: &StoredResult) -> Option<StoredResult> {
        let room = self.room().unwrap_or_default();
        let bytes = result_bytes(result);
        (bytes > room).then(|| {
            omitted(format!(
                "the result has {bytes} bytes; the item has room for {room} beside the rest of the record"
            ))
        })
    }
}

/// Returns what to store instead of a result that DynamoDB rejected as too large.
pub(crate) fn omission_of_rejected(result: &StoredResult) -> StoredResult {
    omitted(format!(
        "the result has {} bytes; with it the item would exceed {MAX_ITEM_BYTES} bytes",
        result_bytes(result)
    ))
}

fn omitted(reason: String) -> StoredResult {
    StoredResult::Omitted { reason: Arc::from(reason) }
}

fn result_bytes(result: &StoredResult) -> usize {
    match result {
        StoredResult::Nothing => 0,
        StoredResult::Value(text) | StoredResult::Error(text) | StoredResult::Omitted { reason: text } => {
            text.len()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_pays_for_each_started_kilobyte() {
        for (bytes, units) in [(0, 1), (1, 1), (1_024, 1), (1_025, 2), (400 * 1_024, 400)] {
            assert_eq!(units_of_bytes(bytes), units, "{bytes}");
        }
    }

    #[test]
    fn item_size_is_the_size_of_its_names_and_values() {
        let item = Item::from([
            ("é".to_owned(), AttributeValue::S("abc".to_owned())),
            ("n".to_owned(), AttributeValue::N("-1200.5".to_owned())),
            ("b".to_owned(), AttributeValue::Bool(true)),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::Null(true)])),
        ]);
        assert_eq!(item_bytes(&item), (2 + 3) + (1 + 4) + (1 + 1) + (1 + 3 + 1 + 1));
        assert_eq!(number_bytes("0"), 1);
        assert_eq!(number_bytes("1000"), 2);
        assert_eq!(number_bytes("1.5E+20"), 2);
        assert_eq!(number_bytes(&"9".repeat(38)), 20);
    }
}
