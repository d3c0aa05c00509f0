//! The logins in a log: failed or successful, and when.

use std::collections::HashMap;
use std::io::BufRead;

use super::connections::{Connections, Login};
use super::line::{Event, Malformed, Says, parse};
use super::lines::{Late, LeftOut, Lines, Unreadable};
use super::stamp::{Clock, Stamps};
use super::unread::Unread;
use super::{client, ended, pam};

/// The password logins of a log, in order of time.
///
/// Lines may be out of order, for instance if several hosts write to one log: they are sorted by
/// time. Lines of the same time keep their order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) logins: Vec<Login>,
    pub(crate) lines: u64,
    /// How many of the lines are of `sshd`.
    pub(crate) of_sshd: u64,
    /// Lines about a failure that another line reports too.
    pub(crate) duplicates: u64,
    /// How many connections ended before a login, without a failed login in the log.
    pub(crate) ended: u64,
    pub(crate) late: Late,
    pub(crate) malformed: LeftOut<Malformed>,
    /// Lines that look like a failed login, and have no form that is read.
    pub(crate) unread: LeftOut<Unread>,
    /// Whether timestamps have years.
    pub(crate) has_years: bool,
    /// How many timestamps have no offset.
    pub(crate) without_offset: u64,
}

impl Log {
    /// Returns whether no line of `sshd` could be read.
    pub(crate) const fn is_unread(&self) -> bool {
        self.of_sshd == 0
    }

    /// Reads a log. `year`: the year of the first line, if its timestamp has none.
    pub(crate) fn read(input: impl BufRead, year: i16) -> Result<Self, Unreadable> {
        let mut log = Self::default();
        let (mut events, mut ends) = (Vec::new(), Vec::new());
        // The login that the last line of each host reported, if it reported one.
        let mut last = HashMap::<String, Option<Event>>::new();
        let mut last_host = String::new();
        let mut stamps = Stamps::new(year);
        let mut lines = Lines::new(input, "auth.log")?;
        while let Some(line) = lines.next()? {
            let text = String::from_utf8_lossy(line.bytes);
            if text.is_empty() || is_of_journalctl(&text) {
                continue;
            }
            log.lines += 1;
            let number = line.number;
            let line = match parse(&text, &mut stamps) {
                Ok(line) => line,
                Err(wrong) => {
                    log.malformed.add(number, &text, wrong);
                    continue;
                }
            };
            log.of_sshd += u64::from(line.is_sshd);
            log.has_years |= line.clock != Clock::Bare;
            log.without_offset += u64::from(line.clock != Clock::Offset);
            let host = line.host.unwrap_or_else(|| last_host.clone());
            let event = match line.says {
                Says::Login(event) => Some(event),
                Says::Again(times, time) => {
                    last.get(&host).cloned().flatten().map(|event| event.again(times, time))
                }
                Says::Ended(end) => {
                    ends.push(end);
                    None
                }
                Says::Other => None,
                Says::Unread(why) => {
                    log.unread.add(number, &text, why);
                    None
                }
            };
            events.extend(event.clone());
            last_host.clone_from(&host);
            last.insert(host, event);
        }
        events.iter().for_each(|event| log.late.add(event.time));
        events.sort_by_key(|event| event.time);
        client::resolve(&mut events);
        log.ended = ended::count_without(&events, &mut ends);
        log.duplicates = pam::remove_reported(&mut events);
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

/// Returns whether a line is a remark of `journalctl`, such as `-- Boot 0123abcd --`.
fn is_of_journalctl(line: &str) -> bool {
    line.starts_with("-- ") && line.ends_with(" --")
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
        log.logins.iter().map(|login| (login.account.as_deref().unwrap_or("?"), login.outcome)).collect()
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
        let mut input = format!("-- Boot 0123abcd --\n{good}bad\n\r\n{good}").into_bytes();
        input.extend(b"\xff\xfe\0\n".repeat(9));
        input.extend(b"no line break at the end");
        let log = Log::read(&*input, 2024).unwrap();
        assert_eq!((log.lines, log.malformed.count), (13, 11));
        assert_eq!((log.of_sshd, log.is_unread()), (2, false));
        assert!(read("Jun  9 03:11:08 gate cron[1]: x").is_unread());
        let numbers: Vec<_> = log.malformed.first.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [3, 6, 7, 8, 9]);
    }

    #[test]
    fn repetition_without_a_host_repeats_the_previous_line() {
        let again = "Jun  9 03:11:30 --- last message repeated 3 times ---\n";
        assert_eq!(
            accounts(&read(&[&*line("a", 7), again].concat())).last(),
            Some(&("a", Outcome::Failed(3)))
        );
        let again = "Jun  9 03:11:30 gate syslogd: last message repeated 3 times\n";
        assert_eq!(
            accounts(&read(&[&*line("a", 7), again].concat())).last(),
            Some(&("a", Outcome::Failed(3)))
        );
    }

    #[test]
    fn lines_of_pam_count_only_if_the_server_reports_nothing() {
        let pam = "Jun  9 03:11:06 gate sshd[7]: pam_unix(sshd:auth): authentication failure; rhost=192.0.2.1  user=a\n";
        let log = read(pam);
        assert_eq!((accounts(&log), log.duplicates), (vec![("a", Outcome::Failed(1))], 0));
        let log = read(&[pam, &line("a", 7)].concat());
        assert_eq!((accounts(&log), log.duplicates), (vec![("a", Outcome::Failed(1))], 1));
        // Another module accepted the password.
        let accepted = line("a", 7).replace("Failed", "Accepted");
        let log = read(&[pam, &accepted].concat());
        assert_eq!((accounts(&log), log.duplicates), (vec![("a", Outcome::Succeeded)], 1));
        // The number of the process was reused.
        let later = pam.replace("03:11:06", "03:31:06");
        assert_eq!(read(&[&*line("a", 7), &*later].concat()).logins.len(), 2);
        let more =
            pam.replace("pam_unix(sshd:auth): authentication failure", "PAM 2 more authentication failures");
        let without_user = more.replace("  user=a", "");
        assert_eq!(accounts(&read(&[pam, &more].concat())).last(), Some(&("a", Outcome::Failed(2))));
        assert_eq!(accounts(&read(&without_user)), [("?", Outcome::Failed(2))]);
    }

    #[test]
    fn lines_in_an_unknown_form_are_counted() {
        let log = read(
            "Jun  9 03:11:02 gate dropbear[7]: Bad password attempt for 'root' from 192.0.2.1:4\n\
             Jun  9 03:11:02 gate sshd[7]: Failed something for root from 192.0.2.1 port 4 ssh2\n",
        );
        assert_eq!(log.unread.first, [(1, Unread::Program), (2, Unread::Message)]);
        assert!(log.logins.is_empty() && !log.is_unread());
    }

    #[test]
    fn compressed_log_is_an_error() {
        let compressed: &[u8] = &[0x1f, 0x8b, 8, 0, 0];
        assert!(matches!(Log::read(compressed, 2024), Err(Unreadable::Compressed { format: "gzip", .. })));
    }
}
