//! The proxies in front of a service whose headers are trusted.

use std::net::IpAddr;
use std::sync::Arc;

use super::InvalidNetwork;
use super::network::Network;

/// The proxies in front of a service whose headers are trusted.
///
/// A proxy that is trusted, and writes no address, lets its clients choose theirs.
/// [`limited::http::proxies`](crate::http::proxies) lists the settings of nginx, Envoy and HAProxy that
/// do this.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    trust: Trust,
    /// Whether a peer without an address was declared as a proxy.
    trusts_unix_socket: bool,
}

#[derive(Clone, Debug)]
enum Trust {
    Count(usize),
    Networks(Arc<[Network]>),
}

impl TrustedProxies {
    /// Trusts this number of proxies in a row, each of which appends one entry. The client is the
    /// address that the outermost proxy reports.
    ///
    /// No client may be able to bypass a proxy: otherwise it can write the entries of the proxies
    /// that it bypassed. If you cannot rule that out, use [`networks`](Self::networks).
    ///
    /// The first proxy is the peer, whatever its address. It may have none, as on a [Unix
    /// socket](Self::and_unix_socket).
    pub const fn count(proxies: usize) -> Self {
        Self { trust: Trust::Count(proxies), trusts_unix_socket: false }
    }

    /// Trusts all proxies in these networks: addresses (`192.0.2.7`) or blocks (`10.0.0.0/8`,
    /// `2001:db8::/32`).
    ///
    /// The client is the first address from the right that is in none of the networks. If all are
    /// in one, it is the leftmost. If the peer is in none, the peer is the client, whatever the
    /// header says.
    ///
    /// A proxy is compared by the address that the server sees. List a proxy behind a NAT64
    /// translator as `64:ff9b::192.0.2.7`; `192.0.2.7` does not include it.
    ///
    /// # Errors
    ///
    /// [`InvalidNetwork`] if a text is neither an address nor a block.
    pub fn networks<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, InvalidNetwork> {
        let networks = networks.into_iter().map(|network| network.as_ref().parse());
        let networks = networks.collect::<Result<_, _>>()?;
        Ok(Self { trust: Trust::Networks(networks), trusts_unix_socket: false })
    }

    /// Also trusts a peer without an address, as on a Unix socket. Default: only
    /// [`count`](Self::count) does, if it is at least 1.
    ///
    /// Every process that may open the socket can then choose its address. So the permissions of
    /// the socket must admit the proxy alone.
    ///
    /// On a TCP connection, a missing address means that the server does not store it. Set this
    /// only if every request without an address came over the socket.
    ///
    /// ```
    /// use limited::http::{ClientAddress, TrustedProxies};
    ///
    /// // One proxy at the other end of the socket, and more proxies in front of it.
    /// let proxies = TrustedProxies::networks(["10.0.0.0/8"])?.and_unix_socket();
    /// let client = ClientAddress::peer_from(|_| None).x_forwarded_for(proxies);
    ///
    /// let request = http::Request::get("/").header("x-forwarded-for", "192.0.2.7, 10.0.0.2").body(())?;
    /// assert_eq!(client.of(&request.into_parts().0), Some([192, 0, 2, 7].into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn and_unix_socket(self) -> Self {
        Self { trusts_unix_socket: true, ..self }
    }

    /// Returns whether a peer without an address was declared as a proxy.
    pub(super) const fn trusts_unix_socket(&self) -> bool {
        self.trusts_unix_socket
    }

    /// Walks from the peer to the client. Each hop is the address that the previous one reports,
    /// and counts only if the previous one is trusted. A hop of `None` is not an address.
    pub(super) fn resolve_client(
        &self,
        peer: Option<IpAddr>,
        hops: impl Iterator<Item = Option<IpAddr>>,
    ) -> Option<IpAddr> {
        let mut client = peer;
        for (passed, hop) in hops.enumerate() {
            let is_trusted = match (&self.trust, client) {
                (Trust::Count(proxies), _) if passed < *proxies => true,
                (Trust::Networks(networks), Some(address)) => {
                    networks.iter().any(|network| network.contains(address))
                }
                (Trust::Count(_), Some(_)) => false,
                // Only the peer has no address: the walk ends at a hop without one.
                (Trust::Count(_) | Trust::Networks(_), None) => self.trusts_unix_socket,
            };
            match hop {
                Some(address) if is_trusted => client = Some(address),
                _ => break,
            }
        }
        client
    }
}
