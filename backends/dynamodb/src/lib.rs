//! WIP
mod attributes;
mod backend;
mod batch;
mod builder;
mod error;
mod item;
mod lane;
mod tables;
mod update;
mod write;

pub use backend::DynamoDbBackend;
pub use builder::DynamoDbBackendBuilder;
pub use item::WindowTimeFormat;
pub use tables::{Index, Missing};
