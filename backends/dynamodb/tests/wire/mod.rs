//! A wire without sockets: the SDK's requests are answered by the embedded emulator, recorded, and lost where a test
//! wants it. Under tokio's paused clock, delays and backoff pass in virtual time.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use limited_dynamodb::{DynamoDbBackend, DynamoDbBackendBuilder};
use serde_json::{Value, json};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered.
    None,
    /// It is turned away with this status and code.
    Refuse(u16, &'static str),
    /// It arrives so late, and is applied then, whether or not anybody still waits.
    ArriveLate(Duration),
    /// It is applied, and the answer comes so late.
    AnswerLate(Duration),
    /// The connection is cut before the request arrives.
    CutBefore,
    /// It is applied, and the connection cut before the answer.
    CutAfter,
    /// It is applied, and half of the answer comes.
    Truncate,
    /// It never arrives, and nothing comes.
    Hang,
    /// It is applied, and no answer ever comes.
    HangAfter,
}

/// A request, as it went over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) operation: String,
    pub(crate) body: Value,
    /// The status and body of the answer that the server gave, if the request reached it.
    pub(crate) answer: Option<(u16, Value)>,
}

impl Request {
    /// Whether it was a write that the server carried out.
    pub(crate) fn is_applied(&self) -> bool {
        self.operation == "UpdateItem" && self.answer.as_ref().is_some_and(|(status, _)| *status == 200)
    }

    /// A number among the values of its expressions.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.body["ExpressionAttributeValues"][name]["N"].as_str()?.parse().ok()
    }
}

#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

struct Inner {
    database: Database,
    latency: Mutex<Duration>,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Request>>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            database: Database::memory().unwrap(),
            latency: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
        }))
    }

    /// A client at this end of the wire, with the SDK's own settings.
    pub(crate) fn client(&self) -> Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("local", "local", None, None, "test"))
            .http_client(http_client_fn(move |_, _| connector.clone()));
        Client::from_conf(config.build())
    }

    /// A backend of a writer of its own, over the table `limits`.
    pub(crate) fn builder(&self) -> DynamoDbBackendBuilder {
        DynamoDbBackend::builder(self.client()).table_name("limits")
    }

    /// A backend over the table `limits`, which is made. Nothing is recorded yet.
    pub(crate) async fn backend(&self) -> DynamoDbBackend {
        let backend = self.builder().build();
        backend.create_tables().await.unwrap();
        self.clear();
        backend
    }

    /// Every request takes so long, there and back.
    pub(crate) fn set_latency(&self, latency: Duration) {
        *self.0.latency.lock().unwrap() = latency;
    }

    /// What happens to the next requests, one after the other.
    pub(crate) fn push(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.faults.lock().unwrap().extend(faults);
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.0.faults.lock().unwrap().len()
    }

    pub(crate) fn clear_faults(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.requests.lock().unwrap().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.requests.lock().unwrap().clear();
    }

    /// The operations that went over the wire since it was last cleared.
    pub(crate) fn take_operations(&self) -> Vec<String> {
        let requests = std::mem::take(&mut *self.0.requests.lock().unwrap());
        requests.into_iter().map(|request| request.operation).collect()
    }

    fn apply(&self, operation: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let (status, answer) = match answer(&self.0.database, operation, body) {
            Ok(answer) => (200, answer),
            Err(error) => (error.status_code(), error.to_json().into_bytes()),
        };
        self.0.requests.lock().unwrap().push(Request {
            operation: operation.to_owned(),
            body: serde_json::from_slice(body).unwrap(),
            answer: Some((status, serde_json::from_slice(&answer).unwrap())),
        });
        (status, answer)
    }

    async fn carry(self, operation: String, body: Vec<u8>) -> Result<HttpResponse, ConnectorError> {
        let latency = *self.0.latency.lock().unwrap();
        if latency > Duration::ZERO {
            tokio::time::sleep(latency / 2).await;
        }
        let fault = self.0.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
        let cut = || Err(ConnectorError::io("the connection was cut".into()));
        let unseen = || {
            let body = serde_json::from_slice(&body).unwrap();
            let request = Request { operation: operation.clone(), body, answer: None };
            self.0.requests.lock().unwrap().push(request);
        };
        let (status, answer) = match fault {
            Fault::None => self.apply(&operation, &body),
            Fault::Refuse(status, code) => {
                unseen();
                let kind = format!("com.amazonaws.dynamodb.v20120810#{code}");
                (status, json!({ "__type": kind, "message": "as the test wants" }).to_string().into_bytes())
            }
            Fault::ArriveLate(delay) => {
                let wire = self.clone();
                let late = tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    wire.apply(&operation, &body)
                });
                late.await.map_err(|error| ConnectorError::other(error.into(), None))?
            }
            Fault::AnswerLate(delay) => {
                let answer = self.apply(&operation, &body);
                tokio::time::sleep(delay).await;
                answer
            }
            Fault::CutBefore => {
                unseen();
                return cut();
            }
            Fault::CutAfter => {
                self.apply(&operation, &body);
                return cut();
            }
            Fault::Truncate => {
                let (status, mut answer) = self.apply(&operation, &body);
                answer.truncate(answer.len() / 2);
                (status, answer)
            }
            Fault::Hang => {
                unseen();
                std::future::pending().await
            }
            Fault::HangAfter => {
                self.apply(&operation, &body);
                std::future::pending().await
            }
        };
        if latency > Duration::ZERO {
            tokio::time::sleep(latency / 2).await;
        }
        let mut response = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(answer));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        Ok(response)
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap();
        let operation = target.rsplit('.').next().unwrap().to_owned();
        let body = request.body().bytes().unwrap().to_vec();
        HttpConnectorFuture::new(self.clone().carry(operation, body))
    }
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> Result<Vec<u8>, dynoxide::DynoxideError> {
    macro_rules! dispatch {
        ($($name:literal => $method:ident),+ $(,)?) => {
            match operation {
                $($name => {
                    let request = serde_json::from_slice(body).expect("a request that the emulator reads");
                    serde_json::to_vec(&database.$method(request)?).unwrap()
                })+
                other => panic!("the wire does not know {other}"),
            }
        };
    }
    Ok(dispatch! {
        "UpdateItem" => update_item,
        "GetItem" => get_item,
        "PutItem" => put_item,
        "DeleteItem" => delete_item,
        "Query" => query,
        "BatchGetItem" => batch_get_item,
        "CreateTable" => create_table,
        "DescribeTable" => describe_table,
        "UpdateTimeToLive" => update_time_to_live,
        "DescribeTimeToLive" => describe_time_to_live,
    })
}
