//! Requests to DynamoDB, with the deadlines and retries of a decision, and told to whoever listens what they cost.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use limited_core::BackendError;

use crate::attributes::Item;
use crate::backend::Shared;
use crate::capacity::Operation;
use crate::error::backend_error;
use crate::expression::Update;

impl Shared {
    /// Reads an item, consistently.
    pub(crate) async fn get_item(&self, table: &str, key: Item) -> Result<Option<Item>, BackendError> {
        let request = self.client.get_item().table_name(table).set_key(Some(key));
        let request = request.consistent_read(true).set_return_consumed_capacity(self.wanted_capacity());
        let answer = request.customize().config_override(self.overrides.clone()).send().await;
        let answer = answer.map_err(|error| backend_error(error, table))?;
        self.consumed(table, Operation::GetItem, answer.consumed_capacity());
        Ok(answer.item)
    }

    /// Writes an item. A failed condition brings the item as it is.
    pub(crate) async fn update_item(
        &self,
        table: &str,
        key: Item,
        update: Update,
        wanted: ReturnValue,
    ) -> Result<UpdateItemOutput, SdkError<UpdateItemError>> {
        let request = self
            .client
            .update_item()
            .table_name(table)
            .set_key(Some(key))
            .update_expression(update.expression())
            .condition_expression(update.condition())
            .set_expression_attribute_names(Some(update.names))
            .set_expression_attribute_values((!update.values.is_empty()).then_some(update.values))
            .set_return_consumed_capacity(self.wanted_capacity())
            .return_values(wanted)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let answer = request.customize().config_override(self.overrides.clone()).send().await;
        match &answer {
            Ok(output) => self.consumed(table, Operation::UpdateItem, output.consumed_capacity()),
            Err(error) => {
                if let Some(UpdateItemError::ConditionalCheckFailedException(failed)) =
                    error.as_service_error()
                {
                    self.consumed_in_vain(table, Operation::UpdateItem, failed.item());
                }
            }
        }
        answer
    }
}
