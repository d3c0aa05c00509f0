//! Access logs in Common and in Combined Log Format, a line at a time.
//!
//! ```text
//! 192.0.2.1 - alice [09/Jun/2026:14:00:07 +0200] "GET /a?b=c HTTP/1.1" 200 512 "https://example.org/" "Mozilla/5.0"
//! host  ident user  time                         request            status size referer               agent
//! ```
//!
//! Common Log Format ends after the size. Both are as [Apache] writes them by default, and nginx too: what is unknown is
//! `-`, and a quote, a backslash or an unprintable byte within a field is escaped (`\"`, `\\`, `\n`, `\x16`). What a
//! server was configured to add at the end of a line is left alone.
//!
//! [Apache]: https://httpd.apache.org/docs/2.4/mod/mod_log_config.html

use std::borrow::Cow;

use limited::Timestamp;

use crate::request_line::RequestLine;

/// What a line says about a request, as far as it can be limited by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The client's address, or its name where the server looks names up.
    pub(crate) host: Option<&'a str>,
    pub(crate) user: Option<Cow<'a, str>>,
    /// When the request came. The line was written when it had been answered, maybe much later.
    pub(crate) time: Timestamp,
    pub(crate) request: RequestLine<'a>,
    pub(crate) status: Option<u16>,
    /// Only in Combined Log Format.
    pub(crate) agent: Option<Cow<'a, str>>,
}

/// Why a line is in neither format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("there is no time in brackets, such as [09/Jun/2026:14:00:07 +0200]")]
    NoTime,
    #[error("[{0}] is no time, such as [09/Jun/2026:14:00:07 +0200]")]
    Time(String),
    #[error("[{0}] is before 1970 or after 2554")]
    TimeOutOfRange(String),
    #[error("host, identity and user are not all there before the time (`-` where unknown)")]
    NoUser,
    #[error("the {0} is missing")]
    Missing(&'static str),
    #[error("the quote that opens the {0} is never closed")]
    Unclosed(&'static str),
    #[error("`{0}` is no status")]
    Status(String),
    #[error("`{0}` is no size")]
    Size(String),
}

/// Reads a line, which has no line break at its end.
pub(crate) fn parse(line: &str) -> Result<Entry<'_>, Malformed> {
    let (host, rest) = line.split_at(line.find(' ').ok_or(Malformed::NoTime)?);
    let (names, time, rest) = split_at_time(rest)?;
    let (_identity, user) =
        names.strip_prefix(' ').and_then(|names| names.split_once(' ')).ok_or(Malformed::NoUser)?;
    let (request, rest) = quoted(rest, "request")?;
    let (status, rest) = word(rest, "status")?;
    let (size, rest) = word(rest, "size")?;
    if !is_number(size) && size != "-" {
        return Err(Malformed::Size(size.to_owned()));
    }
    Ok(Entry {
        host: Some(host).filter(|host| *host != "-"),
        // An empty name is written as two quotes.
        user: known(unescape(user)).filter(|_| user != "\"\""),
        time,
        request: RequestLine::new(request),
        status: read_status(status)?,
        agent: read_agent(rest)?,
    })
}

/// What is before the time, the time, and what is after it.
///
/// A user's name may hold anything, brackets too, so the time is in the first brackets that hold one.
fn split_at_time(text: &str) -> Result<(&str, Timestamp, &str), Malformed> {
    // However many brackets a line has, so much and no more is looked at behind each.
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
    let time = jiff::Timestamp::strptime("%d/%b/%Y:%H:%M:%S%.f %z", text)
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

/// The second of two quoted fields, if they are there.
fn read_agent(text: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
    if !text.starts_with(OPENING) {
        return Ok(None);
    }
    let (_referer, rest) = quoted(text, "referer")?;
    if !rest.starts_with(OPENING) {
        return Ok(None);
    }
    let (agent, _) = quoted(rest, "user agent")?;
    Ok(known(agent))
}

const OPENING: &str = " \"";

/// The quoted field that a text begins with, and what follows it.
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

/// The field without quotes that a text begins with, and what follows it.
fn word<'a>(text: &'a str, field: &'static str) -> Result<(&'a str, &'a str), Malformed> {
    let text = text.strip_prefix(' ').ok_or(Malformed::Missing(field))?;
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    if word.is_empty() {
        return Err(Malformed::Missing(field));
    }
    Ok((word, rest))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A field, unless it says that it is unknown.
fn known(field: Cow<'_, str>) -> Option<Cow<'_, str>> {
    (!matches!(&*field, "-" | "")).then_some(field)
}

/// The text that was escaped. A backslash that escapes nothing stands for itself.
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
    fn a_common_line_is_read() {
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
    fn a_combined_line_is_a_common_line_with_an_agent() {
        let line = format!(r#"{COMMON} "https://example.org/\"q\"" "Example/1.0 (\"x\" \\ y)""#);
        let entry = parse(&line).unwrap();
        assert_eq!(entry.agent.as_deref(), Some(r#"Example/1.0 ("x" \ y)"#));
        let without_agent = Entry { agent: None, ..entry };
        assert_eq!(Ok(without_agent), parse(COMMON));
    }

    #[test]
    fn fields_that_a_server_adds_at_the_end_are_left_alone() {
        for added in [" 1234", " rt=0.003 \"", " \"-\" 7", " \"-\" \"-\" \"203.0.113.9\" junk\""] {
            let line = format!("{COMMON}{added}");
            assert_eq!(parse(&line), parse(COMMON), "{line}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_there() {
        let line = r#"- - - [09/Jun/2026:14:00:07 +0200] "-" - - "-" "-""#;
        let entry = parse(line).unwrap();
        assert_eq!((entry.host, entry.user, entry.agent), (None, None, None));
        assert_eq!((entry.request.method(), entry.request.path()), (None, None));
        assert_eq!(entry.status, None);
        assert_eq!(parse(&with_user("\"\"")).unwrap().user, None);
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        for host in ["2001:db8::1", "::ffff:192.0.2.1", "client-7.example.net"] {
            let line = COMMON.replace("192.0.2.1", host);
            assert_eq!(parse(&line).unwrap().host, Some(host));
        }
    }

    #[test]
    fn a_user_may_have_spaces_quotes_and_brackets() {
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
    fn a_time_is_read_with_its_offset() {
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
    fn a_request_is_read_as_it_was_sent() {
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
    fn what_is_wrong_is_told() {
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
