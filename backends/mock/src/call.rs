//! What a mock was asked, and what it answered.

use limited_core::{
    Acquisition, BackendError, ClaimKind, ClaimMetadata, ClaimRequest, Completion, CounterState,
    FinishResult, Hit, LeaseStatus, Owner, Record, Timestamp, Window, WindowId,
};

use crate::Operation;
use crate::answer::Answer;
use crate::operation::{OfClaim, OfCounter, Request};

/// One call that a mock answered: what it was asked, and what the caller got.
///
/// ```
/// # use limited_core::{Counter, Hit, ImmediateBackend, Key, Timestamp, Window, WindowLength};
/// # use limited_mock::{MockBackend, Operation};
/// # let mock = MockBackend::new();
/// # let key = Key::from("user:7");
/// # let window = Window::aligned(Timestamp::EPOCH, WindowLength::MINUTE);
/// # let counter = Counter::new("", &key, window)?;
/// mock.increment_now(&counter, &Hit::new(2, 5), Timestamp::from_secs(3))?;
///
/// let call = &mock.calls()[0];
/// assert_eq!(call.operation(), Operation::Increment);
/// assert_eq!((call.key(), call.window()), ("user:7", Some(window)));
/// assert_eq!(call.hit(), Some(Hit::new(2, 5)));
/// assert_eq!(call.now(), Timestamp::from_secs(3));
/// assert_eq!(call.tally().map(|tally| tally.value), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    operation: Operation,
    namespace: String,
    key: String,
    asked: Asked,
    now: Timestamp,
    outcome: Result<Answer, BackendError>,
}

/// A [`Request`] that owns what it refers to, apart from namespace and key.
#[derive(Clone, Debug)]
enum Asked {
    OfCounter(Window, CounterAsked),
    OfClaim(ClaimKind, ClaimAsked),
}

#[derive(Clone, Debug)]
enum CounterAsked {
    Increment { hit: Hit<'static>, metadata: Option<String> },
    Get,
    Reset { window_id: Option<WindowId> },
}

#[derive(Clone, Debug)]
enum ClaimAsked {
    Claim { request: ClaimRequest<'static>, metadata: OwnedMetadata },
    Finish { completion: Completion<'static>, metadata: OwnedMetadata },
    Renew { owner: Owner, expires_at: Timestamp },
    Release { owner: Owner },
    Find,
    Forget,
}

/// [`ClaimMetadata`] that own their texts.
#[derive(Clone, Debug)]
struct OwnedMetadata {
    function_name: Option<String>,
    tenant: Option<String>,
    request: Option<String>,
}

impl Call {
    pub(crate) fn new(request: Request<'_>, now: Timestamp, outcome: Result<Answer, BackendError>) -> Self {
        let (namespace, key, asked) = match request {
            Request::OfCounter(counter, request) => {
                (counter.namespace(), counter.key(), Asked::OfCounter(counter.window(), request.into()))
            }
            Request::OfClaim(key, request) => {
                (key.namespace(), key.key(), Asked::OfClaim(key.kind(), request.into()))
            }
        };
        Self {
            operation: request.operation(),
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            asked,
            now,
            outcome,
        }
    }
}

impl From<OfCounter<'_>> for CounterAsked {
    fn from(request: OfCounter<'_>) -> Self {
        match request {
            OfCounter::Increment(&Hit { cost, floor, ceiling, window_id, metadata }) => Self::Increment {
                hit: Hit { cost, floor, ceiling, window_id, metadata: None },
                metadata: metadata.map(Into::into),
            },
            OfCounter::Get => Self::Get,
            OfCounter::Reset(window_id) => Self::Reset { window_id },
        }
    }
}

impl From<OfClaim<'_>> for ClaimAsked {
    fn from(request: OfClaim<'_>) -> Self {
        match request {
            OfClaim::Claim(&ClaimRequest { owner, expires_at, request_hash, metadata }) => Self::Claim {
                request: ClaimRequest { owner, expires_at, request_hash, metadata: ClaimMetadata::default() },
                metadata: metadata.into(),
            },
            OfClaim::Finish(completion) => {
                let Completion { owner, result, status_code, expires, metadata } = completion.clone();
                Self::Finish {
                    completion: Completion {
                        owner,
                        result,
                        status_code,
                        expires,
                        metadata: ClaimMetadata::default(),
                    },
                    metadata: metadata.into(),
                }
            }
            OfClaim::Renew { owner, expires_at } => Self::Renew { owner, expires_at },
            OfClaim::Release(owner) => Self::Release { owner },
            OfClaim::Find => Self::Find,
            OfClaim::Forget => Self::Forget,
        }
    }
}

impl From<ClaimMetadata<'_>> for OwnedMetadata {
    fn from(metadata: ClaimMetadata<'_>) -> Self {
        let ClaimMetadata { function_name, tenant, request } = metadata;
        let [function_name, tenant, request] =
            [function_name, tenant, request].map(|text| text.map(ToOwned::to_owned));
        Self { function_name, tenant, request }
    }
}

impl OwnedMetadata {
    fn borrow(&self) -> ClaimMetadata<'_> {
        ClaimMetadata {
            function_name: self.function_name.as_deref(),
            tenant: self.tenant.as_deref(),
            request: self.request.as_deref(),
        }
    }
}

/// # What was asked
impl Call {
    /// Which operation it was.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The namespace of the counter or claim.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The rendered key of the counter or claim.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The time that the caller gave.
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}

/// # What was asked of a counter
impl Call {
    /// The window of the counter; `None` of a claim.
    pub const fn window(&self) -> Option<Window> {
        match self.asked {
            Asked::OfCounter(window, _) => Some(window),
            Asked::OfClaim(..) => None,
        }
    }

    /// The hit of an increment; `None` of other operations. Of a sliding hit it is the weighed one.
    pub fn hit(&self) -> Option<Hit<'_>> {
        match &self.asked {
            Asked::OfCounter(_, CounterAsked::Increment { hit, metadata }) => {
                Some(Hit { metadata: metadata.as_deref(), ..*hit })
            }
            _ => None,
        }
    }

    /// The generation that a reset named; `None` where it named none, and of other operations.
    ///
    /// That of an increment is in its [`hit`](Self::hit).
    pub const fn window_id(&self) -> Option<WindowId> {
        match self.asked {
            Asked::OfCounter(_, CounterAsked::Reset { window_id }) => window_id,
            _ => None,
        }
    }
}

/// # What was asked of a claim
impl Call {
    /// What the key is claimed for; `None` of a counter.
    pub const fn kind(&self) -> Option<ClaimKind> {
        match self.asked {
            Asked::OfClaim(kind, _) => Some(kind),
            Asked::OfCounter(..) => None,
        }
    }

    /// Who claimed, finished, renewed or released; `None` of other operations.
    pub const fn owner(&self) -> Option<Owner> {
        match &self.asked {
            Asked::OfClaim(_, asked) => match asked {
                ClaimAsked::Claim { request: ClaimRequest { owner, .. }, .. }
                | ClaimAsked::Finish { completion: Completion { owner, .. }, .. }
                | ClaimAsked::Renew { owner, .. }
                | ClaimAsked::Release { owner } => Some(*owner),
                ClaimAsked::Find | ClaimAsked::Forget => None,
            },
            Asked::OfCounter(..) => None,
        }
    }

    /// The end of the lease that a claim or a renewal asked for; `None` of other operations.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match &self.asked {
            Asked::OfClaim(
                _,
                ClaimAsked::Claim { request: ClaimRequest { expires_at, .. }, .. }
                | ClaimAsked::Renew { expires_at, .. },
            ) => Some(*expires_at),
            _ => None,
        }
    }

    /// The whole of a claim; `None` of other operations.
    pub fn claim_request(&self) -> Option<ClaimRequest<'_>> {
        match &self.asked {
            Asked::OfClaim(_, ClaimAsked::Claim { request, metadata }) => {
                Some(ClaimRequest { metadata: metadata.borrow(), ..*request })
            }
            _ => None,
        }
    }

    /// What was finished; `None` of other operations.
    pub fn completion(&self) -> Option<Completion<'_>> {
        match &self.asked {
            Asked::OfClaim(_, ClaimAsked::Finish { completion, metadata }) => {
                Some(Completion { metadata: metadata.borrow(), ..completion.clone() })
            }
            _ => None,
        }
    }
}

/// # What was answered
///
/// Each is `None` of operations that answer something else, and where the caller got an error.
impl Call {
    /// The tally that the caller of an increment or a read got.
    pub fn tally(&self) -> Option<&CounterState> {
        if let Ok(Answer::CounterState(tally)) = &self.outcome { Some(tally) } else { None }
    }

    /// What the caller of a claim got.
    pub fn claimed(&self) -> Option<&Acquisition> {
        if let Ok(Answer::Acquisition(claimed)) = &self.outcome { Some(claimed) } else { None }
    }

    /// What was said to who finished.
    pub fn recorded(&self) -> Option<&FinishResult> {
        if let Ok(Answer::FinishResult(recorded)) = &self.outcome { Some(recorded) } else { None }
    }

    /// What was said to who renewed or released.
    pub fn ownership(&self) -> Option<&LeaseStatus> {
        if let Ok(Answer::LeaseStatus(ownership)) = &self.outcome { Some(ownership) } else { None }
    }

    /// What was found; `None` also where there was nothing.
    pub fn found(&self) -> Option<&Record> {
        if let Ok(Answer::Found(found)) = &self.outcome { found.as_ref() } else { None }
    }

    /// The error that the caller got; `None` where the call succeeded.
    pub fn error(&self) -> Option<&BackendError> {
        self.outcome.as_ref().err()
    }

    /// Whether the caller was told that its hit was counted.
    pub fn is_counted(&self) -> bool {
        self.tally().is_some_and(|tally| tally.counted)
    }

    /// Whether the caller was told that the key is its own.
    pub fn is_granted(&self) -> bool {
        matches!(self.claimed(), Some(Acquisition::Acquired(_)))
    }
}

#[cfg(test)]
mod tests {
    use limited_core::{Counter, Key, WindowLength};

    use super::*;

    #[test]
    fn a_call_gives_back_the_hit_as_it_was() {
        let key = Key::from("user");
        let window = Window::FromFirstHit { length: WindowLength::HOUR };
        let counter = Counter::new("ns", &key, window).unwrap();
        let hit = Hit::new(3, 9).with_floor(2).with_window_meta(WindowId(7), Some("from 192.0.2.1"));
        let answer = CounterState::new(true, 5);
        let request = Request::OfCounter(&counter, OfCounter::Increment(&hit));
        let call = Call::new(request, Timestamp::EPOCH, Ok(Answer::CounterState(answer.clone())));
        assert_eq!(call.hit(), Some(hit));
        assert_eq!(call.window_id(), None);
        assert_eq!(call.tally(), Some(&answer));
        assert!(call.is_counted() && call.error().is_none());
    }

    #[test]
    fn a_reset_has_a_generation_and_no_tally() {
        let key = Key::from("user");
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::HOUR);
        let counter = Counter::new("", &key, window).unwrap();
        let request = Request::OfCounter(&counter, OfCounter::Reset(Some(WindowId(7))));
        let call = Call::new(request, Timestamp::EPOCH, Ok(Answer::Done));
        assert_eq!(call.operation(), Operation::Reset);
        assert_eq!(call.window_id(), Some(WindowId(7)));
        assert_eq!((call.hit(), call.tally()), (None, None));
        assert!(call.error().is_none());
    }
}
