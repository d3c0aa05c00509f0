//! The one `UpdateItem` that counts hits.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::bucket::StoredBucket;
use limited_core::coalesce::{MergedHit, PendingHit};
use limited_core::{
    BackendError, BucketQuota, Dimensions, Result, Timestamp, Window, WindowId, WindowLength,
};

use super::item::{BucketAttributes, ItemState};
use crate::attributes::{
    BUCKET_KEY, CAPACITY, COUNT, CREATED_AT, EXPIRES_AT, IP_ADDRESS, LIMIT, LOG, METADATA, OPENED_AT,
    TENANT_ID, UPDATED_AT, USER_ID, WINDOW_ID,
};
use crate::expression::Update;
use crate::format::{expires_at, hex_128, timestamp};

/// The first number that DynamoDB cannot store: it keeps 38 digits.
const TOO_LARGE: u128 = 10_u128.pow(38);

/// What a write expects of the item. If the item is different, the condition fails and returns the
/// item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) value: ExpectedValue,
    pub(super) window: ExpectedWindow,
}

/// How the value compares to the floor of the hits. DynamoDB's expressions have no `max()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedValue {
    /// The floor is zero, so every value is at or above it.
    Any,
    /// The value is above the floor.
    AboveFloor,
    /// The value is at or below the floor, or absent.
    AtOrBelowFloor,
}

/// What kind of window it is, and what the item has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedWindow {
    /// An aligned window.
    Aligned,
    /// A bucket that was last hit by a quota of the same limit, or an absent one. The quota of the
    /// last of the hits.
    Bucket(BucketQuota),
    /// A window from the first hit, open or absent.
    OpenOrAbsent(OpenedWithin),
    /// A window from the first hit that has ended, or that a wrong clock opened. When it was
    /// opened, as the item has it.
    Ended(Option<String>),
}

/// What a refund expects of the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpectedRefund {
    /// An aligned window or a span, with a count.
    Window,
    /// A bucket that a hit of this quota wrote, at most this value. A higher one is that of a wrong
    /// clock.
    Bucket { quota: BucketQuota, highest: u128 },
    /// A window from the first hit with this id, which is open.
    Open(WindowId, OpenedWithin),
}

/// When a window from the first hit was opened if it is open: both times are included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenedWithin {
    earliest: String,
    latest: String,
}

impl OpenedWithin {
    /// Returns the starts of the windows that have not ended at `now`, and that are ahead of it by
    /// no more than `skew`.
    pub(super) fn of(length: WindowLength, now: Timestamp, skew: Duration) -> Self {
        let earliest = match now.as_nanos().checked_sub(length.as_nanos()) {
            // At the first nanosecond after its end, a window has ended.
            Some(ended) => timestamp(Timestamp::from_nanos(ended.saturating_add(1))),
            // No window can have ended: every time is greater than this string.
            None => String::from(" "),
        };
        Self { earliest, latest: timestamp(now.saturating_add(skew)) }
    }
}

/// Identifies a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteId<'a> {
    /// The name of the writer's slot.
    pub(super) slot: &'a str,
    /// The number of the write, higher than that of any earlier write of this writer.
    pub(super) number: u64,
}

impl Expected {
    /// Returns whether the write replaces what an ended window or an old arrival time left.
    pub(super) fn starts_over(&self) -> bool {
        self.value == ExpectedValue::AtOrBelowFloor || matches!(self.window, ExpectedWindow::Ended(_))
    }

    /// Returns whether the condition holds for an absent item.
    fn allows_absent(&self) -> bool {
        self.value != ExpectedValue::AboveFloor && !matches!(self.window, ExpectedWindow::Ended(_))
    }
}

impl Update {
    /// Returns the update that counts `merged`, of which `first` is the first hit; an error for
    /// numbers that DynamoDB cannot store.
    pub(super) fn count(
        expected: &Expected,
        merged: &MergedHit,
        first: &PendingHit,
        expiry: Timestamp,
        write: WriteId<'_>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut update = Self::of_value(merged.min_after, expiry, write, now)?;
        let (set, condition) = match (&expected.window, expected.value) {
            (ExpectedWindow::Ended(_), _) => ("#count = :least", ""),
            (_, ExpectedValue::Any) => {
                ("#count = if_not_exists(#count, :zero) + :cost", "#count <= :highest")
            }
            (_, ExpectedValue::AboveFloor) => {
                ("#count = #count + :cost", "#count > :floor AND #count <= :highest")
            }
            (_, ExpectedValue::AtOrBelowFloor) => ("#count = :least", "#count <= :floor"),
        };
        update.set.push(set.into());
        let at_or_below = expected.value == ExpectedValue::AtOrBelowFloor;
        for (short, number) in [
            (":zero", 0),
            (":cost", merged.cost),
            (":least", merged.min_after),
            (":floor", if at_or_below { max_before_at_floor(merged) } else { merged.floor() }),
            (":highest", merged.max_before.min(TOO_LARGE - 1 - merged.cost)),
        ] {
            // DynamoDB rejects values that no expression uses.
            if set.contains(short) || condition.contains(short) {
                update.number(short, number);
            }
        }
        let allows_absent = expected.allows_absent();
        match &expected.window {
            ExpectedWindow::Aligned => {
                update.set.push("#expires = :expires".into());
                update.conditions.push(if allows_absent {
                    format!("(attribute_not_exists(#count) OR {condition})")
                } else {
                    condition.into()
                });
            }
            ExpectedWindow::Bucket(quota) => {
                update.set.push("#expires = :expires".into());
                update.quota(*quota);
                // A value of another limit has another unit.
                update.conditions.push(if allows_absent {
                    format!("(attribute_not_exists(#count) OR (#limit = :limit AND {condition}))")
                } else {
                    format!("#limit = :limit AND {condition}")
                });
            }
            ExpectedWindow::OpenOrAbsent(opened) => {
                update.set.push("#expires = if_not_exists(#expires, :expires)".into());
                update.open(first, |name, value| format!("{name} = if_not_exists({name}, {value})"));
                // Strings compare as times do.
                let is_open = "#opened BETWEEN :earliest AND :latest";
                update.conditions.push(if allows_absent {
                    // An item with `OpenedAt` keeps it, so it is not absent even without a count.
                    format!(
                        "((attribute_not_exists(#count) AND attribute_not_exists(#opened)) \
                         OR ({is_open} AND (attribute_not_exists(#count) OR {condition})))"
                    )
                } else {
                    format!("{is_open} AND {condition}")
                });
                update.text(":earliest", opened.earliest.as_str());
                update.text(":latest", opened.latest.as_str());
            }
            ExpectedWindow::Ended(opened_at) => {
                update.set.push("#expires = :expires".into());
                update.open(first, |name, value| format!("{name} = {value}"));
                let condition = match opened_at {
                    Some(opened_at) => {
                        update.text(":old", opened_at.as_str());
                        "#opened = :old"
                    }
                    None => "attribute_not_exists(#opened)",
                };
                update.conditions.push(condition.into());
            }
        }
        Ok(update)
    }

    /// Returns the update that replaces a bucket by `new`, if it is unchanged; an error for numbers
    /// that DynamoDB cannot store.
    pub(super) fn replace_bucket(
        old: BucketAttributes,
        new: StoredBucket,
        expiry: Timestamp,
        write: WriteId<'_>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut update = Self::of_value(new.value, expiry, write, now)?;
        update.set.push("#count = :count".into());
        update.number(":count", new.value);
        update.set.push("#expires = :expires".into());
        update.quota(new.quota);
        update.expect_bucket(old);
        Ok(update)
    }

    /// Returns the update that replaces an item by `new`, if it is as seen; an error for numbers
    /// that DynamoDB cannot store.
    pub(super) fn replace(
        window: Window,
        seen: &ItemState,
        new: &ItemState,
        expiry: Timestamp,
        write: WriteId<'_>,
        now: Timestamp,
    ) -> Result<Self> {
        if let (Window::Bucket { .. }, Some(stored)) = (window, new.bucket.stored()) {
            return Self::replace_bucket(seen.bucket, stored, expiry, write, now);
        }
        let mut update = Self::of_value(new.value, expiry, write, now)?;
        update.expect(window, seen);
        update.set.push("#count = :count".into());
        update.number(":count", new.value);
        let is_opened = seen.opened_at != new.opened_at;
        update.set.push(match window {
            Window::FromFirstHit { .. } if !is_opened => {
                "#expires = if_not_exists(#expires, :expires)".into()
            }
            _ => "#expires = :expires".into(),
        });
        if let (Window::FromFirstHit { .. }, Some((start, meta)), true) = (window, &new.opened, is_opened) {
            update.text(":opened", timestamp(*start));
            update.name("#generation", WINDOW_ID);
            update.text(":generation", hex_128(meta.id.0));
            update.name("#note", METADATA);
            update.values.insert(
                ":note".into(),
                match &meta.metadata {
                    Some(metadata) => AttributeValue::S(metadata.to_string()),
                    None => AttributeValue::Null(true),
                },
            );
            for (name, value) in [("#opened", ":opened"), ("#generation", ":generation"), ("#note", ":note")]
            {
                update.set.push(format!("{name} = {value}"));
            }
        }
        if let (Window::Log { .. }, Some(text)) = (window, &new.log_text) {
            update.text(":log", text.as_str());
            update.set.push("#log = :log".into());
        }
        Ok(update)
    }

    /// Returns the condition that an item is as seen.
    pub(super) fn unchanged(window: Window, seen: &ItemState) -> Self {
        let mut condition = Self::default();
        condition.name("#count", COUNT);
        match window {
            Window::Bucket { .. } => {
                condition.name("#limit", LIMIT);
                condition.name("#capacity", CAPACITY);
                condition.expect_bucket(seen.bucket);
            }
            _ => condition.expect(window, seen),
        }
        condition
    }

    /// Returns the condition that a bucket is absent or at most this value, in the unit of a limit.
    pub(super) fn bucket_at_most(value: u128, limit: u64) -> Self {
        let mut condition = Self::default();
        condition.name("#count", COUNT);
        condition.name("#limit", LIMIT);
        condition.number(":limit", limit);
        condition.number(":highest", value.min(TOO_LARGE - 1));
        condition
            .conditions
            .push("(attribute_not_exists(#count) OR (#limit = :limit AND #count <= :highest))".into());
        condition
    }

    /// Adds the condition that an item other than a bucket is as seen.
    fn expect(&mut self, window: Window, seen: &ItemState) {
        self.expect_number("count", seen.count);
        let (short, name, text) = match window {
            Window::FromFirstHit { .. } => ("opened", OPENED_AT, &seen.opened_at),
            Window::Log { .. } => ("log", LOG, &seen.log_text),
            _ => return,
        };
        self.name(&format!("#{short}"), name);
        let condition = match text {
            Some(text) => {
                self.text(&format!(":old_{short}"), text.as_str());
                format!("#{short} = :old_{short}")
            }
            None => format!("attribute_not_exists(#{short})"),
        };
        self.conditions.push(condition);
    }

    /// Adds the condition that a bucket is as seen.
    fn expect_bucket(&mut self, seen: BucketAttributes) {
        self.expect_number("count", seen.count);
        self.expect_number("limit", seen.limit.map(u128::from));
        self.expect_number("capacity", seen.capacity.map(u128::from));
    }

    fn expect_number(&mut self, short: &str, seen: Option<u128>) {
        let condition = match seen {
            Some(seen) => {
                self.number(&format!(":old_{short}"), seen);
                format!("#{short} = :old_{short}")
            }
            None => format!("attribute_not_exists(#{short})"),
        };
        self.conditions.push(condition);
    }

    /// Returns the update of a refund of `amount` that expects this of the item; an error for
    /// numbers that DynamoDB cannot store.
    ///
    /// The expectation is that of a hit that adds to a value. The value is at least the amount.
    pub(super) fn refund(
        amount: u128,
        expected: &ExpectedRefund,
        only_if: Option<u128>,
        write: WriteId<'_>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut update = Self::default();
        if amount >= TOO_LARGE || only_if.is_some_and(|value| value >= TOO_LARGE) {
            return Err(BackendError::invalid("a refund has more than 38 digits"));
        }
        update.name("#count", COUNT);
        update.stamp_existing(write, now);
        update.number(":amount", amount);
        update.set.push("#count = #count - :amount".into());
        update.conditions.push("#count >= :amount".into());
        if let Some(value) = only_if {
            update.number(":required", value);
            update.conditions.push("#count = :required".into());
        }
        match expected {
            ExpectedRefund::Window => {}
            ExpectedRefund::Bucket { quota, highest } => {
                update.name("#limit", LIMIT);
                update.number(":limit", quota.limit);
                update.name("#capacity", CAPACITY);
                update.number(":capacity", quota.capacity);
                update.number(":highest", (*highest).min(TOO_LARGE - 1));
                update
                    .conditions
                    .push("#limit = :limit AND #capacity = :capacity AND #count <= :highest".into());
            }
            ExpectedRefund::Open(id, opened) => {
                update.name("#generation", WINDOW_ID);
                update.text(":generation", hex_128(id.0));
                update.name("#opened", OPENED_AT);
                update.text(":earliest", opened.earliest.as_str());
                update.text(":latest", opened.latest.as_str());
                update
                    .conditions
                    .push("#generation = :generation AND #opened BETWEEN :earliest AND :latest".into());
            }
        }
        Ok(update)
    }

    /// Returns the update that removes slots from an item.
    pub(super) fn remove_slots(slots: &[String]) -> Self {
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

    /// Returns the condition that the item holds this window from the first hit.
    pub(super) fn window_condition(id: WindowId) -> Self {
        let mut condition = Self::default();
        condition.name("#generation", WINDOW_ID);
        condition.text(":generation", hex_128(id.0));
        condition.conditions.push("#generation = :generation".into());
        condition
    }

    /// Writes what a key was composed of, for the indexes.
    pub(super) fn dimensions(&mut self, key: &str, dimensions: &Dimensions) {
        let ip = dimensions.ip.map(|ip| ip.to_string());
        let attributes = [
            ("bucket", BUCKET_KEY, Some(key)),
            ("tenant", TENANT_ID, dimensions.tenant.as_deref()),
            ("user", USER_ID, dimensions.user.as_deref()),
            ("ip", IP_ADDRESS, ip.as_deref()),
        ];
        for (short, name, value) in attributes {
            // An index accepts no empty string.
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.name(&format!("#{short}"), name);
                self.text(&format!(":{short}"), value);
                self.set.push(format!("#{short} = if_not_exists(#{short}, :{short})"));
            }
        }
    }

    /// Returns the part of an update that does not depend on the window; an error if the value, or
    /// the least value, is one that DynamoDB cannot store.
    fn of_value(value: u128, expiry: Timestamp, write: WriteId<'_>, now: Timestamp) -> Result<Self> {
        if value >= TOO_LARGE {
            return Err(BackendError::invalid("a count or an arrival time has more than 38 digits"));
        }
        let mut update = Self::default();
        update.name("#count", COUNT);
        update.stamp(write, now);
        update.name("#expires", EXPIRES_AT);
        update.number(":expires", expires_at(expiry));
        Ok(update)
    }

    /// Writes the quota of the last hit on a bucket.
    fn quota(&mut self, quota: BucketQuota) {
        for (short, name, number) in [("limit", LIMIT, quota.limit), ("capacity", CAPACITY, quota.capacity)] {
            self.name(&format!("#{short}"), name);
            self.number(&format!(":{short}"), number);
            self.set.push(format!("#{short} = :{short}"));
        }
    }

    /// Writes the number of this write to the writer's slot, where a repeated or late write finds
    /// it; and the time.
    fn stamp(&mut self, write: WriteId<'_>, now: Timestamp) {
        self.stamp_existing(write, now);
        self.name("#created", CREATED_AT);
        self.set.push("#created = if_not_exists(#created, :now)".into());
    }

    /// Writes the number of this write to the slot of an item that exists.
    fn stamp_existing(&mut self, write: WriteId<'_>, now: Timestamp) {
        self.name("#slot", write.slot);
        self.name("#updated", UPDATED_AT);
        self.number(":number", write.number);
        self.text(":now", timestamp(now));
        self.set.push("#slot = :number".into());
        self.set.push("#updated = :now".into());
        self.conditions.push("(attribute_not_exists(#slot) OR #slot < :number)".into());
    }

    /// Opens a window from the first hit. `set` is how an attribute gets its value.
    fn open(&mut self, first: &PendingHit, set: impl Fn(&str, &str) -> String) {
        self.name("#opened", OPENED_AT);
        self.name("#generation", WINDOW_ID);
        self.text(":generation", hex_128(first.window_id.0));
        self.set.push(set("#opened", ":now"));
        self.set.push(set("#generation", ":generation"));
        // A null marks that the first hit had no metadata, so that no later hit adds its own.
        let metadata = match &first.metadata {
            Some(metadata) => AttributeValue::S(metadata.to_string()),
            None => AttributeValue::Null(true),
        };
        self.name("#note", METADATA);
        self.values.insert(":note".into(), metadata);
        self.set.push(set("#note", ":note"));
    }
}

/// Returns the highest value before from which all of the hits fit and the value becomes
/// `min_after`.
///
/// If the floors rise from hit to hit, the floor of the merged hit may be above what the first of
/// them allows.
fn max_before_at_floor(merged: &MergedHit) -> u128 {
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
        fn cases_of_a_bucket_exclude_each_other_and_equal_its_hits_one_by_one(
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
            let at_or_below_floor = merged
                .filter(|merged| value <= max_before_at_floor(merged))
                .map(|merged| merged.min_after);
            let above_floor = merged
                .filter(|merged| value > merged.floor() && value <= merged.max_before)
                .map(|merged| value + merged.cost);
            prop_assert!(at_or_below_floor.is_none() || above_floor.is_none());
            prop_assert_eq!(at_or_below_floor.or(above_floor), one_by_one);
        }
    }
}
