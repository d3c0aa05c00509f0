//! The schema of a table: how it is requested, and what a table lacks of it.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::operation::create_table::builders::CreateTableInputBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
};
use limited_core::Result;

use super::TableIssue;
use crate::attributes::{CLAIM_KIND, IDEMPOTENCY_KEY, IDENTIFIER, WINDOW_TIME};
use crate::client::{Settings, build_error};

/// The keys of a table, which are strings, and its indexes.
pub(super) struct TableSchema<'a> {
    pub(super) table: &'a str,
    partition: &'static str,
    sort: &'static str,
    indexes: Vec<IndexSchema>,
}

/// An index, which projects keys only.
struct IndexSchema {
    name: &'static str,
    partition: &'static str,
    sort: &'static str,
    /// The issue to report if there is no such index.
    issue: TableIssue,
}

impl<'a> TableSchema<'a> {
    pub(super) fn of_rate_limits(settings: &'a Settings) -> Self {
        let indexes = settings.indexes.iter().map(|&index| IndexSchema {
            name: index.name(),
            partition: index.attribute(),
            sort: index.sort_attribute(),
            issue: TableIssue::Index(index),
        });
        Self { table: &settings.table, partition: IDENTIFIER, sort: WINDOW_TIME, indexes: indexes.collect() }
    }

    pub(super) fn of_claims(settings: &'a Settings) -> Self {
        let indexes = settings.claim_indexes.iter().map(|&index| IndexSchema {
            name: index.name(),
            partition: index.attribute(),
            sort: index.sort_attribute(),
            issue: TableIssue::ClaimIndex(index),
        });
        Self {
            table: &settings.idempotency_table,
            partition: IDEMPOTENCY_KEY,
            sort: CLAIM_KIND,
            indexes: indexes.collect(),
        }
    }

    /// Returns the request that creates the table, on demand.
    pub(super) fn request(&self) -> Result<CreateTableInputBuilder> {
        let mut request = CreateTableInputBuilder::default()
            .billing_mode(BillingMode::PayPerRequest)
            .set_key_schema(Some(key_schema(self.partition, self.sort)?));
        let indexed = self.indexes.iter().flat_map(|index| [index.partition, index.sort]);
        for name in indexed.chain([self.partition, self.sort]).collect::<BTreeSet<_>>() {
            let string =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            request = request.attribute_definitions(string.build().map_err(build_error)?);
        }
        for index in &self.indexes {
            let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
            let index = GlobalSecondaryIndex::builder()
                .index_name(index.name)
                .set_key_schema(Some(key_schema(index.partition, index.sort)?))
                .projection(projection);
            request = request.global_secondary_indexes(index.build().map_err(build_error)?);
        }
        Ok(request)
    }

    /// Returns what a table lacks.
    pub(super) fn issues(&self, description: &TableDescription, has_time_to_live: bool) -> Vec<TableIssue> {
        let table = self.table.to_owned();
        let mut issues = Vec::new();
        let keys: Vec<_> =
            description.key_schema().iter().map(|key| (key.attribute_name(), key.key_type())).collect();
        if keys != [(self.partition, &KeyType::Hash), (self.sort, &KeyType::Range)] {
            issues.push(TableIssue::Keys {
                table: table.clone(),
                partition: self.partition,
                sort: self.sort,
            });
        }
        if !has_time_to_live {
            issues.push(TableIssue::TimeToLive(table));
        }
        let is_missing = |index: &&IndexSchema| {
            !description.global_secondary_indexes().iter().any(|found| {
                found.index_name() == Some(index.name) && found.index_status() == Some(&IndexStatus::Active)
            })
        };
        issues.extend(self.indexes.iter().filter(is_missing).map(|index| index.issue.clone()));
        issues
    }
}

/// Returns whether a table and all its indexes are active.
pub(super) fn is_active(description: &TableDescription) -> bool {
    let mut indexes = description.global_secondary_indexes().iter();
    description.table_status() == Some(&TableStatus::Active)
        && indexes.all(|index| index.index_status() == Some(&IndexStatus::Active))
}

fn key_schema(partition: &str, sort: &str) -> Result<Vec<KeySchemaElement>> {
    [(partition, KeyType::Hash), (sort, KeyType::Range)]
        .into_iter()
        .map(|(name, key_type)| KeySchemaElement::builder().attribute_name(name).key_type(key_type).build())
        .collect::<Result<_, _>>()
        .map_err(build_error)
}
