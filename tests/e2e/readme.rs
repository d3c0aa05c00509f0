//! Compiles every Rust block of the README, and runs those that end.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
