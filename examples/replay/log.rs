//! The requests of a log: their keys and times.

use std::collections::HashMap;
use std::io::BufRead;

use limited::{Key, Timestamp};

use super::clients::{Choice, Only};
use super::keys::By;
use super::lines::{Late, LeftOut, Lines, Unreadable};
use super::log_format::{Entry, Malformed, parse};
use super::{other_format, prefix};

/// The requests of a log, in order of time.
///
/// A server writes a line after the response, with the time of the request. So a log is out of
/// order by as much as responses take, and is sorted by time here. Requests of the same second keep
/// the order of their lines.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<Request>,
    pub(crate) keys: Vec<Key<'static>>,
    /// The display name of each key.
    pub(crate) labels: Vec<String>,
    /// How many lines there are, empty ones not counted.
    pub(crate) lines: u64,
    /// How many requests have no key, because a field of it is unknown.
    pub(crate) unidentified: u64,
    /// How many requests name other clients at the end of the line.
    pub(crate) forwarded: u64,
    /// Stays empty if the client is no part of the key.
    pub(crate) only_client: Only,
    pub(crate) late: Late,
    pub(crate) malformed: LeftOut<Malformed>,
}

/// A request: small, because a log has many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) time: Timestamp,
    /// The index in [`Log::keys`].
    pub(crate) key: usize,
}

impl Log {
    /// Returns whether no line could be read.
    pub(crate) const fn is_unread(&self) -> bool {
        self.malformed.count == self.lines
    }

    /// Reads a log, and reports from time to time how many bytes it has read.
    pub(crate) fn read(
        input: impl BufRead,
        by: &By,
        choice: Choice,
        mut progress: impl FnMut(u64),
    ) -> Result<Self, Unreadable> {
        const LINES_PER_PROGRESS: u64 = 1 << 12;

        let mut reading = Reading::default();
        let mut lines = Lines::new(input, "access.log")?;
        while let Some(line) = lines.next()? {
            if line.number.is_multiple_of(LINES_PER_PROGRESS) {
                progress(line.bytes_read);
            }
            if line.bytes.is_empty() {
                continue;
            }
            reading.log.lines += 1;
            let text = String::from_utf8_lossy(line.bytes);
            let bare = prefix::strip(&text);
            match parse(&bare, choice) {
                Ok(entry) => reading.add(by, &entry),
                Err(wrong) => {
                    let wrong = other_format::name(&bare).map_or(wrong, Malformed::Format);
                    reading.log.malformed.add(line.number, &text, wrong);
                }
            }
        }
        Ok(reading.done())
    }
}

#[derive(Default)]
struct Reading {
    log: Log,
    places: HashMap<Key<'static>, usize>,
}

impl Reading {
    fn add(&mut self, by: &By, entry: &Entry<'_>) {
        let time = entry.time;
        self.log.late.add(time);
        self.log.forwarded += u64::from(entry.is_forwarded);
        if by.has_client() {
            self.log.only_client.add(entry.host);
        }

        let Some(key) = by.key(entry) else {
            self.log.unidentified += 1;
            return;
        };
        let next = self.places.len();
        let key = *self.places.entry(key).or_insert_with(|| {
            self.log.labels.push(by.label(entry));
            next
        });
        self.log.requests.push(Request { time, key });
    }

    fn done(mut self) -> Log {
        self.log.requests.sort_by_key(|request| request.time);
        let mut keys: Vec<_> = self.places.into_iter().collect();
        keys.sort_unstable_by_key(|(_, place)| *place);
        self.log.keys = keys.into_iter().map(|(key, _)| key).collect();
        self.log
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn read(by: &str, input: &[u8]) -> Result<Log, Unreadable> {
        Log::read(input, &by.parse().unwrap(), Choice::Refuse, |_| ())
    }

    /// Returns a line of `user` at `second` of a minute.
    fn line(user: &str, second: u64) -> String {
        format!("192.0.2.1 - {user} [09/Jun/2026:12:00:{second:02} +0000] \"GET / HTTP/1.1\" 200 -\n")
    }

    fn log(lines: &[(&str, u64)]) -> Log {
        let input: String = lines.iter().map(|(user, second)| line(user, *second)).collect();
        read("user", input.as_bytes()).unwrap()
    }

    #[test]
    fn requests_are_sorted_by_time() {
        let log = log(&[("a", 7), ("b", 9), ("c", 3), ("d", 7), ("a", 9)]);
        let order: Vec<_> = log.requests.iter().map(|request| &*log.labels[request.key]).collect();
        assert_eq!(order, ["c", "a", "d", "b", "a"]);
        assert_eq!(log.keys, ["a", "b", "c", "d"].map(|user| Key::new().user(user)));
        assert_eq!((log.late.lines, log.late.at_most), (2, Duration::from_secs(6)));
    }

    #[test]
    fn requests_without_a_key_are_counted_separately() {
        let log = log(&[("a", 7), ("-", 9), ("a", 10)]);
        assert_eq!((log.requests.len(), log.unidentified), (2, 1));
    }

    #[test]
    fn malformed_lines_are_counted_with_their_numbers_and_empty_ones_are_not() {
        let good = line("a", 1);
        let mut input = format!("\n{good}bad\n\r\n{good}").into_bytes();
        input.extend(b"\xff\xfe\0\n".repeat(9));
        input.extend(b"no line break at the end");
        let log = read("ip", &input).unwrap();
        assert_eq!((log.lines, log.requests.len(), log.malformed.count), (13, 2, 11));
        assert_eq!(log.malformed.sample, "bad");
        assert!(!log.is_unread());
        assert!(read("ip", b"bad\n").unwrap().is_unread());
        let numbers: Vec<_> = log.malformed.first.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 6, 7, 8, 9]);
    }

    #[test]
    fn compressed_log_is_an_error() {
        let compressed = [0x1f, 0x8b, 8, 0, 0];
        assert!(matches!(read("ip", &compressed), Err(Unreadable::Compressed { format: "gzip", .. })));
    }
}
