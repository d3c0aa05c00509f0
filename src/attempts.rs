//! Limited attempts: at most so many within a validity, counted from the first one on.

mod attempt;
mod error;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use limited_core::{
    Backend, Clock, Counter, CounterState, Hit, Immediate, InvalidWindowLength, Key, Timestamp, Window,
    WindowId, WindowLength, WindowMeta,
};

pub use self::attempt::{Attempt, AttemptWindow};
pub use self::error::AttemptError;
use crate::algorithm::attempt_window;
use crate::clock::LimiterClock;
use crate::duration;
use crate::lease::random_id;
use crate::poll_once::poll_once;
use crate::telemetry::{self, Instrumented, Policy};

/// Limits how often something may be attempted within a validity: a login, a password reset, a
/// one-time code.
///
/// The first attempt starts a window, which ends one validity later. After a success the caller
/// clears the window. What stays counted are failures, and attempts that are still in progress.
///
/// ```
/// use std::time::Duration;
/// use limited::memory::MemoryBackend;
/// use limited::{AttemptError, LimitedAttempt};
///
/// # pollster::block_on(async {
/// # let check = |password: &str| password == "correct";
/// let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, Duration::from_secs(3600));
///
/// for password in ["guess", "another", "correct"] {
///     let attempt = attempts.attempt(("login", "user-123")).await?;
///     if check(password) {
///         attempt.clear().await?;
///     }
/// }
///
/// for _ in 0..3 {
///     attempts.attempt(("password-reset", "user-123")).await?;
/// }
/// match attempts.attempt(("password-reset", "user-123")).await {
///     Err(AttemptError::TooManyAttempts { retry_after }) => assert!(retry_after.as_secs() >= 3590),
///     other => panic!("the fourth attempt: {other:?}"),
/// }
/// # Ok::<(), AttemptError>(())
/// # }).unwrap();
/// ```
///
/// # Logins
///
/// A limit by account alone lets anyone lock an account out: a few wrong passwords are enough, from
/// anywhere. Count by account and address together, so that only the address is locked out. Count
/// by address too, which stops a client that tries many accounts. Count before the password is
/// checked, and clear on success only what belongs to the account. The example `login` in the
/// repository does all of this, and responds with 429 and `Retry-After`.
///
/// # Guarantees
///
/// - **At most `max` attempts pass per window**, however many tasks, threads, clones and (over a
///   shared backend) processes try at the same time. Each attempt is counted and decided in one
///   atomic step of the backend, before the guarded action begins. Counting only after a failure
///   would let concurrent attempts exceed the limit.
/// - **Refused attempts are not counted**, and do not extend the window. After `retry_after` an
///   attempt passes.
/// - **A window ends one validity after its first attempt**, to the nanosecond. Then `max` attempts
///   are free again at once. A stretch of time that spans two windows, and is no longer than a
///   validity, may see up to `2 · max − 1` attempts pass.
/// - **Clearing ends the window of that attempt only**, never a window that started later.
/// - **A crash frees nothing.** A counted attempt is used, whether its outcome is known or not.
/// - **A lost response is an error.** The attempt may have been counted, once and not twice, and is
///   then used. Fewer than `max` attempts may pass, never more.
/// - **Clock skew** between processes moves the end of a window by that much. A clock that jumps
///   back still finds the window, if it starts at most the
///   [maximum clock skew](crate::backend::MAX_CLOCK_SKEW) ahead. The window then ends later, by the
///   length of the jump. A window that starts further ahead was opened by a wrong clock, and does
///   not count.
/// - **A failure of the backend is an error**, neither a refusal nor an attempt.
///
/// # Cost
///
/// Each call makes one request to the backend and reads the clock once. An attempt also takes 128
/// random bits from the operating system, and copies its key.
///
/// # Sharing
///
/// Attempts over one backend share a window if namespace, key and validity are equal. Each caller
/// applies its own maximum. Attempts share nothing with a [`Limiter`](crate::Limiter).
///
/// # Addresses
///
/// An IPv6 client can use any address of its network, so a maximum per address does not limit it.
/// Count its network with [`Key::ip_network`], usually by the first 64 bits:
///
/// ```
/// use std::net::IpAddr;
/// use limited::{Key, LimitedAttempt, memory::MemoryBackend};
///
/// # pollster::block_on(async {
/// let attempts = LimitedAttempt::from_quota(MemoryBackend::new(), "3/hour".parse()?);
/// let key = |address: IpAddr| Key::from("login").ip_network(address, 64);
///
/// for address in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
///     attempts.attempt(key(address.parse()?)).await?;
/// }
/// // The fourth address of the network is refused, and an address of another network is not.
/// assert!(attempts.attempt(key("2001:db8::4".parse()?)).await.is_err());
/// assert!(attempts.attempt(key("2001:db8:0:1::1".parse()?)).await.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct LimitedAttempt<B> {
    backend: Instrumented<B>,
    max: u64,
    /// `new` cannot fail, so every call reports an invalid length.
    length: Result<WindowLength, InvalidWindowLength>,
    namespace: Arc<str>,
    policy: Policy,
    clock: LimiterClock,
}

/// # Settings
impl<B> LimitedAttempt<B> {
    /// Creates a limit of `max` attempts within `validity` of the first one. Defaults: the system
    /// clock, and the empty namespace.
    ///
    /// A maximum of 0 refuses every attempt. If the validity is shorter than 1 ms or longer than
    /// 100 years, every call returns [`AttemptError::InvalidWindowLength`].
    pub fn new(backend: B, max: u64, validity: Duration) -> Self {
        Self {
            backend: Instrumented::new(backend),
            max,
            length: WindowLength::try_from(validity),
            namespace: Arc::from(""),
            policy: Policy::default(),
            clock: LimiterClock::System,
        }
    }

    /// Sets the namespace. Keys in different namespaces are independent, also over one backend.
    /// Default: empty.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), ..self }
    }

    /// Sets the name of these attempts in [telemetry](crate::telemetry): the label of their metric
    /// and the field of their events, `policy`. Default: none, and neither label nor field.
    ///
    /// Each name adds time series of its own, so a name comes from the configuration, never from
    /// keys. An empty name is none. The name has no part in the identity of windows.
    #[must_use]
    pub fn policy_name(self, name: impl Into<Box<str>>) -> Self {
        Self { policy: Policy::named(name), ..self }
    }

    /// Sets the clock, in tests a [`ManualClock`](crate::ManualClock). Default: the clock of the
    /// system.
    #[must_use]
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        Self { clock: LimiterClock::custom(clock), ..self }
    }

    /// Returns the backend.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// # Attempting
///
/// A key is a `&str`, a `String`, an integer, an [`IpAddr`](std::net::IpAddr), a composed [`Key`],
/// or a scope and a name in it: `("password-reset", "user-123")`.
///
/// If the future is dropped, the attempt was either counted or not; nothing is left half done.
///
/// # Errors
///
/// [`AttemptError::TooManyAttempts`] if the maximum is used up. [`AttemptError::InvalidKey`] and
/// [`AttemptError::InvalidWindowLength`] before the backend is called. [`AttemptError::Backend`] if
/// the backend fails.
impl<B: Backend> LimitedAttempt<B> {
    /// Counts an attempt, unless the maximum is used up. Call this before the guarded action.
    pub async fn attempt(&self, key: impl Into<Key<'_>>) -> Result<Attempt<B>, AttemptError> {
        self.count(key.into(), None).await
    }

    /// Counts an [`attempt`](Self::attempt), and stores a context if it is the first of its window.
    ///
    /// Every attempt of the window then returns that context ([`Attempt::context`]): a request to
    /// resume, or an address to show to the user. The context of later attempts is dropped. Each
    /// response of the backend carries the context, so keep it short.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use limited::{LimitedAttempt, memory::MemoryBackend};
    /// # pollster::block_on(async {
    /// let attempts = LimitedAttempt::new(MemoryBackend::new(), 3, Duration::from_secs(3600));
    /// let first = attempts.attempt_with("user-123", "from 192.0.2.1").await?;
    /// let second = attempts.attempt_with("user-123", "from 192.0.2.7").await?;
    /// assert_eq!((second.number(), second.context()), (2, Some("from 192.0.2.1")));
    /// # Ok::<(), limited::AttemptError>(())
    /// # }).unwrap();
    /// ```
    pub async fn attempt_with(
        &self,
        key: impl Into<Key<'_>>,
        context: &str,
    ) -> Result<Attempt<B>, AttemptError> {
        self.count(key.into(), Some(context)).await
    }

    async fn count(&self, key: Key<'_>, context: Option<&str>) -> Result<Attempt<B>, AttemptError> {
        let (counter, now) = (self.counter(&key)?, self.clock.now());
        let window_id = WindowId(random_id()?);
        let hit = Hit::new(1, self.max.into()).with_window_meta(window_id, context);
        let state = self.backend.count(&counter, &hit, now).await?;
        telemetry::record_attempt(&self.policy, &counter, self.max, &state);
        if !state.counted {
            let retry_after = self.retry_after(&counter, now, &state);
            return Err(AttemptError::TooManyAttempts { retry_after });
        }
        let length = counter.window().length();
        let usage = attempt_window::usage(self.max, length, now, (&state).into());
        Ok(Attempt {
            attempts: self.clone(),
            number: usage.used,
            remaining: usage.remaining,
            expires_at: state.start.unwrap_or(now).saturating_add(length.as_duration()),
            // Without metadata the window is unknown. The id of this hit then clears no window.
            meta: state.meta.unwrap_or_else(|| Arc::new(WindowMeta { id: window_id, metadata: None })),
            key: key.into_owned(),
        })
    }

    /// Returns how many attempts are left, and when the window ends. Counts nothing, and starts no
    /// window.
    ///
    /// Another caller may count before the result is used. Decide by [`attempt`](Self::attempt).
    ///
    /// # Errors
    ///
    /// Those of `attempt`, except `TooManyAttempts`.
    pub async fn peek(&self, key: impl Into<Key<'_>>) -> Result<AttemptWindow, AttemptError> {
        let key = key.into();
        let (counter, now) = (self.counter(&key)?, self.clock.now());
        let state = self.backend.get(&counter, now).await?;
        Ok(self.window(&counter, now, &state))
    }

    /// Deletes all attempts at a key, whichever window they are in. Meant for operators: after a
    /// success call [`Attempt::clear`], which never ends a window that started later.
    ///
    /// # Errors
    ///
    /// Those of `attempt`, except `TooManyAttempts`.
    pub async fn reset(&self, key: impl Into<Key<'_>>) -> Result<(), AttemptError> {
        self.delete(&key.into(), None).await
    }

    async fn delete(&self, key: &Key<'_>, window: Option<WindowId>) -> Result<(), AttemptError> {
        let counter = self.counter(key)?;
        Ok(self.backend.reset(&counter, window, self.clock.now()).await?)
    }
}

/// # Attempting without a future
///
/// The same methods over an [`Immediate`] backend. They need no runtime.
impl<B: Immediate> LimitedAttempt<B> {
    /// [`attempt`](Self::attempt) without a future.
    pub fn attempt_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<Attempt<B>, AttemptError> {
        poll_once(self.attempt(key))
    }

    /// [`attempt_with`](Self::attempt_with) without a future.
    pub fn attempt_with_now<'k>(
        &self,
        key: impl Into<Key<'k>>,
        context: &str,
    ) -> Result<Attempt<B>, AttemptError> {
        poll_once(self.attempt_with(key, context))
    }

    /// [`peek`](Self::peek) without a future.
    pub fn peek_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<AttemptWindow, AttemptError> {
        poll_once(self.peek(key))
    }

    /// [`reset`](Self::reset) without a future.
    pub fn reset_now<'k>(&self, key: impl Into<Key<'k>>) -> Result<(), AttemptError> {
        poll_once(self.reset(key))
    }
}

impl<B> LimitedAttempt<B> {
    fn counter<'a>(&'a self, key: &'a Key<'a>) -> Result<Counter<'a>, AttemptError> {
        let window = Window::FromFirstHit { length: self.length? };
        Ok(Counter::new(&self.namespace, key, window)?)
    }

    fn window(&self, counter: &Counter<'_>, now: Timestamp, state: &CounterState) -> AttemptWindow {
        let length = counter.window().length();
        let usage = attempt_window::usage(self.max, length, now, state.into());
        AttemptWindow {
            used: usage.used,
            remaining: usage.remaining,
            retry_after: (usage.remaining == 0).then(|| self.retry_after(counter, now, state)),
            expires_at: state.start.map(|start| start.saturating_add(length.as_duration())),
            meta: state.meta.clone(),
        }
    }

    fn retry_after(&self, counter: &Counter<'_>, now: Timestamp, state: &CounterState) -> Duration {
        let nanos = attempt_window::retry_after(self.max, counter.window().length(), now, state.into());
        duration::with_resolution(nanos.into(), self.clock.resolution())
    }
}

impl<B> Clone for LimitedAttempt<B> {
    fn clone(&self) -> Self {
        Self {
            backend: Instrumented::clone(&self.backend),
            max: self.max,
            length: self.length,
            namespace: Arc::clone(&self.namespace),
            policy: self.policy.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl<B> fmt::Debug for LimitedAttempt<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitedAttempt")
            .field("namespace", &self.namespace)
            .field("max", &self.max)
            .field("validity", &self.get_validity())
            .finish_non_exhaustive()
    }
}
