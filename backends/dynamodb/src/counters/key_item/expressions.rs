//! The one `UpdateItem` of a key's item. No I/O.

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::coalesce::{PendingHit, merge};
use limited_core::{BackendError, Result, Timestamp, Window, bucket_full_at, retained_until};

use super::names::{Names, is_stale};
use super::plan::{Change, Plan, WindowPlan};
use super::state::{Bucket, KeyState, Log, TOO_LARGE, Times, WindowState};
use crate::attributes::{CREATED_AT, EXPIRES_AT, IDENTIFIER, UPDATED_AT};
use crate::counters::update::WriteId;
use crate::expression::Update;
use crate::format::{expires_at, hex_128, timestamp};

/// How many attributes of ended windows one write removes at most.
const MAX_REMOVED: usize = 16;

/// The seconds to which `ExpiresAt` is rounded up. So processes whose clocks differ by less write
/// the same time, and hardly a write fails because another one wrote a later time.
const EXPIRY_GRID: u64 = 60;

/// Returns the update that counts the hits of a plan. `seen` is the state last seen: of its windows
/// that have ended, the update removes some.
pub(super) fn count(plan: &Plan, seen: &KeyState, write: WriteId<'_>, times: Times) -> Result<Update> {
    let mut update = Update::default();
    stamp(&mut update, write, times.latest);
    for (index, window) in plan.windows.iter().enumerate() {
        change(&mut update, index, window, times)?;
    }
    for (index, (window, count)) in plan.previous.iter().enumerate() {
        let name = format!("#p{index}");
        update.name(&name, &Names::of(*window).value);
        match count {
            Some(count) => {
                let value = format!(":p{index}");
                update.number(&value, count);
                update.conditions.push(format!("{name} = {value}"));
            }
            None => update.conditions.push(format!("attribute_not_exists({name})")),
        }
    }
    let latest = plan.windows.iter().map(|window| expiry(window, times)).max().unwrap_or_default();
    expires(&mut update, latest, seen.expires_at()?);
    let used = |name: &str| {
        let is = |window: Window| Names::of(window).value == name;
        plan.windows.iter().any(|plan| is(plan.window)) || plan.previous.iter().any(|(window, _)| is(*window))
    };
    let ended = stale(seen, times).into_iter().filter(|name| !used(name)).take(MAX_REMOVED);
    remove(&mut update, ended);
    Ok(update)
}

/// Returns the update of a refund: one that takes `amount` from whatever is there, if it is at
/// least that; or else one that leaves `after`, if it finds exactly `before`.
pub(super) fn refund(
    window: Window,
    before: &WindowState,
    after: &WindowState,
    amount: Option<u128>,
    write: WriteId<'_>,
    times: Times,
) -> Update {
    let mut update = Update::default();
    stamp(&mut update, write, times.latest);
    let part = Part::new(&mut update, 0, window);
    match amount {
        Some(amount) => {
            update.number(":c0", amount);
            update.set.push("#w0 = #w0 - :c0".into());
            update.conditions.push("#w0 >= :c0".into());
            part.expect_same_kind(&mut update, before, times);
        }
        None => {
            part.expect_exactly(&mut update, before);
            part.set(&mut update, after);
        }
    }
    update
}

/// Returns the update that deletes the attributes of a window.
pub(super) fn reset(window: Window, window_id: Option<u128>, write: WriteId<'_>, now: Timestamp) -> Update {
    let mut update = Update::default();
    update.name("#id", IDENTIFIER);
    update.conditions.push("attribute_exists(#id)".into());
    stamp(&mut update, write, now);
    if let Some(id) = window_id {
        update.name("#g0", &Names::of(window).generation());
        update.text(":g0", hex_128(id));
        update.conditions.push("#g0 = :g0".into());
    }
    for (index, name) in Names::all(window).iter().enumerate() {
        // A name may occur only once.
        let short = if window_id.is_some() && *name == Names::of(window).generation() {
            "#g0".to_owned()
        } else {
            format!("#r{index}")
        };
        update.name(&short, name);
        update.remove.push(short);
    }
    update
}

/// Returns the update that removes attributes, if the item exists.
pub(super) fn clean(names: impl Iterator<Item = String>) -> Update {
    let mut update = Update::default();
    update.name("#id", IDENTIFIER);
    update.conditions.push("attribute_exists(#id)".into());
    remove(&mut update, names);
    update
}

fn remove(update: &mut Update, names: impl Iterator<Item = String>) {
    for (index, name) in names.enumerate() {
        let short = format!("#r{index}");
        update.name(&short, &name);
        update.remove.push(short);
    }
}

/// Returns the names of the counts that no process needs any more, sorted.
pub(super) fn stale(state: &KeyState, times: Times) -> Vec<String> {
    let attributes = state.attributes.iter();
    let stale = attributes.filter(|(name, value)| is_stale(name, value, times.latest, times.skew));
    let mut names: Vec<String> = stale.map(|(name, _)| name.clone()).collect();
    names.sort_unstable();
    names
}

/// Writes the number of this write to the writer's slot, where a repeated or late write finds it;
/// and the time.
fn stamp(update: &mut Update, write: WriteId<'_>, now: Timestamp) {
    update.name("#slot", write.slot);
    update.name("#updated", UPDATED_AT);
    update.name("#created", CREATED_AT);
    update.number(":number", write.number);
    update.text(":now", timestamp(now));
    update.set.push("#slot = :number".into());
    update.set.push("#updated = :now".into());
    update.set.push("#created = if_not_exists(#created, :now)".into());
    update.conditions.push("(attribute_not_exists(#slot) OR #slot < :number)".into());
}

/// Raises the time at which the item expires. A later one stays.
fn expires(update: &mut Update, expiry: Timestamp, seen: Option<u64>) {
    let expires = expires_at(expiry).div_ceil(EXPIRY_GRID) * EXPIRY_GRID;
    update.name("#expires", EXPIRES_AT);
    update.number(":expires", expires);
    if seen.is_some_and(|seen| seen >= expires) {
        // It is never lowered. But the item may have been deleted since.
        update.set.push("#expires = if_not_exists(#expires, :expires)".into());
    } else {
        update.set.push("#expires = :expires".into());
        update.conditions.push("(attribute_not_exists(#expires) OR #expires <= :expires)".into());
    }
}

/// Returns when no process needs a window any more, if the hits of this plan are written to it.
fn expiry(plan: &WindowPlan, times: Times) -> Timestamp {
    let skew = times.skew;
    match plan.window {
        Window::Aligned { start, length } => retained_until(start, length, skew),
        Window::FromFirstHit { length } => match &plan.before {
            WindowState::FromFirstHit(state) if state.is_open(plan.window, times.latest, skew) => {
                let opened = state.opened.as_ref().map_or(times.latest, |(opened, _)| *opened);
                retained_until(opened, length, skew)
            }
            _ => retained_until(times.latest, length, skew),
        },
        Window::Bucket { length } => {
            let full_at =
                |hit: &PendingHit| bucket_full_at(hit.ceiling, hit.bucket.map_or(0, |quota| quota.limit));
            let full_at = plan.hits.iter().map(full_at).max().unwrap_or_default();
            full_at.saturating_add(length.as_duration()).saturating_add(skew)
        }
        Window::Span { end, .. } => end.saturating_add(skew).saturating_add(skew),
        Window::Log { length } => retained_until(times.latest, length, skew),
    }
}

/// Adds what a plan does to one window.
fn change(update: &mut Update, index: usize, plan: &WindowPlan, times: Times) -> Result<()> {
    let part = Part::new(update, index, plan.window);
    let Part { w, .. } = &part;
    let number = |update: &mut Update, letter: char, number: u128| {
        let short = format!(":{letter}{index}");
        update.number(&short, number);
        short
    };
    // The value of a bucket is in the unit of its limit. Whether a window from the first hit is
    // open, its start shows.
    let unit = match &plan.before {
        WindowState::Bucket(_) => {
            let quota = plan.hits.last().and_then(|hit| hit.bucket);
            let quota = quota.ok_or_else(|| BackendError::invalid("a bucket needs a quota"))?;
            Some((part.quota_names(update), quota))
        }
        _ => None,
    };
    let change = plan.change(times);
    let (condition, allows_absent) = match change {
        Change::Exact => {
            part.expect_exactly(update, &plan.before);
            if !plan.changes_nothing() {
                part.set(update, &plan.after);
            }
            return Ok(());
        }
        Change::Reopen => {
            part.expect_exactly(update, &plan.before);
            let least = merge(&plan.hits, &(0..plan.hits.len()).collect::<Vec<_>>());
            let least = number(update, 'l', least.map_or(0, |merged| merged.min_after));
            update.set.push(format!("{w} = {least}"));
            part.open(update, &plan.hits[0], |name, value| format!("{name} = {value}"));
            return Ok(());
        }
        Change::Nothing { max_before } => {
            let highest = number(update, 'h', max_before.min(TOO_LARGE - 1));
            (format!("{w} <= {highest}"), true)
        }
        Change::Add { cost, max_before } => {
            let highest = number(update, 'h', max_before.min((TOO_LARGE - 1).saturating_sub(cost)));
            let cost = number(update, 'c', cost);
            update.number(":zero", 0);
            update.set.push(format!("{w} = if_not_exists({w}, :zero) + {cost}"));
            (format!("{w} <= {highest}"), true)
        }
        Change::AddAbove { cost, floor, max_before } => {
            let highest = number(update, 'h', max_before.min((TOO_LARGE - 1).saturating_sub(cost)));
            let [cost, floor] = [number(update, 'c', cost), number(update, 'f', floor)];
            update.set.push(format!("{w} = {w} + {cost}"));
            (format!("{w} > {floor} AND {w} <= {highest}"), false)
        }
        Change::Raise { to, max_before } => {
            let [to, highest] = [number(update, 'l', to), number(update, 'h', max_before.min(TOO_LARGE - 1))];
            update.set.push(format!("{w} = {to}"));
            (format!("{w} <= {highest}"), true)
        }
    };
    let condition = match (&unit, plan.window) {
        (Some(((limit_name, capacity_name), quota)), _) => {
            let limit = number(update, 'i', quota.limit.into());
            if !matches!(change, Change::Nothing { .. }) {
                let capacity = number(update, 'k', quota.capacity.into());
                update.set.push(format!("{limit_name} = {limit}"));
                update.set.push(format!("{capacity_name} = {capacity}"));
            } else {
                update.names.remove(capacity_name);
            }
            format!("{limit_name} = {limit} AND {condition}")
        }
        (None, Window::FromFirstHit { .. }) => {
            part.open(update, &plan.hits[0], |name, value| {
                format!("{name} = if_not_exists({name}, {value})")
            });
            let is_open = part.is_open(update, times);
            update.conditions.push(if allows_absent {
                // An item with `OpenedAt` keeps it, so the window is not absent even without a
                // count.
                format!(
                    "((attribute_not_exists({w}) AND attribute_not_exists({o})) OR ({is_open} AND \
                     (attribute_not_exists({w}) OR {condition})))",
                    o = part.o
                )
            } else {
                format!("{is_open} AND {condition}")
            });
            return Ok(());
        }
        _ => condition,
    };
    update.conditions.push(match allows_absent {
        true if unit.is_some() => format!("(attribute_not_exists({w}) OR ({condition}))"),
        true => format!("(attribute_not_exists({w}) OR {condition})"),
        false => condition,
    });
    Ok(())
}

/// The short names of one window of an update.
struct Part {
    index: usize,
    names: Names,
    window: Window,
    /// The value.
    w: String,
    /// When the first hit opened the window.
    o: String,
}

impl Part {
    fn new(update: &mut Update, index: usize, window: Window) -> Self {
        let part = Self {
            index,
            names: Names::of(window),
            window,
            w: format!("#w{index}"),
            o: format!("#o{index}"),
        };
        update.name(&part.w, &part.names.value);
        part
    }

    fn quota_names(&self, update: &mut Update) -> (String, String) {
        let (limit, capacity) = (format!("#i{}", self.index), format!("#k{}", self.index));
        update.name(&limit, &self.names.limit());
        update.name(&capacity, &self.names.capacity());
        (limit, capacity)
    }

    /// Opens a window from the first hit. `set` is how an attribute gets its value.
    fn open(&self, update: &mut Update, first: &PendingHit, set: impl Fn(&str, &str) -> String) {
        let index = self.index;
        // A null marks that the first hit had no metadata, so that no later hit adds its own.
        let metadata = match &first.metadata {
            Some(metadata) => AttributeValue::S(metadata.to_string()),
            None => AttributeValue::Null(true),
        };
        let generation = AttributeValue::S(hex_128(first.window_id.0));
        for (letter, name, value) in [
            ('o', self.names.opened_at(), AttributeValue::S(timestamp(first.now))),
            ('g', self.names.generation(), generation),
            ('n', self.names.note(), metadata),
        ] {
            let (short, short_value) = (format!("#{letter}{index}"), format!(":{letter}{index}"));
            update.name(&short, &name);
            update.values.insert(short_value.clone(), value);
            update.set.push(set(&short, &short_value));
        }
    }

    /// Returns the condition that a window from the first hit is open. Strings compare as times do.
    fn is_open(&self, update: &mut Update, times: Times) -> String {
        let index = self.index;
        let earliest = match times.latest.as_nanos().checked_sub(self.window.length().as_nanos()) {
            // At the first nanosecond after its end, a window has ended.
            Some(ended) => timestamp(Timestamp::from_nanos(ended.saturating_add(1))),
            // No window can have ended: every time is greater than this string.
            None => String::from(" "),
        };
        update.name(&self.o, &self.names.opened_at());
        update.text(&format!(":e{index}"), earliest);
        update.text(&format!(":t{index}"), timestamp(times.latest.saturating_add(times.skew)));
        format!("{} BETWEEN :e{index} AND :t{index}", self.o)
    }

    /// Expects the window to be exactly as it was seen.
    fn expect_exactly(&self, update: &mut Update, before: &WindowState) {
        let index = self.index;
        let mut expect = |short: String, name: &str, value: Option<AttributeValue>| {
            update.name(&format!("#{short}"), name);
            let condition = match value {
                Some(value) => {
                    update.values.insert(format!(":x{short}"), value);
                    format!("#{short} = :x{short}")
                }
                None => format!("attribute_not_exists(#{short})"),
            };
            update.conditions.push(condition);
        };
        let value_name = &self.names.value;
        match before {
            WindowState::Count(count) => expect(format!("w{index}"), value_name, count.map(n)),
            WindowState::FromFirstHit(state) => {
                let opened = state.opened_text.clone().map(AttributeValue::S);
                // If it is opened anew, only that matters: a window that has ended counts no more.
                expect(format!("o{index}"), &self.names.opened_at(), opened);
                expect(format!("w{index}"), value_name, state.count.map(n));
            }
            WindowState::Bucket(Bucket { count, limit, capacity }) => {
                expect(format!("w{index}"), value_name, count.map(n));
                expect(format!("i{index}"), &self.names.limit(), limit.map(n));
                expect(format!("k{index}"), &self.names.capacity(), capacity.map(n));
            }
            WindowState::Log(Log { text, .. }) => {
                expect(format!("w{index}"), value_name, text.clone().map(AttributeValue::S));
            }
        }
    }

    /// Expects that the value is of the same window, and in the same unit, as the one that was
    /// seen.
    fn expect_same_kind(&self, update: &mut Update, before: &WindowState, times: Times) {
        match before {
            WindowState::Count(_) | WindowState::Log(_) => {}
            WindowState::FromFirstHit(state) => {
                let id = state.opened.as_ref().map_or(0, |(_, meta)| meta.id.0);
                update.name("#g0", &self.names.generation());
                update.text(":g0", hex_128(id));
                update.conditions.push("#g0 = :g0".into());
                let is_open = self.is_open(update, times);
                update.conditions.push(is_open);
            }
            WindowState::Bucket(bucket) => {
                let (limit, capacity) = self.quota_names(update);
                for (name, short, number) in
                    [(limit, ":i0", bucket.limit), (capacity, ":k0", bucket.capacity)]
                {
                    let condition = match number {
                        Some(number) => {
                            update.number(short, number);
                            format!("{name} = {short}")
                        }
                        None => format!("attribute_not_exists({name})"),
                    };
                    update.conditions.push(condition);
                }
                if let Some(stored) = bucket.stored() {
                    // A higher value can only be that of a wrong clock.
                    let ahead = times.latest.saturating_add(times.skew).saturating_add(times.skew);
                    update.number(
                        ":h0",
                        stored.quota.highest_value(self.window.length(), ahead).min(TOO_LARGE - 1),
                    );
                    update.conditions.push(format!("{} <= :h0", self.w));
                }
            }
        }
    }

    /// Sets the value of the window.
    fn set(&self, update: &mut Update, after: &WindowState) {
        let index = self.index;
        let mut set = |short: String, name: &str, value: AttributeValue| {
            update.name(&format!("#{short}"), name);
            update.values.insert(format!(":s{short}"), value);
            update.set.push(format!("#{short} = :s{short}"));
        };
        match after {
            WindowState::Count(count) => {
                set(format!("w{index}"), &self.names.value, n(count.unwrap_or_default()));
            }
            WindowState::FromFirstHit(state) => {
                set(format!("w{index}"), &self.names.value, n(state.count.unwrap_or_default()));
            }
            WindowState::Bucket(bucket) => {
                set(format!("w{index}"), &self.names.value, n(bucket.count.unwrap_or_default()));
                for (letter, name, number) in
                    [('i', self.names.limit(), bucket.limit), ('k', self.names.capacity(), bucket.capacity)]
                {
                    if let Some(number) = number {
                        set(format!("{letter}{index}"), &name, n(number));
                    }
                }
            }
            WindowState::Log(log) => {
                set(format!("w{index}"), &self.names.value, AttributeValue::S(log.log.to_string()));
            }
        }
    }
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
