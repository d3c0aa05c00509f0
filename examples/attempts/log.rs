//! The logins in a log: failed or successful, and when.

use std::collections::HashMap;
use std::io::BufRead;

use super::connections::{Connections, Login};
use super::line::{Event, Malformed, Says, parse};
use super::lines::{Late, LeftOut, Lines, Unreadable};
use super::stamp::Stamps;

/// The password logins of a log, in order of time.
///
/// Lines may be out of order, for instance if several hosts write to one log: they are sorted by
/// time. Lines of the same time keep their order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) logins: Vec<Login>,
    pub(crate) lines: u64,
    /// Lines about a failure that another line reports too.
    pub(crate) duplicates: u64,
    pub(crate) late: Late,
    pub(crate) malformed: LeftOut<Malformed>,
    /// Whether the timestamps have years and offsets.
    pub(crate) has_years: bool,
}

impl Log {
    /// Returns whether no line could be read.
    pub(crate) const fn is_unread(&self) -> bool {
        self.malformed.count == self.lines
    }

    /// Reads a log. `year`: the year of the first line, if its timestamp has none.
    pub(crate) fn read(input: impl BufRead, year: i16) -> Result<Self, Unreadable> {
        let mut log = Self::default();
        let mut events = Vec::new();
        // The login that the last line of each host reported, if it reported one.
        let mut last = HashMap::<String, Option<Event>>::new();
        let mut stamps = Stamps::new(year);
        let mut lines = Lines::new(input, "auth.log")?;
        while let Some(line) = lines.next()? {
            if line.bytes.is_empty() {
                continue;
            }
            log.lines += 1;
            let text = String::from_utf8_lossy(line.bytes);
            let line = match parse(&text, &mut stamps) {
                Ok(line) => line,
                Err(wrong) => {
                    log.malformed.add(line.number, &text, wrong);
                    continue;
                }
            };
            log.has_years |= line.has_year;
            let event = match line.says {
                Says::Login(event) => Some(event),
                Says::Again(times, time) => {
                    last.get(line.host).cloned().flatten().map(|event| event.again(times, time))
                }
                Says::Other => None,
            };
            events.extend(event.clone());
            match last.get_mut(line.host) {
                Some(last) => *last = event,
                None => _ = last.insert(line.host.to_owned(), event),
            }
        }
        events.iter().for_each(|event| log.late.add(event.time));
        events.sort_by_key(|event| event.time);
        let mut connections = Connections::default();
        for event in events {
            match connections.login(event) {
                Some(login) => log.logins.push(login),
                None => log.duplicates += 1,
            }
        }
        Ok(log)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::connections::Outcome;
    use super::*;

    fn read(input: &str) -> Log {
        Log::read(input.as_bytes(), 2024).unwrap()
    }

    /// Returns a line: a wrong password for `account` at `second` of a minute, on its own
    /// connection.
    fn line(account: &str, second: u64) -> String {
        format!(
            "Jun  9 03:11:{second:02} gate sshd[{second}]: Failed password for {account} from 192.0.2.1 port 4 ssh2\n"
        )
    }

    fn accounts(log: &Log) -> Vec<(&str, Outcome)> {
        log.logins.iter().map(|login| (&*login.account, login.outcome)).collect()
    }

    #[test]
    fn logins_are_sorted_by_time() {
        let one = Outcome::Failed(1);
        let log = read(&[line("a", 7), line("b", 9), line("c", 3), line("d", 7)].concat());
        assert_eq!(accounts(&log), [("c", one), ("a", one), ("d", one), ("b", one)]);
        assert_eq!((log.late.lines, log.late.at_most), (2, Duration::from_secs(6)));
    }

    #[test]
    fn repetition_repeats_the_previous_line_of_its_host() {
        let again = "Jun  9 03:11:30 gate last message repeated 3 times\n";
        let log = read(&[&*line("a", 7), again].concat());
        assert_eq!(accounts(&log), [("a", Outcome::Failed(1)), ("a", Outcome::Failed(3))]);
        let other = "Jun  9 03:11:08 gate cron[1]: x\n";
        assert_eq!(accounts(&read(&[&*line("a", 7), other, again].concat())), [("a", Outcome::Failed(1))]);
        let other_host = "Jun  9 03:11:08 door cron[1]: x\n";
        assert_eq!(read(&[&*line("a", 7), other_host, again].concat()).logins.len(), 2);
    }

    #[test]
    fn malformed_lines_are_counted_with_their_numbers_and_empty_ones_are_not() {
        let good = line("a", 1);
        let mut input = format!("\n{good}bad\n\r\n{good}").into_bytes();
        input.extend(b"\xff\xfe\0\n".repeat(9));
        input.extend(b"no line break at the end");
        let log = Log::read(&*input, 2024).unwrap();
        assert_eq!((log.lines, log.malformed.count), (13, 11));
        assert!(!log.is_unread());
        assert!(read("bad").is_unread());
        let numbers: Vec<_> = log.malformed.first.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 6, 7, 8, 9]);
    }

    #[test]
    fn compressed_log_is_an_error() {
        let compressed: &[u8] = &[0x1f, 0x8b, 8, 0, 0];
        assert!(matches!(Log::read(compressed, 2024), Err(Unreadable::Compressed { format: "gzip", .. })));
    }
}
