//! The report of a replay.

use std::cmp::Reverse;
use std::io::{self, Write};

use indicatif::HumanCount;
use limited::Quota;

use super::clients::Choice;
use super::keys::By;
use super::layout::{table, write_left_out, write_table};
use super::log::Log;
use super::replay::{Outcome, Wait};
use super::wording::{count, period, printable, share, wait};

/// Everything in the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    /// The name of the log.
    pub(crate) source: &'a str,
    pub(crate) log: &'a Log,
    pub(crate) by: &'a By,
    pub(crate) choice: Choice,
    pub(crate) quota: Quota,
    pub(crate) outcomes: &'a [Outcome],
    /// How many of the most refused keys to list.
    pub(crate) top: usize,
}

impl Report<'_> {
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_summary(out)?;
        if !self.log.requests.is_empty() {
            self.write_outcomes(out)?;
            self.write_most_refused(out)?;
        }
        self.write_remarks(out)
    }

    /// Writes what was replayed, and the quota.
    fn write_summary(&self, out: &mut impl Write) -> io::Result<()> {
        let requests = &self.log.requests;
        write!(out, "{}: {}", self.source, count(requests.len() as u64, "request"))?;
        if let (Some(first), Some(last)) = (requests.first(), requests.last()) {
            let keys = self.log.keys.len();
            let nouns = self.by.noun(keys);
            let period = period(first.time, last.time);
            writeln!(out, ", {} {nouns}, {period}", HumanCount(keys as u64))?;
            writeln!(out, "Quota: {} for each {}", self.quota, self.by.noun(1))
        } else {
            writeln!(out, ", nothing to replay")
        }
    }

    fn write_outcomes(&self, out: &mut impl Write) -> io::Result<()> {
        let header = [
            "algorithm",
            "admitted",
            "refused",
            "",
            &format!("{} refused", self.by.noun(2)),
            "longest wait",
            &self.by.noun(1),
        ];
        let mut table = table(header, 1..=5);
        for outcome in self.outcomes {
            let (wait, key) = match outcome.longest_wait {
                Some((Wait::For(duration), key)) => (wait(duration), &*self.log.labels[key]),
                Some((Wait::Forever, key)) => ("forever".to_owned(), &*self.log.labels[key]),
                None => ("-".to_owned(), ""),
            };
            table.add_row([
                outcome.algorithm.to_string(),
                HumanCount(outcome.admitted).to_string(),
                HumanCount(outcome.refused).to_string(),
                share(outcome.refused, outcome.admitted + outcome.refused),
                HumanCount(outcome.keys_refused() as u64).to_string(),
                wait,
                printable(key, 20),
            ]);
        }
        write_table(out, &table)
    }

    /// Writes the keys that were refused most often, by all algorithms together.
    fn write_most_refused(&self, out: &mut impl Write) -> io::Result<()> {
        let refused = |key: usize| self.outcomes.iter().map(move |outcome| outcome.refused_by_key[key]);
        let mut keys: Vec<_> =
            (0..self.log.keys.len()).filter(|key| refused(*key).any(|refused| refused > 0)).collect();
        keys.sort_by_key(|key| (Reverse(refused(*key).sum::<u64>()), &self.log.labels[*key]));
        keys.truncate(self.top);
        if keys.is_empty() {
            return Ok(());
        }

        let mut requests = vec![0; self.log.keys.len()];
        for request in &self.log.requests {
            requests[request.key] += 1;
        }
        let algorithms = self.outcomes.iter().map(|outcome| outcome.algorithm.to_string());
        let header = ["most refused", "requests"].map(str::to_owned);
        let mut table = table(header.into_iter().chain(algorithms), 1..=1 + self.outcomes.len());
        for key in keys {
            let label = printable(&self.log.labels[key], 40);
            let figures = [requests[key]].into_iter().chain(refused(key));
            table.add_row([label].into_iter().chain(figures.map(|figure| HumanCount(figure).to_string())));
        }
        write_table(out, &table)
    }

    /// Writes what was changed or skipped, and why.
    fn write_remarks(&self, out: &mut impl Write) -> io::Result<()> {
        let Log { lines, unidentified, forwarded, only_client, late, malformed, .. } = self.log;
        if *unidentified > 0 {
            let requests = count(*unidentified, "more request");
            writeln!(out, "\n{requests} passed unlimited: no {} in the log.", self.by.noun(1))?;
        }
        if let Some(client) = only_client.private() {
            let remedy = match self.choice {
                Choice::Refuse => {
                    "A name before the only address is read as that of a virtual host. If it is the client, let the\n\
                     server write its address instead. If a line has several addresses, choose one with --client\n\
                     first or last."
                }
                Choice::First => "If a line has several addresses, try --client last.",
                Choice::Last => "If a line has several addresses, try --client first.",
            };
            writeln!(
                out,
                "\nAll requests come from {client}, a private address: it may be the server or a proxy.\n{remedy}"
            )?;
        }
        if *forwarded > 0 {
            let requests = count(*forwarded, "request");
            writeln!(
                out,
                "\n{requests} with other addresses after the agent, as behind a proxy. The client is read\n\
                 from the start of a line. Let the server write it there: nginx has `realip` for that."
            )?;
        }
        if late.lines > 0 {
            let late_lines = count(late.lines, "line");
            let at_most = wait(late.at_most);
            writeln!(
                out,
                "\n{late_lines} out of order, by {at_most} at most, and sorted by time: servers write when a request ends."
            )?;
        }
        write_left_out(out, malformed, "malformed", *lines, "left out")
    }
}
