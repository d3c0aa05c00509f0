//! Tables and items, with the SDK alone.

use std::collections::HashMap;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;

/// Returns a table name that no other test, process or run uses.
pub(crate) fn unique_table(name: &str) -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    format!("limited-{name}-{since}-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// All attributes of an item.
pub(crate) type RawItem = HashMap<String, AttributeValue>;

/// Reads all attributes of an item of a table of rate limits, consistently. Returns an empty map if
/// there is no item.
pub(crate) async fn raw_item(client: &Client, table: &str, identifier: &str, window_time: &str) -> RawItem {
    let request = client.get_item().table_name(table).consistent_read(true);
    let request = request.key("Identifier", AttributeValue::S(identifier.to_owned()));
    let request = request.key("WindowTime", AttributeValue::S(window_time.to_owned()));
    request.send().await.expect("the item can be read").item.unwrap_or_default()
}
