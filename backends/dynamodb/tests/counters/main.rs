//! Counters: what they write, what they cost, and what several processes admit.

#[path = "../support/mod.rs"]
mod support;

mod arbitrary_items;
mod capacity;
mod changed_quota;
mod items;
mod logs;
mod refunds;
mod requests;
mod several;
mod sharing;
mod wrong_clock;
