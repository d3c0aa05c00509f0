//! Hits on a log: read, decide and write, if the log is as last seen.

use limited_core::coalesce::PendingHit;
use limited_core::{CounterState, Result, Window};

use super::Counters;
use super::item::CounterItem;
use super::step::Step;
use super::update::WriteId;
use super::write::{Attempt, MAX_ROUNDS, contended, expiry};
use crate::expression::Update;

impl Counters {
    /// Counts hits on a log, one after the other, by one write.
    ///
    /// The write expects the log that this process has seen last, or none. If another process wrote
    /// since, the condition fails and returns the log. If no hit changes the log, nothing is
    /// written, and a consistent read confirms the result unless DynamoDB has just returned the
    /// log.
    pub(super) async fn write_log(
        &self,
        item: &CounterItem,
        hits: &[PendingHit],
    ) -> Result<Vec<CounterState>> {
        let (window, skew) = (item.window, self.client.settings.max_clock_skew);
        let now = hits.iter().map(|hit| hit.now).max().unwrap_or_default();
        let mut seen = self.last_logs.get(&item.key).unwrap_or_default();
        let mut is_confirmed = false;
        for _ in 0..MAX_ROUNDS {
            let mut log = seen.clone();
            let mut states = Vec::with_capacity(hits.len());
            for hit in hits {
                let step = Step::of(&log, window, hit, skew);
                states.push(match step.after {
                    Some((state, after)) => {
                        log = after;
                        state
                    }
                    None => step.before,
                });
            }
            if log.has_same_value(&seen) {
                self.remember(item, &seen);
                if is_confirmed {
                    return Ok(states);
                }
                let read = self.read(&item.key, window).await?;
                is_confirmed = true;
                if read.has_same_value(&seen) {
                    return Ok(states);
                }
                seen = read;
                continue;
            }
            let write = WriteId { slot: &self.writer_slot, number: self.next_number(now) };
            let expiry = expiry(window, now, hits.iter(), skew);
            let update = Update::replace(window, &seen, &log, expiry, write, now)?;
            match self.attempt(item, update, write).await? {
                // A repetition may find what another process logged since. The states are those of
                // the write.
                Attempt::Applied(after) => {
                    self.applied(item, &after, now).await;
                    return Ok(states);
                }
                Attempt::ConditionFailed(old) => {
                    seen = old;
                    is_confirmed = true;
                }
            }
        }
        Err(contended())
    }
}

/// Returns whether this is a log.
pub(super) const fn is_log(window: Window) -> bool {
    matches!(window, Window::Log { .. })
}
