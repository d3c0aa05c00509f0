//! The report: which addresses and accounts would have been locked out, and when.

use std::cmp::Reverse;
use std::io::{self, Write};

use indicatif::HumanCount;
use limited::Timestamp;

use super::layout::{table, write_left_out, write_table};
use super::lockouts::{Limit, Lockouts, Tried, Tries};
use super::log::Log;
use super::wording::{count, printable, wait};

/// Everything in the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// The name of the log.
    pub(crate) source: &'a str,
    pub(crate) log: &'a Log,
    pub(crate) limit: Limit,
    pub(crate) lockouts: &'a Lockouts,
    /// How many addresses and how many accounts to list.
    pub(crate) top: usize,
}

impl Report<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_summary(out)?;
        self.write_locked_out(out, "address", "addresses", &self.lockouts.addresses)?;
        self.write_locked_out(out, "account", "accounts", &self.lockouts.accounts)?;
        self.write_outcome(out)?;
        self.write_remarks(out)
    }

    fn write_summary(&self, out: &mut impl Write) -> io::Result<()> {
        let Lockouts { addresses, accounts, failed, .. } = self.lockouts;
        write!(out, "{}: {}", self.source, count(self.log.lines, "line"))?;
        write!(out, ", {} of sshd", HumanCount(self.log.of_sshd))?;
        if let (Some(first), Some(last)) = (self.log.logins.first(), self.log.logins.last()) {
            let [from, to] = [first.time, last.time].map(|time| self.time(time));
            write!(out, ", logins {from} to {to}{}", if self.log.has_years { " UTC" } else { "" })?;
        }
        writeln!(
            out,
            "\n{} from {} at {}",
            count(*failed, "failed login"),
            nouns(addresses.len(), "address", "addresses"),
            nouns(accounts.len(), "account", "accounts"),
        )?;
        let Limit { max, within, clear } = self.limit;
        let failures = count(max, "failed login");
        write!(
            out,
            "Limit: {failures} within {} of the first, for each address and each account",
            wait(within)
        )?;
        writeln!(out, "{}", if clear { "; a right password clears its account" } else { "" })
    }

    fn write_locked_out(
        &self,
        out: &mut impl Write,
        one: &str,
        several: &str,
        tried: &Tried,
    ) -> io::Result<()> {
        let mut locked_out: Vec<_> = tried
            .iter()
            .filter_map(|(name, tries)| Some((name, tries, tries.first?, tries.until?)))
            .collect();
        locked_out.sort_by_key(|&(name, tries, first, _)| (Reverse(tries.denied), first, name));
        if locked_out.is_empty() {
            return writeln!(out, "\nNo {one} would have been locked out.");
        }
        let header = [
            &format!("{one} locked out"),
            "failed",
            "denied",
            "lock-outs",
            "first locked out",
            "last locked until",
        ];
        let mut table = table(header, 1..=3);
        for (name, Tries { failed, denied, lockouts, .. }, first, until) in locked_out.iter().take(self.top) {
            let name = if name.is_empty() { "(empty)".to_owned() } else { printable(name, 40) };
            let [failed, denied, lockouts] = [failed, denied, lockouts].map(u64::to_string);
            table.add_row([name, failed, denied, lockouts, self.time(*first), self.time_up(*until)]);
        }
        write_table(out, &table)?;
        match locked_out.len().saturating_sub(self.top) {
            0 => Ok(()),
            more => writeln!(out, " and {}", nouns(more, &format!("more {one}"), &format!("more {several}"))),
        }
    }

    fn write_outcome(&self, out: &mut impl Write) -> io::Result<()> {
        let Lockouts { addresses, accounts, failed, denied, succeeded, denied_successes } = self.lockouts;
        let locked_out = |tried: &Tried| tried.values().filter(|tries| tries.denied > 0).count();
        let denials = |tried: &Tried| tried.values().map(|tries| tries.denied).sum::<u64>();
        writeln!(
            out,
            "\nLocked out: {} of {}, {} of {}.",
            locked_out(addresses),
            nouns(addresses.len(), "address", "addresses"),
            locked_out(accounts),
            nouns(accounts.len(), "account", "accounts"),
        )?;
        writeln!(
            out,
            "Denied: {denied} of {}; {} by the address, {} by the account.",
            count(*failed, "failed login"),
            denials(addresses),
            denials(accounts),
        )?;
        if *succeeded > 0 {
            let right = count(*succeeded, "right password");
            writeln!(
                out,
                "Right passwords denied because of earlier failures: {denied_successes} of {right}."
            )?;
        }
        Ok(())
    }

    /// Writes what was changed or skipped, and why.
    fn write_remarks(&self, out: &mut impl Write) -> io::Result<()> {
        let Log { lines, duplicates, ended, late, malformed, unread, .. } = self.log;
        if *duplicates > 0 {
            let duplicates = count(*duplicates, "line");
            writeln!(out, "\n{duplicates} not counted: another line reports the same failed login.")?;
        }
        if *ended > 0 {
            let connections = count(*ended, "connection");
            writeln!(
                out,
                "\n{connections} ended before a login, without a failed login in the log; not counted. On a\n\
                 server that takes keys only, this may be the only trace of an attempt."
            )?;
        }
        if late.lines > 0 {
            let late_lines = count(late.lines, "line");
            writeln!(
                out,
                "\n{late_lines} out of order, by {} at most, and sorted by time.",
                wait(late.at_most)
            )?;
        }
        if self.log.has_years && self.log.without_offset > 0 {
            let times = count(self.log.without_offset, "time");
            writeln!(out, "\n{times} without an offset, read as UTC.")?;
        }
        write_left_out(out, unread, "unread", *lines, "may report failed logins")?;
        write_left_out(out, malformed, "malformed", *lines, "left out")
    }

    /// Formats a time as in the log, without a year if the log has none.
    fn time(&self, time: Timestamp) -> String {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        time.strftime(if self.log.has_years { "%F %T" } else { "%b %e %T" }).to_string()
    }

    /// Formats a time rounded up to a second, so that waiting until then is enough.
    fn time_up(&self, time: Timestamp) -> String {
        self.time(time.saturating_add(std::time::Duration::from_nanos(999_999_999)))
    }
}

fn nouns(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
