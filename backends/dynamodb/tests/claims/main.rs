//! Claims: what is asked, what is written, and that it holds whatever fails or comes late.

#[path = "../support/mod.rs"]
mod support;

mod expressions;
mod failures;
mod items;
mod late;
mod model;
mod others;
mod racing;
mod requests;
mod schedules;
mod size;
mod table;
