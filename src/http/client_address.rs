//! The address of the client, also behind proxies.

mod forwarded;
mod forwarded_node;
mod network;
mod trusted_proxies;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::FORWARDED;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

pub use self::network::InvalidNetwork;
pub use self::trusted_proxies::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

const MISSING_EXTENSION: &str = "the request has no extension `PeerAddress` or `SocketAddr`; \
     store the address of the peer in it, or read it from elsewhere by `ClientAddress::peer_from`";
const MISSING_RESULT: &str = "the closure of `ClientAddress::peer_from` returned no address; \
     check that the server stores it in the request, as axum does in the extension `ConnectInfo<SocketAddr>` \
     if it is served by `into_make_service_with_connect_info::<SocketAddr>()`";

/// The address of the peer, which the server stores in the extensions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub IpAddr);

/// Finds the address of the client that sent a request.
///
/// ```
/// use limited::http::{ClientAddress, PeerAddress, TrustedProxies};
///
/// let client = ClientAddress::peer().x_forwarded_for(TrustedProxies::networks(["10.0.0.0/8"])?);
///
/// let request = http::Request::get("/")
///     .extension(PeerAddress([10, 0, 0, 1].into()))
///     // The client forged the first entry.
///     .header("x-forwarded-for", "203.0.113.66, 192.0.2.7, 10.0.0.2")
///     .body(())?;
/// assert_eq!(client.of(&request.into_parts().0), Some([192, 0, 2, 7].into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Which addresses are trusted
///
/// The peer is the other end of the connection. It is the client, unless you name the
/// [proxies](TrustedProxies) in front of the service, and the header that they write:
/// [`X-Forwarded-For`](Self::x_forwarded_for) or [`Forwarded`](Self::forwarded). The other header
/// is ignored.
///
/// Each proxy appends the address that it was called from. So all lines of the header, in order,
/// are read from the right, and only as far as trusted proxies wrote them. Everything to the left
/// came with the request: a client can forge it, so it is ignored.
///
/// Reading stops if a trusted proxy wrote something that is not an address: `unknown`, an
/// obfuscated identifier such as `_hidden`, or a malformed entry. Then the proxy counts as the
/// client, and all clients behind it share one key.
///
/// # Prefixes
///
/// An IPv6 client has a whole network, and can use any address in it. So [`KeyExtractor::address`]
/// groups IPv6 addresses by their first 64 bits, or by [another prefix](Self::ipv6_prefix). IPv4
/// addresses are never grouped. Ports and zone identifiers are ignored.
///
/// # IPv4 clients that arrive as IPv6
///
/// A translator or a tunnel embeds the IPv4 address of the client in an IPv6 address. The key is
/// then that IPv4 address: for `::ffff:192.0.2.1`, for NAT64 (`64:ff9b::192.0.2.1`) and for all
/// other forms of [`embedded_ipv4`]. Otherwise all IPv4 clients would share one prefix and one key.
///
/// Proxies are compared without unwrapping, except for `::ffff:192.0.2.1`. A proxy that is seen
/// through a translator is trusted by the network that the server sees, such as
/// `64:ff9b::10.0.0.0/104`. So `10.0.0.0/8` trusts no address that merely embeds one.
///
/// A translator with a prefix of your own is not recognised. Make the key with
/// [`KeyExtractor::from_fn`] there.
///
/// [`KeyExtractor::address`]: super::KeyExtractor::address
/// [`KeyExtractor::from_fn`]: super::KeyExtractor::from_fn
/// [`embedded_ipv4`]: crate::backend::embedded_ipv4
#[derive(Clone)]
pub struct ClientAddress {
    peer: Arc<PeerFn>,
    /// What to do if the peer is unknown, for the log.
    missing_peer: &'static str,
    header: Option<(Header, TrustedProxies)>,
    ipv6_prefix: u8,
}

type PeerFn = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

#[derive(Clone, Copy, Debug)]
enum Header {
    Forwarded,
    XForwardedFor,
}

impl ClientAddress {
    /// Uses the address of the peer, from the extension [`PeerAddress`] or, without it,
    /// [`SocketAddr`].
    pub fn peer() -> Self {
        let peer = Self::peer_from(|parts| {
            let peer = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
            peer.or_else(|| parts.extensions.get::<SocketAddr>().map(SocketAddr::ip))
        });
        Self { missing_peer: MISSING_EXTENSION, ..peer }
    }

    /// Uses the address of the peer, from where your server stores it.
    ///
    /// For axum and tonic, [`limited::http`](crate::http#where-the-peer-address-comes-from) has the
    /// closures. For a connection without an address, such as a Unix socket, return an address that
    /// stands for all of these: a request without one is
    /// [rejected](super::KeyError::Misconfigured).
    pub fn peer_from(peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { peer: Arc::new(peer), missing_peer: MISSING_RESULT, header: None, ipv6_prefix: 64 }
    }

    /// Uses the client address that these proxies report in `X-Forwarded-For`. Replaces
    /// [`forwarded`](Self::forwarded).
    #[must_use]
    pub fn x_forwarded_for(self, proxies: TrustedProxies) -> Self {
        Self { header: Some((Header::XForwardedFor, proxies)), ..self }
    }

    /// Uses the client address that these proxies report in `Forwarded` (RFC 7239). Replaces
    /// [`x_forwarded_for`](Self::x_forwarded_for).
    #[must_use]
    pub fn forwarded(self, proxies: TrustedProxies) -> Self {
        Self { header: Some((Header::Forwarded, proxies)), ..self }
    }

    /// Sets how many leading bits of an IPv6 address identify a client, at most 128. Default: 64.
    /// Some providers assign a /56 or a /48 to each customer.
    #[must_use]
    pub fn ipv6_prefix(self, bits: u8) -> Self {
        Self { ipv6_prefix: bits, ..self }
    }

    /// Returns the client's full address, as the server or a proxy sees it. `None` if the peer is
    /// unknown and no proxy reported an address.
    ///
    /// Of the embedded forms only `::ffff:192.0.2.1` is returned as IPv4.
    pub fn of(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = (self.peer)(parts).map(|address| address.to_canonical());
        match &self.header {
            None => peer,
            Some((Header::XForwardedFor, proxies)) => {
                proxies.resolve_client(peer, x_forwarded_for(&parts.headers).map(forwarded_node::address))
            }
            Some((Header::Forwarded, proxies)) => {
                let lines = parts.headers.get_all(FORWARDED).iter().rev();
                proxies
                    .resolve_client(peer, lines.flat_map(|line| forwarded::from_the_right(line.as_bytes())))
            }
        }
    }

    /// Returns what is missing if [`of`](Self::of) returns `None`, and how to provide it.
    pub(super) const fn missing_peer(&self) -> &'static str {
        self.missing_peer
    }

    /// Returns how many leading bits of an IPv6 address identify a client.
    pub(super) const fn prefix_bits(&self) -> u8 {
        self.ipv6_prefix
    }
}

/// Returns the entries of `X-Forwarded-For`, the rightmost first.
fn x_forwarded_for(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAddress")
            .field("header", &self.header)
            .field("ipv6_prefix", &self.ipv6_prefix)
            .finish_non_exhaustive()
    }
}
