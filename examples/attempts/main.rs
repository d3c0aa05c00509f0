//! Runs the failed logins of an SSH server's log through `LimitedAttempt`: which addresses and
//! accounts would have been locked out, and when?
//!
//! ```text
//! cargo run --release --example attempts                                       # a small sample log, made up
//! cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
//! gunzip -c auth.log.gz | cargo run --release --example attempts -- -
//! ```
//!
//! Each failed login is an attempt of its address and an attempt at its account. The time comes
//! from a [`limited::ManualClock`], which is set to the time of each line. A client that is locked
//! out behaves differently from then on, which no log can show. `attempts/connections.rs` says
//! which lines are counted.
//!
//! `attempts/header.rs` and `attempts/stamp.rs` list the forms of a line, and `attempts/message.rs`
//! the messages. A line that may report a failed login in another form is counted and reported. The
//! exit status is 1 if no line of `sshd` could be read, and 2 if an argument is wrong or a file
//! cannot be opened.

mod client;
mod connections;
#[path = "../replay/encoding.rs"]
mod encoding;
mod ended;
#[path = "../replay/failure.rs"]
mod failure;
mod header;
#[path = "../replay/layout.rs"]
mod layout;
mod line;
#[path = "../replay/lines.rs"]
mod lines;
mod lockouts;
mod log;
mod message;
mod pam;
mod report;
mod stamp;
mod unread;
#[path = "../replay/wording.rs"]
#[allow(dead_code, reason = "the example `replay` uses more of it")]
mod wording;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::{Span, SpanRelativeTo};

use crate::failure::Failure;
use crate::lines::Unreadable;
use crate::lockouts::Limit;
use crate::log::Log;
use crate::report::Report;

/// Runs the failed logins of an SSH server's log through a limit, at the times in the log
#[derive(Debug, Parser)]
#[command(name = "attempts", after_help = EXAMPLES, next_line_help = true)]
struct Arguments {
    /// A log of `sshd`, such as /var/log/auth.log; `-` is standard input [default: a made-up
    /// sample]
    file: Option<PathBuf>,

    /// How many failed logins an address, or an account, may have
    #[arg(short, long, value_name = "NUMBER", default_value_t = 5)]
    max: u64,

    /// Within which time after the first of them: 10m, 1h30m, 1d
    #[arg(short, long, value_name = "TIME", default_value = "10m", value_parser = read_time)]
    within: Duration,

    /// Let a right password clear the failed logins at its account
    #[arg(short, long)]
    clear: bool,

    /// The year of the first line, if the lines have none; it matters only for the 29th of February
    #[arg(short, long, default_value_t = 2024)]
    year: i16,

    /// How many addresses, and how many accounts, to list
    #[arg(short, long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,
}

const EXAMPLES: &str = "Examples:
  cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
  gunzip -c auth.log.gz | cargo run --release --example attempts -- -";

/// A duration such as `10m`; days have 24 hours.
fn read_time(text: &str) -> Result<Duration, String> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .and_then(Duration::try_from)
        .map_err(|_| format!("invalid duration `{text}`; expected for example 90s, 10m, 1h30m or 1d"))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "attempts: {failure}");
            failure.status()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { file, max, within, clear, year, top } = arguments;
    let (name, log) = read(file.as_deref(), year);
    let log = log.map_err(|error| Failure::unreadable(&name, &error))?;
    let limit = Limit { max, within, clear };
    let lockouts = limit.replay(&log.logins)?;

    let report = Report { source: &name, log: &log, limit, lockouts: &lockouts, top };
    let mut out = io::stdout().lock();
    let written = report.write(&mut out).and_then(|()| match file {
        None => out.write_all(ABOUT_THE_SAMPLE.as_bytes()),
        Some(_) => Ok(()),
    });
    match written {
        // The reader closed the pipe, as in `attempts | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if log.is_unread() {
        let first = log.unread.first_reason().or_else(|| log.malformed.first_reason());
        return Err(Failure::nothing_read("message of sshd", log.lines, first));
    }
    Ok(())
}

/// Returns the name of the log, and its content.
fn read(file: Option<&Path>, year: i16) -> (String, Result<Log, Unreadable>) {
    const SAMPLE: &[u8] = include_bytes!("sample.log");

    match file {
        None => ("Sample log (made up)".to_owned(), Log::read(SAMPLE, year)),
        Some(path) if path == Path::new("-") => {
            ("Standard input".to_owned(), Log::read(io::stdin().lock(), year))
        }
        Some(path) => {
            let log = File::open(path).map_err(Unreadable::from);
            (path.display().to_string(), log.and_then(|file| Log::read(BufReader::new(file), year)))
        }
    }
}

const ABOUT_THE_SAMPLE: &str = "
In the sample 203.0.113.9 and 2001:db8:66::1 guess without a pause, and 198.51.100.23 slowly enough
to stay below the limit. Many addresses try root and alice twice each: only the limit by account
catches them. It also locks out alice, although she knows her password. Bob mistypes his and still
gets in. One user name pretends to come from bob's address.

Try next:
  cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
  cargo run --release --example attempts -- --help
";
