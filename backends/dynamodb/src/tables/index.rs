//! The indexes that a table may have.

use crate::attributes::{
    BUCKET_KEY, FUNCTION_NAME, IDEMPOTENCY_KEY, IP_ADDRESS, STATUS, TENANT_ID, TIMESTAMP, USER_ID,
    WINDOW_TIME,
};

/// An index of the table of rate limits, to find usage by what a key was composed of.
///
/// Its sort key is part of the item's own key and never changes, and it projects keys only: so each makes the first hit
/// on a key with that dimension dearer by a write, and no other hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Index {
    /// `gsi-ip`, on `IPAddress`.
    Ip,
    /// `gsi-user`, on `UserID`.
    User,
    /// `gsi-tenant`, on `TenantID`.
    Tenant,
    /// `gsi-bucket`, on `BucketKey`.
    Bucket,
}

impl Index {
    /// Every index.
    pub const ALL: [Self; 4] = [Self::Ip, Self::User, Self::Tenant, Self::Bucket];

    /// The name of the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "gsi-ip",
            Self::User => "gsi-user",
            Self::Tenant => "gsi-tenant",
            Self::Bucket => "gsi-bucket",
        }
    }

    /// The attribute that it is on.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Ip => IP_ADDRESS,
            Self::User => USER_ID,
            Self::Tenant => TENANT_ID,
            Self::Bucket => BUCKET_KEY,
        }
    }

    /// The attribute that it is sorted by: `WindowTime`.
    pub const fn sort_attribute(self) -> &'static str {
        WINDOW_TIME
    }
}

/// An index of the table of claims, for an operator to find records by.
///
/// It projects keys only. Each makes the first claim of a key dearer by a write. What is indexed is written once and
/// stays, but for [`Status`](Self::Status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimIndex {
    /// `gsi-function`, on `FunctionName`, sorted by `Timestamp`.
    Function,
    /// `gsi-tenant`, on `TenantID`, sorted by `Timestamp`.
    Tenant,
    /// `gsi-status`, on `Status`, sorted by `Timestamp`.
    ///
    /// There are four values, so that all claims of the table go through four partitions of the index: it is hot under
    /// load, takes about 1,000 changes a second, and holds the table back beyond that. Each claim and each ending
    /// changes it, at two write units.
    Status,
    /// `gsi-timestamp`, on `Timestamp`, sorted by `IdempotencyKey`.
    Timestamp,
}

impl ClaimIndex {
    /// Every index.
    pub const ALL: [Self; 4] = [Self::Function, Self::Tenant, Self::Status, Self::Timestamp];

    /// The name of the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "gsi-function",
            Self::Tenant => "gsi-tenant",
            Self::Status => "gsi-status",
            Self::Timestamp => "gsi-timestamp",
        }
    }

    /// The attribute that it is on.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Function => FUNCTION_NAME,
            Self::Tenant => TENANT_ID,
            Self::Status => STATUS,
            Self::Timestamp => TIMESTAMP,
        }
    }

    /// The attribute that it is sorted by.
    pub const fn sort_attribute(self) -> &'static str {
        match self {
            Self::Function | Self::Tenant | Self::Status => TIMESTAMP,
            Self::Timestamp => IDEMPOTENCY_KEY,
        }
    }
}
