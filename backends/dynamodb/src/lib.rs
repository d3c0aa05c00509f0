#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attributes;
mod backend;
mod builder;
mod capacity;
mod claims;
mod client;
mod counters;
#[cfg(feature = "from-env")]
mod env;
mod error;
mod expression;
mod format;
mod index;
mod item_size;
mod layout;
mod retries;
mod tables;
mod usage;

pub use backend::DynamoDbBackend;
pub use builder::DynamoDbBackendBuilder;
pub use capacity::{Consumed, Operation};
pub use format::WindowTimeFormat;
pub use index::{ClaimIndex, Index};
pub use layout::Layout;
pub use tables::TableIssue;
pub use usage::{Usage, UsageStream};
