//! Claims: one request for each operation.
//!
//! An owner's token makes a repeated request harmless, so claims need no coalescing and no slots.
//! An owner that finds its own token in the item knows that its earlier request was applied.

mod expressions;
mod item;
mod json;
mod record;

use std::sync::Arc;

use aws_sdk_dynamodb::types::ReturnValue;
use limited_core::{
    Acquisition, BackendError, ClaimKey, ClaimRequest, Completion, FinishResult, Grant, LeaseStatus, Owner,
    Record, Result, StoredResult, Timestamp,
};

use self::item::ClaimItem;
use self::record::{Status, StoredClaim};
use crate::client::{Client, UpdateError, UpdateOutcome};
use crate::expression::Update;
use crate::item_size::{ItemSize, omission_of_rejected};

/// The claims of a table.
#[derive(Clone)]
pub(crate) struct Claims {
    client: Arc<Client>,
}

impl Claims {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    pub(crate) async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        let item = ClaimItem::of(key);
        let tenant = tenant(key, request.metadata.tenant);
        ItemSize::of_claim(item.bytes(), tenant, &request.metadata).check()?;
        let update = expressions::claim(request, tenant, now);
        let outcome = self.write(&item, update, ReturnValue::UpdatedNew).await;
        let old = match outcome.map_err(UpdateError::into_inner)? {
            UpdateOutcome::Applied(new) => {
                let fencing_token = record::fencing_token(&new)?;
                return Ok(Acquisition::Acquired(Grant { fencing_token, expires_at: request.expires_at }));
            }
            UpdateOutcome::ConditionFailed(Some(old)) => StoredClaim(old),
            // The condition holds for an absent item, so there is one, and the server does not
            // return it.
            UpdateOutcome::ConditionFailed(None) => self.read(&item).await?.ok_or_else(contradiction)?,
        };
        match old.record(now)? {
            Some(Record::InProgress(held)) if old.is_of(request.owner) => Ok(Acquisition::Acquired(Grant {
                fencing_token: held.fencing_token,
                expires_at: held.expires_at,
            })),
            Some(record) => Ok(Acquisition::Held(record)),
            None if old.is_of(request.owner) => Err(BackendError::invalid(
                "this owner has released the key, or let its claim expire; use a new owner for each claim",
            )),
            None => Err(contradiction()),
        }
    }

    pub(crate) async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        let item = ClaimItem::of(key);
        let tenant = tenant(key, completion.metadata.tenant);
        let size = ItemSize::of_claim(item.bytes(), tenant, &completion.metadata);
        let write = async |result: &StoredResult| {
            self.write(&item, expressions::finish(completion, result, now), ReturnValue::None).await
        };
        let mut omission = size.omission(&completion.result);
        let mut outcome = write(omission.as_ref().unwrap_or(&completion.result)).await;
        if omission.is_none() && outcome.as_ref().is_err_and(|error| error.is_item_too_large) {
            // The item holds more than what the claim has brought.
            let rejected = omission_of_rejected(&completion.result);
            outcome = write(&rejected).await;
            omission = Some(rejected);
        }
        let old = match outcome.map_err(UpdateError::into_inner)? {
            UpdateOutcome::Applied(_) => return Ok(finish_result(omission, &completion.result)),
            UpdateOutcome::ConditionFailed(old) => old.map(StoredClaim),
        };
        if let Some(old) = &old
            && old.is_of(completion.owner)
            && let Some(stored) = old.result_finished_at(now)?
        {
            return Ok(finish_result(Some(stored), &completion.result));
        }
        Ok(FinishResult::Lost(record_instead(old, now)?))
    }

    pub(crate) async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let old = match self.change(key, expressions::renew(owner, expires_at, now)).await? {
            UpdateOutcome::Applied(_) => return Ok(LeaseStatus::Owned),
            UpdateOutcome::ConditionFailed(old) => old.map(StoredClaim),
        };
        let is_own = old.as_ref().is_some_and(|old| old.is_of(owner));
        match record_instead(old, now)? {
            Some(Record::InProgress(held)) if is_own && held.expires_at >= expires_at => {
                Ok(LeaseStatus::Owned)
            }
            Some(Record::InProgress(_)) if is_own => Err(contradiction()),
            record => Ok(LeaseStatus::Lost(record)),
        }
    }

    pub(crate) async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let old = match self.change(key, expressions::release(owner, now)).await? {
            UpdateOutcome::Applied(_) => return Ok(LeaseStatus::Owned),
            UpdateOutcome::ConditionFailed(old) => old.map(StoredClaim),
        };
        if let Some(old) = &old
            && old.is_of(owner)
            && !old.has_expired(now)?
            && old.status()? == Status::Failed
        {
            return Ok(LeaseStatus::Owned);
        }
        Ok(LeaseStatus::Lost(record_instead(old, now)?))
    }

    pub(crate) async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        record_instead(self.read(&ClaimItem::of(key)).await?, now)
    }

    pub(crate) async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        // If the condition fails, there is no item.
        self.change(key, expressions::forget(now)).await.map(drop)
    }

    async fn read(&self, item: &ClaimItem) -> Result<Option<StoredClaim>> {
        let table = &self.client.settings.idempotency_table;
        Ok(self.client.get_item(table, item.attributes()).await?.map(StoredClaim))
    }

    async fn change(&self, key: &ClaimKey<'_>, update: Update) -> Result<UpdateOutcome> {
        self.write(&ClaimItem::of(key), update, ReturnValue::None).await.map_err(UpdateError::into_inner)
    }

    async fn write(
        &self,
        item: &ClaimItem,
        update: Update,
        return_values: ReturnValue,
    ) -> Result<UpdateOutcome, UpdateError> {
        let table = &self.client.settings.idempotency_table;
        self.client.update_item(table, item.attributes(), update, return_values).await
    }
}

/// Returns the tenant that the caller named, or else that of the key. An index accepts no empty
/// string.
fn tenant<'a>(key: &ClaimKey<'a>, named: Option<&'a str>) -> Option<&'a str> {
    let of_key = || key.dimensions().and_then(|dimensions| dimensions.tenant.as_deref());
    named.filter(|tenant| !tenant.is_empty()).or_else(of_key).filter(|tenant| !tenant.is_empty())
}

/// Returns the record that is there instead of the owner's claim, if any.
fn record_instead(old: Option<StoredClaim>, now: Timestamp) -> Result<Option<Record>> {
    old.map_or(Ok(None), |old| old.record(now))
}

/// Returns the result of `finish`, if the record contains `stored` instead of the caller's result.
fn finish_result(stored: Option<StoredResult>, result: &StoredResult) -> FinishResult {
    match (stored, result) {
        // The caller itself omitted the result, and that is what is stored.
        (_, StoredResult::Omitted { .. }) => FinishResult::Stored,
        (Some(StoredResult::Omitted { reason }), _) => FinishResult::Omitted { reason },
        _ => FinishResult::Stored,
    }
}

fn contradiction() -> BackendError {
    BackendError::Corrupt("the record of the claim contradicts the condition that failed for it".into())
}
