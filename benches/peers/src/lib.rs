//! `limited` and the rate limiters that a user might pick instead, measured turn by turn in one process.
//!
//! What is measured, and how to read it, is in the README. The program is `src/main.rs`; `src/bin/instructions.rs`
//! counts instructions instead of time.

pub mod contestant;
pub mod contestants;
pub mod errand;
pub mod keys;
pub mod latencies;
pub mod machine;
pub mod ready;
pub mod report;
pub mod rounds;
pub mod statistics;
pub mod table;
pub mod workload;
