//! Lists of Structured Fields (RFC 9651) in headers that several layers write.

use std::convert::Infallible;

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::visitor::{EntryVisitor, Ignored, InnerListVisitor, ItemVisitor, ListVisitor};
use sfv::{BareItemFromInput, Parser};

/// Appends a member to a list. Replaces a value that is not a list, since it would make our member
/// unreadable.
///
/// Returns whether the list already had a member of this name, so that a client cannot tell the two
/// apart.
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, member: HeaderValue, policy: &str) -> bool {
    if !headers.contains_key(&name) {
        headers.insert(name, member);
        return false;
    }
    let mut list = String::new();
    // A value outside of ASCII is not a list. `?` does not parse as one either.
    let text = |value: &HeaderValue| value.to_str().unwrap_or("?").trim_ascii().to_owned();
    for line in headers.get_all(&name).iter().map(text).filter(|line| !line.is_empty()) {
        if !list.is_empty() {
            list.push_str(", ");
        }
        list.push_str(&line);
    }
    let mut found = false;
    let search = Search { name: policy, found: &mut found };
    let is_list = !list.is_empty() && Parser::new(&list).parse_list_with_visitor(search).is_ok();
    // Structured Fields are printable ASCII, so they are always a valid header value.
    let joined = is_list.then(|| HeaderValue::try_from(list + ", " + &text(&member)).ok()).flatten();
    headers.insert(name, joined.unwrap_or(member));
    is_list && found
}

/// Looks for a member that is a string of this name.
struct Search<'a> {
    name: &'a str,
    found: &'a mut bool,
}

impl<'de> ListVisitor<'de> for Search<'_> {
    type Out = ();
    type Error = Infallible;

    fn entry(&mut self) -> Result<impl EntryVisitor<'de>, Infallible> {
        Ok(Search { name: self.name, found: self.found })
    }

    fn finish(self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<'de> EntryVisitor<'de> for Search<'_> {
    type Error = Infallible;

    fn item(self) -> Result<impl ItemVisitor<'de>, Infallible> {
        Ok(move |item: BareItemFromInput<'de>| {
            if let BareItemFromInput::String(name) = item {
                *self.found |= name.as_str() == self.name;
            }
            Ok::<_, Infallible>(Ignored)
        })
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'de>, Infallible> {
        Ok(Ignored)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sfv::{List, ListEntry};

    use super::*;

    const LIST: HeaderName = HeaderName::from_static("ratelimit");
    const MEMBER: HeaderValue = HeaderValue::from_static("\"d\";r=5");

    #[test]
    fn member_is_appended_to_an_existing_list() {
        let mut headers = HeaderMap::new();
        headers.append(LIST, HeaderValue::from_static("\"a\";r=1;t=2,\"b\";r=3"));
        headers.append(LIST, HeaderValue::from_static("\"c\";r=4"));
        assert!(!append(&mut headers, LIST, MEMBER, "d"));
        let values: Vec<_> = headers.get_all(LIST).iter().collect();
        assert_eq!(values, ["\"a\";r=1;t=2,\"b\";r=3, \"c\";r=4, \"d\";r=5"]);
    }

    #[test]
    fn member_of_the_same_name_is_found() {
        for (list, expected) in [
            ("\"d\";r=1", true),
            ("\"c\", \"d\"", true),
            ("\"dd\", d, (\"d\")", false),
            ("\"c\";x=\"d\"", false),
            ("\"d\", \"", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LIST, HeaderValue::from_static(list));
            assert_eq!(append(&mut headers, LIST, MEMBER, "d"), expected, "{list}");
        }
    }

    #[test]
    fn value_that_is_not_a_list_is_replaced() {
        for broken in
            [&b""[..], b" ", b"\t", b",", b"\"a\";r=1,", b"\"a", b"limit=100, remaining=50", b"\xff"]
        {
            let mut headers = HeaderMap::new();
            headers.insert(LIST, HeaderValue::from_bytes(broken).unwrap());
            append(&mut headers, LIST, MEMBER, "d");
            assert_eq!(headers[LIST], MEMBER, "{}", broken.escape_ascii());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn appended_member_is_readable_after_any_value(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 0..3),
        ) {
            let mut headers = HeaderMap::new();
            for line in lines {
                if let Ok(line) = HeaderValue::from_bytes(&line) {
                    headers.append(LIST, line);
                }
            }
            append(&mut headers, LIST, HeaderValue::from_static("\"ours\";r=5"), "ours");
            let list: List = Parser::new(headers[LIST].as_bytes()).parse().unwrap();
            let ListEntry::Item(last) = list.last().unwrap() else { panic!("unexpected inner list") };
            prop_assert_eq!(last.bare_item.as_string().unwrap().as_str(), "ours");
        }
    }
}
