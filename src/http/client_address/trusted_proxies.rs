//! The proxies in front of a service whose headers are trusted.

use std::net::IpAddr;
use std::sync::Arc;

use super::InvalidNetwork;
use super::network::Network;

/// The proxies in front of a service whose headers are trusted.
#[derive(Clone, Debug)]
pub struct TrustedProxies(Trust);

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
    pub const fn count(proxies: usize) -> Self {
        Self(Trust::Count(proxies))
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
        Ok(Self(Trust::Networks(networks.collect::<Result<_, _>>()?)))
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
            let is_trusted = match &self.0 {
                Trust::Count(proxies) => passed < *proxies,
                Trust::Networks(networks) => {
                    client.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
                }
            };
            match hop {
                Some(address) if is_trusted => client = Some(address),
                _ => break,
            }
        }
        client
    }
}
