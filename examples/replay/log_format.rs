//! A parser for access logs in Common and Combined Log Format.
//!
//! ```text
//! 192.0.2.1 - alice [09/Jun/2026:14:00:07 +0200] "GET /a?b=c HTTP/1.1" 200 512 "https://example.org/" "Mozilla/5.0"
//! host  ident user  time                         request            status size referer               agent
//! ```
//!
//! Common Log Format ends after the size. Both are as [Apache] and nginx write them by default: an
//! unknown field is `-`, and a quote, a backslash or an unprintable byte within a field is escaped
//! (`\"`, `\\`, `\n`, `\x16`). Further fields at the end of a line are ignored.
//!
//! [Apache]: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html

use std::borrow::Cow;

use limited::Timestamp;

use super::clients::{self, Choice, Names};
use super::request_line::RequestLine;

/// The fields of a request that a limit can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The client's address, or its name if the server looks names up.
    pub(crate) host: Option<&'a str>,
    pub(crate) user: Option<Cow<'a, str>>,
    /// The time of the request. The line was written after the response, maybe much later.
    pub(crate) time: Timestamp,
    pub(crate) request: RequestLine<'a>,
    pub(crate) status: Option<u16>,
    /// Only in Combined Log Format.
    pub(crate) agent: Option<Cow<'a, str>>,
    /// Whether the field after the agent consists of addresses, and the host is not among them. It
    /// is `X-Forwarded-For` in the configuration that nginx comes with.
    pub(crate) is_forwarded: bool,
}

/// Why a line has neither format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("expected a time in brackets, such as [09/Jun/2026:14:00:07 +0200]")]
    NoTime,
    #[error("invalid time [{0}]; expected a time such as [09/Jun/2026:14:00:07 +0200]")]
    Time(String),
    #[error("the time [{0}] is before 1970 or after 2554")]
    TimeOutOfRange(String),
    #[error("expected host, identity and user before the time (`-` for an unknown one)")]
    NoUser,
    #[error("several words before the identity in `{0}`: it is not clear which one is the client")]
    Words(String),
    #[error("several addresses before the time, `{0}` and `{1}`; choose one with --client first or last")]
    Addresses(String, String),
    #[error("invalid host `{0}`; expected an address or a name")]
    Host(String),
    #[error("this is {0}")]
    Format(&'static str),
    #[error("the {0} is missing")]
    Missing(&'static str),
    #[error("the {0} has no closing quote")]
    Unclosed(&'static str),
    #[error("invalid status `{0}`")]
    Status(String),
    #[error("invalid size `{0}`")]
    Size(String),
}

/// Parses a line without its line break, and without what a collector put in front of it.
pub(crate) fn parse(line: &str, choice: Choice) -> Result<Entry<'_>, Malformed> {
    let (names, time, rest) = split_at_time(line)?;
    let Names { client, user } = clients::read(names, choice)?;
    let (request, rest) = quoted(rest, "request")?;
    let (status, rest) = word(rest, "status")?;
    let (size, rest) = word(rest, "size")?;
    if !is_number(size) && size != "-" {
        return Err(Malformed::Size(size.to_owned()));
    }
    let (agent, rest) = read_agent(rest)?;
    let last = quoted(rest, "last field").map(|(last, _)| last).unwrap_or_default();
    Ok(Entry {
        host: client,
        is_forwarded: clients::names_others(&last, client),
        // An empty name is written as two quotes.
        user: known(unescape(user)).filter(|_| user != "\"\""),
        time,
        request: RequestLine::new(request),
        status: read_status(status)?,
        agent,
    })
}

/// Splits a line into what is before the time, the time, and what is after it.
///
/// A user name may contain anything, also brackets, so the time is in the first brackets that
/// contain one.
fn split_at_time(text: &str) -> Result<(&str, Timestamp, &str), Malformed> {
    // Bounds the work per bracket, however many brackets a line has.
    const LONGEST: usize = 64;

    let mut wrong = None;
    for (at, meta) in text.match_indices(" [") {
        let inside = &text[at + meta.len()..];
        if let Some(end) = inside.bytes().take(LONGEST).position(|byte| byte == b']') {
            match read_time(&inside[..end]) {
                Ok(time) => return Ok((&text[..at], time, &inside[end + 1..])),
                Err(error) => _ = wrong.get_or_insert(error),
            }
        }
    }
    Err(wrong.unwrap_or(Malformed::NoTime))
}

fn read_time(text: &str) -> Result<Timestamp, Malformed> {
    // The second format is nginx's `$time_iso8601`.
    let time = jiff::Timestamp::strptime("%d/%b/%Y:%H:%M:%S%.f %z", text)
        .or_else(|_| jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%:z", text))
        .map_err(|_| Malformed::Time(text.to_owned()))?;
    u64::try_from(time.as_nanosecond())
        .map(Timestamp::from_nanos)
        .map_err(|_| Malformed::TimeOutOfRange(text.to_owned()))
}

fn read_status(text: &str) -> Result<Option<u16>, Malformed> {
    match text.parse() {
        _ if text == "-" => Ok(None),
        Ok(status) if is_number(text) && text.len() == 3 => Ok(Some(status)),
        _ => Err(Malformed::Status(text.to_owned())),
    }
}

/// Returns the second of two quoted fields, if both are there, and what follows it.
fn read_agent(text: &str) -> Result<(Option<Cow<'_, str>>, &str), Malformed> {
    if !text.starts_with(OPENING) {
        return Ok((None, ""));
    }
    let (_referer, rest) = quoted(text, "referer")?;
    if !rest.starts_with(OPENING) {
        return Ok((None, ""));
    }
    let (agent, rest) = quoted(rest, "user agent")?;
    Ok((known(agent), rest))
}

const OPENING: &str = " \"";

/// Returns the quoted field at the start of a text, and what follows it.
fn quoted<'a>(text: &'a str, field: &'static str) -> Result<(Cow<'a, str>, &'a str), Malformed> {
    let text = text.strip_prefix(OPENING).ok_or(Malformed::Missing(field))?;
    let mut escaped = false;
    let end = text
        .bytes()
        .position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        })
        .ok_or(Malformed::Unclosed(field))?;
    Ok((unescape(&text[..end]), &text[end + 1..]))
}

/// Returns the unquoted field at the start of a text, and what follows it.
fn word<'a>(text: &'a str, field: &'static str) -> Result<(&'a str, &'a str), Malformed> {
    let text = text.strip_prefix(' ').ok_or(Malformed::Missing(field))?;
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    if word.is_empty() {
        return Err(Malformed::Missing(field));
    }
    Ok((word, rest))
}

pub(crate) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a field, unless it is `-`.
fn known(field: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!matches!(&*field, "-" | "")).then_some(field)
}

/// Unescapes a text. A backslash that escapes nothing stays.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, after) = match rest {
            [b'\\', b'x', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'\\', &rest[1..]),
            },
            [b'\\', b'n', after @ ..] => (b'\n', after),
            [b'\\', b'r', after @ ..] => (b'\r', after),
            [b'\\', b't', after @ ..] => (b'\t', after),
            [b'\\', b'b', after @ ..] => (0x08, after),
            [b'\\', b'v', after @ ..] => (0x0b, after),
            [b'\\', escaped @ (b'"' | b'\\'), after @ ..] => (*escaped, after),
            _ => (*first, after),
        };
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Result<Entry<'_>, Malformed> {
        super::parse(line, Choice::Refuse)
    }

    const COMMON: &str = r#"192.0.2.1 - alice [09/Jun/2026:14:00:07 +0200] "GET /a?b=c HTTP/1.1" 200 512"#;

    /// 2026-06-09T12:00:07Z, in seconds since the epoch.
    const TIME: u64 = 1_781_006_407;

    fn with_user(user: &str) -> String {
        COMMON.replace("alice", user)
    }

    fn with_time(time: &str) -> String {
        COMMON.replace("09/Jun/2026:14:00:07 +0200", time)
    }

    fn with_request(request: &str) -> String {
        COMMON.replace("GET /a?b=c HTTP/1.1", request)
    }

    #[test]
    fn common_line_is_parsed() {
        let entry = parse(COMMON).unwrap();
        assert_eq!(entry.host, Some("192.0.2.1"));
        assert_eq!(entry.user.as_deref(), Some("alice"));
        assert_eq!(entry.time, Timestamp::from_secs(TIME));
        assert_eq!(entry.request.method(), Some("GET"));
        assert_eq!(entry.request.path(), Some("/a"));
        assert_eq!(entry.status, Some(200));
        assert_eq!(entry.agent, None);
    }

    #[test]
    fn combined_line_is_a_common_line_with_an_agent() {
        let line = format!(r#"{COMMON} "https://example.org/\"q\"" "Example/1.0 (\"x\" \\ y)""#);
        let entry = parse(&line).unwrap();
        assert_eq!(entry.agent.as_deref(), Some(r#"Example/1.0 ("x" \ y)"#));
        let without_agent = Entry { agent: None, ..entry };
        assert_eq!(Ok(without_agent), parse(COMMON));
    }

    #[test]
    fn additional_fields_at_the_end_are_ignored() {
        for added in [" 1234", " rt=0.003 \"", " \"-\" 7", " \"-\" \"-\" \"gzip\" junk\""] {
            let line = format!("{COMMON}{added}");
            assert_eq!(parse(&line), parse(COMMON), "{line}");
        }
    }

    #[test]
    fn address_of_another_client_at_the_end_is_noticed() {
        for (end, is_forwarded) in [
            (r#""203.0.113.5""#, true),
            (r#""203.0.113.5, 203.0.113.6" 7"#, true),
            (r#""192.0.2.1""#, false),
            (r#""-""#, false),
            (r#""203.0.113.5"#, false),
        ] {
            let line = format!(r#"{COMMON} "-" "Example/1.0" {end}"#);
            assert_eq!(parse(&line).unwrap().is_forwarded, is_forwarded, "{line}");
        }
    }

    #[test]
    fn unknown_fields_are_none() {
        let line = r#"- - - [09/Jun/2026:14:00:07 +0200] "-" - - "-" "-""#;
        let entry = parse(line).unwrap();
        assert_eq!((entry.host, entry.user, entry.agent), (None, None, None));
        assert_eq!((entry.request.method(), entry.request.path()), (None, None));
        assert_eq!(entry.status, None);
        assert_eq!(parse(&with_user("\"\"")).unwrap().user, None);
    }

    #[test]
    fn host_is_an_address_or_a_name() {
        for host in ["2001:db8::1", "::ffff:192.0.2.1", "client-7.example.net"] {
            let line = COMMON.replace("192.0.2.1", host);
            assert_eq!(parse(&line).unwrap().host, Some(host));
        }
    }

    #[test]
    fn user_may_contain_spaces_quotes_and_brackets() {
        for (written, user) in [
            ("Ana Lima", "Ana Lima"),
            ("a [b] c", "a [b] c"),
            ("[", "["),
            (r"x\x22y", "x\"y"),
            (r#"x\"y"#, "x\"y"),
        ] {
            let line = with_user(written);
            let entry = parse(&line).unwrap();
            assert_eq!(entry.user.as_deref(), Some(user));
            assert_eq!(entry.time, Timestamp::from_secs(TIME));
        }
    }

    #[test]
    fn time_is_parsed_with_its_offset() {
        for (time, seconds) in [
            ("09/Jun/2026:12:00:07 +0000", TIME),
            ("09/Jun/2026:05:30:07 -0630", TIME),
            ("10/Jun/2026:01:45:07 +1345", TIME),
            ("01/Jan/1970:00:00:00 +0000", 0),
            ("31/Dec/2016:23:59:60 +0000", 1_483_228_799),
        ] {
            let line = with_time(time);
            assert_eq!(parse(&line).unwrap().time, Timestamp::from_secs(seconds), "{time}");
        }
        let line = with_time("09/Jun/2026:14:00:07.25 +0200");
        let time = Timestamp::from_millis(TIME * 1000 + 250);
        assert_eq!(parse(&line).unwrap().time, time);
    }

    #[test]
    fn request_is_unescaped() {
        for (written, path) in [
            (r"/\xc3\xa9\xff", "/é\u{fffd}"),
            (r#"/\"\\\x"#, r#"/"\\x"#),
            (r"/\n\r\t\b\v", "/\n\r\t\u{8}\u{b}"),
        ] {
            let line = with_request(&format!("GET {written} HTTP/1.1"));
            assert_eq!(parse(&line).unwrap().request.path(), Some(path));
        }
    }

    #[test]
    fn malformed_lines_are_errors() {
        let time = |text: &str| Malformed::Time(text.into());
        for (line, wrong) in [
            ("-", Malformed::NoTime),
            ("--- log rotated ---", Malformed::NoTime),
            ("192.0.2.1 - - 09/Jun/2026:14:00:07 +0200", Malformed::NoTime),
            ("192.0.2.1 - - [09/Jun/2026:14:00:07 +0200", Malformed::NoTime),
            ("x - - [warn] [y]", time("warn")),
            (&with_time("09/Jun/2026:14:00:07"), time("09/Jun/2026:14:00:07")),
            (&with_time("31/Feb/2026:14:00:07 +0000"), time("31/Feb/2026:14:00:07 +0000")),
            (&with_time("31/Dec/1969:23:59:59 +0000"), {
                Malformed::TimeOutOfRange("31/Dec/1969:23:59:59 +0000".into())
            }),
            (&with_time("01/Jan/2600:00:00:00 +0000"), {
                Malformed::TimeOutOfRange("01/Jan/2600:00:00:00 +0000".into())
            }),
            (&COMMON.replace("- alice ", ""), Malformed::NoUser),
            (&COMMON.replace("- alice", "-"), Malformed::NoUser),
            (COMMON.split(" \"GET").next().unwrap(), Malformed::Missing("request")),
            (COMMON.split(" HTTP").next().unwrap(), Malformed::Unclosed("request")),
            (&with_request("\\"), Malformed::Unclosed("request")),
            (COMMON.split(" 200").next().unwrap(), Malformed::Missing("status")),
            (COMMON.split(" 512").next().unwrap(), Malformed::Missing("size")),
            (&COMMON.replace(" 200 512", "  512"), Malformed::Missing("status")),
            (&COMMON.replace(" 200", " +20"), Malformed::Status("+20".into())),
            (&COMMON.replace(" 200", " 2000"), Malformed::Status("2000".into())),
            (&COMMON.replace("512", "5k"), Malformed::Size("5k".into())),
            (&format!("{COMMON} \"-"), Malformed::Unclosed("referer")),
            (&format!("{COMMON} \"-\" \"Mozi"), Malformed::Unclosed("user agent")),
        ] {
            assert_eq!(parse(line), Err(wrong), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = parse(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn no_change_to_a_line_panics(at in 0..COMMON.len(), removed in 0_usize..8, put in "[] \"\\\\x0é\\[/:+-]{0,6}") {
            let end = (at + removed).min(COMMON.len());
            let line = format!("{}{put}{}", &COMMON[..at], &COMMON[end..]);
            let _ = parse(&line);
        }

        #[test]
        fn every_field_is_read_as_it_was_sent(agent in "[ -~]{1,20}|\\PC{1,20}|(?s).{1,20}") {
            let escaped: String = agent.bytes().map(|byte| match byte {
                b'"' | b'\\' => format!("\\{}", char::from(byte)),
                b'\n' => "\\n".to_owned(),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            }).collect();
            let line = format!("{COMMON} \"-\" \"{escaped}\"");
            let entry = parse(&line).unwrap();
            let sent = (agent != "-").then_some(agent);
            prop_assert_eq!(entry.agent.map(Cow::into_owned), sent);
        }
    }
}
