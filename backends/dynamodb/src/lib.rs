#![doc = include_str!("../README.md")]
mod attributes;
mod backend;
mod batch;
mod builder;
mod capacity;
#[cfg(feature = "from-env")]
mod environment;
mod error;
mod item;
mod lane;
mod tables;
mod update;
mod usage;
mod write;

pub use backend::DynamoDbBackend;
pub use builder::DynamoDbBackendBuilder;
pub use capacity::{Consumed, Operation};
pub use item::WindowTimeFormat;
pub use tables::{Index, Missing};
pub use usage::{Usage, UsageStream};
