//! What a table lacks, in words.

use std::fmt;

use super::{ClaimIndex, Index};
use crate::attributes::EXPIRES_AT;

/// Something that a table lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// There is no such table.
    Table(String),
    /// The table is there, and has other keys than these two strings.
    Keys {
        /// The table.
        table: String,
        /// The partition key that it should have.
        partition: &'static str,
        /// The sort key that it should have.
        sort: &'static str,
    },
    /// Items are not deleted by `ExpiresAt`: nothing breaks, but they stay, and cost storage.
    TimeToLive(String),
    /// An index of the table of rate limits that was asked for is not there, or not ready yet.
    Index(Index),
    /// An index of the table of claims that was asked for is not there, or not ready yet.
    ClaimIndex(ClaimIndex),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, attribute, sort) = match self {
            Self::Table(table) => return write!(f, "there is no table `{table}`: create it"),
            Self::Keys { table, partition, sort } => {
                return write!(
                    f,
                    "the table `{table}` has other keys than `{partition}` (S, partition) and `{sort}` (S, sort): use another"
                );
            }
            Self::TimeToLive(table) => {
                return write!(
                    f,
                    "the table `{table}` does not delete what has expired: enable its TTL on `{EXPIRES_AT}`"
                );
            }
            Self::Index(index) => (index.name(), index.attribute(), index.sort_attribute()),
            Self::ClaimIndex(index) => (index.name(), index.attribute(), index.sort_attribute()),
        };
        write!(
            f,
            "the index `{index}` on `{attribute}` and `{sort}` is not there, or not active yet: add it, or wait"
        )
    }
}
