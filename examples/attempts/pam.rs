//! The lines of the module `pam_unix`, which repeat what `sshd` reports.
//!
//! They count only if `sshd` itself reports nothing about the connection. In most logs it does, and
//! then more exactly: `pam_unix` also fails before another module accepts the password.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use limited::Timestamp;

use super::line::{Event, What};

/// How far apart the lines of a connection are at most. A server closes a connection without a
/// login after two minutes by default. Numbers of processes are reused after much longer.
const CONNECTION: Duration = Duration::from_secs(600);

/// Removes the lines of `pam_unix` about connections that `sshd` reports itself. Returns how many.
pub(crate) fn remove_reported(events: &mut Vec<Event>) -> u64 {
    let mut reported = HashMap::<(String, IpAddr), Vec<Timestamp>>::new();
    for event in events.iter().filter(|event| !event.is_of_module()) {
        reported.entry((event.process.clone(), event.address)).or_default().push(event.time);
    }
    let before = events.len();
    events.retain(|event| {
        let times = event.is_of_module().then(|| reported.get(&(event.process.clone(), event.address)));
        !times.flatten().is_some_and(|times| is_near(times, event.time))
    });
    (before - events.len()) as u64
}

/// Returns whether one of the times, which are sorted, is of the same connection.
fn is_near(times: &[Timestamp], time: Timestamp) -> bool {
    let next = times.partition_point(|other| *other < time);
    let is_near =
        |other: &Timestamp| other.saturating_since(time).max(time.saturating_since(*other)) <= CONNECTION;
    times[next.saturating_sub(1)..].iter().take(2).any(is_near)
}

impl Event {
    const fn is_of_module(&self) -> bool {
        matches!(self.what, What::PamModule(_))
    }
}
