//! An HTTP client for the SDK that calls the embedded server without sockets. Under tokio's paused
//! clock, the SDK's backoff and timeouts run in virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{self, BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::emulator::{Emulator, Response};
use super::fault::Fault;
use super::record::RecordedRequest;

/// A connection to an [`Emulator`] with a configurable latency and injected faults. It records each
/// request.
///
/// Clones are the same wire. Several clients over one wire are several processes with one table.
#[derive(Clone)]
pub(crate) struct Wire(Arc<Inner>);

struct Inner {
    emulator: Emulator,
    state: Mutex<State>,
    /// How many requests have been sent and have not reached the server.
    in_flight: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    latency: Duration,
    next: VecDeque<(Option<String>, Fault)>,
    schedule: Option<Schedule>,
    hides_old_items: bool,
    forgets_tokens: bool,
    requests: Vec<RecordedRequest>,
    /// How many requests were cleared, to find those in flight by their numbers.
    cleared: usize,
}

struct Schedule {
    decide: Box<Decide>,
    number: usize,
}

type Decide = dyn FnMut(&str, usize) -> Fault + Send;

/// Returns a client over the wire, with the SDK's defaults and a separate quota of retries.
pub(crate) fn client(wire: &Wire) -> Client {
    Client::from_conf(config(wire).build())
}

/// Returns the configuration of [`client`], to change retries and timeouts.
pub(crate) fn config(wire: &Wire) -> config::Builder {
    config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_partition(separate_retries())
        .http_client(wire.http_client())
}

/// Returns a separate quota of retries. By default it belongs to the process, and concurrent tests
/// would share it.
pub(crate) fn separate_retries() -> RetryPartition {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    RetryPartition::new(format!("test-{}", MADE.fetch_add(1, Ordering::Relaxed)))
}

impl Wire {
    /// Creates a wire to a new emulator.
    pub(crate) fn new() -> Self {
        let in_flight = watch::Sender::new(0);
        Self(Arc::new(Inner { emulator: Emulator::new(), state: Mutex::default(), in_flight }))
    }

    /// Returns the HTTP client for an SDK client; see [`client`] and [`config`].
    pub(crate) fn http_client(&self) -> SharedHttpClient {
        let wire = self.clone();
        http_client_fn(move |settings, _| {
            let read_timeout = settings.read_timeout();
            SharedHttpConnector::new(Connector { wire: wire.clone(), read_timeout })
        })
    }

    /// Sets the latency of a request and its response together: half of it each way, each rounded
    /// up to a millisecond, as tokio does. Default: zero.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.0.lock().latency = latency;
    }

    /// Lets the next request meet this fault. Several calls queue. Queued faults precede
    /// [`set_faults`](Self::set_faults).
    pub(crate) fn push_fault(&self, fault: Fault) {
        self.0.lock().next.push_back((None, fault));
    }

    /// Lets the next request of an operation (`"UpdateItem"`) meet this fault.
    pub(crate) fn push_fault_on(&self, operation: &str, fault: Fault) {
        self.0.lock().next.push_back((Some(operation.to_owned()), fault));
    }

    /// Sets a function that chooses the fault of each further request by its operation and number,
    /// from 0. See [`drawn`](super::drawn).
    pub(crate) fn set_faults(&self, decide: impl FnMut(&str, usize) -> Fault + Send + 'static) {
        self.0.lock().schedule = Some(Schedule { decide: Box::new(decide), number: 0 });
    }

    /// Lets the server ignore `ReturnValuesOnConditionCheckFailure`, as some servers do: a failed
    /// condition returns no item.
    pub(crate) fn hide_old_items(&self) {
        self.0.lock().hides_old_items = true;
    }

    /// Lets the server ignore the tokens of transactions, as some servers do: a repeated
    /// transaction is a second one.
    pub(crate) fn forget_tokens(&self) {
        self.0.lock().forgets_tokens = true;
    }

    /// Removes all faults. Requests in flight keep theirs.
    pub(crate) fn clear_faults(&self) {
        let mut state = self.0.lock();
        state.next.clear();
        state.schedule = None;
    }

    /// Returns every request since [`clear`](Self::clear), in the order sent.
    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.0.lock().requests.clone()
    }

    /// Returns the fault of each of these requests, and whether the server has run it.
    pub(crate) fn fates(&self) -> Vec<(Fault, bool)> {
        self.0.lock().requests.iter().map(|recorded| (recorded.fault, recorded.reached)).collect()
    }

    /// Returns the number of requests of an operation.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.0.lock().requests.iter().filter(|recorded| recorded.operation == operation).count()
    }

    /// Clears the record.
    pub(crate) fn clear(&self) {
        let mut state = self.0.lock();
        state.cleared += state.requests.len();
        state.requests.clear();
    }

    /// Waits until every request in flight has reached the server, late writes included.
    pub(crate) async fn drained(&self) {
        let mut in_flight = self.0.in_flight.subscribe();
        in_flight.wait_for(|requests| *requests == 0).await.expect("the wire holds the sender");
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    read_timeout: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let inner = self.wire.0.clone();
        let read_timeout = self.read_timeout;
        HttpConnectorFuture::new(async move {
            match read_timeout {
                None => inner.respond(request).await,
                Some(limit) => timeout(limit, inner.respond(request))
                    .await
                    .unwrap_or_else(|elapsed| Err(ConnectorError::timeout(elapsed.into()))),
            }
        })
    }
}

/// A request that was sent.
struct Sent {
    number: usize,
    operation: String,
    body: Value,
}

impl Inner {
    async fn respond(self: Arc<Self>, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let body: Value =
            body.ok_or_else(|| ConnectorError::user("the body of the request is not JSON".into()))?;

        let (sent, fault, latency) = self.lock().send(operation, body);
        let number = sent.number;
        let (mut outbound, mut inbound) = (latency / 2, latency / 2);
        match fault {
            Fault::DelayBefore(delay) => outbound += delay,
            Fault::DelayResponse(delay) => inbound += delay,
            _ => {}
        }
        let response = if fault.is_applied() {
            Some(self.apply(sent, outbound).await)
        } else {
            pause(outbound).await;
            fault.error().inspect(|error| self.fill(number, |recorded| recorded.fill(error)))
        };
        let received = match (fault, response) {
            (Fault::Hang | Fault::HangAfter, _) => std::future::pending().await,
            (Fault::CutBefore | Fault::CutAfter, _) | (_, None) => {
                pause(inbound).await;
                let cut = io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut");
                return Err(ConnectorError::io(cut.into()));
            }
            (_, Some(response)) => response,
        };
        pause(inbound).await;
        let mut text = received.body.to_string().into_bytes();
        if fault == Fault::Truncate {
            text.truncate(text.len() / 2);
        }
        let mut response = http_response(received.status, text, number);
        if let Fault::RetryAfter(.., millis) = fault {
            response.headers_mut().insert("x-amz-retry-after", millis.to_string());
        }
        Ok(response)
    }

    /// Lets the server run the request after a delay, even if the caller is dropped.
    async fn apply(self: &Arc<Self>, sent: Sent, after: Duration) -> Response {
        if after.is_zero() {
            return self.run(&sent);
        }
        let (sender, receiver) = oneshot::channel();
        self.in_flight.send_modify(|requests| *requests += 1);
        let inner = self.clone();
        tokio::spawn(async move {
            sleep(after).await;
            // Fails if the caller has been dropped.
            let _ = sender.send(inner.run(&sent));
            inner.in_flight.send_modify(|requests| *requests -= 1);
        });
        receiver.await.expect("the task runs to its end")
    }

    fn run(&self, sent: &Sent) -> Response {
        let mut body = sent.body.clone();
        let (hides_old_items, forgets_tokens) = {
            let state = self.lock();
            (state.hides_old_items, state.forgets_tokens)
        };
        if hides_old_items {
            hide_old_items(&mut body);
        }
        if forgets_tokens && let Some(body) = body.as_object_mut() {
            body.remove("ClientRequestToken");
        }
        let response = self.emulator.call(&sent.operation, &body);
        self.fill(sent.number, |recorded| {
            recorded.reached = true;
            recorded.fill(&response);
        });
        response
    }

    fn fill(&self, number: usize, fill: impl FnOnce(&mut RecordedRequest)) {
        let mut state = self.lock();
        let index = number.checked_sub(state.cleared);
        if let Some(recorded) = index.and_then(|index| state.requests.get_mut(index)) {
            fill(recorded);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn send(&mut self, operation: String, body: Value) -> (Sent, Fault, Duration) {
        let fault = self.fault(&operation);
        let number = self.cleared + self.requests.len();
        self.requests.push(RecordedRequest::new(operation.clone(), body.clone(), fault));
        (Sent { number, operation, body }, fault, self.latency)
    }

    fn fault(&mut self, operation: &str) -> Fault {
        let matches = |only: &Option<String>| only.as_deref().is_none_or(|only| only == operation);
        if let Some(index) = self.next.iter().position(|(only, _)| matches(only)) {
            return self.next.remove(index).map(|(_, fault)| fault).unwrap_or_default();
        }
        let Some(schedule) = &mut self.schedule else { return Fault::None };
        let number = schedule.number;
        schedule.number += 1;
        (schedule.decide)(operation, number)
    }
}

/// Removes the request for old items: of a write, and of each write of a transaction.
fn hide_old_items(body: &mut Value) {
    let Some(fields) = body.as_object_mut() else { return };
    fields.remove("ReturnValuesOnConditionCheckFailure");
    for writes in fields.get_mut("TransactItems").and_then(Value::as_array_mut).into_iter().flatten() {
        writes.as_object_mut().into_iter().flat_map(|write| write.values_mut()).for_each(hide_old_items);
    }
}

fn http_response(status: u16, body: Vec<u8>, number: usize) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status has three digits");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    let headers = response.headers_mut();
    headers.insert("content-type", "application/x-amz-json-1.0");
    headers.insert("x-amzn-requestid", format!("{number:052}"));
    response
}

/// Sleeps, unless for zero, which would still advance the paused clock.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}
