//! The keys of requests.

use std::net::{IpAddr, SocketAddr};

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, Request};
use limited::Key;
use limited::http::{ClientAddress, KeyError, KeyExtractor, PeerAddress};
use proptest::prelude::*;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn parts(headers: &[(HeaderName, &str)]) -> Parts {
    let mut request = Request::get("/a/b?c=d").body(()).unwrap();
    for (name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    request.into_parts().0
}

fn with_peer(peer: IpAddr) -> Parts {
    Request::get("/").extension(PeerAddress(peer)).body(()).unwrap().into_parts().0
}

fn key_of(peer: &str, address: &ClientAddress) -> Key<'static> {
    KeyExtractor::address(address.clone()).extract(&with_peer(peer.parse().unwrap())).unwrap()
}

#[test]
fn address_key_groups_ipv6_clients_by_prefix() {
    let default = ClientAddress::peer();
    assert_eq!(key_of("192.0.2.7", &default), Key::new().ip([192, 0, 2, 7]));
    assert_eq!(key_of("::ffff:192.0.2.7", &default), Key::new().ip([192, 0, 2, 7]));
    assert_ne!(key_of("192.0.2.7", &default), key_of("192.0.2.8", &default));

    let one = key_of("2001:db8:1:2::1", &default);
    assert_eq!(one.as_str(), "ip:2001%3Adb8%3A1%3A2%3A%3A/64");
    assert_eq!(one, key_of("2001:db8:1:2:ffff:ffff:ffff:ffff", &default));
    assert_ne!(one, key_of("2001:db8:1:3::1", &default));

    let by_56 = default.clone().ipv6_prefix(56);
    assert_eq!(key_of("2001:db8:1:2::1", &by_56), key_of("2001:db8:1:ff::1", &by_56));
    let each = default.ipv6_prefix(255);
    assert_ne!(key_of("2001:db8::1", &each), key_of("2001:db8::2", &each));
}

#[test]
fn address_key_is_the_key_of_the_network() {
    for peer in ["192.0.2.7", "::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "2001:db8:1:2::1", "::1"] {
        let address: IpAddr = peer.parse().unwrap();
        for bits in [0, 56, 64, 128] {
            let key = key_of(peer, &ClientAddress::peer().ipv6_prefix(bits));
            assert_eq!(key, Key::new().ip_network(address, bits), "{peer}, {bits}");
        }
    }
    // A network is not the first address in it.
    let network: IpAddr = "2001:db8:1:2::".parse().unwrap();
    assert_ne!(key_of("2001:db8:1:2::1", &ClientAddress::peer()), Key::new().ip(network));
}

#[test]
fn peer_is_read_from_the_extension_of_the_framework() {
    #[derive(Clone)]
    struct ConnectInfo(SocketAddr);
    let socket: SocketAddr = "192.0.2.7:4711".parse().unwrap();

    let plain = Request::get("/").extension(socket).body(()).unwrap().into_parts().0;
    assert_eq!(ClientAddress::peer().of(&plain), Some(socket.ip()));

    let framework = Request::get("/").extension(ConnectInfo(socket)).body(()).unwrap().into_parts().0;
    let from_framework =
        ClientAddress::peer_from(|parts| Some(parts.extensions.get::<ConnectInfo>()?.0.ip()));
    assert_eq!(from_framework.of(&framework), Some(socket.ip()));
    assert_eq!(from_framework.of(&plain), None);
}

#[test]
fn key_does_not_contain_the_secret() {
    let parts = parts(&[(API_KEY, "sk_live_123"), (AUTHORIZATION, "Bearer tok_456")]);
    let key = KeyExtractor::secret_header(API_KEY).and(KeyExtractor::bearer_token()).extract(&parts).unwrap();
    assert_eq!(key, Key::new().secret("x-api-key", "sk_live_123").secret("bearer", "tok_456"));
    assert!(!key.as_str().contains("sk_live") && !key.as_str().contains("tok_456"));
}

#[test]
fn missing_empty_or_repeated_header_is_an_error() {
    let by_key = KeyExtractor::secret_header(API_KEY);
    for headers in [&[][..], &[(API_KEY, "")], &[(API_KEY, "  ")]] {
        let missing = by_key.extract(&parts(headers)).unwrap_err();
        assert_eq!(missing, KeyError::Missing("the header `x-api-key` is missing".into()));
    }
    for values in [["a", "b"], ["a", "a"], ["", "b"], ["a", ""]] {
        let twice = parts(&values.map(|value| (API_KEY, value)));
        assert!(matches!(by_key.extract(&twice), Err(KeyError::Ambiguous(_))), "{values:?}");
    }
}

#[test]
fn bearer_scheme_is_case_insensitive() {
    let key = KeyExtractor::bearer_token().extract(&parts(&[(AUTHORIZATION, "Bearer abc")])).unwrap();
    for value in ["bearer abc", "BEARER abc", "bEaReR   abc", "Bearer abc  "] {
        assert_eq!(
            KeyExtractor::bearer_token().extract(&parts(&[(AUTHORIZATION, value)])).unwrap(),
            key,
            "{value}"
        );
    }
    for value in ["Basic abc", "Bearerabc", "Bearer", "abc", "b", "Bearer\tabc"] {
        let none = KeyExtractor::bearer_token().extract(&parts(&[(AUTHORIZATION, value)]));
        assert!(matches!(none, Err(KeyError::Missing(_))), "{value}");
    }
}

#[test]
fn or_uses_the_second_key_only_if_the_first_is_missing() {
    let key = KeyExtractor::secret_header(API_KEY).or(KeyExtractor::path());
    assert_eq!(key.extract(&parts(&[(API_KEY, "s")])).unwrap(), Key::new().secret("x-api-key", "s"));
    assert_eq!(key.extract(&parts(&[])).unwrap(), Key::new().part("path", "/a/b"));
    let twice = parts(&[(API_KEY, "s"), (API_KEY, "t")]);
    assert!(matches!(key.extract(&twice), Err(KeyError::Ambiguous(_))), "an ambiguous key counts as missing");
    let both = KeyExtractor::path().and(KeyExtractor::secret_header(API_KEY));
    assert!(matches!(both.extract(&parts(&[])), Err(KeyError::Missing(_))));
}

#[test]
fn custom_key_is_unchanged_alone_and_escaped_in_combination() {
    let custom = || KeyExtractor::from_fn(|_| Some(Key::new().tenant("42").user("7")));
    assert_eq!(custom().extract(&parts(&[])).unwrap(), Key::new().tenant("42").user("7"));
    assert!(custom().extract(&parts(&[])).unwrap().dimensions().is_some());
    let key = custom().and(KeyExtractor::route(|_| Some("/a/{id}"))).extract(&parts(&[])).unwrap();
    assert_eq!(key.as_str(), "key:tenant%3A42%3Auser%3A7:route:/a/{id}");
}

#[test]
fn empty_key_is_an_error_and_long_key_is_hashed() {
    assert!(matches!(
        KeyExtractor::from_fn(|_| Some("".into())).extract(&parts(&[])),
        Err(KeyError::Missing(_))
    ));
    assert!(matches!(KeyExtractor::from_fn(|_| None).extract(&parts(&[])), Err(KeyError::Missing(_))));
    assert!(matches!(KeyExtractor::route(|_| None).extract(&parts(&[])), Err(KeyError::Missing(_))));

    let long = |end: &str| {
        let path = format!("/{}{end}", "x".repeat(5_000));
        KeyExtractor::path().extract(&Request::get(path).body(()).unwrap().into_parts().0).unwrap()
    };
    assert_eq!(long("").validate(), Ok(()));
    assert_eq!(long("a"), long("a"));
    assert_ne!(long("a"), long("b"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// The alphabet consists of separators and escapes, so that near collisions are likely.
    #[test]
    fn requests_that_differ_in_a_part_have_different_keys(
        one in ("[a%:=3A]{0,5}|ip:|key:a", "[a%:=3A]{0,5}|:route:a"),
        other in ("[a%:=3A]{0,5}|ip:|key:a", "[a%:=3A]{0,5}|:route:a"),
    ) {
        type Pair = (String, String);
        let key = KeyExtractor::from_fn(|parts| Some(Key::from(parts.extensions.get::<Pair>()?.0.clone())))
            .and(KeyExtractor::route(|parts| Some(&parts.extensions.get::<Pair>()?.1)));
        let key_of = |pair: &Pair| {
            key.extract(&Request::get("/").extension(pair.clone()).body(()).unwrap().into_parts().0).unwrap()
        };
        prop_assert_eq!(key_of(&one) == key_of(&other), one == other);
    }
}
