//! The examples and the README: what they print is right, and they fail with a reason.

#![cfg(feature = "memory")]

mod attempts;
mod program;
mod readme;
mod replay;
