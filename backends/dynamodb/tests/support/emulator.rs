//! The embedded server, called without HTTP.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use dynoxide::types::{Item, item_size, write_capacity_units};
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A DynamoDB in memory. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Emulator {
    database: Database,
    /// The tables with point-in-time recovery, which the database does not implement.
    recoverable: Arc<Mutex<HashSet<String>>>,
}

/// The response of the server.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The capacity units that the request is billed, whether or not it requested them. They
    /// include those of a failed condition, which DynamoDB bills by the item's size (at least one)
    /// and does not report.
    pub(crate) units: Option<f64>,
}

impl Response {
    /// Creates an error. `kind` is its full `__type`.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self { status, body: json!({ "__type": kind, "message": message }), units: None }
    }
}

impl Emulator {
    pub(crate) fn new() -> Self {
        let database = Database::memory().expect("SQLite opens a database in memory");
        Self { database, recoverable: Arc::default() }
    }

    /// Runs an operation (`"UpdateItem"`) with the body of its request.
    pub(crate) fn call(&self, operation: &str, request: &Value) -> Response {
        let mut request = request.clone();
        let metering = Metering::of(operation, &mut request);
        let mut response = match self.dispatch(operation, &request) {
            Ok(body) => Response { status: 200, body, units: None },
            Err(error) => Response {
                status: error.status_code(),
                body: serde_json::from_str(&error.to_json()).expect("an error's body is JSON"),
                units: None,
            },
        };
        metering.apply(&mut response);
        response
    }

    fn dispatch(&self, operation: &str, request: &Value) -> dynoxide::Result<Value> {
        let db = &self.database;
        // From text, as the server does: some of its deserializers depend on how a value was
        // written.
        let body = Body { operation, text: request.to_string() };
        match operation {
            "UpdateItem" => body.run(|request| db.update_item(request)),
            "GetItem" => body.run(|request| db.get_item(request)),
            "PutItem" => body.run(|request| db.put_item(request)),
            "DeleteItem" => body.run(|request| db.delete_item(request)),
            "Query" => body.run(|request| db.query(request)),
            "Scan" => body.run(|request| db.scan(request)),
            "BatchGetItem" => body.run(|request| db.batch_get_item(request)),
            "BatchWriteItem" => body.run(|request| db.batch_write_item(request)),
            "TransactWriteItems" => body.run(|request| db.transact_write_items(request)),
            "TransactGetItems" => body.run(|request| db.transact_get_items(request)),
            "CreateTable" => body.run(|request| db.create_table(request)),
            "DescribeTable" => body.run(|request| db.describe_table(request)),
            "UpdateTable" => body.run(|request| db.update_table(request)),
            "DeleteTable" => body.run(|request| db.delete_table(request)),
            "ListTables" => body.run(|request| db.list_tables(request)),
            "UpdateTimeToLive" => body.run(|request| db.update_time_to_live(request)),
            "DescribeTimeToLive" => body.run(|request| db.describe_time_to_live(request)),
            "UpdateContinuousBackups" | "DescribeContinuousBackups" => self.continuous_backups(request),
            _ => Err(DynoxideError::UnsupportedCapability(operation.to_owned())),
        }
    }

    /// A substitute, because the database has none: remembers what was requested.
    fn continuous_backups(&self, request: &Value) -> dynoxide::Result<Value> {
        let table = request["TableName"].as_str().unwrap_or_default();
        if self.database.get_table_metadata(table)?.is_none() {
            return Err(DynoxideError::ResourceNotFoundException(format!("Table not found: {table}")));
        }
        let mut recoverable = self.recoverable.lock().unwrap();
        match request["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"].as_bool() {
            Some(true) => drop(recoverable.insert(table.to_owned())),
            Some(false) => drop(recoverable.remove(table)),
            None => {}
        }
        let status = if recoverable.contains(table) { "ENABLED" } else { "DISABLED" };
        Ok(json!({ "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": status },
        }}))
    }
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emulator")
    }
}

/// The body of a request.
struct Body<'a> {
    operation: &'a str,
    text: String,
}

impl Body<'_> {
    fn run<Q: DeserializeOwned, A: Serialize>(
        &self,
        operation: impl FnOnce(Q) -> dynoxide::Result<A>,
    ) -> dynoxide::Result<Value> {
        let request = serde_json::from_str(&self.text).map_err(|error| self.unreadable(&error))?;
        let response = operation(request)?;
        serde_json::to_value(&response)
            .map_err(|error| DynoxideError::InternalServerError(format!("response without JSON: {error}")))
    }

    /// Maps a deserialization error as the server does. Its own mapping is private; this one has
    /// the same kinds, and nearly the same messages.
    fn unreadable(&self, error: &serde_json::Error) -> DynoxideError {
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
        if let Some(message) = message.strip_prefix("SERIALIZATION:") {
            return DynoxideError::SerializationException(message.to_owned());
        }
        if let Some(message) = message.strip_prefix("VALIDATION_REQUEST:") {
            return DynoxideError::ValidationException(match self.operation {
                "PutItem" | "UpdateItem" | "DeleteItem" => format!("1 validation error detected: {message}"),
                _ => message.to_owned(),
            });
        }
        if let Some(message) = message.strip_prefix("VALIDATION:") {
            return DynoxideError::ValidationException(message.to_owned());
        }
        let validation = ["missing field", "unknown variant", "invalid type: null", "AttributeValue"];
        if validation.iter().any(|sign| message.contains(sign)) {
            DynoxideError::ValidationException(message.to_owned())
        } else {
            DynoxideError::SerializationException(message.to_owned())
        }
    }
}

/// Bills a request. Requests the capacity, and the old item of a failed condition, and removes them
/// from the response if the client did not request them.
struct Metering {
    operation: Option<&'static str>,
    hide_capacity: bool,
    hide_item: bool,
}

impl Metering {
    const METERED: [&str; 10] = [
        "UpdateItem",
        "PutItem",
        "DeleteItem",
        "GetItem",
        "Query",
        "Scan",
        "BatchGetItem",
        "BatchWriteItem",
        "TransactWriteItems",
        "TransactGetItems",
    ];
    const CONDITIONAL: [&str; 3] = ["UpdateItem", "PutItem", "DeleteItem"];

    fn of(operation: &str, request: &mut Value) -> Self {
        let mut metering = Self {
            operation: Self::METERED.into_iter().find(|metered| *metered == operation),
            hide_capacity: false,
            hide_item: false,
        };
        if metering.operation.is_none() {
            return metering;
        }
        let mut request_also = |what: &str, value: &str| {
            let hide = matches!(request[what].as_str(), None | Some("NONE"));
            if hide {
                request[what] = value.into();
            }
            hide
        };
        metering.hide_capacity = request_also("ReturnConsumedCapacity", "TOTAL");
        if Self::CONDITIONAL.contains(&operation) {
            metering.hide_item = request_also("ReturnValuesOnConditionCheckFailure", "ALL_OLD");
        }
        metering
    }

    fn apply(self, response: &mut Response) {
        if self.operation.is_none() {
            return;
        }
        let Value::Object(body) = &mut response.body else { return };
        if response.status == 200 {
            response.units = body.get("ConsumedCapacity").and_then(capacity_units);
            if self.hide_capacity {
                body.remove("ConsumedCapacity");
            }
        } else if body["__type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("#ConditionalCheckFailedException"))
        {
            let old = body.get("Item").and_then(|item| serde_json::from_str::<Item>(&item.to_string()).ok());
            response.units = Some(old.map_or(1.0, |item| write_capacity_units(item_size(&item))));
            if self.hide_item {
                body.remove("Item");
            }
        }
    }
}

/// Returns the sum over the tables of a batch.
fn capacity_units(consumed: &Value) -> Option<f64> {
    match consumed {
        Value::Array(tables) => tables.iter().map(capacity_units).sum(),
        table => table["CapacityUnits"].as_f64(),
    }
}
