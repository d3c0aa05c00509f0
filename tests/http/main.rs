//! The layers of `limited::http`, in front of plain Tower services.

mod attempts;
#[path = "../common/mod.rs"]
mod common;
mod idempotency;
mod proxies;
mod rate_limit;
mod received;
mod settings;
