//! The contract: what every backend does.

use std::future::Future;

use crate::{BackendError, Counter, Generation, Hit, Tally, Timestamp, sliding};

/// Where counters live: in memory, in a database, in a test.
///
/// Operations are data, not closures, so that they can travel into a database's own expressions. Each is **one atomic
/// step** of the backend: whatever runs beside it, the outcome is as if operations had come one after the other. Each
/// answers with the state after it, on refusal as well as on success, so that nobody has to read again to explain a
/// refusal.
///
/// # Writing a backend
///
/// Three operations make a backend of counters; everything else has a default. This one keeps its counters in a map
/// behind a lock, for ever (a real one deletes what has [expired](crate::forgotten_from)):
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use limited_core::{
///     ALLOWED_SKEW, Backend, BackendError, Counter, Generation, Hit, Opening, Tally, Timestamp, Window,
///     forgotten_from, has_come, has_ended,
/// };
///
/// /// A counter's identity is its namespace, its key and its window, each kept apart from the others.
/// type Id = (String, String, Window);
///
/// #[derive(Clone, Default)]
/// struct State {
///     value: u128,
///     start: Option<Timestamp>,
///     opening: Option<Arc<Opening>>,
/// }
///
/// #[derive(Default)]
/// struct Simple(Mutex<HashMap<Id, State>>);
///
/// fn id(counter: &Counter<'_>) -> Id {
///     (counter.namespace().to_owned(), counter.key().to_owned(), counter.window())
/// }
///
/// /// What is stored, where it has not expired.
/// fn live(state: Option<&State>, window: Window, now: Timestamp) -> State {
///     let ended = |state: &&State| match (window, state.start) {
///         (Window::Opened { length }, Some(start)) => has_ended(start, length, now),
///         (Window::Aligned { start, length }, _) => has_come(forgotten_from(start, length, ALLOWED_SKEW), now),
///         _ => false,
///     };
///     let absent = || State {
///         start: if let Window::Aligned { start, .. } = window { Some(start) } else { None },
///         ..State::default()
///     };
///     state.filter(|state| !ended(state)).cloned().unwrap_or_else(absent)
/// }
///
/// fn tally(counted: bool, state: State) -> Tally {
///     let mut tally = Tally::new(counted, state.value);
///     tally.start = state.start;
///     tally.opening = state.opening;
///     tally
/// }
///
/// impl Backend for Simple {
///     async fn increment(
///         &self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp,
///     ) -> Result<Tally, BackendError> {
///         let mut states = self.0.lock().expect("no panic under the lock");
///         let mut state = live(states.get(&id(counter)), counter.window(), now);
///         // Decide and count under one lock. A refused hit changes nothing.
///         let Some(value) = hit.apply(state.value) else { return Ok(tally(false, state)) };
///         state.value = value;
///         if matches!(counter.window(), Window::Opened { .. }) && state.start.is_none() {
///             state.start = Some(now);
///             state.opening =
///                 Some(Arc::new(Opening { generation: hit.generation, note: hit.note.map(Into::into) }));
///         }
///         states.insert(id(counter), state.clone());
///         Ok(tally(true, state))
///     }
///
///     async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
///         let states = self.0.lock().expect("no panic under the lock");
///         Ok(tally(false, live(states.get(&id(counter)), counter.window(), now)))
///     }
///
///     async fn reset(
///         &self, counter: &Counter<'_>, generation: Option<Generation>, _now: Timestamp,
///     ) -> Result<(), BackendError> {
///         let mut states = self.0.lock().expect("no panic under the lock");
///         let opened = states.get(&id(counter)).and_then(|state| state.opening.clone());
///         if generation.is_none() || opened.map(|opening| opening.generation) == generation {
///             states.remove(&id(counter));
///         }
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "conformance")]
/// # limited_core::conformance::run(&Simple::default).unwrap();
/// ```
///
/// Then run the conformance suite on it: `limited_core::conformance`, behind the feature `conformance`, is the
/// executable form of the rules below.
///
/// # Rules
///
/// 1. Time is the argument `now`. A backend owns no clock. Time that goes backwards never panics and never admits
///    extra: a window stays known for one length and the [allowed skew](crate::ALLOWED_SKEW) past its end, a bucket for
///    the allowed skew after it is full. Where a backend has forgotten an aligned window although later ones are
///    known, which it may where windows are shorter than the skew, it refuses hits for it ([`Tally::start`]). A jump
///    back of more than two lengths and the skew may be taken for the correction of a clock that was wrong: the key
///    starts over.
/// 2. Expired state is absent state, whether or not it has been deleted. Reads that decide are consistent reads.
/// 3. Counters with equal namespace, key and [`Window`](crate::Window) are one; all others are apart.
/// 4. Arithmetic is checked: no cost, floor, ceiling or time panics, wraps or admits.
/// 5. A refused hit leaves the state as it was.
/// 6. A write that is repeated because its answer was lost counts once.
///
/// # Pointers and trait objects
///
/// `&B`, `Box<B>` and `Arc<B>` of a backend are backends. A program that picks its backend at run time uses
/// `Arc<dyn DynBackend>`, which is one too; see [`DynBackend`](crate::DynBackend).
pub trait Backend: Send + Sync {
    /// Counts `hit`, unless that takes the value over `hit.ceiling`; see [`Hit::apply`] for the rule.
    ///
    /// Answers with the value and window after it, counted or refused; a refused hit leaves the state as it was.
    ///
    /// # Errors
    ///
    /// Where the backend could not decide. Whether the hit was counted is then open for
    /// [`TimedOut`](BackendError::TimedOut) and [`Unavailable`](BackendError::Unavailable), and denied otherwise.
    fn increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Tally, BackendError>> + Send;

    /// Reads the counter, and counts nothing. An absent or expired counter has the value 0; a bucket that is full again
    /// has that too, or a value that has passed, which is the same to every hit.
    ///
    /// # Errors
    ///
    /// Where the backend could not read.
    fn get(
        &self,
        counter: &Counter<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Tally, BackendError>> + Send;

    /// Forgets the counter; where a generation is named, only the hit-opened window of that generation, and never
    /// anything else. Forgetting what is not there is no error.
    ///
    /// # Errors
    ///
    /// Where the backend could not write.
    fn reset(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), BackendError>> + Send;

    /// [`increment`](Self::increment) of an aligned window, where the window before it weighs in: its value, times
    /// the part of it that a window of the same length ending at `now` still covers, lowers the ceiling. See
    /// [`sliding::weighed`] for the arithmetic; [`Tally::previous`] is the value that was weighed.
    ///
    /// The default takes two steps: it reads the window before, then increments with the lower ceiling. A closed
    /// window changes only by hits that arrive late, so the second step decides alone. A backend that can do it in
    /// one step, or knows the window before without reading, overrides it.
    ///
    /// # Errors
    ///
    /// As `increment`; [`Invalid`](BackendError::Invalid) for a window that is not aligned.
    fn increment_sliding(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Tally, BackendError>> + Send {
        sliding::increment(self, counter, hit, now)
    }

    /// [`get`](Self::get) of an aligned window together with the window before it ([`Tally::previous`]).
    ///
    /// The default reads twice.
    ///
    /// # Errors
    ///
    /// As `get`; [`Invalid`](BackendError::Invalid) for a window that is not aligned.
    fn get_sliding(
        &self,
        counter: &Counter<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Tally, BackendError>> + Send {
        sliding::get(self, counter, now)
    }
}

/// A backend that answers without waiting: no future, no runtime.
///
/// Each operation does what its namesake of [`Backend`] does.
pub trait ImmediateBackend: Backend {
    /// [`Backend::increment`], at once.
    ///
    /// # Errors
    ///
    /// As there.
    fn increment_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError>;

    /// [`Backend::get`], at once.
    ///
    /// # Errors
    ///
    /// As there.
    fn get_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError>;

    /// [`Backend::reset`], at once.
    ///
    /// # Errors
    ///
    /// As there.
    fn reset_now(
        &self,
        counter: &Counter<'_>,
        generation: Option<Generation>,
        now: Timestamp,
    ) -> Result<(), BackendError>;

    /// [`Backend::increment_sliding`], at once. The default takes two steps.
    ///
    /// # Errors
    ///
    /// As there.
    fn increment_sliding_now(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Result<Tally, BackendError> {
        sliding::increment_now(self, counter, hit, now)
    }

    /// [`Backend::get_sliding`], at once. The default reads twice.
    ///
    /// # Errors
    ///
    /// As there.
    fn get_sliding_now(&self, counter: &Counter<'_>, now: Timestamp) -> Result<Tally, BackendError> {
        sliding::get_now(self, counter, now)
    }
}
