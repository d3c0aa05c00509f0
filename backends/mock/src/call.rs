//! What a mock was asked, and what it answered.

use limited_core::{BackendError, Counter, Generation, Hit, Tally, Timestamp, Window};

/// The operations of a backend, to say which ones a fault or a gate is for, and to count calls by.
///
/// The sliding operations are not among them: the mock has the two-step default of the contract, so that a sliding
/// hit is one `Get` and one `Increment`, and a sliding read is two `Get`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`Backend::increment`](limited_core::Backend::increment).
    Increment,
    /// [`Backend::get`](limited_core::Backend::get).
    Get,
    /// [`Backend::reset`](limited_core::Backend::reset).
    Reset,
}

/// One operation with its arguments, apart from the counter and the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request<'a> {
    Increment(&'a Hit<'a>),
    Get,
    Reset(Option<Generation>),
}

impl Request<'_> {
    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Increment(_) => Operation::Increment,
            Self::Get => Operation::Get,
            Self::Reset(_) => Operation::Reset,
        }
    }
}

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
/// assert_eq!(call.key(), "user:7");
/// assert_eq!(call.hit(), Some(Hit::new(2, 5)));
/// assert_eq!(call.now(), Timestamp::from_secs(3));
/// assert_eq!(call.tally().map(|tally| tally.value), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Call {
    namespace: String,
    key: String,
    window: Window,
    asked: Asked,
    now: Timestamp,
    outcome: Result<Tally, BackendError>,
}

/// A [`Request`] that owns what it refers to.
#[derive(Clone, Debug)]
enum Asked {
    Increment { hit: Hit<'static>, note: Option<String> },
    Get,
    Reset { generation: Option<Generation> },
}

impl Call {
    pub(crate) fn new(
        counter: &Counter<'_>,
        request: Request<'_>,
        now: Timestamp,
        outcome: Result<Tally, BackendError>,
    ) -> Self {
        let asked = match request {
            Request::Increment(&Hit { cost, floor, ceiling, generation, note }) => Asked::Increment {
                hit: Hit { cost, floor, ceiling, generation, note: None },
                note: note.map(Into::into),
            },
            Request::Get => Asked::Get,
            Request::Reset(generation) => Asked::Reset { generation },
        };
        Self {
            namespace: counter.namespace().to_owned(),
            key: counter.key().to_owned(),
            window: counter.window(),
            asked,
            now,
            outcome,
        }
    }
}

/// # What was asked
impl Call {
    /// Which operation it was.
    pub const fn operation(&self) -> Operation {
        match self.asked {
            Asked::Increment { .. } => Operation::Increment,
            Asked::Get => Operation::Get,
            Asked::Reset { .. } => Operation::Reset,
        }
    }

    /// The namespace of the counter.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The rendered key of the counter.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The window of the counter.
    pub const fn window(&self) -> Window {
        self.window
    }

    /// The hit of an increment; `None` of other operations. Of a sliding hit it is the weighed one.
    pub fn hit(&self) -> Option<Hit<'_>> {
        match &self.asked {
            Asked::Increment { hit, note } => Some(Hit { note: note.as_deref(), ..*hit }),
            Asked::Get | Asked::Reset { .. } => None,
        }
    }

    /// The generation that a reset named; `None` where it named none, and of other operations.
    ///
    /// That of an increment is in its [`hit`](Self::hit).
    pub const fn generation(&self) -> Option<Generation> {
        match self.asked {
            Asked::Reset { generation } => generation,
            Asked::Increment { .. } | Asked::Get => None,
        }
    }

    /// The time that the caller gave.
    pub const fn now(&self) -> Timestamp {
        self.now
    }
}

/// # What was answered
impl Call {
    /// The tally that the caller got; `None` where it got an error, and of a reset, which has none.
    pub fn tally(&self) -> Option<&Tally> {
        match self.asked {
            Asked::Increment { .. } | Asked::Get => self.outcome.as_ref().ok(),
            Asked::Reset { .. } => None,
        }
    }

    /// The error that the caller got; `None` where the call succeeded.
    pub fn error(&self) -> Option<&BackendError> {
        self.outcome.as_ref().err()
    }

    /// Whether the caller was told that its hit was counted.
    pub fn is_counted(&self) -> bool {
        self.tally().is_some_and(|tally| tally.counted)
    }
}

#[cfg(test)]
mod tests {
    use limited_core::{Key, WindowLength};

    use super::*;

    #[test]
    fn a_call_gives_back_the_hit_as_it_was() {
        let key = Key::from("user");
        let window = Window::Opened { length: WindowLength::HOUR };
        let counter = Counter::new("ns", &key, window).unwrap();
        let hit = Hit::new(3, 9).with_floor(2).opening(Generation(7), Some("from 192.0.2.1"));
        let answer = Tally::new(true, 5);
        let call = Call::new(&counter, Request::Increment(&hit), Timestamp::EPOCH, Ok(answer.clone()));
        assert_eq!(call.hit(), Some(hit));
        assert_eq!(call.generation(), None);
        assert_eq!(call.tally(), Some(&answer));
        assert!(call.is_counted() && call.error().is_none());
    }

    #[test]
    fn a_reset_has_a_generation_and_no_tally() {
        let key = Key::from("user");
        let window = Window::aligned(Timestamp::EPOCH, WindowLength::HOUR);
        let counter = Counter::new("", &key, window).unwrap();
        let request = Request::Reset(Some(Generation(7)));
        let call = Call::new(&counter, request, Timestamp::EPOCH, Ok(Tally::default()));
        assert_eq!(call.operation(), Operation::Reset);
        assert_eq!(call.generation(), Some(Generation(7)));
        assert_eq!((call.hit(), call.tally()), (None, None));
        assert!(call.error().is_none());
    }
}
