//! Puts the failed logins of an SSH server's log through `LimitedAttempt`: who would have been locked out, and when?
//!
//! ```text
//! cargo run --release --example attempts                                       # a small sample log, made up
//! cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
//! zcat auth.log.gz | cargo run --release --example attempts -- -
//! ```
//!
//! Each failed login is an attempt of its address, and one at its account. The time comes from a
//! [`limited::ManualClock`], which is set to the time of each line. Whoever is locked out behaves differently from then
//! on, and no log tells how. Which lines are counted, and which tell of the same login twice: `attempts/connections.rs`.

#[path = "attempts/connections.rs"]
mod connections;
#[path = "attempts/line.rs"]
mod line;
#[path = "replay/lines.rs"]
mod lines;
#[path = "attempts/lockouts.rs"]
mod lockouts;
#[path = "attempts/log.rs"]
mod log;
#[path = "attempts/report.rs"]
mod report;
#[path = "attempts/stamp.rs"]
mod stamp;
#[path = "replay/wording.rs"]
#[allow(dead_code, reason = "the example `replay` words more than this")]
mod wording;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use jiff::{Span, SpanRelativeTo};

use crate::lockouts::Limit;
use crate::log::{Log, Unreadable};
use crate::report::Report;

/// Puts the failed logins of an SSH server's log through a limit, by the log's own times
#[derive(Debug, Parser)]
#[command(name = "attempts", after_help = EXAMPLES, next_line_help = true)]
struct Arguments {
    /// A log of `sshd`, such as /var/log/auth.log; `-` is standard input [default: a made-up sample]
    file: Option<PathBuf>,

    /// How many failed logins an address, or an account, may have
    #[arg(short, long, value_name = "NUMBER", default_value_t = 5)]
    max: u64,

    /// Within how long of the first of them: 10m, 1h30m, 1d
    #[arg(short, long, value_name = "TIME", default_value = "10m", value_parser = read_time)]
    within: Duration,

    /// Let a right password clear the failed logins at its account
    #[arg(short, long)]
    clear: bool,

    /// The year of the first line, where lines do not say it; it matters for the 29th of February alone
    #[arg(short, long, default_value_t = 2024)]
    year: i16,

    /// How many addresses, and how many accounts, to name
    #[arg(short, long, value_name = "NUMBER", default_value_t = 20)]
    top: usize,
}

const EXAMPLES: &str = "Examples:
  cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
  zcat auth.log.gz | cargo run --release --example attempts -- -";

/// A duration such as `10m`; days have 24 hours.
fn read_time(text: &str) -> Result<Duration, String> {
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .and_then(Duration::try_from)
        .map_err(|_| format!("`{text}` is no time: write 90s, 10m, 1h30m, 1d"))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "attempts: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let Arguments { file, max, within, clear, year, top } = arguments;
    let (name, log) = read(file.as_deref(), year);
    let log = log.map_err(|error| format!("cannot read {name}: {error}"))?;
    let limit = Limit { max, within, clear };
    let lockouts = limit.replay(&log.logins)?;

    let report = Report { source: &name, log: &log, limit, lockouts: &lockouts, top };
    let mut out = io::stdout().lock();
    let written = report.write(&mut out).and_then(|()| match file {
        None => out.write_all(ABOUT_THE_SAMPLE.as_bytes()),
        Some(_) => Ok(()),
    });
    match written {
        // Whoever reads has seen enough, as in `attempts | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// What the log is called, and what is in it.
fn read(file: Option<&Path>, year: i16) -> (String, Result<Log, Unreadable>) {
    const SAMPLE: &[u8] = include_bytes!("attempts/sample.log");

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
sees them. It also turns alice away, who knows her password; bob, who mistypes his, gets in. One
name pretends that bob's address sent it.

Try next:
  cargo run --release --example attempts -- --max 3 --within 1h /var/log/auth.log
  cargo run --release --example attempts -- --help
";
