//! The embedded server, called without HTTP.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use dynoxide::types::{Item, item_size, write_capacity_units};
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A DynamoDB in memory. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Emulator {
    database: Database,
    /// The tables with point-in-time recovery, which the database knows nothing of.
    recoverable: Arc<Mutex<HashSet<String>>>,
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    /// The capacity units that the request is billed, whether or not it asked for them: those of a failed condition
    /// too, which DynamoDB bills (by the item's size, at least one) and does not report.
    pub(crate) units: Option<f64>,
}

impl Answer {
    /// An error as it is on the wire: `kind` is its full `__type`.
    pub(crate) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self { status, body: json!({ "__type": kind, "message": message }), units: None }
    }
}

impl Emulator {
    pub(crate) fn new() -> Self {
        Self::over(Database::memory().expect("SQLite opens a database in memory"))
    }

    /// The same tables as a server that was given this database.
    pub(crate) fn over(database: Database) -> Self {
        Self { database, recoverable: Arc::default() }
    }

    /// To be served over TCP as well, or to be looked into.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Runs one operation (`"UpdateItem"`) on its request's body.
    pub(crate) fn call(&self, operation: &str, request: &Value) -> Answer {
        let mut request = request.clone();
        let metering = Metering::of(operation, &mut request);
        let mut answer = match self.dispatch(operation, &request) {
            Ok(body) => Answer { status: 200, body, units: None },
            Err(error) => Answer {
                status: error.status_code(),
                body: serde_json::from_str(&error.to_json()).expect("an error's body is JSON"),
                units: None,
            },
        };
        metering.take_out(&mut answer);
        answer
    }

    fn dispatch(&self, operation: &str, request: &Value) -> dynoxide::Result<Value> {
        let db = &self.database;
        // As the server reads it: by text, since some of its readers look at how a value was written.
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

    /// A stand-in, for the database has none: remembers what was asked for.
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

/// A request, as the server gets it.
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
        let answer = operation(request)?;
        serde_json::to_value(&answer)
            .map_err(|error| DynoxideError::InternalServerError(format!("no JSON of an answer: {error}")))
    }

    /// The server's own mapping is private to it: this one gets the kind right, and the message nearly so.
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

/// Asks for capacity and for the old item of a failed condition, where the request did not, to bill it; the answer
/// does not show it.
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
        let mut ask = |what: &str, value: &str| {
            let unasked = matches!(request[what].as_str(), None | Some("NONE"));
            if unasked {
                request[what] = value.into();
            }
            unasked
        };
        metering.hide_capacity = ask("ReturnConsumedCapacity", "TOTAL");
        if Self::CONDITIONAL.contains(&operation) {
            metering.hide_item = ask("ReturnValuesOnConditionCheckFailure", "ALL_OLD");
        }
        metering
    }

    fn take_out(self, answer: &mut Answer) {
        if self.operation.is_none() {
            return;
        }
        let Value::Object(body) = &mut answer.body else { return };
        if answer.status == 200 {
            answer.units = body.get("ConsumedCapacity").and_then(capacity_units);
            if self.hide_capacity {
                body.remove("ConsumedCapacity");
            }
        } else if body["__type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("#ConditionalCheckFailedException"))
        {
            let old = body.get("Item").and_then(|item| serde_json::from_str::<Item>(&item.to_string()).ok());
            answer.units = Some(old.map_or(1.0, |item| write_capacity_units(item_size(&item))));
            if self.hide_item {
                body.remove("Item");
            }
        }
    }
}

/// The sum over tables, of which a batch can name several.
pub(crate) fn capacity_units(consumed: &Value) -> Option<f64> {
    match consumed {
        Value::Array(tables) => tables.iter().map(capacity_units).sum(),
        table => table["CapacityUnits"].as_f64(),
    }
}
