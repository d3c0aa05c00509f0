//! Examples that follow from the specifications, each with its section.

mod canonical_json;
mod cidr;
mod forwarded;
mod structured_fields;
