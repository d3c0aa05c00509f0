//! The table: made, and checked.

use std::fmt;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, TableDescription,
    TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use limited_core::{BackendError, Cause};

use crate::DynamoDbBackend;
use crate::attributes::{BUCKET_KEY, EXPIRES_AT, IDENTIFIER, IP_ADDRESS, TENANT_ID, USER_ID, WINDOW_TIME};
use crate::error::backend_error;

/// How often, and with what pause, a new table is looked at until it is active: two minutes at most.
const LOOKS: u32 = 240;
const PAUSE: Duration = Duration::from_millis(500);

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

    /// The attribute that it is on. Its sort key is `WindowTime`.
    pub const fn attribute(self) -> &'static str {
        match self {
            Self::Ip => IP_ADDRESS,
            Self::User => USER_ID,
            Self::Tenant => TENANT_ID,
            Self::Bucket => BUCKET_KEY,
        }
    }
}

/// Something that a table lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// There is no such table.
    Table(String),
    /// The table is there, and its keys are others than `Identifier` (hash) and `WindowTime` (range).
    Keys(String),
    /// Items are not deleted by `ExpiresAt`: nothing breaks, but they stay, and cost storage.
    TimeToLive(String),
    /// An index that was asked for is not there, or not ready yet.
    Index(Index),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(table) => write!(f, "there is no table `{table}`: create it"),
            Self::Keys(table) => write!(
                f,
                "the table `{table}` has other keys than `{IDENTIFIER}` (S, partition) and `{WINDOW_TIME}` (S, sort): use another"
            ),
            Self::TimeToLive(table) => {
                write!(
                    f,
                    "the table `{table}` does not delete what has expired: enable its TTL on `{EXPIRES_AT}`"
                )
            }
            Self::Index(index) => write!(
                f,
                "the index `{}` on `{}` and `{WINDOW_TIME}` is not there, or not active yet: add it, or wait",
                index.name(),
                index.attribute()
            ),
        }
    }
}

/// # Tables
///
/// Nothing here is needed on the way of a decision; nothing there describes a table.
impl DynamoDbBackend {
    /// Creates the table of rate limits where it is not there: on demand, with TTL, the indexes asked for, and
    /// point-in-time recovery where asked for. Waits until it is active. A table that is there is left as it is, but for
    /// its TTL, which is enabled.
    ///
    /// # Errors
    ///
    /// Where DynamoDB refuses, or the table is not active after two minutes
    /// ([`TimedOut`](BackendError::TimedOut); call again to go on waiting).
    pub async fn create_tables(&self) -> Result<(), BackendError> {
        let (client, table) = (self.client(), self.table_name());
        let indexes = &self.0.settings.indexes;
        let mut request = client
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(schema(IDENTIFIER)?))
            .attribute_definitions(string(IDENTIFIER)?)
            .attribute_definitions(string(WINDOW_TIME)?);
        for index in indexes {
            let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
            let index_of = GlobalSecondaryIndex::builder()
                .index_name(index.name())
                .set_key_schema(Some(schema(index.attribute())?))
                .projection(projection);
            request = request
                .attribute_definitions(string(index.attribute())?)
                .global_secondary_indexes(index_of.build().map_err(other)?);
        }
        match request.send().await {
            Ok(_) => {}
            Err(error)
                if matches!(error.as_service_error(), Some(CreateTableError::ResourceInUseException(_))) => {}
            Err(error) => return Err(backend_error(error, table)),
        }
        self.until_active().await?;
        self.enable_time_to_live().await?;
        if self.0.settings.point_in_time_recovery {
            let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
            client
                .update_continuous_backups()
                .table_name(table)
                .point_in_time_recovery_specification(recovery.build().map_err(other)?)
                .send()
                .await
                .map_err(|error| backend_error(error, table))?;
        }
        Ok(())
    }

    /// What the table lacks of what this backend needs or was asked for: nothing, where all is well.
    ///
    /// # Errors
    ///
    /// Where DynamoDB does not say.
    pub async fn check_tables(&self) -> Result<Vec<Missing>, BackendError> {
        let table = self.table_name();
        let Some(description) = self.describe().await? else {
            return Ok(vec![Missing::Table(table.to_owned())]);
        };
        let mut missing = Vec::new();
        if !has_keys(&description) {
            missing.push(Missing::Keys(table.to_owned()));
        }
        if !self.has_time_to_live().await? {
            missing.push(Missing::TimeToLive(table.to_owned()));
        }
        let is_there = |index: &Index| {
            description.global_secondary_indexes().iter().any(|found| {
                found.index_name() == Some(index.name()) && found.index_status() == Some(&IndexStatus::Active)
            })
        };
        missing.extend(
            self.0.settings.indexes.iter().copied().filter(|index| !is_there(index)).map(Missing::Index),
        );
        Ok(missing)
    }

    async fn describe(&self) -> Result<Option<TableDescription>, BackendError> {
        match self.client().describe_table().table_name(self.table_name()).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) => match backend_error(error, self.table_name()) {
                BackendError::MissingTable(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn until_active(&self) -> Result<(), BackendError> {
        for _ in 0..LOOKS {
            if let Some(description) = self.describe().await? {
                let indexes = description.global_secondary_indexes();
                let indexed = indexes.iter().all(|index| index.index_status() == Some(&IndexStatus::Active));
                if description.table_status() == Some(&TableStatus::Active) && indexed {
                    return Ok(());
                }
            }
            self.0.wait(PAUSE).await;
        }
        Err(BackendError::timed_out(format!("the table `{}` is not active yet", self.table_name())))
    }

    async fn has_time_to_live(&self) -> Result<bool, BackendError> {
        let answer = self.client().describe_time_to_live().table_name(self.table_name()).send().await;
        let answer = answer.map_err(|error| backend_error(error, self.table_name()))?;
        Ok(answer.time_to_live_description.is_some_and(|described| {
            let enabled = [Some(&TimeToLiveStatus::Enabled), Some(&TimeToLiveStatus::Enabling)];
            enabled.contains(&described.time_to_live_status())
                && described.attribute_name() == Some(EXPIRES_AT)
        }))
    }

    async fn enable_time_to_live(&self) -> Result<(), BackendError> {
        if self.has_time_to_live().await? {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
        let request = self
            .client()
            .update_time_to_live()
            .table_name(self.table_name())
            .time_to_live_specification(specification.build().map_err(other)?);
        match request.send().await {
            Ok(_) => Ok(()),
            // Another process did it in the meantime.
            Err(error) if error.message().is_some_and(|message| message.contains("already enabled")) => {
                Ok(())
            }
            Err(error) => Err(backend_error(error, self.table_name())),
        }
    }
}

fn schema(partition: &str) -> Result<Vec<KeySchemaElement>, BackendError> {
    [(partition, KeyType::Hash), (WINDOW_TIME, KeyType::Range)]
        .into_iter()
        .map(|(name, kind)| {
            KeySchemaElement::builder().attribute_name(name).key_type(kind).build().map_err(other)
        })
        .collect()
}

fn string(name: &str) -> Result<AttributeDefinition, BackendError> {
    let definition =
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
    definition.build().map_err(other)
}

fn has_keys(description: &TableDescription) -> bool {
    let keys: Vec<_> =
        description.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
    keys == [(IDENTIFIER, &KeyType::Hash), (WINDOW_TIME, &KeyType::Range)]
}

fn other(error: aws_sdk_dynamodb::error::BuildError) -> BackendError {
    BackendError::Other(Cause::with_source("the request could not be made", error))
}
