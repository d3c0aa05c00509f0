//! What a table lacks.

use std::fmt;

use limited_core::Escaped;

use crate::attributes::EXPIRES_AT;
use crate::{ClaimIndex, Index};

/// Something that a table lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableIssue {
    /// The table does not exist.
    Table(String),
    /// The table has other keys than these two strings.
    Keys {
        /// The table.
        table: String,
        /// The partition key that it should have.
        partition: &'static str,
        /// The sort key that it should have.
        sort: &'static str,
    },
    /// TTL on `ExpiresAt` is not enabled. Nothing breaks, but expired items stay and cost storage.
    TimeToLive(String),
    /// Point-in-time recovery is configured and not enabled.
    PointInTimeRecovery(String),
    /// A configured index of the table of rate limits does not exist, or is not active yet.
    Index(Index),
    /// A configured index of the table of claims does not exist, or is not active yet.
    ClaimIndex(ClaimIndex),
}

impl fmt::Display for TableIssue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, attribute, sort) = match self {
            Self::Table(table) => {
                return write!(f, "the table `{}` does not exist; create it", Escaped(table));
            }
            Self::Keys { table, partition, sort } => {
                let table = Escaped(table);
                return write!(
                    f,
                    "the table `{table}` has other keys than `{partition}` (S, partition) and `{sort}` (S, sort); \
                     use another table"
                );
            }
            Self::TimeToLive(table) => {
                let table = Escaped(table);
                return write!(
                    f,
                    "the table `{table}` does not delete expired items; enable its TTL on `{EXPIRES_AT}`"
                );
            }
            Self::PointInTimeRecovery(table) => {
                let table = Escaped(table);
                return write!(
                    f,
                    "the table `{table}` has no point-in-time recovery; call `create_tables` again, or enable it"
                );
            }
            Self::Index(index) => (index.name(), index.attribute(), index.sort_attribute()),
            Self::ClaimIndex(index) => (index.name(), index.attribute(), index.sort_attribute()),
        };
        write!(
            f,
            "the index `{}` on `{attribute}` and `{sort}` does not exist, or is not active yet; add it, or wait",
            Escaped(index)
        )
    }
}
