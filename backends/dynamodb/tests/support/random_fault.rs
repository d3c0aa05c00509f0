//! Random faults, and whether a write was applied twice.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::{Fault, Wire};

/// Returns mostly no fault, and otherwise one that a caller repeats.
pub(crate) fn random_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        8 => Just(Fault::None),
        1 => Just(Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException")),
        1 => Just(Fault::Error(500, "com.amazonaws.dynamodb.v20120810#InternalServerError")),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayBefore(Duration::from_millis(millis))),
        1 => (1..400_u64).prop_map(|millis| Fault::DelayResponse(Duration::from_millis(millis))),
        1 => Just(Fault::CutBefore),
        2 => Just(Fault::CutAfter),
        1 => Just(Fault::Truncate),
        1 => Just(Fault::Hang),
        1 => Just(Fault::HangAfter),
    ]
}

/// Returns how often each write was applied: by the slot of its writer, and its number in it. If no
/// write was applied twice, a counter holds exactly what was applied.
pub(crate) fn applied_writes(wire: &Wire) -> HashMap<(String, String), u32> {
    let mut applied = HashMap::<(String, String), u32>::new();
    for request in wire.requests() {
        if request.operation != "UpdateItem" || !request.is_applied() {
            continue;
        }
        let slot = request.request["ExpressionAttributeNames"]["#slot"].as_str();
        let number = request.request["ExpressionAttributeValues"][":number"]["N"].as_str();
        if let (Some(slot), Some(number)) = (slot, number) {
            *applied.entry((slot.to_owned(), number.to_owned())).or_default() += 1;
        }
    }
    applied
}
