//! What log collectors put around a line of an access log.
//!
//! ```text
//! <190>Jun  9 14:00:07 web nginx: …                                syslog, RFC 3164, with or without <190>
//! <190>1 2026-06-09T14:00:07Z web nginx 7 - - …                    syslog, RFC 5424
//! 2026-06-09T14:00:07.123456789Z …                                 docker logs -t, kubectl logs --timestamps
//! 2026-06-09T14:00:07.123456789Z stdout F …                        files of containerd and CRI-O
//! [pod/web-0/nginx] …                                              kubectl logs --prefix
//! web-1  | …                                                       docker compose logs
//! {"log":"…\n","stream":"stdout","time":"2026-06-09T14:00:07Z"}    files of Docker
//! {"MESSAGE":"…","__REALTIME_TIMESTAMP":"1781006407000000"}        journalctl -o json
//! ```

use std::borrow::Cow;
use std::net::IpAddr;

use super::log_format::is_number;

/// Returns the line without what a collector put around it. Collectors may be nested.
pub(crate) fn strip(line: &str) -> Cow<'_, str> {
    match inner_of_json(line) {
        Some(inner) => Cow::Owned(strip_text(inner.trim_ascii_end()).to_owned()),
        None => Cow::Borrowed(strip_text(line)),
    }
}

fn strip_text(line: &str) -> &str {
    const DEEPEST: usize = 4;

    let mut line = line.trim_start();
    for _ in 0..DEEPEST {
        match collector(line) {
            Some(rest) => line = rest.trim_start(),
            None => break,
        }
    }
    line
}

fn inner_of_json(line: &str) -> Option<String> {
    let line = line.trim_start();
    if !line.starts_with('{') {
        return None;
    }
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).ok()?;
    // Other programs log objects too, so a name alone says little.
    let field = match object.contains_key("__REALTIME_TIMESTAMP") {
        true => "MESSAGE",
        false if object.contains_key("stream") => "log",
        false => return None,
    };
    match object.remove(field)? {
        serde_json::Value::String(inner) => Some(inner),
        _ => None,
    }
}

/// Returns what follows the prefix of one collector.
fn collector(line: &str) -> Option<&str> {
    pod(line).or_else(|| compose(line)).or_else(|| rfc5424(line)).or_else(|| stamped(line))
}

fn pod(line: &str) -> Option<&str> {
    line.strip_prefix("[pod/")?.split_once("] ").map(|(_, rest)| rest)
}

fn compose(line: &str) -> Option<&str> {
    let (name, rest) = word(line);
    // The client may be the first of several columns.
    rest.strip_prefix("| ").filter(|_| is_name(name) && name.parse::<IpAddr>().is_err())
}

fn rfc5424(line: &str) -> Option<&str> {
    let rest = priority(line)?.strip_prefix("1 ")?;
    // Time, host, program, process and message id.
    let rest = (0..5).fold(rest, |rest, _| word(rest).1);
    match rest.strip_prefix("- ") {
        Some(message) => Some(message),
        None => rest.strip_prefix('[')?.split_once("] ").map(|(_, message)| message),
    }
}

/// Strips a time, and after it the host and the program, or the stream of a container.
fn stamped(line: &str) -> Option<&str> {
    let rest = priority(line).unwrap_or(line);
    let rest = month_first(rest).or_else(|| iso(rest))?;
    if let Some(container) = ["stdout F ", "stderr F "].iter().find_map(|stream| rest.strip_prefix(stream)) {
        return Some(container);
    }
    Some(program(rest).unwrap_or(rest))
}

/// Strips `<190>`.
fn priority(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('<')?.split_once('>')?;
    (matches!(number.len(), 1..=3) && is_number(number)).then_some(rest)
}

/// Strips `Jun  9 14:00:07 `, also with fractions of a second.
fn month_first(line: &str) -> Option<&str> {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";

    let (month, rest) = word(line);
    let (day, rest) = word(rest);
    let (time, rest) = word(rest);
    let is_time = is_number(day) && time.len() >= 8 && time.split(':').count() == 3;
    (month.len() == 3 && MONTHS.split(' ').any(|name| name == month) && is_time).then_some(rest)
}

/// Strips `2026-06-09T14:00:07.123456789Z `, with any offset.
fn iso(line: &str) -> Option<&str> {
    let (time, rest) = word(line);
    let shape = time.bytes().take(19).map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    shape.eq(*b"0000-00-00T00:00:00").then_some(rest)
}

/// Strips `web nginx: `, with the process number, without the host, or with a facility.
fn program(text: &str) -> Option<&str> {
    let mut rest = text;
    for _ in 0..3 {
        let (name, after) = word(rest);
        // An address may end with a colon as well.
        if let Some(tag) = name.strip_suffix(':').filter(|tag| !tag.contains(':')) {
            return (!tag.is_empty()).then_some(after);
        }
        rest = after;
    }
    None
}

/// Returns the first word, and what follows it without the spaces between.
fn word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    (word, rest.trim_start_matches(' '))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] "GET / HTTP/1.1" 200 512"#;

    #[test]
    fn prefix_of_each_collector_is_stripped() {
        for prefix in [
            "",
            "  ",
            "\t",
            "Jun  9 14:00:07 web nginx: ",
            "Jun 09 14:00:07 web nginx[7]: ",
            "Jun 09 14:00:07.123456 web nginx[7]: ",
            "Jun  9 14:00:07 nginx: ",
            "Jun  9 14:00:07 web local7.info nginx: ",
            "<190>Jun  9 14:00:07 web nginx: ",
            "<190>Jun  9 14:00:07 192.0.2.80 nginx: ",
            "<190>1 2026-06-09T14:00:07Z web nginx 7 - - ",
            "<190>1 2026-06-09T14:00:07Z web nginx - - [id@1 a=\"b\"] ",
            "2026-06-09T14:00:07+02:00 web nginx: ",
            "2026-06-09T14:00:07+0200 web nginx[7]: ",
            "2026-06-09T14:00:07.123456789Z ",
            "2026-06-09T14:00:07.123456789Z stdout F ",
            "2026-06-09T14:00:07+00:00 app[web.1]: ",
            "web-1  | ",
            "web-1  | 2026-06-09T14:00:07.123456789Z ",
            "[pod/web-0/nginx] ",
            "[pod/web-0/nginx] 2026-06-09T14:00:07.123456789Z ",
        ] {
            assert_eq!(strip(&format!("{prefix}{LINE}")), LINE, "{prefix}");
        }
    }

    #[test]
    fn line_inside_json_of_docker_or_the_journal_is_taken_out() {
        let escaped = LINE.replace('"', "\\\"");
        for line in [
            format!(r#"{{"log":"{escaped}\n","stream":"stdout","time":"2026-06-09T14:00:07Z"}}"#),
            format!(r#"{{"__REALTIME_TIMESTAMP":"1781006407000000","MESSAGE":"{escaped}"}}"#),
        ] {
            assert_eq!(strip(&line), LINE);
        }
        for line in [r#"{"log":"x"}"#, r#"{"MESSAGE":"x"}"#, r#"{"stream":"stdout","log":7}"#, "{"] {
            assert_eq!(strip(line), line);
        }
    }

    #[test]
    fn other_starts_stay() {
        for line in [
            "www.example.com:443 192.0.2.1 - - [x]",
            "2001:db8::1 - - [x]",
            "2026-06-09 14:00:07 192.0.2.80 GET /",
            "<x>192.0.2.1 - -",
            "192.0.2.1 | 10.0.0.7 - - [x]",
            "Jun - - [x]",
            "[x] 192.0.2.1",
            "",
        ] {
            assert_eq!(strip(line), line);
        }
        // Without a program, only the time is a prefix.
        assert_eq!(strip("Jun  9 14:00:07 web 192.0.2.1 - - [x]"), "web 192.0.2.1 - - [x]");
    }
}
