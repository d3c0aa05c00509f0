//! Tables: created, checked, and read through their indexes.

#[path = "../support/mod.rs"]
mod support;

mod creation;
mod usage;
