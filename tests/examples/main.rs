//! The examples and the README: what they print is right, and they fail with a reason.

#![allow(
    clippy::duplicate_mod,
    reason = "both examples share `lines.rs` and `encoding.rs`, and each is tested with its own copy"
)]
#![cfg(feature = "memory")]

mod attempts;
mod attempts_formats;
mod completion;
#[cfg(feature = "http")]
mod login;
mod program;
mod readme;
mod replay;
mod replay_formats;
