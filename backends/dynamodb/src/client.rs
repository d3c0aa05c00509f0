//! The SDK's client: every request to DynamoDB is sent here.
//!
//! Requests of decisions and claims override the client's deadlines and retries; those of tables
//! and usage do not. The consumed capacity of each data request is reported to the observer.

use std::time::Duration;

use aws_sdk_dynamodb::Client as SdkClient;
use aws_sdk_dynamodb::config::Builder as Overrides;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableInputBuilder;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::query::builders::QueryInputBuilder;
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_continuous_backups::UpdateContinuousBackupsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    CancellationReason, ConditionCheck, ConsumedCapacity, KeysAndAttributes,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TableDescription, TimeToLiveSpecification, TimeToLiveStatus,
    TransactWriteItem, Update as TransactUpdate,
};
use aws_smithy_async::rt::sleep::{AsyncSleep, default_async_sleep};
use limited_core::{BackendError, Cause, Result};

use crate::attributes::{EXPIRES_AT, Item};
use crate::capacity::{CapacityObserver, Consumed, Operation};
use crate::error::{backend_error, reason_error};
use crate::expression::Update;
use crate::format::WindowTimeFormat;
use crate::index::{ClaimIndex, Index};
use crate::item_size::write_units;
use crate::layout::Layout;

/// The settings of a backend.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) table: String,
    pub(crate) idempotency_table: String,
    pub(crate) layout: Layout,
    pub(crate) format: WindowTimeFormat,
    pub(crate) max_clock_skew: Duration,
    pub(crate) operation_timeout: Duration,
    pub(crate) indexes: Vec<Index>,
    pub(crate) claim_indexes: Vec<ClaimIndex>,
    pub(crate) point_in_time_recovery: bool,
    pub(crate) capacity_observer: Option<CapacityObserver>,
}

/// Sends requests.
pub(crate) struct Client {
    pub(crate) sdk: SdkClient,
    pub(crate) settings: Settings,
    /// The deadlines and retries of decisions, whatever those of the SDK's client are.
    overrides: Overrides,
}

/// The outcome of an update that DynamoDB accepted.
pub(crate) enum UpdateOutcome {
    /// The update was applied. The requested attributes.
    Applied(Item),
    /// The condition failed. The item as it is; `None` if there is none, or if the server does not
    /// support `ReturnValuesOnConditionCheckFailure`.
    ConditionFailed(Option<Item>),
}

/// One item of a transaction: its key, and the update or the condition alone.
pub(crate) struct TransactedItem {
    pub(crate) key: Item,
    /// Without `set` and `remove`, the transaction checks the condition alone.
    pub(crate) update: Update,
}

/// The outcome of a transaction.
pub(crate) enum TransactionOutcome {
    /// All updates were applied.
    Applied,
    /// None was. Why, for each item.
    Canceled(Vec<Canceled>),
}

/// Why one item cancelled a transaction.
#[derive(Debug)]
pub(crate) enum Canceled {
    /// It did not.
    Not,
    /// Its condition failed. The item as it is; `None` if there is none, or if the server does not
    /// support `ReturnValuesOnConditionCheckFailure`.
    ConditionFailed(Option<Item>),
    /// Another write to it was in progress, or it is throttled. Trying again may help.
    Busy(BackendError),
    /// Any other reason.
    Failed(BackendError),
}

/// The error of an update.
pub(crate) struct UpdateError {
    error: BackendError,
    /// Whether DynamoDB rejected the update because the item would be too large.
    pub(crate) is_item_too_large: bool,
}

impl UpdateError {
    fn new(error: SdkError<UpdateItemError>, table: &str) -> Self {
        let is_item_too_large = error.code() == Some("ValidationException")
            && error.message().is_some_and(|message| message.contains("Item size"));
        Self { error: backend_error(error, table), is_item_too_large }
    }

    pub(crate) fn into_inner(self) -> BackendError {
        self.error
    }
}

impl Client {
    pub(crate) fn new(sdk: SdkClient, settings: Settings, overrides: Overrides) -> Self {
        Self { sdk, settings, overrides }
    }

    /// Reads an item, consistently.
    pub(crate) async fn get_item(&self, table: &str, key: Item) -> Result<Option<Item>> {
        let request = self
            .sdk
            .get_item()
            .table_name(table)
            .set_key(Some(key))
            .consistent_read(true)
            .set_return_consumed_capacity(self.return_capacity());
        let response = request.customize().config_override(self.overrides.clone()).send().await;
        let output = response.map_err(|error| backend_error(error, table))?;
        self.record_capacity(table, Operation::GetItem, output.consumed_capacity());
        Ok(output.item)
    }

    /// Writes an item, and returns the attributes that `return_values` names.
    pub(crate) async fn update_item(
        &self,
        table: &str,
        key: Item,
        update: Update,
        return_values: ReturnValue,
    ) -> Result<UpdateOutcome, UpdateError> {
        let request = self
            .sdk
            .update_item()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(update.expression())
            .condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values((!update.values.is_empty()).then_some(update.values))
            .set_return_consumed_capacity(self.return_capacity())
            .return_values(return_values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.customize().config_override(self.overrides.clone()).send().await {
            Ok(output) => {
                self.record_capacity(table, Operation::UpdateItem, output.consumed_capacity());
                Ok(UpdateOutcome::Applied(output.attributes.unwrap_or_default()))
            }
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                let item = match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                self.record_failed_write(table, Operation::UpdateItem, item.as_ref());
                Ok(UpdateOutcome::ConditionFailed(item))
            }
            Err(error) => Err(UpdateError::new(error, table)),
        }
    }

    /// Writes several items, all or none.
    ///
    /// The SDK repeats the request with one token, and DynamoDB applies a token once within ten
    /// minutes.
    pub(crate) async fn transact_write_items(
        &self,
        table: &str,
        items: Vec<TransactedItem>,
    ) -> Result<TransactionOutcome> {
        let sizes = items.len();
        let items: Result<Vec<_>> = items.into_iter().map(|item| transact_item(table, item)).collect();
        let token = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let request = self
            .sdk
            .transact_write_items()
            .set_transact_items(Some(items?))
            .client_request_token(token)
            .set_return_consumed_capacity(self.return_capacity());
        match request.customize().config_override(self.overrides.clone()).send().await {
            Ok(output) => {
                self.record_capacity(table, Operation::TransactWriteItems, output.consumed_capacity());
                Ok(TransactionOutcome::Applied)
            }
            Err(SdkError::ServiceError(error)) if error.err().is_transaction_canceled_exception() => {
                let TransactWriteItemsError::TransactionCanceledException(error) = error.into_err() else {
                    return Err(unexplained());
                };
                let message = error.message.unwrap_or_default();
                let reasons = error.cancellation_reasons.unwrap_or_default();
                if reasons.len() != sizes {
                    return Err(unexplained());
                }
                let reasons: Vec<_> =
                    reasons.into_iter().map(|reason| canceled(reason, &message, table)).collect();
                self.record_canceled(table, &reasons);
                Ok(TransactionOutcome::Canceled(reasons))
            }
            Err(error) => Err(backend_error(error, table)),
        }
    }

    /// Reads items of the table of rate limits consistently, each for itself. Returns those that
    /// exist, and the keys that DynamoDB has not processed.
    pub(crate) async fn read_items(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>)> {
        self.batch_get_item(keys, Some(self.overrides.clone())).await
    }

    /// [`read_items`](Self::read_items) with the deadlines and retries of the client that the user
    /// passed.
    pub(crate) async fn read_items_by_own_retries(&self, keys: Vec<Item>) -> Result<(Vec<Item>, Vec<Item>)> {
        self.batch_get_item(keys, None).await
    }

    async fn batch_get_item(
        &self,
        keys: Vec<Item>,
        overrides: Option<Overrides>,
    ) -> Result<(Vec<Item>, Vec<Item>)> {
        let table = &self.settings.table;
        let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        let request = self
            .sdk
            .batch_get_item()
            .request_items(table, keys.build().map_err(build_error)?)
            .set_return_consumed_capacity(self.return_capacity());
        let mut request = request.customize();
        if let Some(overrides) = overrides {
            request = request.config_override(overrides);
        }
        let output = request.send().await.map_err(|error| backend_error(error, table))?;
        self.record_capacity(table, Operation::BatchGetItem, output.consumed_capacity());
        let items = output.responses.unwrap_or_default().into_values().flatten().collect();
        let unprocessed = output.unprocessed_keys.unwrap_or_default();
        Ok((items, unprocessed.into_values().flat_map(|keys| keys.keys).collect()))
    }

    /// Deletes an item, if it exists and meets the condition, which may be empty.
    pub(crate) async fn delete_item(&self, table: &str, key: Item, condition: Update) -> Result<()> {
        let mut request = self
            .sdk
            .delete_item()
            .table_name(table)
            .set_key(Some(key))
            .set_return_consumed_capacity(self.return_capacity());
        if !condition.conditions.is_empty() {
            request = request
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
                .condition_expression(condition.condition())
                .set_expression_attribute_names(Some(condition.names))
                .set_expression_attribute_values(Some(condition.values));
        }
        match request.customize().config_override(self.overrides.clone()).send().await {
            Ok(output) => {
                self.record_capacity(table, Operation::DeleteItem, output.consumed_capacity());
                Ok(())
            }
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(failed)) => {
                    self.record_failed_write(table, Operation::DeleteItem, failed.item());
                    Ok(())
                }
                _ => Err(backend_error(error, table)),
            },
        }
    }

    /// Reads a page of an index of the table of rate limits, with the client's own deadlines and
    /// retries.
    pub(crate) async fn query(
        &self,
        request: QueryInputBuilder,
    ) -> Result<QueryOutput, SdkError<QueryError>> {
        let table = &self.settings.table;
        let request = request.table_name(table).set_return_consumed_capacity(self.return_capacity());
        let output = request.send_with(&self.sdk).await?;
        self.record_capacity(table, Operation::Query, output.consumed_capacity());
        Ok(output)
    }

    /// Creates a table, unless it exists.
    pub(crate) async fn create_table(&self, table: &str, request: CreateTableInputBuilder) -> Result<()> {
        match request.table_name(table).send_with(&self.sdk).await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(CreateTableError::ResourceInUseException(_)) => Ok(()),
                _ => Err(backend_error(error, table)),
            },
        }
    }

    /// Describes a table. Returns `None` if it does not exist.
    pub(crate) async fn describe_table(&self, table: &str) -> Result<Option<TableDescription>> {
        match self.sdk.describe_table().table_name(table).send().await {
            Ok(output) => Ok(output.table),
            Err(error) => match backend_error(error, table) {
                BackendError::MissingTable(_) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Returns whether a table deletes its items by `ExpiresAt`, or is about to.
    pub(crate) async fn has_time_to_live(&self, table: &str) -> Result<bool> {
        let response = self.sdk.describe_time_to_live().table_name(table).send().await;
        let output = response.map_err(|error| backend_error(error, table))?;
        let enabled = [Some(&TimeToLiveStatus::Enabled), Some(&TimeToLiveStatus::Enabling)];
        Ok(output.time_to_live_description.is_some_and(|description| {
            enabled.contains(&description.time_to_live_status())
                && description.attribute_name() == Some(EXPIRES_AT)
        }))
    }

    /// Lets a table delete its items by `ExpiresAt`, unless it already does.
    pub(crate) async fn enable_time_to_live(&self, table: &str) -> Result<()> {
        if self.has_time_to_live(table).await? {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder().enabled(true).attribute_name(EXPIRES_AT);
        let request = self
            .sdk
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(specification.build().map_err(build_error)?);
        match request.send().await {
            Ok(_) => Ok(()),
            // Another process enabled it in the meantime.
            Err(error) if error.message().is_some_and(|message| message.contains("already enabled")) => {
                Ok(())
            }
            Err(error) => Err(backend_error(error, table)),
        }
    }

    /// Returns whether a table has point-in-time recovery.
    pub(crate) async fn has_point_in_time_recovery(&self, table: &str) -> Result<bool> {
        let response = self.sdk.describe_continuous_backups().table_name(table).send().await;
        let output = response.map_err(|error| backend_error(error, table))?;
        let recovery =
            output.continuous_backups_description.and_then(|it| it.point_in_time_recovery_description);
        let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
        Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
    }

    /// Enables point-in-time recovery. Returns the error in `Ok` if the table has no continuous
    /// backups yet, as just after its creation.
    pub(crate) async fn enable_point_in_time_recovery(&self, table: &str) -> Result<Option<BackendError>> {
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
        let request = self
            .sdk
            .update_continuous_backups()
            .table_name(table)
            .point_in_time_recovery_specification(recovery.build().map_err(build_error)?);
        let Err(error) = request.send().await else { return Ok(None) };
        let is_early = error
            .as_service_error()
            .is_some_and(UpdateContinuousBackupsError::is_continuous_backups_unavailable_exception);
        let error = backend_error(error, table);
        if is_early { Ok(Some(error)) } else { Err(error) }
    }

    /// Sleeps by the means that the client uses for its own retries. A client that was configured
    /// by hand may have none, and the SDK's default is used then.
    pub(crate) async fn sleep(&self, duration: Duration) {
        if let Some(sleep) = self.sdk.config().sleep_impl().or_else(default_async_sleep) {
            sleep.sleep(duration).await;
        }
    }

    /// Returns what a request asks about its capacity: nothing without an observer.
    fn return_capacity(&self) -> Option<ReturnConsumedCapacity> {
        self.settings.capacity_observer.as_ref().map(|_| ReturnConsumedCapacity::Total)
    }

    /// Reports the capacity that the response to a request contains.
    fn record_capacity<'a>(
        &self,
        table: &str,
        operation: Operation,
        capacities: impl IntoIterator<Item = &'a ConsumedCapacity>,
    ) {
        if let Some(observer) = &self.settings.capacity_observer {
            for units in capacities.into_iter().filter_map(ConsumedCapacity::capacity_units) {
                observer.observe(&Consumed { operation, units, is_estimated: false, table });
            }
        }
    }

    /// Reports the estimated cost of a transaction that was cancelled: two units for each started
    /// kilobyte of each item.
    fn record_canceled(&self, table: &str, reasons: &[Canceled]) {
        if let Some(observer) = &self.settings.capacity_observer {
            let units = reasons.iter().map(|reason| match reason {
                Canceled::ConditionFailed(item) => 2 * write_units(item.as_ref()),
                _ => 2,
            });
            let units = f64::from(units.sum::<u32>());
            let operation = Operation::TransactWriteItems;
            observer.observe(&Consumed { operation, units, is_estimated: true, table });
        }
    }

    /// Reports the estimated cost of a write whose condition failed: the size of the item that it
    /// left as it was.
    fn record_failed_write(&self, table: &str, operation: Operation, item: Option<&Item>) {
        if let Some(observer) = &self.settings.capacity_observer {
            let units = f64::from(write_units(item));
            observer.observe(&Consumed { operation, units, is_estimated: true, table });
        }
    }
}

fn transact_item(table: &str, item: TransactedItem) -> Result<TransactWriteItem> {
    let TransactedItem { key, update } = item;
    let (expression, condition) = (update.expression(), update.condition());
    let values = (!update.values.is_empty()).then_some(update.values);
    let old = ReturnValuesOnConditionCheckFailure::AllOld;
    let builder = TransactWriteItem::builder();
    Ok(if expression.is_empty() {
        let check = ConditionCheck::builder()
            .table_name(table)
            .set_key(Some(key))
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(old);
        builder.condition_check(check.build().map_err(build_error)?).build()
    } else {
        let update = TransactUpdate::builder()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(expression)
            .condition_expression(condition)
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(old);
        builder.update(update.build().map_err(build_error)?).build()
    })
}

fn canceled(reason: CancellationReason, message: &str, table: &str) -> Canceled {
    match reason.code.as_deref() {
        None | Some("None") => Canceled::Not,
        Some("ConditionalCheckFailed") => Canceled::ConditionFailed(reason.item),
        Some(code) => {
            let error = reason_error(code, reason.message.as_deref().unwrap_or(message), table);
            match error {
                BackendError::Throttled(_) => Canceled::Busy(error),
                _ => Canceled::Failed(error),
            }
        }
    }
}

/// Returns the error for a cancelled transaction whose reasons are missing.
fn unexplained() -> BackendError {
    BackendError::Other("DynamoDB cancelled the transaction and did not report a reason for each item".into())
}

/// Returns the error for a request of which a part is missing.
pub(crate) fn build_error(error: BuildError) -> BackendError {
    BackendError::Other(Cause::with_source("the request could not be built", error))
}
