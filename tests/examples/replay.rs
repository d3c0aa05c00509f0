//! The example `replay`: its report agrees with a small model in whole seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

// The unit tests of the example run here: `cargo test` builds an example without them.
#[path = "../../examples/replay/clients.rs"]
mod clients;
#[path = "../../examples/replay/encoding.rs"]
mod encoding;
#[path = "../../examples/replay/keys.rs"]
mod keys;
#[path = "../../examples/replay/lines.rs"]
mod lines;
#[path = "../../examples/replay/log.rs"]
mod log;
#[path = "../../examples/replay/log_format.rs"]
mod log_format;
#[path = "../../examples/replay/other_format.rs"]
mod other_format;
#[path = "../../examples/replay/prefix.rs"]
mod prefix;
#[path = "../../examples/replay/request_line.rs"]
mod request_line;
#[path = "../../examples/replay/wording.rs"]
mod wording;

use crate::program::Program;

const SAMPLE: &str = include_str!("../../examples/replay/sample.log");

const PROGRAM: Program = Program { example: "replay" };

/// A row of the table of algorithms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Figures {
    admitted: u64,
    refused: u64,
    keys_refused: u64,
    /// In seconds, rounded up.
    longest_wait: u64,
}

fn figures(report: &str, algorithm: &str) -> Figures {
    let row = report.lines().find(|line| line.trim_start().starts_with(algorithm));
    let mut cells = row.unwrap().split_whitespace().skip(1);
    let mut number = || cells.next().unwrap().replace(',', "").parse::<u64>();
    let (admitted, refused) = (number().unwrap(), number().unwrap());
    assert!(number().is_err(), "the share is next");
    Figures {
        admitted,
        refused,
        keys_refused: number().unwrap(),
        longest_wait: cells.filter_map(milliseconds).sum::<u64>().div_ceil(1000),
    }
}

/// Parses one unit of a duration: `1h`, `30s`, `250ms`.
fn milliseconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(number),
        "s" => Some(number * 1000),
        "m" => Some(number * 60_000),
        "h" => Some(number * 3_600_000),
        _ => None,
    }
}

/// Returns the time in seconds and the host of the requests in the sample by time, without the
/// parser of the example.
fn sample_requests() -> Vec<(u64, String)> {
    const MIDNIGHT: u64 = 1_780_963_200;

    let read = |line: &str| {
        let line = line.replace("\\\"", "");
        let [before, _request, after, ..] = line.split('"').collect::<Vec<_>>()[..] else {
            return None;
        };
        let _status: u16 = after.split_whitespace().next()?.parse().ok()?;
        let clock = before.split_once("[09/Jun/2026:")?.1.split_once(' ')?.0;
        let seconds = clock.split(':').fold(0, |time, part| time * 60 + part.parse::<u64>().unwrap());
        Some((MIDNIGHT + seconds, before.split(' ').next()?.to_owned()))
    };
    let mut requests: Vec<_> = SAMPLE.lines().filter_map(read).collect();
    requests.sort_by_key(|(time, _)| *time);
    requests
}

/// A quota for a log in whole seconds: so many in so many seconds.
#[derive(Clone, Copy, Debug)]
struct Quota {
    limit: u64,
    window: u64,
    burst: u64,
}

/// What one key was admitted.
#[derive(Default)]
struct Admitted(Vec<u64>);

impl Admitted {
    fn within(&self, from: u64, to: u64) -> u64 {
        self.0.iter().filter(|time| (from..to).contains(*time)).count() as u64
    }

    fn fixed_window(&self, quota: Quota, now: u64) -> bool {
        let start = now - now % quota.window;
        self.within(start, now + 1) < quota.limit
    }

    fn sliding_window(&self, quota: Quota, now: u64) -> bool {
        let start = now - now % quota.window;
        let current = self.within(start, now + 1);
        let previous = self.within(start - quota.window, start);
        (current + 1) * quota.window + previous * (start + quota.window - now) <= quota.limit * quota.window
    }

    fn sliding_log(&self, quota: Quota, now: u64) -> bool {
        self.within(now + 1 - quota.window, now + 1) < quota.limit
    }

    /// A token has `window` parts, of which `limit` flow in each second.
    fn token_bucket(&self, quota: Quota, now: u64) -> bool {
        let capacity = quota.burst * quota.window;
        let (mut parts, mut last) = (capacity, 0);
        for &time in &self.0 {
            parts = capacity.min(parts + (time - last) * quota.limit) - quota.window;
            last = time;
        }
        capacity.min(parts + (now - last) * quota.limit) >= quota.window
    }
}

/// Whether one more is admitted at a time.
type Admits = fn(&Admitted, Quota, u64) -> bool;

const MODELS: [(&str, Admits); 4] = [
    ("fixed-window", Admitted::fixed_window),
    ("sliding-window", Admitted::sliding_window),
    ("sliding-log", Admitted::sliding_log),
    ("token-bucket", Admitted::token_bucket),
];

#[test]
fn figures_agree_with_a_brute_force_model() {
    let requests = sample_requests();
    let quota = |limit, window, burst| Quota { limit, window, burst };
    for (text, quota) in [
        ("20/min", quota(20, 60, 20)),
        ("10/min", quota(10, 60, 10)),
        ("3/10s", quota(3, 10, 3)),
        ("1/s", quota(1, 1, 1)),
        ("7/90s burst 2", quota(7, 90, 2)),
        ("40/hour burst 50", quota(40, 3600, 50)),
    ] {
        let report = PROGRAM.report(&["--quota", text], SAMPLE);
        for (algorithm, admits) in MODELS {
            let mut admitted = BTreeMap::<&str, Admitted>::new();
            let mut refused = BTreeSet::new();
            let mut expected = Figures::default();
            for (now, host) in &requests {
                let history = admitted.entry(host).or_default();
                if admits(history, quota, *now) {
                    history.0.push(*now);
                    expected.admitted += 1;
                } else {
                    refused.insert(host);
                    expected.refused += 1;
                    let wait = (1..).find(|wait| admits(history, quota, now + wait)).unwrap();
                    expected.longest_wait = expected.longest_wait.max(wait);
                }
            }
            expected.keys_refused = refused.len() as u64;
            assert_eq!(figures(&report, algorithm), expected, "{algorithm} {text}");
        }
    }
}

#[test]
fn sample_log_shows_how_the_algorithms_differ() {
    let output = PROGRAM.run(&[], "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"", "no progress bar without a terminal");
    let printed = String::from_utf8(output.stdout).unwrap();
    let requests = sample_requests().len() as u64;
    assert!(printed.starts_with(&format!("Sample log (made up): {requests} requests, 19 addresses, ")));

    let figures = MODELS.map(|(algorithm, _)| figures(&printed, algorithm));
    for figures in &figures {
        assert_eq!(figures.admitted + figures.refused, requests);
        assert!(figures.refused > 0);
    }
    let refused: BTreeSet<_> = figures.iter().map(|figures| figures.refused).collect();
    assert_eq!(refused.len(), MODELS.len(), "{refused:?}");

    for line in printed.lines() {
        assert!(line.chars().count() <= 100, "{line}");
        assert!(!line.contains('\u{1b}') && !line.ends_with(' '), "{line:?}");
    }
}

#[test]
fn most_refused_keys_are_listed_with_their_figures() {
    let printed = PROGRAM.report(&["--quota", "20/min", "--top", "2"], SAMPLE);
    let rows: Vec<Vec<_>> = printed
        .lines()
        .skip_while(|line| !line.contains("most refused"))
        .skip(2)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows,
        [["203.0.113.9", "100", "60", "61", "60", "47"], ["203.0.113.66", "120", "35", "40", "40", "21"]]
    );
}

#[test]
fn one_algorithm_alone_reports_the_same_as_side_by_side() {
    let all = PROGRAM.report(&["--quota", "10/min"], SAMPLE);
    for (algorithm, _) in MODELS {
        let alone = PROGRAM.report(&["--quota", "10/min", "--algorithm", algorithm], SAMPLE);
        assert_eq!(figures(&alone, algorithm), figures(&all, algorithm));
        assert_eq!(MODELS.iter().filter(|(other, _)| alone.contains(other)).count(), 1);
    }
}

#[test]
fn unsorted_log_gives_the_same_report_as_a_sorted_one() {
    let time = |line: &&str| line.split(['[', ']']).nth(1).map(str::to_owned);
    let mut lines: Vec<_> = SAMPLE.lines().collect();
    let quota = ["--quota", "10/min"];
    let as_written = PROGRAM.report(&quota, SAMPLE);
    lines.sort_by_key(time);
    let sorted = PROGRAM.report(&quota, lines.join("\n"));
    lines.reverse();
    let reversed = PROGRAM.report(&quota, lines.join("\n"));

    for (algorithm, _) in MODELS {
        assert_eq!(figures(&as_written, algorithm), figures(&sorted, algorithm));
        assert_eq!(figures(&as_written, algorithm), figures(&reversed, algorithm));
    }
    assert!(as_written.contains("11 lines out of order, by 19s at most"));
    assert!(!sorted.contains("out of order"));
    assert!(reversed.contains("lines out of order, by 43m 18s at most"));
}

#[test]
fn common_and_combined_lines_give_the_same_report() {
    // Of a combined line, what is before the space in front of the referer's quote.
    let common = |line: &'static str| match line.match_indices(" \"").nth(1) {
        Some((end, _)) => &line[..end],
        None => line,
    };
    let lines: Vec<_> = SAMPLE.lines().map(common).collect();
    assert!(lines.len() > 300 && lines.concat().len() < SAMPLE.len() * 3 / 4);
    for by in ["ip", "path", "user", "ip+path"] {
        let arguments = ["--quota", "10/min", "--by", by];
        assert_eq!(PROGRAM.report(&arguments, lines.join("\r\n")), PROGRAM.report(&arguments, SAMPLE));
    }
}

#[test]
fn malformed_lines_are_reported_by_number_and_are_not_fatal() {
    let good = SAMPLE.lines().next().unwrap();
    let input = format!("{good}\n\nnonsense\n{good}\n\u{1b}[2J\0\n{}", "junk\n".repeat(7));
    let printed = PROGRAM.report(&[], input);
    assert!(printed.starts_with("Standard input: 2 requests, 1 address, "), "{printed}");
    let remark = printed.split("\n\n").last().unwrap();
    let starts = [
        "9 malformed lines of 11 left out:",
        "  line 3: ",
        "  line 5: ",
        "  line 6: ",
        "  line 7: ",
        "  line 8: ",
    ];
    for (line, start) in remark.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(remark.ends_with("  and 4 more\nLine 3 is: nonsense\n"), "{remark}");

    let sample = PROGRAM.report(&[], SAMPLE);
    assert!(sample.contains("3 malformed lines of 602 left out:\n  line 261: "), "{sample}");
    assert!(sample.contains("\n  line 464: ") && sample.contains("\n  line 593: "));
}

#[test]
fn requests_without_a_key_pass_unlimited() {
    let printed = PROGRAM.report(&["--by", "user"], SAMPLE);
    let identified = figures(&printed, "token-bucket").admitted;
    let others = sample_requests().len() as u64 - identified;
    assert!(identified > 0 && others > 0);
    assert!(printed.contains(&format!("{others} more requests passed unlimited: no user in the log.")));
}

#[test]
fn input_without_a_readable_line_exits_with_1() {
    let bytes: Vec<u8> =
        (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for input in [b"".to_vec(), b"\n\n".to_vec(), b"nonsense\n".to_vec(), bytes] {
        let output = PROGRAM.run(&["-"], input);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.starts_with(b"Standard input: 0 requests, nothing to replay\n"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("replay: no request could be read in "), "{error}");
    }
}

#[test]
fn quota_of_zero_refuses_for_good() {
    let printed = PROGRAM.report(&["--quota", "0/min"], SAMPLE);
    for (algorithm, _) in MODELS {
        assert_eq!(figures(&printed, algorithm).admitted, 0);
    }
    assert_eq!(printed.matches("forever").count(), MODELS.len());
}

#[test]
fn control_characters_of_a_log_never_reach_the_terminal() {
    let line = |path: &str| {
        format!("192.0.2.1 - - [09/Jun/2026:14:00:07 +0000] \"GET {path} HTTP/1.1\" 200 1\n").repeat(3)
    };
    let input = line("/\u{1b}[2J") + &line("/\\x1b]0;x\\x07") + &line("/\u{202e}");
    let printed = PROGRAM.report(&["--by", "path", "--quota", "1/min"], input);
    assert!(printed.contains("/\\u{1b}[2J") && printed.contains("/\\u{202e}"));
    assert!(!printed.contains(['\u{1b}', '\u{7}', '\u{202e}']));
}

#[test]
fn file_gives_the_same_report_as_standard_input() {
    let path = PROGRAM.sample_path();
    let output = PROGRAM.run(&["--quota", "10/min", path.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    let name = format!("{}: ", path.display());
    let figures = printed.strip_prefix(&name).unwrap();
    let expected = PROGRAM.report(&["--quota", "10/min"], SAMPLE);
    assert_eq!(Some(figures), expected.strip_prefix("Standard input: "));
}

#[test]
fn wrong_arguments_exit_with_2_and_a_reason() {
    let cases: [(&[&str], &str); 7] = [
        (&["no-such-file.log"], "replay: cannot read no-such-file.log: "),
        (&["--client", "middle"], "unknown choice `middle`; expected first or last"),
        (&["--quota", "100"], "invalid quota `100`"),
        (&["--algorithm", "leaky"], "sliding-log or token-bucket, or all"),
        (&["--by", "ip+cookie"], "unknown field `cookie`"),
        (&["--top", "few"], "--top"),
        (&["one.log", "two.log"], "two.log"),
    ];
    for (arguments, reason) in cases {
        let output = PROGRAM.run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(output.stdout, b"");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(PROGRAM.run(&["--help"], "").status.code(), Some(0));
}

#[test]
fn closed_pipe_is_no_error() {
    let mut child = PROGRAM
        .command()
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(SAMPLE.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
