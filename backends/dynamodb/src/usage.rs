//! Usage: the counters of a tenant, a user, an address or a key.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::query::QueryError;
use aws_sdk_dynamodb::operation::query::builders::QueryInputBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{BoxStream, Stream, StreamExt, iter, try_unfold};
use limited_core::{BackendError, Cause, Key, Result, Timestamp};

use crate::attributes::{
    BUCKET_KEY, CAPACITY, COUNT, CREATED_AT, EXPIRES_AT, IDENTIFIER, IP_ADDRESS, Item, LIMIT, TENANT_ID,
    UPDATED_AT, USER_ID, WINDOW_TIME, number, text, time,
};
use crate::client::Client;
use crate::error::backend_error;
use crate::{DynamoDbBackend, Index};

/// How many keys a page of an index has: as many as a `BatchGetItem` accepts.
const PAGE_SIZE: i32 = 100;

/// How often a batch is requested if DynamoDB leaves keys unprocessed. After that, it counts as
/// throttled.
const MAX_ROUNDS: u32 = 6;

/// The longest pause before the second round. It doubles with each further round.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// One counter: the attributes of its item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// `Identifier`: namespace and key.
    pub identifier: String,
    /// `WindowTime`: the window, such as `2026-11-21T12:00:00Z/PT1M`.
    pub window_time: String,
    /// `Count`: the hits in the window. For a token bucket (`BUCKET/…`), its theoretical arrival
    /// time: nanoseconds since 1970, times [`limit`](Self::limit). 0 if the attribute is missing.
    pub count: u128,
    /// `Limit`: for a token bucket, the limit of the last hit that was counted.
    pub limit: Option<u64>,
    /// `Capacity`: for a token bucket, the tokens that it holds for that hit.
    pub capacity: Option<u64>,
    /// `ExpiresAt`: the time from which the item counts as absent. For a window, this is one length
    /// and the maximum clock skew after its end, because a sliding window uses it until then.
    pub expires_at: Option<Timestamp>,
    /// `CreatedAt`: when the item was created.
    pub created_at: Option<Timestamp>,
    /// `UpdatedAt`: when the last hit was counted.
    pub updated_at: Option<Timestamp>,
    /// `BucketKey`: the key without its namespace.
    pub bucket: Option<String>,
    /// `TenantID`: the tenant part of the key.
    pub tenant: Option<String>,
    /// `UserID`: the user part of the key.
    pub user: Option<String>,
    /// `IPAddress`: the address part of the key, as text.
    pub ip: Option<String>,
}

impl Usage {
    fn read(item: &Item) -> Result<Self> {
        let text = |name| Ok::<_, BackendError>(text(item, name)?.map(str::to_owned));
        let expires_at: Option<u128> = number(item, EXPIRES_AT)?;
        Ok(Self {
            identifier: text(IDENTIFIER)?.unwrap_or_default(),
            window_time: text(WINDOW_TIME)?.unwrap_or_default(),
            count: number(item, COUNT)?.unwrap_or_default(),
            limit: number(item, LIMIT)?,
            capacity: number(item, CAPACITY)?,
            expires_at: expires_at.map(|at| Timestamp::from_secs(u64::try_from(at).unwrap_or(u64::MAX))),
            created_at: time(item, CREATED_AT)?,
            updated_at: time(item, UPDATED_AT)?,
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

/// The counters that an index leads to, page by page. Requests are sent as the stream is polled,
/// and none before.
///
/// It is a [`Stream`] for the combinators of `futures`; [`next`](Self::next) needs none of these.
/// The stream ends after a failed request. An item that cannot be read is an error in its place,
/// and the other items follow.
#[must_use = "streams do nothing unless polled"]
pub struct UsageStream(BoxStream<'static, Result<Usage>>);

impl UsageStream {
    /// Returns the next counter, or `None` at the end.
    pub async fn next(&mut self) -> Option<Result<Usage>> {
        self.0.next().await
    }
}

impl Stream for UsageStream {
    type Item = Result<Usage>;

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
/// Finds the counters of a tenant, a user, an address or a key, in a table that was created with
/// the [`Index`]. The order has no meaning. Counters that have expired by `now` are left out,
/// whether or not TTL has deleted them.
///
/// Indexes project keys only, because an index that holds counts would cost a write for every hit.
/// So each hundred counters take two requests: a `Query` of the index, and a `BatchGetItem` of the
/// table. The query is eventually consistent, so a counter created a moment ago may be missing; the
/// batch is consistent. They cost one or two read units for the keys, and one for each counter,
/// expired ones included. The policy must allow `dynamodb:Query` on the index and
/// `dynamodb:BatchGetItem` on the table.
///
/// These requests use the client's own deadlines and retries, not those of a decision.
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
/// [`Invalid`](BackendError::Invalid) if the table does not have the index, or if it is still being
/// filled. It is also the error for the empty string, which no index contains.
/// [`MissingTable`](BackendError::MissingTable) if the table does not exist.
/// [`Throttled`](BackendError::Throttled) if DynamoDB repeatedly leaves keys unprocessed.
/// [`Corrupt`](BackendError::Corrupt) for an item that is not in the documented format. Other
/// errors as for any request.
impl DynamoDbBackend {
    /// Returns the counters of keys with this tenant, through `gsi-tenant`.
    pub fn usage_by_tenant(&self, tenant: impl Into<String>, now: Timestamp) -> UsageStream {
        self.usage(Index::Tenant, tenant.into(), now)
    }

    /// Returns the counters of keys with this user, through `gsi-user`: of every tenant that has a
    /// user of this name.
    pub fn usage_by_user(&self, user: impl Into<String>, now: Timestamp) -> UsageStream {
        self.usage(Index::User, user.into(), now)
    }

    /// Returns the counters of keys with this address, through `gsi-ip`. An IPv4-mapped IPv6
    /// address counts as the IPv4 address, as in a [`Key`].
    pub fn usage_by_ip(&self, address: impl Into<IpAddr>, now: Timestamp) -> UsageStream {
        self.usage(Index::Ip, address.into().to_canonical().to_string(), now)
    }

    /// Returns the counters of this key in all namespaces and windows, through `gsi-bucket`. The
    /// index contains only keys with a tenant, a user or an address.
    pub fn usage_by_bucket<'a>(&self, key: impl Into<Key<'a>>, now: Timestamp) -> UsageStream {
        self.usage(Index::Bucket, key.into().as_str().to_owned(), now)
    }

    fn usage(&self, index: Index, value: String, now: Timestamp) -> UsageStream {
        let pages = Pages { client: Arc::clone(&self.client), index, value, next_page: NextPage::First };
        let items = try_unfold(pages, |mut pages| async {
            let Some(keys) = pages.next().await? else { return Ok(None) };
            let items = if keys.is_empty() { Vec::new() } else { items(&pages.client, keys).await? };
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
}

/// Returns the items with these keys, except those that no longer exist.
async fn items(client: &Client, mut keys: Vec<Item>) -> Result<Vec<Item>> {
    let mut items = Vec::with_capacity(keys.len());
    for round in 0..MAX_ROUNDS {
        if round > 0 {
            client.sleep((FIRST_PAUSE * (1 << (round - 1))).mul_f64(fastrand::f64())).await;
        }
        let (found, unprocessed) = client.read_items_by_own_retries(keys).await?;
        items.extend(found);
        keys = unprocessed;
        if keys.is_empty() {
            return Ok(items);
        }
    }
    let table = &client.settings.table;
    Err(BackendError::throttled(format!(
        "the table `{table}` returns only some of the items; try again later"
    )))
}

/// Where the next page of an index begins.
enum NextPage {
    First,
    After(Item),
    /// There is none.
    End,
}

/// The pages of an index.
struct Pages {
    client: Arc<Client>,
    index: Index,
    value: String,
    next_page: NextPage,
}

impl Pages {
    /// Returns the keys on the next page, or `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<Item>>> {
        let after = match std::mem::replace(&mut self.next_page, NextPage::End) {
            NextPage::First if self.value.is_empty() => {
                return Err(BackendError::invalid("no index contains the empty string; use another value"));
            }
            NextPage::First => None,
            NextPage::After(key) => Some(key),
            NextPage::End => return Ok(None),
        };
        let request = QueryInputBuilder::default()
            .index_name(self.index.name())
            .key_condition_expression("#attribute = :value")
            .expression_attribute_names("#attribute", self.index.attribute())
            .expression_attribute_values(":value", AttributeValue::S(self.value.clone()))
            .limit(PAGE_SIZE)
            .set_exclusive_start_key(after);
        let output = self.client.query(request).await.map_err(|error| self.query_error(error))?;
        if let Some(key) = output.last_evaluated_key.filter(|key| !key.is_empty()) {
            self.next_page = NextPage::After(key);
        }
        let keys = output.items.unwrap_or_default().into_iter().map(|mut item| {
            item.retain(|name, _| name == IDENTIFIER || name == WINDOW_TIME);
            item
        });
        Ok(Some(keys.collect()))
    }

    fn query_error(&self, error: SdkError<QueryError>) -> BackendError {
        let table = &self.client.settings.table;
        let is_about_index = error.code() == Some("ValidationException")
            && error.message().is_some_and(|message| message.contains("index"));
        if !is_about_index {
            return backend_error(error, table);
        }
        let message = format!(
            "the table `{table}` has no index `{name}`, or the index is still being filled; create the table with it \
             (`indexes`, `create_tables`), or add it on `{attribute}` and `{WINDOW_TIME}` (S), projecting keys only",
            name = self.index.name(),
            attribute = self.index.attribute(),
        );
        BackendError::Invalid(Cause::with_source(message, error))
    }
}
