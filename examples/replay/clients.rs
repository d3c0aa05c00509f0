//! The client and the user of a request: what stands before the time.
//!
//! Common Log Format has three fields there: host, identity and user. Servers are often set up to
//! write more in front of them: the name of the virtual host, or `X-Forwarded-For`, which is a list
//! of addresses. The client is the only address among these words. If there are several, the log
//! does not say which one is the client, and only the user of this program can.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::log_format::{Malformed, is_number};

/// Which address is the client, if a line has several words before the identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// None: such a line is left out.
    #[default]
    Refuse,
    /// The first. In `X-Forwarded-For`, that is what the client says about itself.
    First,
    /// The last. In `X-Forwarded-For`, that is what the nearest proxy saw. If the user name comes
    /// after the client, a client can choose its address: by a user name that is one.
    Last,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            _ => Err(format!("unknown choice `{text}`; expected first or last")),
        }
    }
}

/// The client and the user, both as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    /// `None` if the server did not know it.
    pub(crate) client: Option<&'a str>,
    pub(crate) user: &'a str,
}

/// Returns whether a text consists of addresses, and the client is not among them.
pub(crate) fn names_others(text: &str, client: Option<&str>) -> bool {
    let mut addresses = list(text).filter(|address| known(address).is_some()).peekable();
    addresses.peek().is_some() && addresses.all(|address| Some(address) != client)
}

/// The only client of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Only {
    #[default]
    None,
    One(IpAddr),
    /// There are several, or one that has no address.
    Several,
}

impl Only {
    pub(crate) fn add(&mut self, client: Option<&str>) {
        let address = client.and_then(|client| client.parse::<IpAddr>().ok()).map(|it| it.to_canonical());
        *self = match (*self, address) {
            (Self::None, Some(address)) => Self::One(address),
            (Self::One(one), Some(address)) if one == address => Self::One(one),
            _ => Self::Several,
        };
    }

    /// Returns the only client, if its address is private (RFC 1918, RFC 4193) or of this host.
    pub(crate) fn private(self) -> Option<IpAddr> {
        let Self::One(address) = self else { return None };
        let is_private = match address {
            IpAddr::V4(address) => address.is_private() || address.is_loopback(),
            IpAddr::V6(address) => address.is_unique_local() || address.is_loopback(),
        };
        is_private.then_some(address)
    }
}

/// Reads the text before the time.
pub(crate) fn read(text: &str, choice: Choice) -> Result<Names<'_>, Malformed> {
    let line = Line { text, words: words(text) };
    let [host, identity, user, ..] = line.words[..] else { return Err(Malformed::NoUser) };
    if let ([_, _, _], Some(address), None, None) =
        (&line.words[..], lone_address(host.text), lone_address(identity.text), lone_address(user.text))
    {
        return Ok(Names { client: Some(address), user: user.text });
    }
    let mut addresses: Vec<_> = line
        .words
        .iter()
        .enumerate()
        .flat_map(|(at, word)| list(word.text).map(move |found| (at, found)))
        .collect();
    addresses.dedup_by_key(|(_, address)| *address);
    match addresses[..] {
        [] => line.named(),
        [(at, address)] => {
            let user =
                if at == 0 { line.after_first_address(choice)? } else { line.after_later_address(at)? };
            Ok(Names { client: known(address), user })
        }
        [(_, first), .., (last_at, last)] => {
            let client = match choice {
                Choice::Refuse => return Err(Malformed::Addresses(first.to_owned(), last.to_owned())),
                Choice::First => first,
                Choice::Last => last,
            };
            let user = match line.words.get(last_at + 1..) {
                Some([Word { text: "-", .. }, user, ..]) => line.from(*user),
                _ => "-",
            };
            Ok(Names { client: known(client), user })
        }
    }
}

/// A word, or a quoted text, or a list with spaces after its commas.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    text: &'a str,
    start: usize,
}

struct Line<'a> {
    text: &'a str,
    words: Vec<Word<'a>>,
}

impl<'a> Line<'a> {
    fn from(&self, word: Word<'_>) -> &'a str {
        &self.text[word.start..]
    }

    fn several_words(&self) -> Malformed {
        Malformed::Words(self.text.to_owned())
    }

    /// Reads a line without an address: the client is unknown, or the server wrote its name.
    fn named(&self) -> Result<Names<'a>, Malformed> {
        let (client, user) = match self.words[..] {
            [host, _, user] => (host, user),
            // Virtual host and client.
            [host, client, Word { text: "-", .. }, user, ..] if has_port(host.text) => (client, user),
            [host, Word { text: "-", .. }, user, ..] if user.text != "-" => (host, user),
            _ => return Err(self.several_words()),
        };
        match known(client.text) {
            Some(name) if !is_host_name(name) => Err(Malformed::Host(name.to_owned())),
            client => Ok(Names { client, user: self.from(user) }),
        }
    }

    /// Returns the user, if the line starts with its only address.
    fn after_first_address(&self, choice: Choice) -> Result<&'a str, Malformed> {
        match self.words[..] {
            [_, _, user] if list(user.text).next().is_none() => Ok(self.from(user)),
            // The controller of Kubernetes for nginx repeats the address in brackets.
            [_, Word { text: "-", .. }, again, Word { text: "-", .. }, user, ..]
                if list(again.text).next().is_some() =>
            {
                Ok(self.from(user))
            }
            [_, Word { text: "-", .. }, user, _, ..] if user.text != "-" => Ok(self.from(user)),
            [client, host, Word { text: "-", .. }, user, ..]
                if host.text == client.text || choice == Choice::First && is_host_name(host.text) =>
            {
                Ok(self.from(user))
            }
            // Client and virtual host, or the other way round if the server looks names up.
            _ => Err(self.several_words()),
        }
    }

    /// Returns the user, if words come before the only address.
    fn after_later_address(&self, at: usize) -> Result<&'a str, Malformed> {
        let (before, after) = (&self.words[..at], &self.words[at + 1..]);
        if !matches!(before, [Word { text: "-", .. }]) && !before.iter().all(|word| is_prefix(word.text)) {
            return Err(self.several_words());
        }
        match *after {
            [] | [_] => Err(Malformed::NoUser),
            [_, user] => Ok(self.from(user)),
            [Word { text: "-", .. }, user, ..] if user.text != "-" => Ok(self.from(user)),
            _ => Err(self.several_words()),
        }
    }
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::with_capacity(4);
    let mut start = 0;
    while start < text.len() {
        let rest = &text[start..];
        let length = length(rest);
        if length > 0 {
            words.push(Word { text: &rest[..length], start });
        }
        start += length.max(1);
    }
    words
}

/// Returns the length of the word at the start of a text.
fn length(text: &str) -> usize {
    if let Some(quoted) = text.strip_prefix('"') {
        let closing = quoted.match_indices('"').map(|(at, _)| at + 2);
        if let Some(end) =
            closing.into_iter().find(|end| text[*end..].is_empty() || text[*end..].starts_with(' '))
        {
            return end;
        }
    }
    let mut end = text.find(' ').unwrap_or(text.len());
    while text[..end].ends_with(',') && text[end..].starts_with(' ') {
        let next = end + 1;
        end = text[next..].find(' ').map_or(text.len(), |length| next + length);
    }
    end
}

/// Returns the addresses in a word. A word with anything else has none; `unknown` is an address in
/// lists only.
fn list(word: &str) -> impl Iterator<Item = &str> {
    let inner = word.trim_matches('"');
    let is_list = inner.contains(',');
    let elements = move || inner.split(',').map(|element| element.trim_matches([' ', '\t']));
    let address = move |text| lone_address(text).or((is_list && known(text).is_none()).then_some(text));
    let all = elements().all(|element| address(element).is_some());
    elements().filter_map(address).filter(move |_| all)
}

/// Returns the address without brackets, port and interface. `None` if it is not an address.
fn lone_address(text: &str) -> Option<&str> {
    let text = text.trim_matches('"');
    let without_port = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(_, port)| port.is_empty() || port.starts_with(':'))?.0,
        None if text.parse::<SocketAddr>().is_ok() => text.split_once(':')?.0,
        None => text,
    };
    let address = without_port.split_once('%').map_or(without_port, |(address, _interface)| address);
    address.parse::<IpAddr>().is_ok().then_some(address)
}

/// Returns a host, unless it stands for an unknown one. nginx writes `unix:` for a local socket.
fn known(host: &str) -> Option<&str> {
    (!matches!(host, "-" | "unix:" | "unknown" | "")).then_some(host)
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(':').is_some_and(|(name, port)| is_host_name(name) && port.parse::<u16>().is_ok())
}

/// Returns whether a word may stand before the client: the name of a virtual host or of a pod, a
/// time taken. A whole number may count equal lines, as `uniq -c` does. Anything else may hold the
/// client, as the header `Forwarded` does: `for=192.0.2.1`.
fn is_prefix(word: &str) -> bool {
    let is_decimal =
        word.split_once('.').is_some_and(|(whole, fraction)| is_number(whole) && is_number(fraction));
    is_decimal || known(word).is_some_and(is_host_name) || has_port(word) || matches!(word, "_" | "*")
}

/// Returns whether a text can be the name of a host. No top-level domain is a number.
fn is_host_name(text: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let last = text.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    text.bytes().all(of_name) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, choice: Choice) -> Result<(&str, &str), Malformed> {
        read(text, choice).map(|names| (names.client.unwrap_or("unknown"), names.user))
    }

    #[test]
    fn only_address_is_the_client() {
        for (text, client, user) in [
            ("192.0.2.1 - -", "192.0.2.1", "-"),
            ("192.0.2.1 - Ana Lima", "192.0.2.1", "Ana Lima"),
            ("192.0.2.1 ident ana", "192.0.2.1", "ana"),
            ("192.0.2.1:51034 - -", "192.0.2.1", "-"),
            ("[2001:db8::1]:51034 - -", "2001:db8::1", "-"),
            ("[2001:db8::1] - -", "2001:db8::1", "-"),
            ("fe80::1%eth0 - -", "fe80::1", "-"),
            ("www.example.com:443 192.0.2.1 - ana", "192.0.2.1", "ana"),
            ("www.example.com 2001:db8::1 - Ana Lima", "2001:db8::1", "Ana Lima"),
            ("www.example.com 192.0.2.1:51034 - -", "192.0.2.1", "-"),
            ("- 192.0.2.1 - -", "192.0.2.1", "-"),
            ("0.003 192.0.2.1 - -", "192.0.2.1", "-"),
            ("_ 192.0.2.1 - -", "192.0.2.1", "-"),
            ("web-0 nginx 192.0.2.1 - -", "192.0.2.1", "-"),
            ("192.0.2.1 www.example.com -", "192.0.2.1", "-"),
            ("192.0.2.1 - [192.0.2.1] - ana", "192.0.2.1", "ana"),
            ("192.0.2.1 192.0.2.1 - ana", "192.0.2.1", "ana"),
            ("\"192.0.2.1\" - -", "192.0.2.1", "-"),
        ] {
            assert_eq!(names(text, Choice::Refuse), Ok((client, user)), "{text}");
        }
    }

    #[test]
    fn name_or_unknown_host_is_the_client_if_there_is_no_address() {
        for (text, client) in [
            ("- - -", "unknown"),
            ("unix: - -", "unknown"),
            ("unknown - -", "unknown"),
            ("client-7.example.net - -", "client-7.example.net"),
            ("www.example.com:443 client.example.net - -", "client.example.net"),
        ] {
            assert_eq!(names(text, Choice::Refuse), Ok((client, "-")), "{text}");
        }
    }

    #[test]
    fn several_addresses_are_refused_unless_one_is_chosen() {
        for (text, first, last, user) in [
            ("203.0.113.5, 192.0.2.1 - ana", "203.0.113.5", "192.0.2.1", "ana"),
            ("203.0.113.5,192.0.2.1 - ana", "203.0.113.5", "192.0.2.1", "ana"),
            ("\"203.0.113.5, 192.0.2.1\" 10.0.0.7 - -", "203.0.113.5", "10.0.0.7", "-"),
            ("203.0.113.5, 192.0.2.1 10.0.0.7 - -", "203.0.113.5", "10.0.0.7", "-"),
            ("203.0.113.5 192.0.2.1 - Ana Lima", "203.0.113.5", "192.0.2.1", "Ana Lima"),
            ("203.0.113.80:443 192.0.2.1 - ana", "203.0.113.80", "192.0.2.1", "ana"),
            ("192.0.2.1 - 203.0.113.5", "192.0.2.1", "203.0.113.5", "-"),
            ("192.0.2.1 - 203.0.113.5, 203.0.113.6 - ana", "192.0.2.1", "203.0.113.6", "ana"),
            ("192.0.2.1 203.0.113.80 -", "192.0.2.1", "203.0.113.80", "-"),
            ("unknown, 192.0.2.1 - -", "unknown", "192.0.2.1", "-"),
        ] {
            let refused = Malformed::Addresses(first.into(), last.into());
            assert_eq!(names(text, Choice::Refuse), Err(refused), "{text}");
            assert_eq!(names(text, Choice::First), Ok((first, user)), "{text}");
            assert_eq!(names(text, Choice::Last), Ok((last, user)), "{text}");
        }
    }

    #[test]
    fn only_client_is_found_if_its_address_is_private() {
        let private = |clients: &[&str]| {
            let mut only = Only::default();
            clients.iter().for_each(|client| only.add((*client != "-").then_some(*client)));
            only.private().map(|address| address.to_string())
        };
        for address in ["10.0.0.5", "172.31.0.1", "192.168.7.7", "127.0.0.1", "::1", "fd00::7"] {
            assert_eq!(private(&[address, address]).as_deref(), Some(address));
        }
        assert_eq!(private(&["::ffff:10.0.0.5", "10.0.0.5"]).as_deref(), Some("10.0.0.5"));
        for clients in [
            &["192.0.2.1"][..],
            &["2001:db8::1"],
            &["172.32.0.1"],
            &["10.0.0.5", "10.0.0.6"],
            &["10.0.0.5", "-", "10.0.0.5"],
            &["-", "10.0.0.5"],
            &["client.example.net", "10.0.0.5"],
            &[],
        ] {
            assert_eq!(private(clients), None, "{clients:?}");
        }
    }

    #[test]
    fn other_addresses_than_the_client_are_recognised() {
        for (text, others) in [
            ("203.0.113.5", true),
            ("203.0.113.5, 203.0.113.6", true),
            ("192.0.2.1", false),
            ("192.0.2.1, 203.0.113.6", false),
            ("-", false),
            ("", false),
            ("gzip", false),
        ] {
            assert_eq!(names_others(text, Some("192.0.2.1")), others, "{text}");
        }
    }

    #[test]
    fn virtual_host_may_follow_the_client_if_the_first_is_chosen() {
        let text = "192.0.2.1 www.example.com - Ana Lima";
        assert_eq!(names(text, Choice::First), Ok(("192.0.2.1", "Ana Lima")));
        assert_eq!(names(text, Choice::Last), Err(Malformed::Words(text.into())));
    }

    #[test]
    fn words_that_fit_several_formats_are_refused() {
        for text in [
            "192.0.2.80 - - -",
            "3 192.0.2.1 - -",
            "www.example.com client.example.net - -",
            "10.0.0.7:8080 www.example.com - ana",
            "192.0.2.1 www.example.com - ana",
            "client.example.net - - -",
            "a b c d",
            "- - 192.0.2.1 - -",
            "www.example.com 192.0.2.1 - - -",
            "for=203.0.113.5;proto=http 10.0.0.7 - -",
            "unknown 10.0.0.7 - -",
            "\"203.0.113.5, x\" 10.0.0.7 - -",
            "203.0.113.500 10.0.0.7 - -",
        ] {
            assert_eq!(names(text, Choice::Refuse), Err(Malformed::Words(text.into())), "{text}");
        }
        for text in ["", "192.0.2.1", "192.0.2.1 -", "www.example.com 192.0.2.1 -"] {
            assert_eq!(names(text, Choice::Refuse), Err(Malformed::NoUser), "{text}");
        }
        for host in ["access.log:192.0.2.1", "192.0.2.300", "7", "a/b", "www.example.com:443"] {
            let text = format!("{host} - -");
            assert_eq!(names(&text, Choice::Refuse), Err(Malformed::Host(host.into())), "{text}");
        }
    }
}
