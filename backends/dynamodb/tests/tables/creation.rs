//! Tables are created, created again, and checked.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableDescription,
};
use limited_core::BackendError;
use limited_dynamodb::{ClaimIndex, DynamoDbBackend, DynamoDbBackendBuilder, Index, TableIssue};

use crate::support::{Fault, Wire, client};

fn builder(wire: &Wire) -> DynamoDbBackendBuilder {
    DynamoDbBackend::builder(client(wire)).table_name("limits").idempotency_table_name("claims")
}

async fn describe(wire: &Wire, table: &str) -> TableDescription {
    client(wire).describe_table().table_name(table).send().await.unwrap().table.unwrap()
}

fn keys(schema: &[KeySchemaElement]) -> Vec<String> {
    schema.iter().map(|key| format!("{} {}", key.attribute_name(), key.key_type())).collect()
}

#[tokio::test]
async fn tables_are_created_as_configured_and_a_second_call_is_no_error() {
    let wire = Wire::new();
    let builder = builder(&wire).indexes(Index::ALL).claim_indexes(ClaimIndex::ALL);
    let backend = builder.point_in_time_recovery(true).build();
    let none = ["limits", "claims"].map(|table| TableIssue::Table(table.into()));
    assert_eq!(backend.check_tables().await.unwrap(), none);
    for _ in 0..2 {
        backend.create_tables().await.unwrap();
        assert_eq!(backend.check_tables().await.unwrap(), []);
    }
    let expected = [
        (
            "limits",
            ["Identifier HASH", "WindowTime RANGE"],
            [
                ("gsi-bucket", ["BucketKey HASH", "WindowTime RANGE"]),
                ("gsi-ip", ["IPAddress HASH", "WindowTime RANGE"]),
                ("gsi-tenant", ["TenantID HASH", "WindowTime RANGE"]),
                ("gsi-user", ["UserID HASH", "WindowTime RANGE"]),
            ],
        ),
        (
            "claims",
            ["IdempotencyKey HASH", "SK RANGE"],
            [
                ("gsi-function", ["FunctionName HASH", "Timestamp RANGE"]),
                ("gsi-status", ["Status HASH", "Timestamp RANGE"]),
                ("gsi-tenant", ["TenantID HASH", "Timestamp RANGE"]),
                ("gsi-timestamp", ["Timestamp HASH", "IdempotencyKey RANGE"]),
            ],
        ),
    ];
    for (table, expected_keys, expected_indexes) in expected {
        let created = describe(&wire, table).await;
        assert_eq!(created.billing_mode_summary().unwrap().billing_mode(), Some(&BillingMode::PayPerRequest));
        assert_eq!(keys(created.key_schema()), expected_keys);
        let indexes: BTreeMap<_, _> = created
            .global_secondary_indexes()
            .iter()
            .map(|index| (index.index_name().unwrap().to_owned(), keys(index.key_schema())))
            .collect();
        let expected_indexes =
            expected_indexes.map(|(name, keys)| (name.to_owned(), keys.map(String::from).to_vec()));
        assert_eq!(indexes, BTreeMap::from(expected_indexes));
    }
    assert_eq!(wire.count("UpdateContinuousBackups"), 4);
}

#[tokio::test]
async fn limits_alone_and_claims_alone_need_one_table() {
    let wire = Wire::new();
    let backend = builder(&wire).build();
    backend.create_rate_limit_table().await.unwrap();
    assert_eq!(backend.check_rate_limit_table().await.unwrap(), []);
    assert_eq!(backend.check_tables().await.unwrap(), [TableIssue::Table("claims".into())]);

    let wire = Wire::new();
    let backend = builder(&wire).claim_indexes([ClaimIndex::Status]).build();
    backend.create_idempotency_table().await.unwrap();
    assert_eq!(backend.check_idempotency_table().await.unwrap(), []);
    assert_eq!(backend.check_tables().await.unwrap(), [TableIssue::Table("limits".into())]);
    assert!(
        keys(describe(&wire, "claims").await.global_secondary_indexes()[0].key_schema())[0] == "Status HASH"
    );
}

#[tokio::test]
async fn check_reports_what_a_table_lacks() {
    let wire = Wire::new();
    let plain = client(&wire);
    for table in ["limits", "claims"] {
        let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
        let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
        plain
            .create_table()
            .table_name(table)
            .billing_mode(BillingMode::PayPerRequest)
            .key_schema(key)
            .attribute_definitions(id.build().unwrap())
            .send()
            .await
            .unwrap();
    }
    let backend = builder(&wire).indexes([Index::User]).claim_indexes([ClaimIndex::Tenant]).build();
    let issues = backend.check_tables().await.unwrap();
    let keys = |table: &str, partition, sort| TableIssue::Keys { table: table.to_owned(), partition, sort };
    let expected = [
        keys("limits", "Identifier", "WindowTime"),
        TableIssue::TimeToLive("limits".into()),
        TableIssue::Index(Index::User),
        keys("claims", "IdempotencyKey", "SK"),
        TableIssue::TimeToLive("claims".into()),
        TableIssue::ClaimIndex(ClaimIndex::Tenant),
    ];
    assert_eq!(issues, expected);
    for issue in issues {
        assert!(issue.to_string().len() > 40, "{issue}");
    }
}

const EARLY: Fault =
    Fault::Error(400, "com.amazonaws.dynamodb.v20120810#ContinuousBackupsUnavailableException");
const DENIED: Fault = Fault::AccessDenied;

/// Lets the first requests for point-in-time recovery fail, as on a new table. They are those of
/// the table `limits`.
fn delay_recovery(wire: &Wire, requests: usize) {
    for _ in 0..requests {
        wire.push_fault_on("UpdateContinuousBackups", EARLY);
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_is_enabled_once_the_new_table_allows_it() {
    let wire = Wire::new();
    let backend = builder(&wire).point_in_time_recovery(true).build();
    // Half a minute.
    delay_recovery(&wire, 60);
    backend.create_tables().await.unwrap();
    assert_eq!(wire.count("UpdateContinuousBackups"), 62);
    assert_eq!(backend.check_tables().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn recovery_that_stays_unavailable_is_reported_and_the_other_table_is_created() {
    let wire = Wire::new();
    let backend = builder(&wire).point_in_time_recovery(true).build();
    let start = tokio::time::Instant::now();
    delay_recovery(&wire, 240);
    let error = backend.create_tables().await.unwrap_err();
    assert!(matches!(error, BackendError::TimedOut(_)), "{error:?}");
    assert!(error.to_string().contains("recovery of the table `limits` is not available yet"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
    assert!(start.elapsed() < std::time::Duration::from_secs(130), "{:?}", start.elapsed());
    assert_eq!(backend.check_tables().await.unwrap(), [TableIssue::PointInTimeRecovery("limits".into())]);
    backend.create_tables().await.unwrap();
    assert_eq!(backend.check_tables().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn failure_of_one_step_does_not_stop_the_others_and_the_error_names_all() {
    let wire = Wire::new();
    let backend = builder(&wire).point_in_time_recovery(true).build();
    wire.push_fault_on("UpdateTimeToLive", DENIED);
    wire.push_fault_on("UpdateContinuousBackups", Fault::Error(400, "com.amazonaws#Unusual"));
    let error = backend.create_tables().await.unwrap_err();
    assert!(matches!(error, BackendError::AccessDenied(_)), "{error:?}");
    assert!(error.to_string().contains("`Unusual`"), "{error}");
    let missing = [TableIssue::TimeToLive("limits".into()), TableIssue::PointInTimeRecovery("limits".into())];
    assert_eq!(backend.check_tables().await.unwrap(), missing);

    let wire = Wire::new();
    let backend = builder(&wire).build();
    wire.push_fault_on("CreateTable", DENIED);
    let error = backend.create_tables().await.unwrap_err();
    assert!(matches!(error, BackendError::AccessDenied(_)), "{error:?}");
    assert_eq!(backend.check_tables().await.unwrap(), [TableIssue::Table("limits".into())]);
}

#[tokio::test]
async fn recovery_is_not_described_unless_it_is_configured() {
    let wire = Wire::new();
    let backend = builder(&wire).build();
    backend.create_tables().await.unwrap();
    assert_eq!(backend.check_tables().await.unwrap(), []);
    assert_eq!((wire.count("UpdateContinuousBackups"), wire.count("DescribeContinuousBackups")), (0, 0));
    let other = builder(&wire).point_in_time_recovery(true).build();
    let missing = ["limits", "claims"].map(|table| TableIssue::PointInTimeRecovery(table.into()));
    assert_eq!(other.check_tables().await.unwrap(), missing);
    for issue in missing {
        assert!(issue.to_string().contains("point-in-time recovery"), "{issue}");
    }
}

#[tokio::test]
async fn decision_does_not_describe_the_table() {
    use limited::{Error, Limiter};
    let wire = Wire::new();
    let limiter = Limiter::new(builder(&wire).build());
    let Err(Error::Backend(error)) = limiter.allow("key").await else { panic!("the table does not exist") };
    assert!(matches!(error, BackendError::MissingTable(_)));
    assert_eq!((wire.count("DescribeTable"), wire.requests().len()), (0, 1));
}
