//! The example `attempts`: its report agrees with a small model in whole seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

// The unit tests of the example run here: `cargo test` builds an example without them.
#[path = "../../examples/attempts/client.rs"]
mod client;
#[path = "../../examples/attempts/connections.rs"]
mod connections;
#[path = "../../examples/replay/encoding.rs"]
mod encoding;
#[path = "../../examples/attempts/ended.rs"]
mod ended;
#[path = "../../examples/attempts/header.rs"]
mod header;
#[path = "../../examples/attempts/line.rs"]
mod line;
#[path = "../../examples/replay/lines.rs"]
mod lines;
#[path = "../../examples/attempts/lockouts.rs"]
mod lockouts;
#[path = "../../examples/attempts/log.rs"]
mod log;
#[path = "../../examples/attempts/message.rs"]
mod message;
#[path = "../../examples/attempts/pam.rs"]
mod pam;
#[path = "../../examples/attempts/stamp.rs"]
mod stamp;
#[path = "../../examples/attempts/unread.rs"]
mod unread;

use crate::program::Program;

const SAMPLE: &str = include_str!("../../examples/attempts/sample.log");

const PROGRAM: Program = Program { example: "attempts" };

/// Returns the cells of a table's rows. Two spaces separate the cells.
fn rows(report: &str, table: &str) -> Vec<Vec<String>> {
    report
        .lines()
        .skip_while(|line| !line.contains(&format!("{table} locked out")))
        .skip(2)
        .take_while(|line| !line.is_empty())
        .map(|line| line.replace("Jun  9", "Jun 9").split("  ").map(str::trim).map(str::to_owned).collect())
        .map(|cells: Vec<String>| cells.into_iter().filter(|cell| !cell.is_empty()).collect())
        .collect()
}

/// Returns the figures of a report. The lines in between depend on how the log is written.
fn figures(report: &str) -> String {
    let figures = |line: &&str| {
        line.starts_with("Denied") || line.starts_with("Locked out") || line.starts_with("Turned")
    };
    let all: Vec<_> = report.lines().filter(figures).collect();
    format!("{all:?} {:?} {:?}", rows(report, "address"), rows(report, "account"))
}

/// A failed login: the second of the day, the address, and the account.
type Failure = (u64, String, String);

/// One connection in the sample: when the account was found unknown, when passwords were wrong or
/// too many, and its address and account.
#[derive(Default)]
struct Connection {
    unwelcome: Option<u64>,
    failed: Vec<u64>,
    exceeded: Option<u64>,
    address: String,
    account: String,
}

/// Returns the failed logins in the sample by time, without the parser of the example: in the
/// sample, each connection has its own process.
fn sample_failures() -> Vec<Failure> {
    let mut connections = BTreeMap::<&str, Connection>::new();
    for line in SAMPLE.lines().filter(|line| !line.contains(": pam_")) {
        let Some((before, message)) = line.split_once("]: ") else { continue };
        let Some((before, process)) = before.split_once(" sshd[") else { continue };
        let clock = before.split(' ').nth(3).unwrap();
        let second = clock.split(':').fold(0, |time, part| time * 60 + part.parse::<u64>().unwrap());
        let times = message.strip_prefix("message repeated ").and_then(|rest| rest.split(' ').next());
        let times = times.map_or(1, |times| times.parse().unwrap());

        let after = |text| message.split_once(text).map(|(_, subject)| subject);
        let wrong = after("Failed password for ").or(after("Failed keyboard-interactive/pam for "));
        let wrong = wrong.filter(|subject| subject.contains(" ssh2"));
        let unwelcome = message.strip_prefix("Invalid user ").or(message.strip_prefix("User "));
        let exceeded = after("attempts exceeded for ");
        let Some(subject) = wrong.or(unwelcome).or(exceeded) else { continue };
        let subject = subject.strip_prefix("invalid user ").unwrap_or(subject);
        let (account, address) = subject.rsplit_once(" from ").unwrap();

        let connection = connections.entry(process).or_default();
        connection.address = address.split(' ').next().unwrap().to_owned();
        connection.account = account.to_owned();
        if wrong.is_some() {
            connection.failed.extend(vec![second; times]);
        }
        connection.unwelcome = connection.unwelcome.or(unwelcome.map(|_| second));
        connection.exceeded = connection.exceeded.or(exceeded.map(|_| second));
    }
    let mut failures = Vec::new();
    for Connection { unwelcome, mut failed, exceeded, address, account } in connections.into_values() {
        // The first wrong password is counted when the account is found to be unknown.
        match (unwelcome, failed.first_mut()) {
            (Some(unwelcome), Some(first)) => *first = unwelcome,
            (_, None) => failed.extend(unwelcome.or(exceeded)),
            (None, Some(_)) => {}
        }
        failures.extend(failed.into_iter().map(|second| (second, address.clone(), account.clone())));
    }
    failures.sort();
    failures
}

/// The denied subjects: when, and until when at last.
type Denied<'f> = BTreeMap<&'f str, (Vec<u64>, u64)>;

/// Applies one limit to failures, by brute force.
fn denied<'f>(
    failures: &'f [Failure],
    max: usize,
    within: u64,
    subject: impl Fn(&'f Failure) -> &'f str,
) -> Denied<'f> {
    let mut windows = BTreeMap::<&str, Vec<u64>>::new();
    let mut denied = Denied::new();
    for failure in failures {
        let window = windows.entry(subject(failure)).or_default();
        if window.first().is_some_and(|first| failure.0 >= first + within) {
            window.clear();
        }
        if window.len() < max {
            window.push(failure.0);
        } else {
            let (seconds, until) = denied.entry(subject(failure)).or_default();
            seconds.push(failure.0);
            *until = window[0] + within;
        }
    }
    denied
}

fn clock(second: u64) -> String {
    let (day, second) = (9 + second / 86_400, second % 86_400);
    format!("Jun {day} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[test]
fn lock_outs_agree_with_a_brute_force_model() {
    let failures = sample_failures();
    for (max, within, text) in
        [(5, 600, "10m"), (3, 3600, "1h"), (1, 1, "1s"), (2, 86_400, "1d"), (4, 90, "1m30s")]
    {
        let report = PROGRAM.report(&["--max", &max.to_string(), "--within", text], SAMPLE);
        assert!(report.contains(&format!("{} failed logins from ", failures.len())), "{report}");
        let by_address = denied(&failures, max, within, |(_, address, _)| address);
        let by_account = denied(&failures, max, within, |(_, _, account)| account);
        for (table, denied) in [("address", by_address), ("account", by_account)] {
            let rows = rows(&report, table);
            assert_eq!(rows.len(), denied.len(), "{report}");
            for row in rows {
                let name = if row[0] == "(empty)" { "" } else { &row[0] };
                let (seconds, until) = &denied[name];
                assert_eq!(row[2], seconds.len().to_string(), "{row:?}");
                assert_eq!(row[4..], [clock(seconds[0]), clock(*until)], "{row:?}");
            }
        }
    }
}

#[test]
fn sample_log_shows_the_lock_outs() {
    let output = PROGRAM.run(&[], "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stderr, b"");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.starts_with("Sample log (made up): "), "{printed}");
    let row = |cells: [&str; 6]| cells.map(str::to_owned).to_vec();
    assert_eq!(
        rows(&printed, "address"),
        [
            row(["203.0.113.9", "26", "17", "1", "Jun 9 03:11:12", "Jun 9 03:21:02"]),
            row(["2001:db8:66::1", "7", "2", "1", "Jun 9 05:40:15", "Jun 9 05:50:01"]),
        ]
    );
    assert_eq!(
        rows(&printed, "account"),
        [
            row(["root", "30", "11", "3", "Jun 9 03:11:12", "Jun 9 05:50:01"]),
            row(["alice", "8", "3", "1", "Jun 9 05:02:09", "Jun 9 05:10:27"]),
        ]
    );
    assert!(printed.contains("1 of 3 right passwords"), "{printed}");
    for line in printed.lines() {
        assert!(line.chars().count() <= 110, "{line}");
        assert!(!line.contains('\u{1b}') && !line.ends_with(' '), "{line:?}");
    }
}

#[test]
fn unsorted_log_gives_the_same_report_as_a_sorted_one() {
    let as_written = PROGRAM.report(&[], SAMPLE);
    assert!(as_written.contains("3 lines out of order, by 11m 53s at most"), "{as_written}");
    let mut lines: Vec<_> = SAMPLE.lines().collect();
    lines.sort();
    let sorted = PROGRAM.report(&[], lines.join("\n"));
    assert!(!sorted.contains("out of order"));
    lines.reverse();
    let reversed = PROGRAM.report(&[], lines.join("\r\n"));
    assert!(reversed.contains("lines out of order, by 3h 9m 8s at most"), "{reversed}");
    assert_eq!(figures(&as_written), figures(&sorted));
    assert_eq!(figures(&as_written), figures(&reversed));
}

#[test]
fn times_with_a_year_and_an_offset_give_the_same_report() {
    let rewrite = |line: &str| match line.strip_prefix("Jun  9 ") {
        Some(rest) if rest.len() > 8 => format!("2026-06-09T{}.000000+00:00{}", &rest[..8], &rest[8..]),
        _ => line.to_owned(),
    };
    let lines: Vec<_> = SAMPLE.lines().map(rewrite).collect();
    let printed = PROGRAM.report(&[], lines.join("\n"));
    assert!(printed.contains("2026-06-09 03:11:02 to 2026-06-09 06:20:08 UTC"), "{printed}");
    assert_eq!(figures(&printed).replace("2026-06-09", "Jun 9"), figures(&PROGRAM.report(&[], SAMPLE)));
}

#[test]
fn name_that_looks_like_an_address_locks_out_no_other_client() {
    let line = |second: u64| {
        format!(
            "Jun  9 03:11:{second:02} gate sshd[{second}]: Failed password for invalid user root from 192.0.2.44 port 22 ssh2 \
             from 203.0.113.9 port 40022 ssh2\n"
        )
    };
    let printed = PROGRAM.report(&[], (0..9).map(line).collect::<String>());
    let names = |table| rows(&printed, table).into_iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>();
    assert_eq!(names("address"), BTreeSet::from(["203.0.113.9".to_owned()]));
    assert_eq!(names("account"), BTreeSet::from(["root from 192.0.2.44 port 22 ssh2".to_owned()]));
}

#[test]
fn right_password_clears_its_account_on_request() {
    let line = |second: u64, what: &str| {
        format!(
            "Jun  9 03:11:{second:02} gate sshd[{second}]: {what} password for ana from 192.0.2.{second} port 40022 ssh2\n"
        )
    };
    let log =
        [line(1, "Failed"), line(2, "Failed"), line(3, "Accepted"), line(4, "Failed"), line(5, "Failed")]
            .concat();
    let limit = ["--max", "3"];
    assert_eq!(rows(&PROGRAM.report(&limit, &log), "account")[0][..3], ["ana", "4", "1"]);
    let cleared = PROGRAM.report(&[&limit[..], &["--clear"]].concat(), &log);
    assert!(cleared.contains("No account would have been locked out."), "{cleared}");
    assert!(
        cleared.contains("Right passwords denied because of earlier failures: 0 of 1 right password."),
        "{cleared}"
    );
}

#[test]
fn malformed_lines_are_reported_by_number_and_are_not_fatal() {
    let good = "Jun  9 03:11:02 gate sshd[7]: Failed password for ana from 192.0.2.1 port 4 ssh2";
    let cut = &good[..good.len() - 9];
    let input = format!("{good}\n\nnonsense\n{cut}\n{good}\n\u{1b}[2J\0\n{}", "junk\n".repeat(7));
    let printed = PROGRAM.report(&[], input);
    assert!(printed.starts_with("Standard input: 12 lines, 2 of sshd, logins Jun  9 "), "{printed}");
    assert!(printed.contains("\n2 failed logins from 1 address at 1 account\n"), "{printed}");
    let remark = printed.split("\n\n").last().unwrap();
    let starts = [
        "10 malformed lines of 12 left out:",
        "  line 3: ",
        "  line 4: ",
        "  line 6: ",
        "  line 7: ",
        "  line 8: ",
    ];
    for (line, start) in remark.lines().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(remark.ends_with("  and 5 more\nLine 3 is: nonsense\n"));
    assert!(PROGRAM.report(&[], SAMPLE).contains("2 malformed lines of 186 left out:\n  line 61: "));
}

#[test]
fn input_without_a_readable_line_exits_with_1() {
    let bytes: Vec<u8> =
        (0..200_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for input in [b"".to_vec(), b"\n\n".to_vec(), b"nonsense\n".to_vec(), bytes] {
        let output = PROGRAM.run(&["-"], input);
        assert_eq!(output.status.code(), Some(1));
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(printed.contains("\n0 failed logins from 0 addresses at 0 accounts\n"), "{printed}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with("attempts: no message of sshd could be read in "), "{error}");
    }
}

#[test]
fn maximum_of_zero_denies_everything() {
    let printed = PROGRAM.report(&["--max", "0"], SAMPLE);
    let failed = sample_failures().len();
    assert!(printed.contains(&format!("Denied: {failed} of {failed} failed logins; ")), "{printed}");
}

#[test]
fn control_characters_of_a_log_never_reach_the_terminal() {
    let line = |name: &str| {
        format!("Jun  9 03:11:02 gate sshd[7]: Failed password for {name} from 192.0.2.1 port 4 ssh2\n")
            .repeat(3)
    };
    let input = line("\u{1b}[2J") + &line("a\u{7}") + &line("\u{202e}");
    let printed = PROGRAM.report(&["--max", "1"], input);
    assert!(printed.contains("\\u{1b}[2J") && printed.contains("\\u{202e}"), "{printed}");
    assert!(!printed.contains(['\u{1b}', '\u{7}', '\u{202e}']));
}

#[test]
fn file_gives_the_same_report_as_standard_input() {
    let path = PROGRAM.sample_path();
    let output = PROGRAM.run(&[path.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    let name = format!("{}: ", path.display());
    let expected = PROGRAM.report(&[], SAMPLE);
    assert_eq!(printed.strip_prefix(&name), expected.strip_prefix("Standard input: "));
}

#[test]
fn wrong_arguments_exit_with_2_and_a_reason() {
    let cases: [(&[&str], &str); 6] = [
        (&["no-such-file.log"], "attempts: cannot read no-such-file.log: "),
        (&["--within", "soon"], "invalid duration `soon`"),
        (&["--within=-5m"], "invalid duration `-5m`"),
        (&["--within", "0s"], "expected 1 ms to 100 years"),
        (&["--max", "few"], "--max"),
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
