//! The contract: what every backend does.

use std::future::{Future, ready};

use crate::{
    BackendError, ClaimKey, ClaimRequest, Claimed, Completion, Counter, Generation, Hit, Owner, Ownership,
    Record, Recorded, Tally, Timestamp, sliding,
};

/// Where counters and claims live: in memory, in a database, in a test.
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
/// # Claims
///
/// [`claim`](Self::claim) and the five operations after it make a key somebody's, until it is done: one owner at a time,
/// each with a token of its own. They have defaults that answer [`Unsupported`](BackendError::Unsupported), so that a
/// backend of counters alone is a backend; one that has them has all of them, and keeps the rules above, and these:
///
/// 7. A key is free to claim where there is no record, where the record has [expired](crate::has_expired), where its
///    owner gave it up, and where the lease of its owner [has ended](crate::has_come). At most one owner is granted it.
/// 8. Only the owner that was granted a key last finishes, renews or releases it. A lease that has ended, and that
///    nobody has taken over, is still its owner's, until it [expires](crate::lapsed_claim_expires).
/// 9. Each grant of a key has a higher [`Fence`](crate::Fence) than every grant before it, also after release, expiry
///    and [`forget`](Self::forget), and also where the clock jumped back within the allowed skew.
/// 10. An operation that its owner repeats, because the answer was lost, is recognised: `claim` while the owner holds
///     the key, `finish` and `renew` answer what they answered first. A repeated `release` may find nothing any more.
/// 11. Time that goes backwards within the allowed skew finds no finished record gone, and no held key free.
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

    /// [`increment`](Self::increment), where the backend has the answer at hand. `None`, the default, says that it has
    /// to be asked in full, and that nothing was counted.
    ///
    /// A limiter asks this first, and then `increment` or [`increment_now`](ImmediateBackend::increment_now). So it is
    /// spared the future where nothing has to be waited for; and where this answers what is simple alone, and is
    /// inlined, the compiler makes one short path of it and the limiter's own arithmetic. It has to answer as `increment`
    /// would: running the conformance suite a second time in `limited_core::conformance::AtOnce` tells whether it does.
    fn increment_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        let _ = (counter, hit, now);
        None
    }

    /// [`increment_sliding`](Self::increment_sliding), where the backend has the answer at hand. `None`, the default,
    /// says that it has to be asked in full, and that nothing was counted.
    fn increment_sliding_at_once(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<Tally, BackendError>> {
        let _ = (counter, hit, now);
        None
    }

    /// Takes the key for an owner until a lease ends, if it is free; else says what there is.
    ///
    /// # Errors
    ///
    /// Where the backend could not decide, after which [`TimedOut`](BackendError::TimedOut) and
    /// [`Unavailable`](BackendError::Unavailable) leave open whether the key was granted: claim again with the same
    /// owner, or [`release`](Self::release). [`Invalid`](BackendError::Invalid) where the details have more bytes than the
    /// backend can store; also where an owner claims again what it has given up, unless the backend remembers nothing of
    /// that, and takes it for a new claim.
    fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Claimed, BackendError>> + Send {
        let _ = (key, request, now);
        no_claims()
    }

    /// Records what was done, if the owner still owns. What is too large to be stored is left out, and the record says
    /// so ([`Recorded::NotKept`]); all else is done all the same. Results of up to 100,000 bytes are never too large.
    ///
    /// # Errors
    ///
    /// Where the backend could not decide. After [`TimedOut`](BackendError::TimedOut) and
    /// [`Unavailable`](BackendError::Unavailable) it may have been recorded: repeat it.
    fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Recorded, BackendError>> + Send {
        let _ = (key, completion, now);
        no_claims()
    }

    /// Moves the end of the lease on to `until`, if the owner still owns. It never moves back.
    ///
    /// # Errors
    ///
    /// Where the backend could not decide. It may have been moved all the same.
    fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        until: Timestamp,
        now: Timestamp,
    ) -> impl Future<Output = Result<Ownership, BackendError>> + Send {
        let _ = (key, owner, until, now);
        no_claims()
    }

    /// Gives the key up, if the owner still owns: it is free to claim, and nothing was done.
    ///
    /// # Errors
    ///
    /// Where the backend could not decide. It may have been given up all the same.
    fn release(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        now: Timestamp,
    ) -> impl Future<Output = Result<Ownership, BackendError>> + Send {
        let _ = (key, owner, now);
        no_claims()
    }

    /// What there is on the key: nothing where it was never claimed, was given up, or has expired. A lease that has ended
    /// is still told.
    ///
    /// # Errors
    ///
    /// Where the backend could not read.
    fn find(
        &self,
        key: &ClaimKey<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<Record>, BackendError>> + Send {
        let _ = (key, now);
        no_claims()
    }

    /// Removes whatever is there, also what somebody is at: an operator's act. An owner that is at it loses its claim.
    ///
    /// # Errors
    ///
    /// Where the backend could not write.
    fn forget(
        &self,
        key: &ClaimKey<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), BackendError>> + Send {
        let _ = (key, now);
        no_claims()
    }
}

fn no_claims<T: Send>() -> impl Future<Output = Result<T, BackendError>> + Send {
    ready(Err(BackendError::unsupported("it has counters, and no claims")))
}

/// A backend that answers without waiting: no future, no runtime.
///
/// Each operation does what its namesake of [`Backend`] does. Claims have none: what is done once is mostly waited for.
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
