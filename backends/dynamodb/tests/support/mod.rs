//! A DynamoDB in the test process, and two ways to it: [`Wire`] without sockets, in virtual time
//! and with injected faults; and TCP, by [`serve_over_tcp`] and [`Proxy`].

#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod emulator;
mod fault;
mod limits;
pub(crate) mod loopback;
mod proxy;
mod random_fault;
mod record;
mod tables;
mod tcp;
mod wire;

pub(crate) use fault::{Fault, drawn};
pub(crate) use proxy::{Cut, Proxy};
pub(crate) use random_fault::{applied_writes, random_fault};
pub(crate) use tables::{RawItem, raw_item, unique_table};
pub(crate) use tcp::{serve_over_tcp, server_endpoint, tcp_client, tcp_config, tcp_config_at};
pub(crate) use wire::{Wire, client, config};
