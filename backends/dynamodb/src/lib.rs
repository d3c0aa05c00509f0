#![doc = include_str!("../README.md")]
mod attributes;
mod backend;
mod builder;
mod capacity;
mod claims;
mod counters;
#[cfg(feature = "from-env")]
mod environment;
mod error;
mod expression;
mod item;
mod requests;
mod tables;
mod update;
mod usage;
mod write;

pub use backend::DynamoDbBackend;
pub use builder::DynamoDbBackendBuilder;
pub use capacity::{Consumed, Operation};
pub use item::WindowTimeFormat;
pub use tables::{ClaimIndex, Index, Missing};
pub use usage::{Usage, UsageStream};
