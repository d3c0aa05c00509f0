//! The key of a request: `--by ip`, `--by user`, `--by ip+path`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use limited::Key;

use super::log_format::Entry;

/// A field of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Ip,
    User,
    Path,
    Method,
    Status,
    Agent,
}

impl Field {
    const ALL: [Self; 6] = [Self::Ip, Self::User, Self::Path, Self::Method, Self::Status, Self::Agent];

    const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::User => "user",
            Self::Path => "path",
            Self::Method => "method",
            Self::Status => "status",
            Self::Agent => "agent",
        }
    }

    /// Returns the noun for one value, or for several.
    const fn nouns(self) -> (&'static str, &'static str) {
        match self {
            Self::Ip => ("address", "addresses"),
            Self::User => ("user", "users"),
            Self::Path => ("path", "paths"),
            Self::Method => ("method", "methods"),
            Self::Status => ("status", "statuses"),
            Self::Agent => ("agent", "agents"),
        }
    }

    fn value<'e>(self, entry: &'e Entry<'_>) -> Option<Cow<'e, str>> {
        match self {
            Self::Ip => entry.host.map(Cow::Borrowed),
            Self::User => entry.user.as_deref().map(Cow::Borrowed),
            Self::Path => entry.request.path().map(Cow::Borrowed),
            Self::Method => entry.request.method().map(Cow::Borrowed),
            Self::Status => entry.status.map(|status| status.to_string().into()),
            Self::Agent => entry.agent.as_deref().map(Cow::Borrowed),
        }
    }

    fn add_to(self, key: Key<'_>, value: &str) -> Key<'static> {
        match self {
            // A server that looks names up writes names, and an address only if it finds none.
            Self::Ip => match value.parse::<IpAddr>() {
                Ok(address) => key.ip(address),
                Err(_) => key.part("host", value),
            },
            Self::User => key.user(value),
            Self::Path | Self::Method | Self::Status | Self::Agent => key.part(self.name(), value),
        }
    }
}

/// The fields that form the key of a request: requests that agree in all of them are counted
/// together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct By(Vec<Field>);

impl By {
    /// Returns the key of a request; `None` if one of its fields is unknown.
    pub(crate) fn key(&self, entry: &Entry<'_>) -> Option<Key<'static>> {
        let key = self.compose(entry, Field::add_to)?;
        if key.validate().is_ok() {
            return Some(key);
        }
        // Hashed, so that nothing in a log is too long.
        self.compose(entry, |field, key, value| key.secret(field.name(), value))
    }

    fn compose(
        &self,
        entry: &Entry<'_>,
        add: impl Fn(Field, Key<'_>, &str) -> Key<'static>,
    ) -> Option<Key<'static>> {
        self.0.iter().try_fold(Key::new(), |key, field| {
            let value = field.value(entry)?;
            Some(add(*field, key, &value))
        })
    }

    /// Returns the key for display.
    pub(crate) fn label(&self, entry: &Entry<'_>) -> String {
        let values: Vec<_> = self.0.iter().filter_map(|field| field.value(entry)).collect();
        values.join("  ")
    }

    /// Returns whether the client is part of the key.
    pub(crate) fn has_client(&self) -> bool {
        self.0.contains(&Field::Ip)
    }

    /// Returns the noun for this many keys: `addresses`, `paths`.
    pub(crate) fn noun(&self, count: usize) -> String {
        match (&*self.0, count) {
            ([field], 1) => field.nouns().0.to_owned(),
            ([field], _) => field.nouns().1.to_owned(),
            (_, 1) => self.to_string(),
            (_, _) => "keys".to_owned(),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|field| field.name()).collect();
        f.write_str(&names.join("+"))
    }
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let field = |name| {
            Field::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| {
                let names = Field::ALL.map(Field::name).join(", ");
                format!("unknown field `{name}`; expected {names}, or several joined by `+`")
            })
        };
        text.split('+').map(field).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clients::Choice;
    use super::super::log_format::parse;
    use super::*;

    fn key(by: &str, line: &str) -> Option<Key<'static>> {
        by.parse::<By>().unwrap().key(&parse(line, Choice::Refuse).unwrap())
    }

    fn line(host: &str, user: &str, path: &str) -> String {
        format!(
            r#"{host} - {user} [09/Jun/2026:14:00:07 +0200] "GET {path} HTTP/1.1" 404 0 "-" "Example/1.0""#
        )
    }

    #[test]
    fn key_is_composed_of_the_selected_fields() {
        let line = line("192.0.2.1", "Ana Lima", "/a:b?c");
        for (by, rendered) in [
            ("ip", "ip:192.0.2.1"),
            ("user", "user:Ana Lima"),
            ("path", "path:/a%3Ab"),
            ("method", "method:GET"),
            ("status", "status:404"),
            ("agent", "agent:Example/1.0"),
            ("path+ip", "path:/a%3Ab:ip:192.0.2.1"),
        ] {
            assert_eq!(key(by, &line), Some(Key::from(rendered)));
            assert_eq!(by.parse::<By>().unwrap().to_string(), by);
        }
    }

    #[test]
    fn address_has_one_key_in_every_notation() {
        let key = |host| key("ip", &line(host, "-", "/"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_eq!(key("2001:DB8:0::1"), key("2001:db8::1"));
        assert_eq!(key("client.example.net"), Some(Key::new().part("host", "client.example.net")));
    }

    #[test]
    fn request_without_a_field_has_no_key() {
        let line = line("192.0.2.1", "-", "/");
        assert_eq!(key("user", &line), None);
        assert_eq!(key("ip+user", &line), None);
    }

    #[test]
    fn fields_too_long_for_a_key_stay_distinct() {
        let key = |end| key("path+ip", &line("192.0.2.1", "-", &("/:".repeat(600) + end))).unwrap();
        assert_eq!(key("a").validate(), Ok(()));
        assert_eq!(key("a"), key("a"));
        assert_ne!(key("a"), key("b"));
    }

    #[test]
    fn nouns_match_the_fields() {
        for (by, one, several) in
            [("ip", "address", "addresses"), ("agent", "agent", "agents"), ("ip+path", "ip+path", "keys")]
        {
            let by: By = by.parse().unwrap();
            assert_eq!((by.noun(1), by.noun(0), by.noun(2)), (one.into(), several.into(), several.into()));
        }
    }

    #[test]
    fn unknown_field_is_an_error() {
        for text in ["", "ips", "ip+", "ip,path", "IP"] {
            assert!(text.parse::<By>().is_err(), "{text}");
        }
    }
}
