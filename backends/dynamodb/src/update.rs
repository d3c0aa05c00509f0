//! The one `UpdateItem` that counts.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::coalesce::{MergedHit, PendingHit};
use limited_core::{BackendError, Dimensions, Timestamp, Window, WindowId, bucket_full_at, retained_until};

use crate::attributes::{
    BUCKET_KEY, COUNT, CREATED_AT, EXPIRES_AT, GENERATION, IP_ADDRESS, NOTE, OPENED_AT, TENANT_ID,
    UPDATED_AT, USER_ID,
};
use crate::expression::Update;
use crate::item::{expires_at, timestamp};

/// The first number that DynamoDB cannot hold: it keeps 38 digits.
const TOO_LARGE: u128 = 10_u128.pow(38);

/// What the item is taken to be like. A wrong guess fails the condition, and the old item tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) value: Value,
    pub(crate) opening: Opening,
}

/// How the value compares to the floor of the hits. There is no `max()` in expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// The floor is zero: whatever is there is not below it.
    FromZero,
    /// The value is above the floor.
    Ahead,
    /// The value is not above the floor, or absent.
    Past,
}

/// Whether the window has to be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// It is none that is opened by a hit.
    Never,
    /// It is open, or nobody has opened it.
    Open,
    /// It has ended, and was opened then, as the item says it.
    Ended(Option<String>),
}

/// Who writes, and when.
pub(crate) struct Stamp<'a> {
    /// The name of the writer's slot.
    pub(crate) slot: &'a str,
    /// The number of this write, higher than that of any before.
    pub(crate) number: u64,
    pub(crate) now: Timestamp,
    pub(crate) skew: Duration,
}

impl Update {
    /// The update that counts what `merged` says; an error for numbers that DynamoDB cannot hold.
    pub(crate) fn counting(
        case: &Case,
        merged: &MergedHit,
        window: Window,
        first: &PendingHit,
        highest_ceiling: u128,
        stamp: &Stamp<'_>,
    ) -> Result<Self, BackendError> {
        if merged.min_after >= TOO_LARGE {
            return Err(BackendError::invalid("a count or an arrival time has more than 38 digits"));
        }
        let highest_before = merged.max_before.min(TOO_LARGE - 1 - merged.cost);
        let mut update = Self::default();
        update.name("#count", COUNT);
        update.stamped(stamp);
        let expiry = match window {
            Window::Aligned { start, length } => retained_until(start, length, stamp.skew),
            Window::FromFirstHit { length } => retained_until(stamp.now, length, stamp.skew),
            Window::Bucket { limit, length } => bucket_full_at(highest_ceiling, limit)
                .saturating_add(length.as_duration())
                .saturating_add(stamp.skew),
        };
        update.name("#expires", EXPIRES_AT);
        update.number(":expires", expires_at(expiry));
        let starts_over = matches!(case.opening, Opening::Ended(_));
        let (set, condition) = match case.value {
            _ if starts_over => ("#count = :least", ""),
            Value::FromZero => ("#count = if_not_exists(#count, :zero) + :cost", "#count <= :highest"),
            Value::Ahead => ("#count = #count + :cost", "#count > :floor AND #count <= :highest"),
            Value::Past => ("#count = :least", "#count <= :floor"),
        };
        update.set.push(set.into());
        for (short, number) in [
            (":zero", 0),
            (":cost", merged.cost),
            (":least", merged.min_after),
            (":floor", if case.value == Value::Past { highest_past(merged) } else { merged.floor() }),
            (":highest", highest_before),
        ] {
            // DynamoDB refuses values that no expression names.
            if set.contains(short) || condition.contains(short) {
                update.number(short, number);
            }
        }
        match &case.opening {
            Opening::Never => {
                update.set.push("#expires = :expires".into());
                update.conditions.push(match case.value {
                    Value::Ahead => condition.into(),
                    _ => format!("(attribute_not_exists(#count) OR {condition})"),
                });
            }
            Opening::Open => {
                update.set.push("#expires = if_not_exists(#expires, :expires)".into());
                update.opens(first, |name, value| format!("{name} = if_not_exists({name}, {value})"));
                // What ended was opened at or before that. Strings compare as times do.
                update.conditions.push(match case.value {
                    Value::Ahead => format!("#opened > :ended AND {condition}"),
                    _ => format!("(attribute_not_exists(#count) OR (#opened > :ended AND {condition}))"),
                });
                update.text(":ended", last_ended(stamp.now, window));
            }
            Opening::Ended(old) => {
                update.set.push("#expires = :expires".into());
                update.opens(first, |name, value| format!("{name} = {value}"));
                if let Some(old) = old {
                    update.text(":old", old.as_str());
                }
                let condition =
                    if old.is_some() { "#opened = :old" } else { "attribute_not_exists(#opened)" };
                update.conditions.push(condition.into());
            }
        }
        Ok(update)
    }

    /// The update that takes slots out of an item.
    pub(crate) fn clearing(slots: &[String]) -> Self {
        let mut update = Self::default();
        for (index, slot) in slots.iter().enumerate() {
            let name = format!("#slot{index}");
            update.name(&name, slot);
            update.remove.push(name);
        }
        update.name("#count", COUNT);
        update.conditions.push("attribute_exists(#count)".into());
        update
    }

    /// Writes what a key was merged of, for the indexes.
    pub(crate) fn dimensions(&mut self, key: &str, dimensions: &Dimensions) {
        let ip = dimensions.ip.map(|ip| ip.to_string());
        let attributes = [
            ("bucket", BUCKET_KEY, Some(key)),
            ("tenant", TENANT_ID, dimensions.tenant.as_deref()),
            ("user", USER_ID, dimensions.user.as_deref()),
            ("ip", IP_ADDRESS, ip.as_deref()),
        ];
        for (short, name, value) in attributes {
            // An index takes no empty string.
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.name(&format!("#{short}"), name);
                self.text(&format!(":{short}"), value);
                self.set.push(format!("#{short} = if_not_exists(#{short}, :{short})"));
            }
        }
    }

    /// The number of this write in the writer's slot, which a repeated or late write finds; and when it happened.
    fn stamped(&mut self, stamp: &Stamp<'_>) {
        self.name("#slot", stamp.slot);
        self.name("#updated", UPDATED_AT);
        self.name("#created", CREATED_AT);
        self.number(":number", stamp.number);
        self.text(":now", timestamp(stamp.now));
        self.set.push("#slot = :number".into());
        self.set.push("#updated = :now".into());
        self.set.push("#created = if_not_exists(#created, :now)".into());
        self.conditions.push("(attribute_not_exists(#slot) OR #slot < :number)".into());
    }

    fn opens(&mut self, first: &PendingHit, set: impl Fn(&str, &str) -> String) {
        self.name("#opened", OPENED_AT);
        self.name("#generation", GENERATION);
        self.text(":generation", window_id_text(first.window_id));
        self.set.push(set("#opened", ":now"));
        self.set.push(set("#generation", ":generation"));
        // The first hit's note stays, even where it brought none.
        let metadata = first
            .metadata
            .as_ref()
            .map_or(AttributeValue::Null(true), |metadata| AttributeValue::S(metadata.to_string()));
        self.name("#note", NOTE);
        self.values.insert(":note".into(), metadata);
        self.set.push(set("#note", ":note"));
    }
}

pub(crate) fn window_id_text(window_id: WindowId) -> String {
    format!("{:032x}", window_id.0)
}

/// When the last window that has ended by `now` was opened at the latest.
fn last_ended(now: Timestamp, window: Window) -> String {
    match now.as_nanos().checked_sub(window.length().as_nanos()) {
        Some(ended) => timestamp(Timestamp::from_nanos(ended)),
        // None can have ended: every time compares above the empty string.
        None => String::from(" "),
    }
}

/// Returns the highest value before, from which all of the hits fit and the value becomes `min_after`. If the floors
/// rise from hit to hit, the floor of the merged hit may be above what the first of them allows.
fn highest_past(merged: &MergedHit) -> u128 {
    merged.floor().min(merged.max_before)
}

#[cfg(test)]
mod tests {
    use limited_core::Hit;
    use limited_core::coalesce::merge;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8192))]

        #[test]
        fn the_two_cases_of_a_bucket_exclude_each_other_and_equal_its_hits_one_by_one(
            hits in prop::collection::vec((0..9_u128, 0..20_u128, 0..40_u128), 1..8),
            value in 0..50_u128,
        ) {
            let hits: Vec<_> = hits
                .into_iter()
                .map(|(cost, floor, ceiling)| Hit::new(cost, ceiling).with_floor(floor))
                .collect();
            let one_by_one = hits.iter().try_fold(value, |value, hit| hit.apply(value));
            let pending: Vec<_> = hits.iter().map(|hit| PendingHit::new(hit, Timestamp::EPOCH)).collect();
            let chosen: Vec<usize> = (0..hits.len()).collect();
            let merged = merge(&pending, &chosen);
            let past = merged.filter(|merged| value <= highest_past(merged)).map(|merged| merged.min_after);
            let ahead = merged
                .filter(|merged| value > merged.floor() && value <= merged.max_before)
                .map(|merged| value + merged.cost);
            prop_assert!(past.is_none() || ahead.is_none());
            prop_assert_eq!(past.or(ahead), one_by_one);
        }
    }
}
