//! Usage, found by what keys were composed of.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures_util::stream::{BoxStream, Stream, StreamExt, iter, try_unfold};
use limited_core::{BackendError, Cause, Key, Timestamp};

use crate::attributes::{
    BUCKET_KEY, COUNT, CREATED_AT, EXPIRES_AT, IDENTIFIER, IP_ADDRESS, Item, TENANT_ID, UPDATED_AT, USER_ID,
    WINDOW_TIME, number, unreadable,
};
use crate::capacity::Operation;
use crate::error::backend_error;
use crate::item::parse_timestamp;
use crate::{DynamoDbBackend, Index};

/// How many keys a page of an index has: as many as a `BatchGetItem` takes.
const PAGE: i32 = 100;

/// How often a batch is asked for what DynamoDB left out of the answer, before it counts as throttled.
const ROUNDS: u32 = 6;

/// The longest pause before the second round. It doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// One counter, as its item tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// `Identifier`: namespace and key.
    pub identifier: String,
    /// `WindowTime`: the window, such as `2026-11-21T12:00:00Z/PT1M`.
    pub window_time: String,
    /// `Count`: the hits in the window; for a token bucket (`BUCKET/…`) its arrival time, in nanoseconds since 1970
    /// times the limit. 0 where it is missing.
    pub count: u128,
    /// `ExpiresAt`: from when on the item counts as absent. That of a window is its end, one length and the allowed skew
    /// later; until then a sliding window weighs it.
    pub expires_at: Option<Timestamp>,
    /// `CreatedAt`: when the item was made.
    pub created_at: Option<Timestamp>,
    /// `UpdatedAt`: when a hit was last counted.
    pub updated_at: Option<Timestamp>,
    /// `BucketKey`: the key without its namespace.
    pub bucket: Option<String>,
    /// `TenantID`: the tenant that the key was composed of.
    pub tenant: Option<String>,
    /// `UserID`: the user that the key was composed of.
    pub user: Option<String>,
    /// `IPAddress`: the address that the key was composed of, as it is written.
    pub ip: Option<String>,
}

impl Usage {
    fn read(item: &Item) -> Result<Self, BackendError> {
        let text = |name| {
            let value: Option<&AttributeValue> = item.get(name);
            value.map(|value| value.as_s().cloned().map_err(|_| unreadable(name))).transpose()
        };
        let time = |name| {
            let written: Option<String> = text(name)?;
            written.map(|time| parse_timestamp(&time).ok_or_else(|| unreadable(name))).transpose()
        };
        let whole = |name| item.get(name).map(|value| number(name, value)).transpose();
        let expires_at = whole(EXPIRES_AT)?;
        Ok(Self {
            identifier: text(IDENTIFIER)?.unwrap_or_default(),
            window_time: text(WINDOW_TIME)?.unwrap_or_default(),
            count: whole(COUNT)?.unwrap_or_default(),
            expires_at: expires_at.map(|at| Timestamp::from_secs(u64::try_from(at).unwrap_or(u64::MAX))),
            created_at: time(CREATED_AT)?,
            updated_at: time(UPDATED_AT)?,
            bucket: text(BUCKET_KEY)?,
            tenant: text(TENANT_ID)?,
            user: text(USER_ID)?,
            ip: text(IP_ADDRESS)?,
        })
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// The counters that an index leads to, page by page: requests are sent as it is polled, and none before.
///
/// It is a [`Stream`] for the combinators of `futures`; [`next`](Self::next) needs none. After a request that failed it
/// ends; an item that cannot be read is an error in its place, and the rest follows.
#[must_use = "streams do nothing unless polled"]
pub struct UsageStream(BoxStream<'static, Result<Usage, BackendError>>);

impl UsageStream {
    /// The next counter, or none where there is no other.
    pub async fn next(&mut self) -> Option<Result<Usage, BackendError>> {
        self.0.next().await
    }
}

impl Stream for UsageStream {
    type Item = Result<Usage, BackendError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl fmt::Debug for UsageStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageStream").finish_non_exhaustive()
    }
}

/// # Usage
///
/// Which counters there are of a tenant, a user, an address or a key, for tables that were made with the
/// [`Index`]. In no order that means something; what has expired by `now` is left out, whether or not TTL has deleted
/// it.
///
/// Indexes project keys only, since one that holds counts would pay a write for every hit. So each hundred counters
/// take two requests: a `Query` of the index, which is eventually consistent (a counter made a moment ago may not be
/// in it yet), and a `BatchGetItem` of the table, which is consistent. They cost a read unit or two for the keys, and
/// one for each counter, expired ones included. The policy has to allow `dynamodb:Query` on the index and
/// `dynamodb:BatchGetItem` on the table.
///
/// These requests have the client's own deadlines and retries, not those of a decision.
///
/// ```no_run
/// # use limited_core::{BackendError, Timestamp};
/// # use limited_dynamodb::DynamoDbBackend;
/// # async fn example(backend: DynamoDbBackend, now: Timestamp) -> Result<(), BackendError> {
/// let mut usage = backend.usage_by_tenant("acme", now);
/// while let Some(counter) = usage.next().await.transpose()? {
///     println!("{} {}: {}", counter.identifier, counter.window_time, counter.count);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Invalid`](BackendError::Invalid) where the table does not have the index, or it is still being filled, and for the
/// empty string, which no index holds; [`MissingTable`](BackendError::MissingTable);
/// [`Throttled`](BackendError::Throttled) where DynamoDB repeatedly leaves items out of its answers;
/// [`Corrupt`](BackendError::Corrupt) for an item that is not in the documented format; and what else a request meets.
impl DynamoDbBackend {
    /// The counters of keys with this tenant, through `gsi-tenant`.
    pub fn usage_by_tenant(&self, tenant: impl Into<String>, now: Timestamp) -> UsageStream {
        self.usage(Index::Tenant, tenant.into(), now)
    }

    /// The counters of keys with this user, through `gsi-user`: those of all tenants that have a user of this name.
    pub fn usage_by_user(&self, user: impl Into<String>, now: Timestamp) -> UsageStream {
        self.usage(Index::User, user.into(), now)
    }

    /// The counters of keys with this address, through `gsi-ip`. An IPv4 address that is written as IPv6 is the IPv4
    /// address, as in a [`Key`].
    pub fn usage_by_ip(&self, address: impl Into<IpAddr>, now: Timestamp) -> UsageStream {
        self.usage(Index::Ip, address.into().to_canonical().to_string(), now)
    }

    /// The counters of this key in all namespaces and windows, through `gsi-bucket`. Only keys with a tenant, a user or
    /// an address are in it.
    pub fn usage_by_bucket<'a>(&self, key: impl Into<Key<'a>>, now: Timestamp) -> UsageStream {
        self.usage(Index::Bucket, key.into().as_str().to_owned(), now)
    }

    fn usage(&self, index: Index, value: String, now: Timestamp) -> UsageStream {
        let pages = Pages { backend: self.clone(), index, value, next_page: Next::Start };
        let items = try_unfold(pages, |mut pages| async {
            let Some(keys) = pages.next().await? else { return Ok(None) };
            let items = if keys.is_empty() { Vec::new() } else { pages.backend.items(keys).await? };
            Ok::<_, BackendError>(Some((items, pages)))
        });
        let usage = items.flat_map(move |page| {
            let mut usage = match page {
                Ok(items) => items.iter().map(Usage::read).collect(),
                Err(error) => vec![Err(error)],
            };
            usage.retain(|usage| !usage.as_ref().is_ok_and(|usage| usage.has_expired(now)));
            iter(usage)
        });
        UsageStream(usage.boxed())
    }

    /// The items with these keys. Those that are gone by now are left out.
    async fn items(&self, mut keys: Vec<Item>) -> Result<Vec<Item>, BackendError> {
        let table = self.table_name();
        let mut items = Vec::with_capacity(keys.len());
        for round in 0..ROUNDS {
            if round > 0 {
                self.0.wait((FIRST_PAUSE * (1 << (round - 1))).mul_f64(fastrand::f64())).await;
            }
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
            let wanted = wanted.map_err(|error| {
                BackendError::Other(Cause::with_source("the request could not be made", error))
            })?;
            let request = self
                .client()
                .batch_get_item()
                .request_items(table, wanted)
                .set_return_consumed_capacity(self.0.wanted_capacity());
            let answer = request.send().await.map_err(|error| backend_error(error, table))?;
            self.0.consumed(self.table_name(), Operation::BatchGetItem, answer.consumed_capacity());
            items.extend(answer.responses.unwrap_or_default().into_values().flatten());
            let left = answer.unprocessed_keys.unwrap_or_default();
            keys = left.into_values().flat_map(|left| left.keys).collect();
            if keys.is_empty() {
                return Ok(items);
            }
        }
        Err(left_out(table))
    }
}

/// Where the next page of an index begins.
enum Next {
    Start,
    After(HashMap<String, AttributeValue>),
    /// There is none.
    End,
}

/// The pages of an index.
struct Pages {
    backend: DynamoDbBackend,
    index: Index,
    value: String,
    next_page: Next,
}

impl Pages {
    /// The keys on the next page, or none after the last.
    async fn next(&mut self) -> Result<Option<Vec<Item>>, BackendError> {
        let after = match std::mem::replace(&mut self.next_page, Next::End) {
            Next::Start if self.value.is_empty() => {
                return Err(BackendError::invalid("no index holds the empty string: ask for another"));
            }
            Next::Start => None,
            Next::After(key) => Some(key),
            Next::End => return Ok(None),
        };
        let shared = &self.backend.0;
        let request = self
            .backend
            .client()
            .query()
            .table_name(self.backend.table_name())
            .index_name(self.index.name())
            .key_condition_expression("#attribute = :value")
            .expression_attribute_names("#attribute", self.index.attribute())
            .expression_attribute_values(":value", AttributeValue::S(self.value.clone()))
            .limit(PAGE)
            .set_exclusive_start_key(after)
            .set_return_consumed_capacity(shared.wanted_capacity());
        let answer = request.send().await.map_err(|error| self.query_error(error))?;
        shared.consumed(&shared.settings.table, Operation::Query, answer.consumed_capacity());
        if let Some(key) = answer.last_evaluated_key.filter(|key| !key.is_empty()) {
            self.next_page = Next::After(key);
        }
        let keys = answer.items.unwrap_or_default().into_iter().map(|mut item| {
            item.retain(|name, _| name == IDENTIFIER || name == WINDOW_TIME);
            item
        });
        Ok(Some(keys.collect()))
    }

    fn query_error(&self, error: SdkError<QueryError>) -> BackendError {
        let table = self.backend.table_name();
        let is_about_index = error.code() == Some("ValidationException")
            && error.message().is_some_and(|message| message.contains("index"));
        if !is_about_index {
            return backend_error(error, table);
        }
        let message = format!(
            "the table `{table}` has no index `{name}` to read, or it is still being filled: make the table with it \
             (`indexes`, `create_tables`), or add it to the table, on `{attribute}` and `{WINDOW_TIME}` (S), projecting \
             keys only",
            name = self.index.name(),
            attribute = self.index.attribute(),
        );
        BackendError::Invalid(Cause::with_source(message, error))
    }
}

fn left_out(table: &str) -> BackendError {
    BackendError::throttled(format!(
        "the table `{table}` answers with some of the items only: try again later"
    ))
}
