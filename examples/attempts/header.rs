//! The header of a line: time, host, program and process.
//!
//! ```text
//! Jun  9 03:11:02 gate sshd[7]: …                   RFC 3164: Debian, RHEL, OpenBSD, journalctl
//! Jun  9 03:11:02 gate auth.info sshd[7]: …         BusyBox, as on Alpine
//! Jun  9 03:11:02 <auth.info> gate sshd[7]: …       FreeBSD with `syslogd -v`
//! Tue Jun  9 03:11:02 2026 auth.info sshd[7]: …     OpenWrt
//! 2026-06-09T03:11:02.250000+02:00 gate sshd[7]: …  rsyslog, journalctl -o short-iso-precise
//! <38>1 2026-06-09T03:11:02Z gate sshd 7 - - …      RFC 5424
//! {"__REALTIME_TIMESTAMP":"1780974662000000",…}     journalctl -o json
//! ```
//!
//! `attempts/stamp.rs` lists the times.

use std::borrow::Cow;

use limited::Timestamp;

use super::line::Malformed;
use super::stamp::{Clock, Stamps, word};

/// A line of any program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) time: Timestamp,
    pub(crate) clock: Clock,
    /// Empty if unknown.
    pub(crate) host: Cow<'a, str>,
    /// The program without its directory. Empty if the line names none.
    pub(crate) program: Cow<'a, str>,
    /// The number of the process. Empty if unknown.
    pub(crate) process: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
}

/// Reads a line without its line break.
pub(crate) fn read<'a>(line: &'a str, stamps: &mut Stamps) -> Result<Record<'a>, Malformed> {
    let line = line.trim_start();
    if line.starts_with('{') {
        return read_journal(line, stamps).ok_or(Malformed::Json);
    }
    let rest = without_priority(line);
    match rest.strip_prefix("1 ") {
        Some(rest) if rest.len() + 2 < line.len() => read_rfc5424(rest, stamps),
        _ => read_text(rest, stamps),
    }
}

/// Strips `<38>`.
fn without_priority(line: &str) -> &str {
    line.strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .filter(|(number, _)| number.len() <= 3 && number.parse::<u16>().is_ok())
        .map_or(line, |(_, rest)| rest)
}

fn read_text<'a>(line: &'a str, stamps: &mut Stamps) -> Result<Record<'a>, Malformed> {
    let stamped = stamps.read(line)?;
    let (first, after) = word(stamped.rest);
    let rest = if is_facility(first) { after } else { stamped.rest };
    let (host, rest) = match tag(rest) {
        // Some leave the host out. Only `sshd` is recognised then: a host may end with a colon.
        Some(Tag { program, .. }) if is_facility(first) || program.starts_with("sshd") => ("", rest),
        _ => word(rest),
    };
    let (facility, after) = word(rest);
    let rest = if is_facility(facility) { after } else { rest };
    if rest.is_empty() {
        return Err(Malformed::NoProgram);
    }
    let Tag { program, process, message } =
        tag(rest).unwrap_or(Tag { program: "", process: "", message: rest });
    Ok(Record {
        time: stamped.time,
        clock: stamped.clock,
        host: host.into(),
        program: program.into(),
        process: process.into(),
        message: message.into(),
    })
}

struct Tag<'a> {
    program: &'a str,
    process: &'a str,
    message: &'a str,
}

/// Reads `sshd[7]: …`, `/usr/sbin/sshd: …`, `sshd(pam_unix)[7]: …`, `[sshd] …`, and
/// `sshd: ana [priv][7]: …`.
fn tag(text: &str) -> Option<Tag<'_>> {
    if let Some((program, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let process = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (process, rest) = process.unwrap_or(("", rest));
        let message = rest.strip_prefix(": ").or_else(|| rest.strip_prefix(' '))?;
        return (!program.contains(' ')).then_some(Tag { program: base(program), process, message });
    }
    let end = text.find([' ', '[', ':'])?;
    let (program, rest) = text.split_at(end);
    if program.is_empty() {
        return None;
    }
    let program = base(program);
    if let Some(rest) = rest.strip_prefix('[') {
        let (process, message) = rest.split_once("]: ")?;
        return (!process.contains(' ')).then_some(Tag { program, process, message });
    }
    let message = rest.strip_prefix(": ")?;
    let (process, message) = titled(message).unwrap_or(("", message));
    Some(Tag { program, process, message })
}

/// Splits `ana [priv][7]: …`, which the BSDs write for a process with a title. A message of `sshd`
/// begins with several words, so no message looks like that.
fn titled(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(' ')?;
    let rest = ["[priv][", "[net][", "[accepted]["].iter().find_map(|role| rest.strip_prefix(role))?;
    let (process, message) = rest.split_once("]: ")?;
    process.bytes().all(|byte| byte.is_ascii_digit()).then_some((process, message))
}

/// Returns a program without its directory.
fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

/// Returns whether a word is a facility and a severity: `auth.info`, `<auth.info>`.
fn is_facility(word: &str) -> bool {
    const FACILITIES: &str = "auth authpriv security cron daemon kern lpr mail news syslog user uucp \
                              local0 local1 local2 local3 local4 local5 local6 local7";
    const SEVERITIES: &str = "emerg panic alert crit err error warning warn notice info debug";

    let word = word.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(word);
    word.split_once('.').is_some_and(|(facility, severity)| {
        FACILITIES.split_whitespace().any(|name| name == facility)
            && SEVERITIES.split(' ').any(|name| name == severity)
    })
}

/// Reads what follows the version: time, host, program, process, message id, data and message.
fn read_rfc5424<'a>(line: &'a str, stamps: &mut Stamps) -> Result<Record<'a>, Malformed> {
    let stamped = stamps.read(line)?;
    let (host, rest) = word(stamped.rest);
    let (program, rest) = word(rest);
    let (process, rest) = word(rest);
    let (_id, rest) = word(rest);
    let message = after_data(rest).ok_or(Malformed::NoProgram)?;
    let known = |word: &'a str| Cow::Borrowed(if word == "-" { "" } else { word });
    Ok(Record {
        time: stamped.time,
        clock: stamped.clock,
        host: known(host),
        program: base(program).into(),
        process: known(process),
        message: message.trim_start_matches('\u{feff}').into(),
    })
}

/// Strips structured data: `- `, or `[id name="value"] ` with escapes in the value.
fn after_data(text: &str) -> Option<&str> {
    if let Some(message) = text.strip_prefix("- ") {
        return Some(message);
    }
    let (mut in_value, mut escaped, mut in_element) = (false, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_value => escaped = true,
            b'"' if in_element => in_value = !in_value,
            b'[' if !in_value => in_element = true,
            b']' if !in_value => in_element = false,
            b' ' if !in_element && at > 0 => return Some(&text[at + 1..]),
            _ if in_element => {}
            _ => return None,
        }
    }
    None
}

/// Reads an entry of the journal. `None`: the object is none.
fn read_journal<'a>(line: &str, stamps: &mut Stamps) -> Option<Record<'a>> {
    let entry: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    let text = |names: &[&str]| {
        names.iter().find_map(|name| entry.get(*name)?.as_str()).unwrap_or_default().to_owned()
    };
    let micros: u64 = entry.get("__REALTIME_TIMESTAMP")?.as_str()?.parse().ok()?;
    let time = Timestamp::from_nanos(micros.checked_mul(1000)?);
    stamps.passed(time);
    Some(Record {
        time,
        clock: Clock::Offset,
        host: text(&["_HOSTNAME"]).into(),
        program: text(&["SYSLOG_IDENTIFIER", "_COMM"]).into(),
        process: text(&["SYSLOG_PID", "_PID"]).into(),
        message: journal_message(entry.get("MESSAGE")?)?.into(),
    })
}

/// Reads a message. The journal writes bytes as numbers if they are not printable text.
fn journal_message(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Array(numbers) => {
            let byte =
                |number: &serde_json::Value| number.as_u64().and_then(|number| u8::try_from(number).ok());
            let bytes: Vec<u8> = numbers.iter().map(byte).collect::<Option<_>>()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Failed password for ana from 192.0.2.1 port 4 ssh2";

    /// Returns host, program, process and message.
    fn parts(line: &str) -> [String; 4] {
        let Record { host, program, process, message, .. } = read(line, &mut Stamps::new(2026)).unwrap();
        [host, program, process, message].map(Cow::into_owned)
    }

    #[test]
    fn header_of_each_system_is_read() {
        for (header, host, program, process) in [
            ("Jun  9 03:11:02 gate sshd[7]: ", "gate", "sshd", "7"),
            ("Jun  9 03:11:02 gate sshd: ", "gate", "sshd", ""),
            ("Jun  9 03:11:02 gate /usr/sbin/sshd[7]: ", "gate", "sshd", "7"),
            ("Jun  9 03:11:02 gate sshd(pam_unix)[7]: ", "gate", "sshd(pam_unix)", "7"),
            ("Jun  9 03:11:02 gate [sshd] ", "gate", "sshd", ""),
            ("Jun  9 03:11:02 gate [sshd][7]: ", "gate", "sshd", "7"),
            ("Jun  9 03:11:02 gate auth.info sshd[7]: ", "gate", "sshd", "7"),
            ("Jun  9 03:11:02 <auth.info> gate sshd[7]: ", "gate", "sshd", "7"),
            ("Jun  9 03:11:02 sshd[7]: ", "", "sshd", "7"),
            ("Jun  9 03:11:02 gate sshd: ana [priv][7]: ", "gate", "sshd", "7"),
            ("<38>Jun  9 03:11:02 gate sshd-session[7]: ", "gate", "sshd-session", "7"),
            ("Tue Jun  9 03:11:02 2026 auth.info sshd[7]: ", "", "sshd", "7"),
            ("<38>1 2026-06-09T03:11:02Z gate sshd 7 - - ", "gate", "sshd", "7"),
            ("<38>1 2026-06-09T03:11:02Z gate sshd 7 - - \u{feff}", "gate", "sshd", "7"),
            ("<38>1 2026-06-09T03:11:02Z - sshd - - [a@1 b=\"]\\\"c\"][d] ", "", "sshd", ""),
        ] {
            assert_eq!(parts(&format!("{header}{MESSAGE}")), [host, program, process, MESSAGE], "{header}");
        }
    }

    #[test]
    fn entry_of_the_journal_is_read() {
        let entry = |message: &str| {
            format!(
                r#"{{"__REALTIME_TIMESTAMP":"1780974662250000","_HOSTNAME":"gate","SYSLOG_IDENTIFIER":"sshd","_PID":"7","MESSAGE":{message}}}"#
            )
        };
        assert_eq!(parts(&entry(&format!("\"{MESSAGE}\""))), ["gate", "sshd", "7", MESSAGE]);
        assert_eq!(parts(&entry("[97,255]"))[3], "a\u{fffd}");
        let time = read(&entry("\"x\""), &mut Stamps::new(2026)).unwrap().time;
        assert_eq!(time, Timestamp::from_millis(1_780_974_662_250));
        for line in ["{", "{}", "{\"MESSAGE\":\"x\"}", &entry("null"), &entry("[256]")] {
            assert_eq!(read(line, &mut Stamps::new(2026)), Err(Malformed::Json), "{line}");
        }
    }

    #[test]
    fn line_without_a_program_has_only_a_message() {
        let line = "Jun  9 03:11:02 gate last message repeated 3 times";
        assert_eq!(parts(line), ["gate", "", "", "last message repeated 3 times"]);
        for line in ["Jun  9 03:11:02", "Jun  9 03:11:02 gate", "<38>1 2026-06-09T03:11:02Z gate sshd 7 - x"]
        {
            assert_eq!(read(line, &mut Stamps::new(2026)), Err(Malformed::NoProgram), "{line}");
        }
    }

    #[test]
    fn message_that_looks_like_a_title_keeps_its_words() {
        let message = "Invalid user x [priv][7]: Failed password for root from 192.0.2.1 port 4 ssh2";
        assert_eq!(parts(&format!("Jun  9 03:11:02 gate sshd: {message}"))[3], message);
    }
}
