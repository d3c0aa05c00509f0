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
use crate::attributes::Item;
use crate::client::{Client, UpdateError, UpdateOutcome};
use crate::expression::Update;
use crate::item_size::{ItemSize, omission_of_rejected};

/// How often an operation is tried if the record changes between its write and the read after it.
const MAX_ROUNDS: usize = 4;

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
        for _ in 0..MAX_ROUNDS {
            let update = expressions::claim(request, tenant, now);
            let outcome = self.write(&item, update, ReturnValue::UpdatedNew).await;
            let found = match outcome.map_err(UpdateError::into_inner)? {
                UpdateOutcome::Applied(new) => {
                    let fencing_token = record::fencing_token(&new)?;
                    return Ok(Acquisition::Acquired(Grant {
                        fencing_token,
                        expires_at: request.expires_at,
                    }));
                }
                UpdateOutcome::ConditionFailed(old) => self.found(&item, old).await?,
            };
            match found.record(now)? {
                Some(Record::InProgress(held)) if found.is_of(request.owner) => {
                    let (fencing_token, expires_at) = (held.fencing_token, held.expires_at);
                    return Ok(Acquisition::Acquired(Grant { fencing_token, expires_at }));
                }
                Some(record) => return Ok(Acquisition::Held(record)),
                None if found.is_of(request.owner) => {
                    return Err(BackendError::invalid(
                        "this owner has released the key, or let its claim expire; use a new owner for each claim",
                    ));
                }
                None => found.check_changed()?,
            }
        }
        Err(contended())
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
        for _ in 0..MAX_ROUNDS {
            let mut outcome = write(omission.as_ref().unwrap_or(&completion.result)).await;
            if omission.is_none() && outcome.as_ref().is_err_and(|error| error.is_item_too_large) {
                // The item holds more than what the claim has brought.
                let rejected = omission_of_rejected(&completion.result);
                outcome = write(&rejected).await;
                omission = Some(rejected);
            }
            let found = match outcome.map_err(UpdateError::into_inner)? {
                UpdateOutcome::Applied(_) => return Ok(finish_result(omission, &completion.result)),
                UpdateOutcome::ConditionFailed(old) => self.found(&item, old).await?,
            };
            let is_own = found.is_of(completion.owner);
            if is_own
                && let Some(old) = &found.claim
                && let Some(stored) = old.result_finished_at(now)?
            {
                return Ok(finish_result(Some(stored), &completion.result));
            }
            match found.record(now)? {
                Some(Record::InProgress(_)) if is_own => found.check_changed()?,
                record => return Ok(FinishResult::Lost(record)),
            }
        }
        Err(contended())
    }

    pub(crate) async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let item = ClaimItem::of(key);
        for _ in 0..MAX_ROUNDS {
            let found = match self.change(&item, expressions::renew(owner, expires_at, now)).await? {
                UpdateOutcome::Applied(_) => return Ok(LeaseStatus::Owned),
                UpdateOutcome::ConditionFailed(old) => self.found(&item, old).await?,
            };
            match found.record(now)? {
                Some(Record::InProgress(held)) if found.is_of(owner) => {
                    if held.expires_at >= expires_at {
                        return Ok(LeaseStatus::Owned);
                    }
                    found.check_changed()?;
                }
                record => return Ok(LeaseStatus::Lost(record)),
            }
        }
        Err(contended())
    }

    pub(crate) async fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        let item = ClaimItem::of(key);
        for _ in 0..MAX_ROUNDS {
            let found = match self.change(&item, expressions::release(owner, now)).await? {
                UpdateOutcome::Applied(_) => return Ok(LeaseStatus::Owned),
                UpdateOutcome::ConditionFailed(old) => self.found(&item, old).await?,
            };
            let is_own = found.is_of(owner);
            if is_own
                && let Some(old) = &found.claim
                && !old.has_expired(now)?
                && old.status()? == Status::Failed
            {
                return Ok(LeaseStatus::Owned);
            }
            match found.record(now)? {
                Some(Record::InProgress(_)) if is_own => found.check_changed()?,
                record => return Ok(LeaseStatus::Lost(record)),
            }
        }
        Err(contended())
    }

    pub(crate) async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        self.read(&ClaimItem::of(key)).await?.map_or(Ok(None), |claim| claim.record(now))
    }

    pub(crate) async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        // If the condition fails, there is no item.
        self.change(&ClaimItem::of(key), expressions::forget(now)).await.map(drop)
    }

    async fn read(&self, item: &ClaimItem) -> Result<Option<StoredClaim>> {
        let table = &self.client.settings.idempotency_table;
        Ok(self.client.get_item(table, item.attributes()).await?.map(StoredClaim))
    }

    /// Returns what a failed condition has found.
    ///
    /// If the server has returned no item, there is none, or the server is one that never returns
    /// it. Only a read can distinguish them.
    async fn found(&self, item: &ClaimItem, old: Option<Item>) -> Result<Found> {
        match old {
            Some(old) => Ok(Found { claim: Some(StoredClaim(old)), is_exact: true }),
            None => Ok(Found { claim: self.read(item).await?, is_exact: false }),
        }
    }

    async fn change(&self, item: &ClaimItem, update: Update) -> Result<UpdateOutcome> {
        self.write(item, update, ReturnValue::None).await.map_err(UpdateError::into_inner)
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

/// What a failed condition has found.
struct Found {
    claim: Option<StoredClaim>,
    /// Whether this is the item for which the condition failed. Otherwise it was read afterwards,
    /// and others may have changed it in between.
    is_exact: bool,
}

impl Found {
    /// Returns the record; `None` if the key is free.
    fn record(&self, now: Timestamp) -> Result<Option<Record>> {
        self.claim.as_ref().map_or(Ok(None), |claim| claim.record(now))
    }

    fn is_of(&self, owner: Owner) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.is_of(owner))
    }

    /// Returns `Ok` if the condition may hold by now, so that the write can be repeated.
    ///
    /// # Errors
    ///
    /// [`Corrupt`](BackendError::Corrupt) if the condition failed for exactly this record, although
    /// it holds for it.
    fn check_changed(&self) -> Result<()> {
        if self.is_exact {
            return Err(BackendError::Corrupt(
                "the record of the claim contradicts the condition that failed for it".into(),
            ));
        }
        Ok(())
    }
}

/// Returns the tenant that the caller named, or else that of the key. An index accepts no empty
/// string.
fn tenant<'a>(key: &ClaimKey<'a>, named: Option<&'a str>) -> Option<&'a str> {
    let of_key = || key.dimensions().and_then(|dimensions| dimensions.tenant.as_deref());
    named.filter(|tenant| !tenant.is_empty()).or_else(of_key).filter(|tenant| !tenant.is_empty())
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

fn contended() -> BackendError {
    BackendError::throttled(
        "other owners changed the record of the claim between each attempt to write it and the read after it; \
         try again later",
    )
}
