//! Claims: their requests, their items, and that they hold under failures and late requests.

#[path = "../support/mod.rs"]
mod support;

mod arbitrary_items;
mod concurrency;
mod errors;
mod expressions;
mod hidden_items;
mod idempotency;
mod items;
mod late_requests;
mod model;
mod other_programs;
mod random_faults;
mod requests;
mod size;
mod table;
