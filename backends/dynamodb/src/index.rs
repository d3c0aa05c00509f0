//! The indexes of the tables.

use crate::attributes::{
    BUCKET_KEY, FUNCTION_NAME, IDEMPOTENCY_KEY, IP_ADDRESS, STATUS, TENANT_ID, TIMESTAMP, USER_ID,
    WINDOW_TIME,
};

/// An index of the table of rate limits, to find usage by the parts of a key.
///
/// It projects keys only, and its sort key is part of the item's own key and never changes. So an
/// index costs one more write unit for the first hit of a window on a key with that part. Later
/// hits cost nothing more.
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
    /// All indexes.
    pub const ALL: [Self; 4] = [Self::Ip, Self::User, Self::Tenant, Self::Bucket];

    /// Returns the name of the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "gsi-ip",
            Self::User => "gsi-user",
            Self::Tenant => "gsi-tenant",
            Self::Bucket => "gsi-bucket",
        }
    }

    /// Returns the attribute that is its partition key.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Ip => IP_ADDRESS,
            Self::User => USER_ID,
            Self::Tenant => TENANT_ID,
            Self::Bucket => BUCKET_KEY,
        }
    }

    /// Returns the attribute that is its sort key: `WindowTime`.
    pub const fn sort_attribute(self) -> &'static str {
        WINDOW_TIME
    }
}

/// An index of the table of claims, by which an operator finds records.
///
/// It projects keys only. Each index costs one more write unit for the first claim of a key. The
/// indexed attributes are written once and do not change, except for [`Status`](Self::Status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimIndex {
    /// `gsi-function`, on `FunctionName`, sorted by `Timestamp`.
    Function,
    /// `gsi-tenant`, on `TenantID`, sorted by `Timestamp`.
    Tenant,
    /// `gsi-status`, on `Status`, sorted by `Timestamp`.
    ///
    /// The status has four values, so all claims of the table go through four partitions of the
    /// index. It is hot under load: a partition accepts about 1,000 changes a second, and beyond
    /// that throttles the table. Each claim and each end of a claim changes the index, for two
    /// write units.
    Status,
    /// `gsi-timestamp`, on `Timestamp`, sorted by `IdempotencyKey`.
    Timestamp,
}

impl ClaimIndex {
    /// All indexes.
    pub const ALL: [Self; 4] = [Self::Function, Self::Tenant, Self::Status, Self::Timestamp];

    /// Returns the name of the index.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Function => "gsi-function",
            Self::Tenant => "gsi-tenant",
            Self::Status => "gsi-status",
            Self::Timestamp => "gsi-timestamp",
        }
    }

    /// Returns the attribute that is its partition key.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Function => FUNCTION_NAME,
            Self::Tenant => TENANT_ID,
            Self::Status => STATUS,
            Self::Timestamp => TIMESTAMP,
        }
    }

    /// Returns the attribute that is its sort key.
    pub const fn sort_attribute(self) -> &'static str {
        match self {
            Self::Function | Self::Tenant | Self::Status => TIMESTAMP,
            Self::Timestamp => IDEMPOTENCY_KEY,
        }
    }
}
