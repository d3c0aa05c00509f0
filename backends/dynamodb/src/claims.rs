//! Claims: one request each, whatever comes of it.
//!
//! An owner's token makes a repeated request harmless, so that claims need neither lanes nor slots: who finds its own
//! token in the item knows what became of the request before.

mod expressions;
mod json;
mod record;
mod size;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimRequest, Completion, FinishResult, Grant, LeaseStatus, Owner,
    Record, StoredResult, Timestamp,
};

use self::record::{Status, Stored};
use self::size::Rest;
use crate::attributes::{IDEMPOTENCY_KEY, Item, SK};
use crate::backend::Shared;
use crate::error::backend_error;
use crate::expression::Update;
use crate::item::ClaimItem;

/// What came of a write.
enum Outcome {
    /// It is applied. What it set, where that was asked for.
    Written(Item),
    /// Its condition did not hold for what is there.
    Refused(Option<Stored>),
}

impl Shared {
    pub(crate) async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition, BackendError> {
        let item = ClaimItem::of(key);
        let tenant = tenant(key, request.metadata.tenant);
        Rest::of(&item, tenant, &request.metadata).check()?;
        let update = expressions::claim(request, tenant, now);
        let old = match self.write_claim(&item, update, ReturnValue::UpdatedNew).await {
            Ok(Outcome::Written(new)) => {
                let fencing_token = record::fencing_token(&new)?;
                return Ok(Acquisition::Acquired(Grant { fencing_token, expires_at: request.expires_at }));
            }
            Ok(Outcome::Refused(Some(old))) => old,
            // There is an item, and the server does not show it.
            Ok(Outcome::Refused(None)) => self.read_claim(&item).await?.ok_or_else(contradiction)?,
            Err(error) => return Err(self.claim_error(error)),
        };
        let record = old.live(now)?;
        match record {
            Some(Record::InProgress(held)) if old.is_of(request.owner) => Ok(Acquisition::Acquired(Grant {
                fencing_token: held.fencing_token,
                expires_at: held.expires_at,
            })),
            Some(record) => Ok(Acquisition::Held(record)),
            None if old.is_of(request.owner) => Err(BackendError::invalid(
                "this owner has claimed the key before, and given it up or let it expire: each claim takes a new owner",
            )),
            None => Err(contradiction()),
        }
    }

    pub(crate) async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult, BackendError> {
        let item = ClaimItem::of(key);
        let rest = Rest::of(&item, tenant(key, completion.metadata.tenant), &completion.metadata);
        let mut left_out = rest.left_out(&completion.result);
        let mut answer = self.write_finished(&item, completion, left_out.as_ref(), now).await;
        if left_out.is_none() && answer.as_ref().is_err_and(is_too_large) {
            // There is more in the item than the claim has brought.
            left_out = Some(size::left_out(&completion.result));
            answer = self.write_finished(&item, completion, left_out.as_ref(), now).await;
        }
        let old = match answer.map_err(|error| self.claim_error(error))? {
            Outcome::Written(_) => return Ok(recorded(left_out, &completion.result)),
            Outcome::Refused(old) => old,
        };
        if let Some(old) = &old
            && old.is_of(completion.owner)
            && let Some(finished) = old.finished_by(now)?
        {
            return Ok(recorded(Some(finished), &completion.result));
        }
        Ok(FinishResult::Lost(lost(old, now)?))
    }

    pub(crate) async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let old = match self.change_claim(key, expressions::renew(owner, expires_at, now)).await? {
            Outcome::Written(_) => return Ok(LeaseStatus::Owned),
            Outcome::Refused(old) => old,
        };
        let own = old.as_ref().is_some_and(|old| old.is_of(owner));
        match lost(old, now)? {
            Some(Record::InProgress(held)) if own && held.expires_at >= expires_at => Ok(LeaseStatus::Owned),
            Some(Record::InProgress(_)) if own => Err(contradiction()),
            record => Ok(LeaseStatus::Lost(record)),
        }
    }

    pub(crate) async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus, BackendError> {
        let old = match self.change_claim(key, expressions::release(owner, now)).await? {
            Outcome::Written(_) => return Ok(LeaseStatus::Owned),
            Outcome::Refused(old) => old,
        };
        if let Some(old) = &old
            && old.is_of(owner)
            && !old.has_expired(now)?
            && old.status()? == Status::Failed
        {
            return Ok(LeaseStatus::Owned);
        }
        Ok(LeaseStatus::Lost(lost(old, now)?))
    }

    pub(crate) async fn find(
        &self,
        key: &ClaimKey<'_>,
        now: Timestamp,
    ) -> Result<Option<Record>, BackendError> {
        lost(self.read_claim(&ClaimItem::of(key)).await?, now)
    }

    pub(crate) async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<(), BackendError> {
        // Where it is refused, nothing is there.
        self.change_claim(key, expressions::forget(now)).await.map(drop)
    }

    async fn read_claim(&self, item: &ClaimItem) -> Result<Option<Stored>, BackendError> {
        let item = self.get_item(&self.settings.idempotency_table, key_of(item)).await?;
        Ok(item.map(Stored))
    }

    async fn write_finished(
        &self,
        item: &ClaimItem,
        completion: &Completion<'_>,
        instead: Option<&StoredResult>,
        now: Timestamp,
    ) -> Result<Outcome, SdkError<UpdateItemError>> {
        let result = instead.unwrap_or(&completion.result);
        let update = expressions::finish(completion, result, now);
        self.write_claim(item, update, ReturnValue::None).await
    }

    async fn change_claim(&self, key: &ClaimKey<'_>, update: Update) -> Result<Outcome, BackendError> {
        let answer = self.write_claim(&ClaimItem::of(key), update, ReturnValue::None).await;
        answer.map_err(|error| self.claim_error(error))
    }

    async fn write_claim(
        &self,
        item: &ClaimItem,
        update: Update,
        wanted: ReturnValue,
    ) -> Result<Outcome, SdkError<UpdateItemError>> {
        match self.update_item(&self.settings.idempotency_table, key_of(item), update, wanted).await {
            Ok(output) => Ok(Outcome::Written(output.attributes.unwrap_or_default())),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => {
                        Ok(Outcome::Refused(failed.item.map(Stored)))
                    }
                    _ => Ok(Outcome::Refused(None)),
                }
            }
            Err(error) => Err(error),
        }
    }

    fn claim_error(&self, error: SdkError<UpdateItemError>) -> BackendError {
        backend_error(error, &self.settings.idempotency_table)
    }
}

/// For whom it is: as the caller says, or else as the key was composed. An index takes no empty string.
fn tenant<'a>(key: &ClaimKey<'a>, named: Option<&'a str>) -> Option<&'a str> {
    let of_key = || key.dimensions().and_then(|dimensions| dimensions.tenant.as_deref());
    named.filter(|tenant| !tenant.is_empty()).or_else(of_key).filter(|tenant| !tenant.is_empty())
}

/// What there is instead of the claim.
fn lost(old: Option<Stored>, now: Timestamp) -> Result<Option<Record>, BackendError> {
    old.map_or(Ok(None), |old| old.live(now))
}

/// What to answer where `stored` is in the record instead of the result, if anything is.
fn recorded(stored: Option<StoredResult>, result: &StoredResult) -> FinishResult {
    match (stored, result) {
        // What could not be kept before it came here is kept as that.
        (_, StoredResult::Omitted { .. }) => FinishResult::Stored,
        (Some(StoredResult::Omitted { reason }), _) => FinishResult::Omitted { reason },
        _ => FinishResult::Stored,
    }
}

/// Whether DynamoDB refuses a write since the item has no room for it.
fn is_too_large(error: &SdkError<UpdateItemError>) -> bool {
    error.code() == Some("ValidationException")
        && error.message().is_some_and(|message| message.contains("Item size"))
}

fn contradiction() -> BackendError {
    BackendError::Corrupt("the record of the claim does not fit the condition that it failed".into())
}

fn key_of(item: &ClaimItem) -> Item {
    Item::from([
        (IDEMPOTENCY_KEY.to_owned(), AttributeValue::S(item.idempotency_key.clone())),
        (SK.to_owned(), AttributeValue::S(item.kind.to_owned())),
    ])
}
