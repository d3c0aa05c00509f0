//! Fuzz targets for every parser of `limited` and for its HTTP layers, and vectors of the
//! specifications that the parsers follow.
//!
//! Each target runs for `LIMITED_FUZZ_SECONDS`, by default one second, on inputs that differ in
//! each run. A failure shows the smallest input that was found. Make it a test of its own, next to
//! the code that it breaks.

mod client;
mod inputs;
mod targets;
mod vectors;
