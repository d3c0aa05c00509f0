//! Records of calls: what the mock was asked, and what it returned.

use limited_core::{
    Acquisition, BackendError, BucketQuota, ClaimKind, ClaimRequest, Completion, CounterState, FinishResult,
    Hit, LeaseStatus, Operation, Owner, Record, Refund, Result, Timestamp, Window, WindowId,
};

use crate::request::{ClaimOp, CounterHit, CounterOp, Request};
use crate::response::Response;

/// One call of a mock: the request and its result.
///
/// ```
/// # use limited_core::{Backend, Counter, Hit, Key, Timestamp, Window, WindowLength};
/// # use limited_mock::{MockBackend, Operation};
/// # let mock = MockBackend::new();
/// # let key = Key::from("user:7");
/// # let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
/// # let counter = Counter::new("", &key, window)?;
/// # pollster::block_on(async {
/// mock.increment(&counter, &Hit::new(2, 5), Timestamp::from_secs(3)).await?;
///
/// let call = &mock.calls()[0];
/// assert_eq!(call.operation(), Operation::Increment);
/// assert_eq!((call.key(), call.window()), ("user:7", Some(window)));
/// assert_eq!(call.hit(), Some(Hit::new(2, 5)));
/// assert_eq!(call.now(), Timestamp::from_secs(3));
/// assert_eq!(call.counter_state().map(|state| state.value), Some(2));
/// # Ok::<(), limited_core::BackendError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    request: Request,
    now: Timestamp,
    result: Result<Response>,
}

/// One of the [hits](Call::hits) of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallHit<'a> {
    /// The namespace of the counter.
    pub namespace: &'a str,
    /// The rendered key of the counter.
    pub key: &'a str,
    /// The window of the counter.
    pub window: Window,
    /// The hit. The ceiling of a sliding one is that of the caller.
    pub hit: Hit<'a>,
    /// The quota, if the window is a bucket.
    pub bucket: Option<BucketQuota>,
    /// Whether the counter [slides](limited_core::Counter::is_sliding).
    pub is_sliding: bool,
}

/// # The request
impl Call {
    pub(crate) const fn new(request: Request, now: Timestamp, result: Result<Response>) -> Self {
        Self { request, now, result }
    }

    /// Returns the operation.
    pub const fn operation(&self) -> Operation {
        self.request.operation()
    }

    /// Returns the namespace of the counter or claim; of [several hits](Self::hits), that of the
    /// first.
    pub fn namespace(&self) -> &str {
        self.request.namespace()
    }

    /// Returns the rendered key of the counter or claim; of [several hits](Self::hits), that of the
    /// first.
    pub fn key(&self) -> &str {
        self.request.key()
    }

    /// Returns the time that the caller gave.
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}

/// # The request to a counter
impl Call {
    /// Returns the window of the counter; `None` for a claim and for several hits.
    pub const fn window(&self) -> Option<Window> {
        match &self.request {
            Request::Counter(id, _) => Some(id.window),
            Request::Counters(_) | Request::Claim(..) => None,
        }
    }

    /// Returns the hits of an [`increment_all`](limited_core::Backend::increment_all), in the order
    /// of the caller. Empty for other operations.
    pub fn hits(&self) -> Vec<CallHit<'_>> {
        fn call_hit(hit: &CounterHit) -> CallHit<'_> {
            let CounterHit { id, bucket, is_sliding, .. } = hit;
            CallHit {
                namespace: &id.namespace,
                key: &id.key,
                window: id.window,
                hit: hit.hit(),
                bucket: *bucket,
                is_sliding: *is_sliding,
            }
        }
        let Request::Counters(hits) = &self.request else { return Vec::new() };
        hits.iter().map(call_hit).collect()
    }

    /// Returns the refund; `None` for other operations.
    pub const fn refund(&self) -> Option<Refund> {
        match &self.request {
            Request::Counter(_, CounterOp::Refund { refund, .. }) => Some(*refund),
            _ => None,
        }
    }

    /// Returns the hit of an increment; `None` for other operations and for [several
    /// hits](Self::hits). The ceiling of a sliding hit is already lowered by the previous window.
    pub fn hit(&self) -> Option<Hit<'_>> {
        match &self.request {
            Request::Counter(_, CounterOp::Increment { hit, metadata, .. }) => {
                Some(Hit { metadata: metadata.as_deref(), ..*hit })
            }
            _ => None,
        }
    }

    /// Returns the quota of an increment, a refund or a read of a bucket; `None` for other windows
    /// and operations. Its limit is the unit of the [`hit`](Self::hit).
    pub const fn bucket(&self) -> Option<BucketQuota> {
        match &self.request {
            Request::Counter(
                _,
                CounterOp::Increment { bucket, .. }
                | CounterOp::Refund { bucket, .. }
                | CounterOp::Get { bucket },
            ) => *bucket,
            _ => None,
        }
    }

    /// Returns the window id that a reset named; `None` if it named none, and for other operations.
    /// The id of an increment is in its [`hit`](Self::hit).
    pub const fn window_id(&self) -> Option<WindowId> {
        match &self.request {
            Request::Counter(_, CounterOp::Reset { window }) => *window,
            _ => None,
        }
    }
}

/// # The request to a claim
impl Call {
    /// Returns the kind of claim; `None` for a counter.
    pub const fn kind(&self) -> Option<ClaimKind> {
        match &self.request {
            Request::Claim(id, _) => Some(id.kind),
            Request::Counter(..) | Request::Counters(_) => None,
        }
    }

    /// Returns the owner that claimed, finished, renewed or released; `None` for other operations.
    pub const fn owner(&self) -> Option<Owner> {
        match &self.request {
            Request::Claim(
                _,
                ClaimOp::Claim { request: ClaimRequest { owner, .. }, .. }
                | ClaimOp::Finish { completion: Completion { owner, .. }, .. }
                | ClaimOp::Renew { owner, .. }
                | ClaimOp::Release { owner },
            ) => Some(*owner),
            _ => None,
        }
    }

    /// Returns the end of the lease that a claim or a renewal requested; `None` for other
    /// operations.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match &self.request {
            Request::Claim(
                _,
                ClaimOp::Claim { request: ClaimRequest { expires_at, .. }, .. }
                | ClaimOp::Renew { expires_at, .. },
            ) => Some(*expires_at),
            _ => None,
        }
    }

    /// Returns the request of a claim; `None` for other operations.
    pub fn claim_request(&self) -> Option<ClaimRequest<'_>> {
        match &self.request {
            Request::Claim(_, ClaimOp::Claim { request, metadata }) => {
                Some(request.with_metadata(metadata.borrow()))
            }
            _ => None,
        }
    }

    /// Returns the completion that `finish` got; `None` for other operations.
    pub fn completion(&self) -> Option<Completion<'_>> {
        match &self.request {
            Request::Claim(_, ClaimOp::Finish { completion, metadata }) => {
                Some(completion.clone().with_metadata(metadata.borrow()))
            }
            _ => None,
        }
    }
}

/// # The result
///
/// Each method returns `None` for operations that return something else, and if the caller got an
/// error.
impl Call {
    /// Returns the state that the caller of an increment, a refund or a read got.
    pub fn counter_state(&self) -> Option<&CounterState> {
        if let Ok(Response::CounterState(state)) = &self.result { Some(state) } else { None }
    }

    /// Returns the states that the caller of several hits got.
    pub fn counter_states(&self) -> Option<&[CounterState]> {
        if let Ok(Response::CounterStates(states)) = &self.result { Some(states) } else { None }
    }

    /// Returns the result of a claim.
    pub fn acquisition(&self) -> Option<&Acquisition> {
        if let Ok(Response::Acquisition(acquisition)) = &self.result { Some(acquisition) } else { None }
    }

    /// Returns the result of `finish`.
    pub fn finish_result(&self) -> Option<&FinishResult> {
        if let Ok(Response::FinishResult(result)) = &self.result { Some(result) } else { None }
    }

    /// Returns the result of a renewal or a release.
    pub fn lease_status(&self) -> Option<&LeaseStatus> {
        if let Ok(Response::LeaseStatus(status)) = &self.result { Some(status) } else { None }
    }

    /// Returns the record that `find` found; `None` also if there was none.
    pub fn record(&self) -> Option<&Record> {
        if let Ok(Response::Record(record)) = &self.result { record.as_ref() } else { None }
    }

    /// Returns the error that the caller got; `None` if the call succeeded.
    pub fn error(&self) -> Option<&BackendError> {
        self.result.as_ref().err()
    }

    /// Returns whether the caller got the confirmation that its hit was counted, or all of several
    /// hits.
    pub fn is_counted(&self) -> bool {
        match &self.result {
            Ok(Response::CounterState(state)) => state.counted && self.refund().is_none(),
            Ok(Response::CounterStates(states)) => states.iter().all(|state| state.counted),
            _ => false,
        }
    }

    /// Returns whether the caller got the confirmation that it acquired the key.
    pub fn is_acquired(&self) -> bool {
        matches!(self.acquisition(), Some(Acquisition::Acquired(_)))
    }
}

#[cfg(test)]
mod tests {
    use limited_core::{Counter, Key, WindowLength};

    use super::*;

    #[test]
    fn call_returns_the_hit_unchanged() {
        let key = Key::from("user");
        let window = Window::FromFirstHit { length: WindowLength::HOUR };
        let counter = Counter::new("ns", &key, window).unwrap();
        let hit = Hit::new(3, 9).with_floor(2).with_window_meta(WindowId(7), Some("from 192.0.2.1"));
        let state = CounterState::new(true, 5);
        let request = Request::counter(&counter, CounterOp::increment(None, &hit));
        let call = Call::new(request, Timestamp::EPOCH, Ok(Response::CounterState(state.clone())));
        assert_eq!(call.hit(), Some(hit));
        assert_eq!(call.window_id(), None);
        assert_eq!(call.counter_state(), Some(&state));
        assert!(call.is_counted() && call.error().is_none());
    }

    #[test]
    fn reset_has_a_window_id_and_no_state() {
        let key = Key::from("user");
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::HOUR);
        let counter = Counter::new("", &key, window).unwrap();
        let request = Request::counter(&counter, CounterOp::Reset { window: Some(WindowId(7)) });
        let call = Call::new(request, Timestamp::EPOCH, Ok(Response::Done));
        assert_eq!(call.operation(), Operation::Reset);
        assert_eq!(call.window_id(), Some(WindowId(7)));
        assert_eq!((call.hit(), call.counter_state()), (None, None));
        assert!(call.error().is_none());
    }
}
