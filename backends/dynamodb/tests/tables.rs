//! The table is made, made again, and checked.

mod support;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use limited_core::BackendError;
use limited_dynamodb::{DynamoDbBackend, Index, Missing};
use support::{Wire, client};

#[tokio::test]
async fn a_table_is_made_with_what_was_asked_for_and_a_second_call_is_no_error() {
    let wire = Wire::new();
    let builder = DynamoDbBackend::builder(client(&wire)).table_name("limits").indexes(Index::ALL);
    let backend = builder.point_in_time_recovery(true).build();
    assert_eq!(backend.check_tables().await.unwrap(), [Missing::Table("limits".into())]);
    for _ in 0..2 {
        backend.create_tables().await.unwrap();
        assert_eq!(backend.check_tables().await.unwrap(), []);
    }
    let made = client(&wire).describe_table().table_name("limits").send().await.unwrap().table.unwrap();
    assert_eq!(made.billing_mode_summary().unwrap().billing_mode(), Some(&BillingMode::PayPerRequest));
    let mut indexes: Vec<_> =
        made.global_secondary_indexes().iter().filter_map(|index| index.index_name()).collect();
    indexes.sort_unstable();
    assert_eq!(indexes, ["gsi-bucket", "gsi-ip", "gsi-tenant", "gsi-user"]);
    assert!(wire.count("UpdateContinuousBackups") > 0);
}

#[tokio::test]
async fn what_a_table_lacks_is_told() {
    let wire = Wire::new();
    let plain = client(&wire);
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    plain
        .create_table()
        .table_name("limits")
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(key)
        .attribute_definitions(id.build().unwrap())
        .send()
        .await
        .unwrap();
    let backend = DynamoDbBackend::builder(plain).table_name("limits").indexes([Index::User]).build();
    let missing = backend.check_tables().await.unwrap();
    let expected =
        [Missing::Keys("limits".into()), Missing::TimeToLive("limits".into()), Missing::Index(Index::User)];
    assert_eq!(missing, expected);
    for missing in missing {
        assert!(missing.to_string().len() > 40, "{missing}");
    }
}

#[tokio::test]
async fn no_table_is_described_on_the_way_of_a_decision() {
    use limited::{Error, Limiter};
    let wire = Wire::new();
    let limiter = Limiter::new(DynamoDbBackend::builder(client(&wire)).table_name("limits").build());
    let Err(Error::Backend(error)) = limiter.allow("key").await else { panic!("there is no table") };
    assert!(matches!(error, BackendError::MissingTable(_)));
    assert_eq!((wire.count("DescribeTable"), wire.requests().len()), (0, 1));
}
