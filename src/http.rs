//! In front of a service: Tower layers, over plain `http` types and any framework.

mod client_address;
mod key;

pub use client_address::{ClientAddress, InvalidNetwork, PeerAddress, TrustedProxies};
pub use key::{KeyBy, NoKey};
