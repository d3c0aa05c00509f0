//! Whose request it is, by address, also behind proxies.

mod forwarded;
mod network;
mod node;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::FORWARDED;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

pub use self::network::InvalidNetwork;
use self::network::Network;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address of the peer, where whoever accepts connections leaves it in the extensions of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PeerAddress(pub IpAddr);

/// Whose request it is, by address.
///
/// ```
/// use limited::http::{ClientAddress, PeerAddress, TrustedProxies};
///
/// let client = ClientAddress::peer().x_forwarded_for(TrustedProxies::networks(["10.0.0.0/8"])?);
///
/// let request = http::Request::get("/")
///     .extension(PeerAddress([10, 0, 0, 1].into()))
///     .header("x-forwarded-for", "203.0.113.66, 192.0.2.7, 10.0.0.2") // the first one is made up by the client
///     .body(())?;
/// assert_eq!(client.of(&request.into_parts().0), Some([192, 0, 2, 7].into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Who is believed
///
/// The peer is whoever holds the other end of the connection. That is the client, unless you say that there are
/// [proxies](TrustedProxies) in front, and in which one of the two headers they write:
/// [`X-Forwarded-For`](Self::x_forwarded_for) or [`Forwarded`](Self::forwarded). The other one is never looked at.
///
/// Each proxy adds at the right end the address of whom it was called by. So the header, all its lines in order, is read
/// from the right, and only as far as somebody trusted has written it. What is to the left of that came with the
/// request: anybody can make it up, and nobody reads it.
///
/// Where a trusted proxy has written something that is no address (`unknown`, an obfuscated identifier such as
/// `_hidden`, or something malformed), the walk ends, and the proxy is the client: all whom it hides share one key.
///
/// # How addresses are grouped
///
/// An IPv6 client has a network of its own, and can take any address in it. So IPv6 addresses are
/// grouped by their first 64 bits, or [as many as you say](Self::ipv6_prefix). IPv4 addresses are taken as they are,
/// also those written as IPv6 (`::ffff:192.0.2.1`). Ports and zone identifiers are left out.
#[derive(Clone)]
pub struct ClientAddress {
    peer: Arc<PeerOf>,
    header: Option<(Header, TrustedProxies)>,
    ipv6_prefix: u8,
}

type PeerOf = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

#[derive(Clone, Copy, Debug)]
enum Header {
    Forwarded,
    XForwardedFor,
}

impl ClientAddress {
    /// The peer, from the extension [`PeerAddress`], or else [`SocketAddr`].
    pub fn peer() -> Self {
        Self::peer_from(|parts| {
            let own = parts.extensions.get::<PeerAddress>().map(|peer| peer.0);
            own.or_else(|| parts.extensions.get::<SocketAddr>().map(SocketAddr::ip))
        })
    }

    /// The peer, from where your framework leaves it.
    ///
    /// With axum: `|parts| Some(parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip())`; with tonic:
    /// `|parts| Some(parts.extensions.get::<TcpConnectInfo>()?.remote_addr()?.ip())`.
    pub fn peer_from(peer: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self { peer: Arc::new(peer), header: None, ipv6_prefix: 64 }
    }

    /// The client that these proxies tell of in `X-Forwarded-For`. Replaces [`forwarded`](Self::forwarded).
    #[must_use]
    pub fn x_forwarded_for(self, proxies: TrustedProxies) -> Self {
        Self { header: Some((Header::XForwardedFor, proxies)), ..self }
    }

    /// The client that these proxies tell of in `Forwarded` (RFC 7239). Replaces
    /// [`x_forwarded_for`](Self::x_forwarded_for).
    #[must_use]
    pub fn forwarded(self, proxies: TrustedProxies) -> Self {
        Self { header: Some((Header::Forwarded, proxies)), ..self }
    }

    /// How many leading bits of an IPv6 address tell clients apart: 64 unless set, and 128 at most. Some providers hand
    /// out /56 or /48 to each customer.
    #[must_use]
    pub fn ipv6_prefix(self, bits: u8) -> Self {
        Self { ipv6_prefix: bits, ..self }
    }

    /// The client's own address, not grouped. `None` where the peer is not known and no proxy tells.
    pub fn of(&self, parts: &Parts) -> Option<IpAddr> {
        let peer = (self.peer)(parts).map(|address| address.to_canonical());
        match &self.header {
            None => peer,
            Some((Header::XForwardedFor, proxies)) => {
                proxies.walk(peer, x_forwarded_for(&parts.headers).map(node::address))
            }
            Some((Header::Forwarded, proxies)) => {
                let lines = parts.headers.get_all(FORWARDED).iter().rev();
                proxies.walk(peer, lines.flat_map(|line| forwarded::from_the_right(line.as_bytes())))
            }
        }
    }

    /// The address that stands for the client's group.
    pub(super) fn group_of(&self, parts: &Parts) -> Option<IpAddr> {
        self.of(parts).map(|address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(_) => network::first_bits(address, self.ipv6_prefix),
        })
    }
}

/// The entries of `X-Forwarded-For`, from the right.
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

/// The proxies in front of a service that are believed.
#[derive(Clone, Debug)]
pub struct TrustedProxies(Trust);

#[derive(Clone, Debug)]
enum Trust {
    Count(usize),
    Networks(Arc<[Network]>),
}

impl TrustedProxies {
    /// So many, one behind the other; each adds one entry. The client is the one that the outermost tells of.
    ///
    /// Nobody may reach the service, or an inner proxy, around the outer ones: who can writes what the missing ones
    /// would have. Where that cannot be ruled out, name their [networks](Self::networks).
    pub const fn count(proxies: usize) -> Self {
        Self(Trust::Count(proxies))
    }

    /// Those in these networks, however many: addresses (`192.0.2.7`) or blocks of them (`10.0.0.0/8`, `2001:db8::/32`).
    ///
    /// The client is the first one from the right who is in none of them; if all are, the leftmost one. Where the peer
    /// is in none of them, it is the client, whatever the header says.
    ///
    /// # Errors
    ///
    /// For what is neither an address nor a block of them.
    pub fn networks<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, InvalidNetwork> {
        let networks = networks.into_iter().map(|network| network.as_ref().parse());
        Ok(Self(Trust::Networks(networks.collect::<Result<_, _>>()?)))
    }

    /// From the peer on to whom each one tells of, for as long as the one who tells is trusted. A hop that is `None` is no
    /// address.
    fn walk(&self, peer: Option<IpAddr>, hops: impl Iterator<Item = Option<IpAddr>>) -> Option<IpAddr> {
        let mut reached = peer;
        for (passed, hop) in hops.enumerate() {
            let is_trusted = match &self.0 {
                Trust::Count(proxies) => passed < *proxies,
                Trust::Networks(networks) => {
                    reached.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
                }
            };
            match hop {
                Some(address) if is_trusted => reached = Some(address),
                _ => break,
            }
        }
        reached
    }
}
