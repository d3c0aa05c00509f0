//! The lines of the module `pam_unix`, which repeat what `sshd` reports.
//!
//! They count only if `sshd` itself reports nothing about the connection. In most logs it does, and
//! then more exactly: `pam_unix` also fails before another module accepts the password.

use std::collections::HashMap;

use limited::Timestamp;

use super::client::{CONNECTION, Client, apart};
use super::line::{Event, What};

/// Removes the lines of `pam_unix` about connections that `sshd` reports itself. Returns how many.
pub(crate) fn remove_reported(events: &mut Vec<Event>) -> u64 {
    let mut reported = HashMap::<(String, Client), Vec<Timestamp>>::new();
    for event in events.iter().filter(|event| !event.is_of_module()) {
        reported.entry((event.process.clone(), event.client.clone())).or_default().push(event.time);
    }
    let before = events.len();
    events.retain(|event| {
        let times =
            event.is_of_module().then(|| reported.get(&(event.process.clone(), event.client.clone())));
        !times.flatten().is_some_and(|times| is_near(times, event.time))
    });
    (before - events.len()) as u64
}

/// Returns whether one of the times, which are sorted, is of the same connection.
pub(crate) fn is_near(times: &[Timestamp], time: Timestamp) -> bool {
    let next = times.partition_point(|other| *other < time);
    let is_near = |other: &Timestamp| apart(*other, time) <= CONNECTION;
    times[next.saturating_sub(1)..].iter().take(2).any(is_near)
}

impl Event {
    const fn is_of_module(&self) -> bool {
        matches!(self.what, What::PamModule(_))
    }
}
