//! The trait that every backend implements.

use async_trait::async_trait;

use crate::{
    Acquisition, BackendError, ClaimKey, ClaimRequest, Completion, Counter, CounterState, FinishResult, Hit,
    LeaseStatus, Owner, Record, Refund, Result, Timestamp, WindowId, several,
};

/// Stores counters and claims, in memory or in a database.
///
/// Operations are data, not closures, so that a database can run them as its own expressions. Each
/// operation is **one atomic step**: parallel operations have the same results as if they had run
/// one after the other. Each operation returns the state after it, also if it refuses, so that a
/// caller never reads again to explain a refusal.
///
/// # Writing a backend
///
/// Three methods make a backend of counters: [`increment`](Self::increment), [`get`](Self::get) and
/// [`reset`](Self::reset). All others have a default. The first two must read
/// [`Counter::is_sliding`]: a backend that ignores it turns each sliding limiter into a fixed one,
/// without an error. [`sliding::increment`](crate::sliding::increment) and
/// [`sliding::get`](crate::sliding::get) do the work. They must also read [`Counter::bucket`], and
/// store it with the value of a bucket: [`bucket::read`](crate::bucket::read) does the arithmetic.
///
/// With [`refund`](Self::refund), the default of [`increment_all`](Self::increment_all) counts
/// several hits all or none. A backend that can do it in one atomic step overrides it. One without
/// [logs](crate::Window::Log) or [spans](crate::Window::Span) returns
/// [`Unsupported`](BackendError::Unsupported) for them.
///
/// Implementations carry the attribute [`#[async_trait]`](crate::async_trait), which boxes each
/// future; [`try_increment`](Self::try_increment) allocates nothing.
///
/// This example keeps its counters in a map behind a lock. It never deletes a counter; a real
/// backend deletes those that are [no longer needed](crate::retained_until).
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::{Arc, Mutex};
/// use limited_core::bucket::{self, StoredBucket};
/// use limited_core::{
///     Backend, BackendError, BucketQuota, Counter, CounterState, Hit, HitLog, MAX_CLOCK_SKEW,
///     Refund, Timestamp, Window, WindowId, WindowLength, WindowMeta, async_trait, has_ended,
///     has_passed, is_ahead, retained_until, sliding,
/// };
///
/// /// The identity of a counter: its namespace, its key and its window, kept separate.
/// type Id = (String, String, Window);
///
/// /// A state, and the quota of the hit that wrote it, if it is a bucket.
/// type Stored = (CounterState, Option<BucketQuota>);
///
/// #[derive(Default)]
/// struct MapBackend(Mutex<HashMap<Id, Stored>>);
///
/// fn id(counter: &Counter<'_>) -> Id {
///     (counter.namespace().to_owned(), counter.key().to_owned(), counter.window())
/// }
///
/// /// Returns the stored state, or an empty one if nothing is stored, if it has expired, or if only
/// /// a wrong clock can have written it.
/// fn live(
///     stored: Option<&Stored>, counter: &Counter<'_>, now: Timestamp,
/// ) -> Result<CounterState, BackendError> {
///     let window = counter.window();
///     if let Window::Bucket { .. } = window {
///         let stored = stored.and_then(|(state, quota)| {
///             Some(StoredBucket { value: state.value, quota: (*quota)? })
///         });
///         let live = bucket::read(stored, counter, now, MAX_CLOCK_SKEW)?;
///         return Ok(CounterState::new(false, live.value).with_clock_lead(live.clock_lead));
///     }
///     if let Window::Log { length } = window {
///         let stored = stored.and_then(|(state, _)| state.log.as_deref());
///         let mut log = stored.cloned().unwrap_or_default();
///         log.expire(length, now, MAX_CLOCK_SKEW);
///         return Ok(log_state(log, length, now));
///     }
///     let is_live = |state: &&CounterState| match (window, state.start) {
///         (Window::FromFirstHit { length }, Some(start)) => {
///             !has_ended(start, length, now) && !is_ahead(start, now, MAX_CLOCK_SKEW)
///         }
///         (Window::Aligned { start, length }, _) => {
///             !has_passed(retained_until(start, length, MAX_CLOCK_SKEW), now)
///         }
///         (Window::Span { .. }, _) => !is_gone(window, now),
///         _ => true,
///     };
///     let mut empty = CounterState::default();
///     if let Window::Aligned { start, .. } | Window::Span { start, .. } = window {
///         empty.start = Some(start);
///     }
///     Ok(stored.map(|(state, _)| state).filter(is_live).cloned().unwrap_or(empty))
/// }
///
/// fn log_state(log: HitLog, length: WindowLength, now: Timestamp) -> CounterState {
///     let mut state = CounterState::new(false, log.value(length, now));
///     state.start = log.newest();
///     state.with_log(Arc::new(log))
/// }
///
/// /// Returns whether this is a span that refuses every hit, because its end has passed.
/// fn is_gone(window: Window, now: Timestamp) -> bool {
///     let Window::Span { end, .. } = window else { return false };
///     has_passed(end.saturating_add(MAX_CLOCK_SKEW), now)
/// }
///
/// #[async_trait]
/// impl Backend for MapBackend {
///     async fn increment(
///         &self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp,
///     ) -> Result<CounterState, BackendError> {
///         if counter.is_sliding() {
///             return sliding::increment(self, counter, hit, now).await;
///         }
///         let mut counters = self.0.lock().expect("no panic under the lock");
///         let mut state = live(counters.get(&id(counter)), counter, now)?;
///         // Decide and count under one lock. A refused hit changes nothing.
///         if is_gone(counter.window(), now) {
///             return Ok(state);
///         }
///         if let (Window::Log { length }, Some(log)) = (counter.window(), &state.log) {
///             let mut log = HitLog::clone(log);
///             if !log.hit(hit, length, now) {
///                 return Ok(state);
///             }
///             state = log_state(log, length, now);
///             counters.insert(id(counter), (state.clone(), None));
///             (state.counted, state.log) = (true, None);
///             return Ok(state);
///         }
///         let Some(value) = hit.apply(state.value) else { return Ok(state) };
///         state.value = value;
///         if matches!(counter.window(), Window::FromFirstHit { .. }) && state.start.is_none() {
///             state.start = Some(now);
///             let metadata = hit.metadata.map(Into::into);
///             state.meta = Some(Arc::new(WindowMeta { id: hit.window_id, metadata }));
///         }
///         state.clock_lead = Default::default();
///         counters.insert(id(counter), (state.clone(), counter.bucket()));
///         state.counted = true;
///         Ok(state)
///     }
///
///     async fn refund(
///         &self, counter: &Counter<'_>, refund: &Refund, now: Timestamp,
///     ) -> Result<CounterState, BackendError> {
///         let mut counters = self.0.lock().expect("no panic under the lock");
///         let before = live(counters.get(&id(counter)), counter, now)?;
///         let is_charged = before.meta.as_ref().is_none_or(|meta| meta.id == refund.window_id);
///         let accepts = before.value > 0 && is_charged && refund.accepts(before.value);
///         let stored = counters.get_mut(&id(counter)).filter(|_| accepts);
///         let Some((state, wrote)) = stored else { return Ok(before) };
///         match (counter.window(), counter.bucket(), *wrote, &before.log) {
///             (Window::Bucket { .. }, Some(quota), Some(wrote), _) => {
///                 let stored = StoredBucket { value: state.value, quota: wrote };
///                 state.value = refund.apply_to_bucket(stored, quota, now).value;
///             }
///             (Window::Log { length }, _, _, Some(log)) => {
///                 let mut log = HitLog::clone(log);
///                 if !log.refund(refund, length, now) {
///                     return Ok(before);
///                 }
///                 *state = log_state(log, length, now);
///             }
///             _ => state.value = refund.apply(state.value),
///         }
///         let mut after = live(counters.get(&id(counter)), counter, now)?;
///         after.counted = true;
///         Ok(after)
///     }
///
///     async fn get(
///         &self, counter: &Counter<'_>, now: Timestamp,
///     ) -> Result<CounterState, BackendError> {
///         if counter.is_sliding() {
///             return sliding::get(self, counter, now).await;
///         }
///         let counters = self.0.lock().expect("no panic under the lock");
///         live(counters.get(&id(counter)), counter, now)
///     }
///
///     async fn reset(
///         &self, counter: &Counter<'_>, window: Option<WindowId>, _now: Timestamp,
///     ) -> Result<(), BackendError> {
///         let mut counters = self.0.lock().expect("no panic under the lock");
///         let stored = counters.get(&id(counter)).and_then(|(state, _)| state.meta.clone());
///         if window.is_none() || stored.map(|meta| meta.id) == window {
///             counters.remove(&id(counter));
///         }
///         Ok(())
///     }
/// }
/// # #[cfg(feature = "conformance")]
/// # limited_core::conformance::run(&MapBackend::default).unwrap();
/// ```
///
/// Run the conformance suite on your backend. It is `limited_core::conformance`, behind the feature
/// `conformance`, and tests every rule below.
///
/// # Rules
///
/// 1. Time is the argument `now`. A backend has no clock. Time that goes backwards never panics,
///    and within the maximum skew it never admits more. A backend retains a window for one length
///    and the [maximum skew](crate::MAX_CLOCK_SKEW) after its end, and a bucket for the maximum
///    skew after it is full. So a jump back by up to one length more finds an aligned window, but
///    perhaps not the one before it, which a sliding counter weighs.
///
///    If windows are shorter than the skew, a backend may forget an aligned window earlier, to keep
///    later ones. It then refuses hits on that window ([`CounterState::start`]).
///
///    What a wrong clock wrote does not outlast the clock. A window from the first hit is absent
///    while it [starts further ahead](crate::is_ahead) than the skew. A bucket is absent while its
///    value is [further ahead](crate::bucket) than its quota and the skew explain. Aligned windows
///    of a later time do not lock earlier ones: a jump back of more than two lengths and the skew
///    is the correction of a wrong clock.
/// 2. Expired state is absent state, deleted or not. Reads that decide are consistent reads.
/// 3. Counters with equal namespace, key and [`Window`](crate::Window) are the same counter; all
///    others are distinct. [`Counter::is_sliding`] is not part of the identity; it changes the
///    operation. `increment`, `try_increment` and `get` of a sliding counter include the previous
///    window, or return [`Invalid`](BackendError::Invalid) if the window is not aligned.
///    [`Counter::bucket`], the quota of a bucket, is not part of the identity either. A bucket has
///    the same time in the unit of any limit, [rounded up](crate::bucket::convert). Without a quota
///    these methods return `Invalid`.
/// 4. Arithmetic is checked: no cost, floor, ceiling or time makes a backend panic, wrap or admit
///    too much.
/// 5. A refused hit changes nothing.
/// 6. A write that is repeated because its response was lost counts once.
///
/// # Claims
///
/// [`claim`](Self::claim) and the five methods after it give one owner at a time the right to run
/// something. The defaults return [`Unsupported`](BackendError::Unsupported), for backends of
/// counters alone. A backend with claims implements all six, and keeps these rules too:
///
/// 7. A key is free to claim if it has no record, or if its record has
///    [expired](crate::has_expired). It is also free if its owner released it, or if the lease of
///    its owner [has ended](crate::has_passed). At most one owner acquires it.
/// 8. Only the latest owner of a key finishes, renews or releases it. A lease that has ended and
///    was not taken over still belongs to its owner until it
///    [expires](crate::lapsed_claim_expires).
/// 9. Each acquisition of a key has a higher [`FencingToken`](crate::FencingToken) than all before
///    it. That also holds after release, expiry and [`forget`](Self::forget), and if the clock
///    jumped back within the maximum skew.
/// 10. A backend recognizes an operation that its owner repeats because the response was lost.
///     `claim` while the owner holds the key, `finish` and `renew` return their first result. A
///     repeated `release` may find no record.
/// 11. If time goes backwards within the maximum skew, a finished record stays found and a held key
///     stays held. A claim is never corrected as a counter is: what a wrong clock wrote stays until
///     its stored end, or until `forget`. Otherwise a process whose clock is behind would take over
///     leases that are live.
///
/// # Several hits, refunds, logs and spans
///
/// A backend without these returns [`Unsupported`](BackendError::Unsupported). One that has them
/// keeps these rules too:
///
/// 12. Several hits are counted all or none, on any keys and kinds of window, also if a response is
///     lost. Each state reports whether its hit fits; if one does not, every value is as before. A
///     hit of cost 0 and floor 0 is a condition for the others. Two hits on one counter, or more
///     than [`MAX_HITS`](several::MAX_HITS), are [`Invalid`](BackendError::Invalid), and count
///     nothing. No hit is no error. Sets of hits that overlap, in any order, never wait for each
///     other without end.
/// 13. A refund reaches the counter that was charged and no other, and never lowers a value below
///     zero. A bucket gets at most what has not [flowed in since](Refund::bucket_amount), and keeps
///     the quota that wrote its value. So no refund admits more than if the returned part had never
///     been charged. A refund that is repeated because its response was lost is returned once.
/// 14. A hit on a [log](crate::Window::Log) counts from its time until just before one length
///     later, to the nanosecond. A log keeps a hit for the maximum skew after that, for clocks that
///     are behind. A hit that is ahead within the skew counts. One that is further ahead is that of
///     a wrong clock, and does not. [`HitLog`](crate::HitLog) does the arithmetic. A read, and a
///     hit that does not fit, return the hits.
/// 15. A [span](crate::Window::Span) is identified by its start and its end, and is distinct from
///     an aligned window of that length. It counts until its end, is retained for the maximum skew
///     after it, and then refuses every hit.
///
/// # Expired state
///
/// A backend removes expired state some day. Otherwise it grows with every key that a client can
/// invent. A window may go after [`retained_until`](crate::retained_until), and a bucket the
/// maximum skew after [`bucket_full_at`](crate::bucket_full_at). A log may go one length and the
/// maximum skew after its newest hit, and a span the maximum skew after its end. A record of a
/// claim may go once it [has expired](crate::has_expired) for every clock within the maximum skew.
///
/// In memory, let each operation remove a few expired entries, so that no single call is slow. A
/// database can use a time to live. Set it a little later than that, because its clock differs from
/// `now`. The suite tests the removal if the harness reports the stored entries.
///
/// # Stores that block
///
/// A future must not block its thread. A backend over files, or over a driver without futures, runs
/// each operation on a thread for that, such as by `tokio::task::spawn_blocking`, and awaits the
/// result. The operation runs to its end even if the caller drops the future. The hit then counts,
/// as after [`TimedOut`](BackendError::TimedOut).
///
/// [`try_increment`](Self::try_increment) never does I/O: it runs on the thread of the caller. A
/// backend over a store that blocks leaves the default, and is not [`Immediate`].
///
/// # Range of values
///
/// Values, costs, floors and ceilings are `u128`. A backend stores at least 38 decimal digits
/// exactly, the range of number types in databases. If a value would need more, the backend counts
/// it or returns [`Invalid`](BackendError::Invalid). It never rounds, wraps or saturates, because a
/// smaller value admits too much.
///
/// Neither 64 bits nor a double suffice, because the value of a bucket is a time in fractions of a
/// nanosecond. Store it as text of fixed width or in two columns. The checks of rule 4 fail for a
/// backend that cannot.
///
/// # Pointers and trait objects
///
/// `&B`, `Box<B>` and `Arc<B>` of a backend are backends. `Arc<dyn Backend>` is one too, for
/// programs that choose their backend at run time.
#[expect(unused_variables, reason = "the defaults ignore their arguments")]
#[async_trait]
pub trait Backend: Send + Sync {
    /// Counts `hit` without waiting, if the backend has a fast path for it.
    ///
    /// Returns `None` (the default) if the fast path does not handle this hit; nothing was counted,
    /// and the caller calls [`increment`](Self::increment). Otherwise the result is the one that
    /// `increment` would return, also for a [sliding](Counter::is_sliding) counter.
    ///
    /// This is the fast path of a decision: it creates no future. Keep it short and mark it
    /// `#[inline]`, so that the compiler can merge it with the arithmetic of the limiter.
    ///
    /// After `None`, the limiter calls it once more before it calls `increment`, with
    /// [`Counter::is_retry`]. That call is not inlined. A backend that never waits handles every
    /// other hit there, so that no hit needs a future. All other backends return `None` again.
    fn try_increment(
        &self,
        counter: &Counter<'_>,
        hit: &Hit<'_>,
        now: Timestamp,
    ) -> Option<Result<CounterState>> {
        None
    }

    /// Counts `hit`, unless the value would exceed `hit.ceiling`; [`Hit::apply`] is the rule.
    ///
    /// Returns the value and the window after the operation, also if the hit is refused.
    ///
    /// If the counter is [sliding](Counter::is_sliding), the previous window lowers the ceiling;
    /// see [`sliding`](crate::sliding) for the arithmetic. [`CounterState::previous`] is the value
    /// of that window. [`sliding::increment`](crate::sliding::increment) does it in two steps, for
    /// backends without a better way.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide. After [`TimedOut`](BackendError::TimedOut)
    /// and [`Unavailable`](BackendError::Unavailable) the hit may have been counted; after all
    /// other errors it was not. [`Invalid`](BackendError::Invalid) if the counter is sliding and
    /// its window is not aligned, or if it is a bucket [without a quota](Counter::with_bucket).
    async fn increment(&self, counter: &Counter<'_>, hit: &Hit<'_>, now: Timestamp) -> Result<CounterState>;

    /// Counts several hits without waiting, if the backend has a fast path for them.
    ///
    /// Returns `None` (the default) if the fast path does not handle these hits; nothing was
    /// counted, `states` is unchanged, and the caller calls [`increment_all`](Self::increment_all).
    /// Otherwise the result is the one that `increment_all` would return, and the states were
    /// appended to `states`.
    fn try_increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
        states: &mut Vec<CounterState>,
    ) -> Option<Result<()>> {
        None
    }

    /// Counts several hits, all or none, in one atomic step. The counters may belong to different
    /// keys, and may [slide](Counter::is_sliding).
    ///
    /// Returns the state of each counter after the operation, in the order of the hits. If every
    /// hit fits ([`Hit::apply`]), all were counted. Otherwise none was, and
    /// [`counted`](CounterState::counted) reports for each hit whether it fits.
    ///
    /// A hit of cost 0 and floor 0 changes nothing. A backend may treat it as a condition, and need
    /// not store it.
    ///
    /// The default counts [one hit after the other](several::increment_in_turn), and refunds what
    /// it counted if a hit does not fit. It never admits too much, but it is several steps: other
    /// callers see hits that are refunded later, and may be refused meanwhile. If the process
    /// crashes or the future is dropped in between, or a refund fails, those hits stay counted. So
    /// does a hit on a bucket that others hit meanwhile. It needs [`refund`](Self::refund).
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide; see [`increment`](Self::increment).
    /// [`Invalid`](BackendError::Invalid) if two hits are on the same counter, or if there are more
    /// than [`MAX_HITS`](several::MAX_HITS).
    async fn increment_all(
        &self,
        hits: &[(Counter<'_>, Hit<'_>)],
        now: Timestamp,
    ) -> Result<Vec<CounterState>> {
        several::increment_in_turn(self, hits, now).await
    }

    /// Returns part of a charge to the counter that was charged. The counter names the window of
    /// the charge, not that of `now`.
    ///
    /// - A window gets the cost, and its value never falls below zero.
    /// - A window from the first hit gets it only if it has the id of the refund.
    /// - A bucket gets at most what has not [flowed in since](Refund::bucket_amount), and keeps the
    ///   quota of the hit that wrote its value.
    /// - A log gets it at the time of the charge ([`HitLog::refund`](crate::HitLog::refund)).
    ///
    /// A counter that is absent, has ended or was written by a wrong clock gets nothing. Neither
    /// does one without the [required value](Refund::only_if_value).
    /// [`counted`](CounterState::counted) is then `false`. Ignores whether the counter slides.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not write. After [`TimedOut`](BackendError::TimedOut)
    /// and [`Unavailable`](BackendError::Unavailable) the cost may have been returned; a caller
    /// that repeats the refund may return it twice. [`Unsupported`](BackendError::Unsupported) by
    /// default.
    async fn refund(&self, counter: &Counter<'_>, refund: &Refund, now: Timestamp) -> Result<CounterState> {
        Err(BackendError::unsupported("this backend cannot refund"))
    }

    /// Reads the counter and changes nothing.
    ///
    /// The value of an absent or expired counter is 0. The value of a bucket that is full again is
    /// 0 or a time in the past; both are equivalent for every hit.
    ///
    /// If the counter is [sliding](Counter::is_sliding), the result contains the value of the
    /// previous window too; [`sliding::get`](crate::sliding::get) reads twice, for backends without
    /// a better way.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not read. [`Invalid`](BackendError::Invalid) if the
    /// counter is sliding and its window is not aligned, or if it is a bucket [without a
    /// quota](Counter::with_bucket).
    async fn get(&self, counter: &Counter<'_>, now: Timestamp) -> Result<CounterState>;

    /// Deletes the counter. If `window` is given, deletes only the window from the first hit that
    /// has this id.
    ///
    /// An absent counter is no error.
    ///
    /// Ignores whether the counter is [sliding](Counter::is_sliding), and the [quota of a
    /// bucket](Counter::bucket), which may be missing; the limiter may pass a sliding one. Resets
    /// only the counter's own window, never the previous one.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not write. The counter may have been deleted.
    async fn reset(&self, counter: &Counter<'_>, window: Option<WindowId>, now: Timestamp) -> Result<()>;

    /// Acquires the key for an owner until a lease ends, if it is free. Otherwise returns the
    /// record that holds it.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide. After [`TimedOut`](BackendError::TimedOut)
    /// and [`Unavailable`](BackendError::Unavailable) the key may have been acquired: claim again
    /// with the same owner, or [`release`](Self::release) the key.
    ///
    /// [`Invalid`](BackendError::Invalid) if the metadata is larger than the backend can store.
    /// Also if an owner claims a key again after releasing it; a backend that does not store
    /// released owners treats this as a new claim.
    async fn claim(
        &self,
        key: &ClaimKey<'_>,
        request: &ClaimRequest<'_>,
        now: Timestamp,
    ) -> Result<Acquisition> {
        no_claims()
    }

    /// Stores the result and finishes the record, if the owner still holds the key.
    ///
    /// A result that is too large to store is omitted. The record is finished without it, and both
    /// the record and this method report that ([`FinishResult::Omitted`]). Results of up to 100,000
    /// bytes are never too large, unless the user of the backend sets a lower maximum.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide. After [`TimedOut`](BackendError::TimedOut)
    /// and [`Unavailable`](BackendError::Unavailable) the result may have been stored: repeat the
    /// call.
    async fn finish(
        &self,
        key: &ClaimKey<'_>,
        completion: &Completion<'_>,
        now: Timestamp,
    ) -> Result<FinishResult> {
        no_claims()
    }

    /// Extends the lease to `expires_at`, if the owner still holds the key. The end of a lease
    /// never moves back.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide. The lease may have been extended.
    async fn renew(
        &self,
        key: &ClaimKey<'_>,
        owner: Owner,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<LeaseStatus> {
        no_claims()
    }

    /// Releases the key without a result, if the owner still holds it. The key is free to claim
    /// again.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not decide. The key may have been released.
    async fn release(&self, key: &ClaimKey<'_>, owner: Owner, now: Timestamp) -> Result<LeaseStatus> {
        no_claims()
    }

    /// Reads the record of the key. Returns `None` if the key was never claimed, was released, or
    /// has expired.
    ///
    /// A claim whose lease has ended is still returned, until it
    /// [expires](crate::lapsed_claim_expires) or a full backend removes it.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not read.
    async fn find(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<Option<Record>> {
        no_claims()
    }

    /// Deletes the record of the key, for operators. An owner that holds the key loses its claim.
    ///
    /// An absent record is no error.
    ///
    /// # Errors
    ///
    /// Returns an error if the backend could not write. The record may have been deleted.
    async fn forget(&self, key: &ClaimKey<'_>, now: Timestamp) -> Result<()> {
        no_claims()
    }
}

/// Promises that every future of this backend is ready at its first poll.
///
/// The methods of `Limiter` that end in `_now` require it: they poll once, and so need no runtime.
/// The harness `limited_core::conformance::PollOnce` tests the promise.
///
/// A test double is the one exception: the mock backend of `limited` holds a call at a gate if a
/// test asks for that. A caller that polls such a future once gets
/// [`TimedOut`](BackendError::TimedOut).
pub trait Immediate: Backend {}

fn no_claims<T>() -> Result<T> {
    Err(BackendError::unsupported("this backend supports counters, but not claims"))
}
