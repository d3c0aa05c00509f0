//! How a table is laid out, and how such a one is made and checked.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, TableDescription,
    TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use limited_core::{BackendError, Cause};

use super::Missing;
use crate::attributes::{EXPIRES_AT, IDEMPOTENCY_KEY, IDENTIFIER, SK, WINDOW_TIME};
use crate::backend::{Settings, Shared};
use crate::error::backend_error;

/// How often, and with what pause, a new table is looked at until it is active: two minutes at most.
const LOOKS: u32 = 240;
const PAUSE: Duration = Duration::from_millis(500);

/// A table: its keys, which are strings, and the indexes that are asked for.
pub(super) struct Layout<'a> {
    table: &'a str,
    partition: &'static str,
    sort: &'static str,
    indexes: Vec<IndexLayout>,
    point_in_time_recovery: bool,
}

/// An index, which projects keys only.
struct IndexLayout {
    name: &'static str,
    partition: &'static str,
    sort: &'static str,
    /// What to tell where it is not there.
    missing: Missing,
}

impl<'a> Layout<'a> {
    pub(super) fn of_rate_limits(settings: &'a Settings) -> Self {
        let indexes = settings.indexes.iter().map(|&index| IndexLayout {
            name: index.name(),
            partition: index.attribute(),
            sort: index.sort_attribute(),
            missing: Missing::Index(index),
        });
        Self {
            table: &settings.table,
            partition: IDENTIFIER,
            sort: WINDOW_TIME,
            indexes: indexes.collect(),
            point_in_time_recovery: settings.point_in_time_recovery,
        }
    }

    pub(super) fn of_claims(settings: &'a Settings) -> Self {
        let indexes = settings.claim_indexes.iter().map(|&index| IndexLayout {
            name: index.name(),
            partition: index.attribute(),
            sort: index.sort_attribute(),
            missing: Missing::ClaimIndex(index),
        });
        Self {
            table: &settings.idempotency_table,
            partition: IDEMPOTENCY_KEY,
            sort: SK,
            indexes: indexes.collect(),
            point_in_time_recovery: settings.point_in_time_recovery,
        }
    }

    pub(super) async fn create(&self, shared: &Shared) -> Result<(), BackendError> {
        let mut request = shared
            .client
            .create_table()
            .table_name(self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(schema(self.partition, self.sort)?));
        let indexed = self.indexes.iter().flat_map(|index| [index.partition, index.sort]);
        for name in indexed.chain([self.partition, self.sort]).collect::<BTreeSet<_>>() {
            request = request.attribute_definitions(string(name)?);
        }
        for index in &self.indexes {
            let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
            let index_of = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(schema(index.partition, index.sort)?))
                .projection(projection);
            request = request.global_secondary_indexes(index_of.build().map_err(other)?);
        }
        match request.send().await {
            Ok(_) => {}
            Err(error)
                if matches!(error.as_service_error(), Some(CreateTableError::ResourceInUseException(_))) => {}
            Err(error) => return Err(backend_error(error, self.table)),
        }
        self.until_active(shared).await?;
        self.enable_time_to_live(shared).await?;
        if self.point_in_time_recovery {
            let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
            shared
                .client
                .update_continuous_backups()
                .table_name(self.table)
                .point_in_time_recovery_specification(recovery.build().map_err(other)?)
                .send()
                .await
                .map_err(|error| backend_error(error, self.table))?;
        }
        Ok(())
    }

    pub(super) async fn check(&self, shared: &Shared) -> Result<Vec<Missing>, BackendError> {
        let table = self.table.to_owned();
        let Some(description) = self.describe(shared).await? else {
            return Ok(vec![Missing::Table(table)]);
        };
        let mut missing = Vec::new();
        if !self.has_its_keys(&description) {
            missing.push(Missing::Keys { table: table.clone(), partition: self.partition, sort: self.sort });
        }
        if !self.has_time_to_live(shared).await? {
            missing.push(Missing::TimeToLive(table));
        }
        let is_there = |index: &&IndexLayout| {
            description.global_secondary_indexes().iter().any(|found| {
                found.index_name() == Some(index.name) && found.index_status() == Some(&IndexStatus::Active)
            })
        };
        let indexes = self.indexes.iter().filter(|index| !is_there(index));
        missing.extend(indexes.map(|index| index.missing.clone()));
        Ok(missing)
    }

    async fn describe(&self, shared: &Shared) -> Result<Option<TableDescription>, BackendError> {
        match shared.client.describe_table().table_name(self.table).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) => match backend_error(error, self.table) {
                BackendError::MissingTable(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn until_active(&self, shared: &Shared) -> Result<(), BackendError> {
        for _ in 0..LOOKS {
            if let Some(description) = self.describe(shared).await? {
                let indexes = description.global_secondary_indexes();
                let indexed = indexes.iter().all(|index| index.index_status() == Some(&IndexStatus::Active));
                if description.table_status() == Some(&TableStatus::Active) && indexed {
                    return Ok(());
                }
            }
            shared.wait(PAUSE).await;
        }
        Err(BackendError::timed_out(format!("the table `{}` is not active yet", self.table)))
    }

    async fn has_time_to_live(&self, shared: &Shared) -> Result<bool, BackendError> {
        let answer = shared.client.describe_time_to_live().table_name(self.table).send().await;
        let answer = answer.map_err(|error| backend_error(error, self.table))?;
        Ok(answer.time_to_live_description.is_some_and(|described| {
            let enabled = [Some(&TimeToLiveStatus::Enabled), Some(&TimeToLiveStatus::Enabling)];
            enabled.contains(&described.time_to_live_status())
                && described.attribute_name() == Some(EXPIRES_AT)
        }))
    }

    async fn enable_time_to_live(&self, shared: &Shared) -> Result<(), BackendError> {
        if self.has_time_to_live(shared).await? {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
        let request = shared
            .client
            .update_time_to_live()
            .table_name(self.table)
            .time_to_live_specification(specification.build().map_err(other)?);
        match request.send().await {
            Ok(_) => Ok(()),
            // Another process did it in the meantime.
            Err(error) if error.message().is_some_and(|message| message.contains("already enabled")) => {
                Ok(())
            }
            Err(error) => Err(backend_error(error, self.table)),
        }
    }

    fn has_its_keys(&self, description: &TableDescription) -> bool {
        let keys: Vec<_> =
            description.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
        keys == [(self.partition, &KeyType::Hash), (self.sort, &KeyType::Range)]
    }
}

fn schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>, BackendError> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
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

fn other(error: BuildError) -> BackendError {
    BackendError::Other(Cause::with_source("the request could not be made", error))
}
