//! Usage, found by the parts of a key.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_types::body::SdkBody;
use futures_util::TryStreamExt;
use limited_core::{Backend, BackendError, BucketQuota, Counter, Hit, Key, Timestamp, Window, WindowLength};
use limited_dynamodb::{DynamoDbBackend, Index, Operation, Usage, UsageStream};

use crate::support::loopback::{NOON, builder, config, hit};
use crate::support::{self, Wire};

async fn backend() -> DynamoDbBackend {
    let backend = builder(config().await).indexes(Index::ALL).build();
    backend.create_rate_limit_table().await.unwrap();
    backend
}

/// Returns identifiers and counts, sorted.
async fn counts(usage: UsageStream) -> Vec<(String, u128)> {
    let usage: Vec<Usage> = usage.try_collect().await.unwrap();
    let mut counts: Vec<_> = usage.into_iter().map(|usage| (usage.identifier, usage.count)).collect();
    counts.sort();
    counts
}

/// Writes an item without the backend.
async fn put(backend: &DynamoDbBackend, attributes: &[(&str, AttributeValue)]) {
    let mut request = backend.client().put_item().table_name(backend.table_name());
    for (name, value) in attributes {
        request = request.item(*name, value.clone());
    }
    request.send().await.unwrap();
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

#[tokio::test]
async fn usage_is_found_by_tenant_user_address_and_key() {
    let backend = backend().await;
    let (one, other) = (Key::new().tenant("acme").user("7"), Key::new().tenant("acme").user("8"));
    let from = Key::new().user("7").ip([192, 0, 2, 1]);
    for (key, cost) in [(&one, 3), (&other, 4), (&from, 5), (&Key::from("plain"), 6)] {
        hit(&backend, key, cost, 100, NOON).await;
    }
    let of = |keys: &[(&Key<'_>, u128)]| -> Vec<(String, u128)> {
        let mut counts: Vec<_> = keys.iter().map(|(key, count)| (format!("api#{key}"), *count)).collect();
        counts.sort();
        counts
    };
    assert_eq!(counts(backend.usage_by_tenant("acme", NOON)).await, of(&[(&one, 3), (&other, 4)]));
    assert_eq!(counts(backend.usage_by_user("7", NOON)).await, of(&[(&one, 3), (&from, 5)]));
    assert_eq!(counts(backend.usage_by_ip([192, 0, 2, 1], NOON)).await, of(&[(&from, 5)]));
    let mapped = std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    assert_eq!(counts(backend.usage_by_ip(mapped, NOON)).await, of(&[(&from, 5)]));
    assert_eq!(counts(backend.usage_by_bucket(&one, NOON)).await, of(&[(&one, 3)]));
    assert_eq!(counts(backend.usage_by_tenant("unknown", NOON)).await, []);
}

#[tokio::test]
async fn usage_contains_all_attributes_of_the_item() {
    let backend = backend().await;
    let key = Key::new().tenant("acme").user("7").ip([192, 0, 2, 1]);
    hit(&backend, &key, 1, 100, NOON).await;
    let later = NOON.saturating_add(Duration::from_millis(1_500));
    hit(&backend, &key, 1, 100, later).await;
    let usage = backend.usage_by_tenant("acme", later).next().await.unwrap().unwrap();
    assert_eq!(usage.identifier, format!("api#{key}"));
    assert_eq!(usage.window_time, "2026-11-21T12:00:00Z/PT1M");
    assert_eq!((usage.count, usage.limit, usage.capacity), (2, None, None));
    assert_eq!(usage.expires_at, Some(NOON.saturating_add(Duration::from_secs(125))));
    assert_eq!((usage.created_at, usage.updated_at), (Some(NOON), Some(later)));
    assert_eq!(usage.bucket.as_deref(), Some(key.as_str()));
    assert_eq!(usage.tenant.as_deref(), Some("acme"));
    assert_eq!(usage.user.as_deref(), Some("7"));
    assert_eq!(usage.ip.as_deref(), Some("192.0.2.1"));
}

#[tokio::test]
async fn usage_of_a_bucket_contains_its_quota() {
    let backend = backend().await;
    let key = Key::new().tenant("acme");
    let window = Window::Bucket { length: WindowLength::MINUTE };
    let quota = BucketQuota::new(100, 20);
    let counter = Counter::new("api", &key, window).unwrap().with_bucket(quota);
    let floor = u128::from(NOON.as_nanos()) * 100;
    let hit = Hit::new(7, quota.highest_value(WindowLength::MINUTE, NOON)).with_floor(floor);
    assert!(backend.increment(&counter, &hit, NOON).await.unwrap().counted);
    let usage = backend.usage_by_tenant("acme", NOON).next().await.unwrap().unwrap();
    assert_eq!(usage.window_time, "BUCKET/PT1M");
    assert_eq!((usage.count, usage.limit, usage.capacity), (floor + 7, Some(100), Some(20)));
}

#[tokio::test]
async fn each_hundred_counters_take_two_requests() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let observed = Arc::clone(&requests);
    let backend = builder(config().await)
        .indexes([Index::Tenant])
        .on_consumed_capacity(move |consumed| observed.lock().unwrap().push(consumed.operation))
        .build();
    backend.create_rate_limit_table().await.unwrap();
    for user in 0..230_u32 {
        let (identifier, tenant) = (format!("api#{user}"), text("acme"));
        put(
            &backend,
            &[
                ("Identifier", text(&identifier)),
                ("WindowTime", text("2026-11-21T12:00:00Z/PT1M")),
                ("Count", number(user)),
                ("TenantID", tenant),
            ],
        )
        .await;
    }
    let found = counts(backend.usage_by_tenant("acme", NOON)).await;
    let mut written: Vec<_> = (0..230).map(|user| (format!("api#{user}"), user)).collect();
    written.sort();
    assert_eq!(found, written);
    assert_eq!(*requests.lock().unwrap(), [Operation::Query, Operation::BatchGetItem].repeat(3));
}

#[tokio::test]
async fn expired_counters_are_left_out() {
    let backend = backend().await;
    let (earlier, now) = (Key::new().tenant("acme").user("earlier"), Key::new().tenant("acme").user("now"));
    hit(&backend, &earlier, 1, 100, NOON).await;
    let later = NOON.saturating_add(Duration::from_secs(124));
    hit(&backend, &now, 1, 100, later).await;
    assert_eq!(counts(backend.usage_by_tenant("acme", later)).await.len(), 2);
    let expired = NOON.saturating_add(Duration::from_secs(125));
    assert_eq!(counts(backend.usage_by_tenant("acme", expired)).await, [(format!("api#{now}"), 1)]);
}

#[tokio::test]
async fn items_with_unknown_and_without_known_attributes_are_read() {
    let backend = backend().await;
    put(
        &backend,
        &[
            ("Identifier", text("by-hand")),
            ("WindowTime", text("2026-11-21T12:00:00Z")),
            ("TenantID", text("acme")),
            ("Region", AttributeValue::L(vec![number(1)])),
        ],
    )
    .await;
    let usage: Vec<_> = backend.usage_by_tenant("acme", Timestamp::MAX).try_collect().await.unwrap();
    let [usage] = usage.as_slice() else { panic!("{usage:?}") };
    assert_eq!((usage.identifier.as_str(), usage.window_time.as_str()), ("by-hand", "2026-11-21T12:00:00Z"));
    assert_eq!((usage.count, usage.expires_at), (0, None));
    assert_eq!((usage.created_at, usage.updated_at), (None, None));
    assert_eq!((usage.user.as_deref(), usage.ip.as_deref(), usage.bucket.as_deref()), (None, None, None));
}

#[tokio::test]
async fn unreadable_item_is_an_error_and_the_others_follow() {
    let backend = backend().await;
    let key = Key::new().tenant("acme");
    hit(&backend, &key, 1, 100, NOON).await;
    put(
        &backend,
        &[
            ("Identifier", text("by-hand")),
            ("WindowTime", text("2026-11-21T12:00:00Z")),
            ("TenantID", text("acme")),
            ("Count", text("many")),
        ],
    )
    .await;
    let mut usage = backend.usage_by_tenant("acme", NOON);
    let (mut read, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(usage) = usage.next().await {
        match usage {
            Ok(usage) => read.push(usage.identifier),
            Err(error) => unreadable.push(error),
        }
    }
    assert_eq!(read, [format!("api#{key}")]);
    assert!(matches!(unreadable.as_slice(), [BackendError::Corrupt(_)]), "{unreadable:?}");
}

#[tokio::test]
async fn missing_index_is_an_error_that_names_it() {
    let backend = builder(config().await).indexes([Index::User]).build();
    let error = backend.usage_by_tenant("acme", NOON).next().await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::MissingTable(_)), "{error}");

    backend.create_rate_limit_table().await.unwrap();
    let mut usage = backend.usage_by_tenant("acme", NOON);
    let error = usage.next().await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error}");
    assert!(error.to_string().contains("no index `gsi-tenant`"), "{error}");
    assert!(usage.next().await.is_none());

    let error = backend.usage_by_user("", NOON).next().await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Invalid(_)), "{error}");
}

/// Responds to the next `BatchGetItem`s with unprocessed keys only.
#[derive(Clone, Debug, Default)]
struct NothingProcessed {
    remaining: Arc<AtomicU32>,
    requested: Arc<Mutex<Option<serde_json::Value>>>,
}

impl Intercept for NothingProcessed {
    fn name(&self) -> &'static str {
        "NothingProcessed"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let is_batch = request.headers().get("x-amz-target").is_some_and(|to| to.ends_with("BatchGetItem"));
        let is_replaced = is_batch
            && self
                .remaining
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok();
        *self.requested.lock().unwrap() = match request.body().bytes() {
            Some(body) if is_replaced => Some(serde_json::from_slice(body)?),
            _ => None,
        };
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(requested) = self.requested.lock().unwrap().take() {
            let response =
                serde_json::json!({ "Responses": {}, "UnprocessedKeys": requested["RequestItems"] });
            *context.response_mut().body_mut() = SdkBody::from(response.to_string());
        }
        Ok(())
    }
}

/// Returns a backend over a server that processes no key of so many batches. In virtual time,
/// because the backend waits before it repeats a request.
async fn backend_without_batches(count: u32) -> DynamoDbBackend {
    let interceptor =
        NothingProcessed { remaining: Arc::new(AtomicU32::new(count)), ..NothingProcessed::default() };
    let backend =
        builder(support::config(&Wire::new()).interceptor(interceptor)).indexes([Index::Tenant]).build();
    backend.create_rate_limit_table().await.unwrap();
    hit(&backend, &Key::new().tenant("acme"), 2, 100, NOON).await;
    backend
}

#[tokio::test(start_paused = true)]
async fn unprocessed_keys_are_requested_again() {
    let backend = backend_without_batches(2).await;
    assert_eq!(counts(backend.usage_by_tenant("acme", NOON)).await, [("api#tenant:acme".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_stay_unprocessed_are_throttling() {
    let backend = backend_without_batches(u32::MAX).await;
    let mut usage = backend.usage_by_tenant("acme", NOON);
    let error = usage.next().await.unwrap().unwrap_err();
    assert!(matches!(error, BackendError::Throttled(_)), "{error}");
    assert!(usage.next().await.is_none());
}
