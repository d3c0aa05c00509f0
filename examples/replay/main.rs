//! Runs an access log through the limiter, at the times in the log: what would each algorithm have
//! refused?
//!
//! ```text
//! cargo run --release --example replay                                        # a small sample log, made up
//! cargo run --release --example replay -- --quota 5/s --by path access.log
//! gunzip -c access.log.gz | cargo run --release --example replay -- --by ip+path -
//! ```
//!
//! The time comes from a [`limited::ManualClock`], which is set to the time of each request. A
//! replay shows how a limiter would have decided about the requests that were made. Refused clients
//! behave differently from then on, which no log can show.
//!
//! `replay/prefix.rs` lists what may stand around a line, and `replay/clients.rs` says which
//! address is the client. A line that fits no format, or several, is left out, counted and
//! reported. The exit status is 1 if no line could be read or no request has a key, and 2 if an
//! argument is wrong or a file cannot be opened.

mod clients;
mod encoding;
mod failure;
mod keys;
mod layout;
mod lines;
mod log;
mod log_format;
mod other_format;
mod prefix;
mod progress;
mod replay;
mod report;
mod request_line;
mod wording;

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use limited::{Algorithm, Quota};

use crate::clients::Choice;
use crate::failure::Failure;
use crate::keys::By;
use crate::lines::Unreadable;
use crate::log::Log;
use crate::progress::Progress;
use crate::replay::replay;
use crate::report::Report;

/// Runs an access log through a rate limiter, at the times in the log
#[derive(Debug, Parser)]
#[command(name = "replay", after_help = EXAMPLES, next_line_help = true)]
struct Arguments {
    /// A log in Common or Combined Log Format; `-` is standard input [default: a made-up sample]
    file: Option<PathBuf>,

    /// The quota: 5/s, 100/min, "1000/hour burst 50" [default: 100/min, for the sample 20/min]
    #[arg(short, long)]
    quota: Option<Quota>,

    /// fixed-window, sliding-window, token-bucket, or all of them side by side
    #[arg(short, long, default_value = "all")]
    algorithm: Algorithms,

    /// The key: ip, user, path, method, status, agent, or several, as in ip+path
    #[arg(short, long, value_name = "FIELD", default_value = "ip")]
    by: By,

    /// The client, if a line has several addresses before the time: first or last; also first if a
    /// virtual host follows the client [default: leave such lines out]. A user name may be an
    /// address too: do not take the last if a client can choose it
    #[arg(short, long, value_name = "WHICH")]
    client: Option<Choice>,

    /// How many of the most refused keys to list
    #[arg(short, long, value_name = "NUMBER", default_value_t = 5)]
    top: usize,
}

const EXAMPLES: &str = "Examples:
  cargo run --release --example replay -- --quota 5/s --by path access.log
  gunzip -c access.log.gz | cargo run --release --example replay -- --by ip+path -";

#[derive(Clone, Debug)]
struct Algorithms(Vec<Algorithm>);

impl FromStr for Algorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self(Algorithm::ALL.into())),
            _ => match text.parse() {
                Ok(algorithm) => Ok(Self(vec![algorithm])),
                Err(error) => Err(format!("{error}, or all")),
            },
        }
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "replay: {failure}");
            failure.status()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { file, quota, algorithm, by, client, top } = arguments;
    let choice = client.unwrap_or_default();
    let (name, log) = read(file.as_deref(), &by, choice);
    let log = log.map_err(|error| Failure::unreadable(&name, &error))?;
    let quota = quota.unwrap_or(Quota::per_minute(if file.is_some() { 100 } else { 20 }));

    let progress = Progress::of_requests(log.requests.len() as u64);
    let outcomes = replay(&log, quota, &algorithm.0, |requests| progress.set(requests))?;
    drop(progress);

    let report = Report { source: &name, log: &log, by: &by, choice, quota, outcomes: &outcomes, top };
    let mut out = io::stdout().lock();
    let written = report.write(&mut out).and_then(|()| match file {
        None => out.write_all(ABOUT_THE_SAMPLE.as_bytes()),
        Some(_) => Ok(()),
    });
    match written {
        // The reader closed the pipe, as in `replay | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    if log.is_unread() {
        return Err(Failure::nothing_read("request", log.lines, log.malformed.first_reason()));
    }
    if log.requests.is_empty() {
        return Err(Failure::no_key(&by.noun(1), log.unidentified));
    }
    Ok(())
}

/// Returns the name of the log, and its content.
fn read(file: Option<&Path>, by: &By, choice: Choice) -> (String, Result<Log, Unreadable>) {
    const SAMPLE: &[u8] = include_bytes!("sample.log");

    match file {
        None => ("Sample log (made up)".to_owned(), Log::read(SAMPLE, by, choice, |_| ())),
        Some(path) if path == Path::new("-") => {
            let progress = Progress::of_bytes(None);
            (
                "Standard input".to_owned(),
                Log::read(io::stdin().lock(), by, choice, |bytes| progress.set(bytes)),
            )
        }
        Some(path) => (path.display().to_string(), read_file(path, by, choice)),
    }
}

fn read_file(path: &Path, by: &By, choice: Choice) -> Result<Log, Unreadable> {
    let file = File::open(path)?;
    // A pipe has a path too, but no length.
    let metadata = file.metadata()?;
    let progress = Progress::of_bytes(metadata.is_file().then_some(metadata.len()));
    Log::read(BufReader::new(file), by, choice, |bytes| progress.set(bytes))
}

const ABOUT_THE_SAMPLE: &str = "
In the sample 203.0.113.9 crawls, 203.0.113.66 guesses passwords, an office shares 192.0.2.100,
2001:db8:5::17 sends thirty requests at a time, and 198.51.100.77 sends forty around the start
of a minute, where a fixed window admits up to twice its limit.

Try next:
  cargo run --release --example replay -- --quota 5/s --by path access.log
  cargo run --release --example replay -- --help
";
