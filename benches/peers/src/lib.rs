//! Compares `limited` with other rate limiters in one process.
//!
//! The README explains what is measured and how to read the results. `src/main.rs` measures time
//! and memory. `src/bin/instruction_counts.rs` counts instructions, and `src/bin/tower.rs` measures
//! HTTP layers.

pub mod child_process;
pub mod keys;
pub mod latencies;
pub mod machine;
pub mod poll_once;
pub mod random;
pub mod report;
pub mod runner;
pub mod statistics;
pub mod subject;
pub mod subjects;
pub mod table;
pub mod workload;
