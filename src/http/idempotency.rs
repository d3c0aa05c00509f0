//! The layer that carries requests out once.

mod answer;
mod buffer;
mod header;
mod problems;
mod rules;
mod service;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderName, Method, StatusCode};
use tower_layer::Layer;

pub use self::buffer::BufferedBody;
use self::rules::Rules;
pub use self::service::{IdempotentFuture, IdempotentService};
use super::{KeyBy, WithoutKey};
use crate::{BackendError, Idempotency};

/// Carries each request out once, however often it is sent with the same `Idempotency-Key`; over any backend.
///
/// ```
/// use bytes::Bytes;
/// use http::{HeaderName, Request, Response, StatusCode};
/// use http_body_util::{BodyExt, Full};
/// use limited::http::{BufferedBody, IdempotencyLayer, KeyBy};
/// use limited::memory::MemoryBackend;
/// use limited::{Claim, Idempotency};
/// use tower::{Service, ServiceExt, service_fn};
/// use tower_layer::Layer;
///
/// # type Error = Box<dyn std::error::Error + Send + Sync>;
/// # pollster::block_on(async {
/// let idempotency = Idempotency::new(MemoryBackend::new()).namespace("payments");
/// let layer = IdempotencyLayer::new(idempotency, KeyBy::bearer_token());
///
/// let charge = service_fn(async |request: Request<BufferedBody<Full<Bytes>>>| {
///     // To send along with the effect, whose receiver can refuse older ones.
///     let number = request.extensions().get::<Claim>().map(Claim::fencing_token);
///     let receipt = format!("charged under {}", number.unwrap_or_default());
///     Response::builder().status(StatusCode::CREATED).body(Full::<Bytes>::from(receipt)).map_err(Error::from)
/// });
/// let mut service = layer.layer(charge);
///
/// let mut answers = Vec::new();
/// for _ in 0..2 {
///     let request = Request::post("/charges")
///         .header("authorization", "Bearer alice's")
///         .header("idempotency-key", "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"")
///         .body(Full::<Bytes>::from("4200"))?;
///     let response = service.ready().await?.call(request).await?;
///     assert_eq!(response.status(), StatusCode::CREATED);
///     let replayed = response.headers().contains_key("idempotency-replayed");
///     answers.push((replayed, response.into_body().collect().await?.to_bytes()));
/// }
/// assert!(!answers[0].0 && answers[1].0);
/// assert_eq!(answers[0].1, answers[1].1);
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
///
/// The header is that of draft-ietf-httpapi-idempotency-key-header-07: a String of Structured Fields
/// (`"8e03978e…"`), at most 255 characters. The same without quotes is taken too, since many clients send it so.
///
/// # What happens to a request
///
/// | | answer |
/// |---|---|
/// | its method is not one of [these](Self::methods), which are POST and PATCH | the service's, as it is |
/// | it has no key | 400 `idempotency-key-missing`, or the service's: [`without_key`](Self::without_key) |
/// | its key is malformed, empty, too long, or sent more than once | 400 `idempotency-key-malformed` |
/// | its [caller](#callers) has no key | 400 `caller-unknown` |
/// | its body is [too large](Self::largest_request) | 413 `request-too-large`; the service is not called |
/// | its body breaks off | 400 `request-broken-off`; the service is not called |
/// | it is the first with its key | the service's, which is kept |
/// | it is sent again, and done | the same answer, with `Idempotency-Replayed: true` |
/// | it is sent again, and in progress | 409 `request-in-progress`, with `Retry-After`; or, with [`wait_timeout`](Idempotency::wait_timeout), the answer once it is there |
/// | it is another request with the same key | 422 `idempotency-key-reused` |
/// | it is sent again, is done, and its answer [was not kept](#what-is-kept) | 409 `answer-not-kept`, without `Retry-After` |
/// | it took longer than its lease, renewals did not arrive, and another took it over | 409 `answer-superseded`, with `Retry-After` |
/// | the backend fails before the service is called | 503 `idempotency-unavailable`, or the service's: [`without_backend`](Self::without_backend) |
///
/// A request is the same where method, path, query and body are, byte by byte.
///
/// The body of what is not the service's answer is `application/problem+json` (RFC 9457). The draft names titles, and no
/// types: the member `reason` has the word from the table, and `type` is that under a page of yours, if
/// [there is one](Self::documentation).
///
/// # What is guaranteed
///
/// What [`Idempotency`] guarantees. Of one caller and key, by any number of processes over one backend:
///
/// - **One call of the service at a time**; once an answer is kept, all get that one, to the byte, for as long as results
///   are [kept](Idempotency::ttl).
/// - **At least once, and once unless somebody is stopped in the middle**: where a process dies, or the future is dropped,
///   between the effect and the record, the request may be carried out again, after the lease. Send the fencing number
///   along, which the [`Claim`](crate::Claim) among the request's extensions has, and let the receiver refuse older ones.
/// - **Nothing is recorded as done before the service has answered.** The answer goes out after it is recorded.
///
/// # When the client goes away
///
/// Servers drop the future of a request whose client is gone. The service's own future is dropped with it, at any await
/// point. The layer cannot know how far it came, so the key stays in progress until the [lease](Idempotency::lease) ends
/// (30 seconds unless set): who asks meanwhile gets 409 with the time to wait, and who asks later has it carried out again.
///
/// What must run to its end once it has begun has to run in a task of its own: `tokio::spawn` inside the service, around
/// what has the effect, with the claim's fencing number. Or spawn the whole call in a layer *outside* of this one;
/// then the answer is kept although nobody waits for it, and who asks again gets it.
///
/// # What is kept
///
/// Answers that would be the same the next time: all but server errors (5xx), 401, 408, 425 and 429, unless
/// [you say otherwise](Self::keep_if). Where an answer is not to be kept, or the service returns an error, the key is free
/// again, also for another request. The answer goes out either way.
///
/// Of the headers `Content-Type`, `-Encoding`, `-Language`, `-Location` and `-Disposition`, `Location`, `ETag`,
/// `Last-Modified`, `Link`, `Cache-Control` and `Vary`, or [those you name](Self::keep_headers). `Set-Cookie` is not among
/// them: a cookie would be given out to whoever sends the request again. Of the trailers, all.
///
/// The body, where it has [at most so many bytes](Self::largest_answer). A larger one goes out as it is, as far as it
/// comes, and so does one that breaks off. The record then says that the request is done and its answer not kept, and the
/// request is not carried out again. So is one for which the backend has no room.
///
/// # Callers
///
/// Keys belong to who sends them: [`KeyBy`] says who that is, as for limits, and nobody gets the answer to another's
/// request, nor learns that there was one. A caller is part of the key, escaped, so that no two meet. Credentials are in it
/// as fingerprints.
///
/// The layer does not check credentials. Put it inside the one that does: otherwise whoever has found out a key and the
/// name of its user gets the answer.
///
/// # Bodies are read first
///
/// The request is read to its end before the service is called, and the answer before it goes out, both up to a limit. That
/// is not for streams in both directions, nor for answers that never end; leave their methods or routes out. What changes
/// an answer from one client to the next, such as compression, belongs outside of this layer.
///
/// # What it costs
///
/// Of the backend two requests for what is carried out, and one for a replay. A SHA-256 of the request's body, a few
/// allocations for the future and the body, and the answer once more as JSON (in Base64 where it is no text).
#[must_use = "a layer does nothing until it is put in front of a service"]
pub struct IdempotencyLayer<B> {
    idempotency: Idempotency<B>,
    rules: Arc<Rules>,
}

/// What is done with a request where the backend fails, so that nobody knows whether it was carried out before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WithoutBackend {
    /// 503: it is not carried out. Where an answer of the backend was lost, the key may be in progress until its lease
    /// ends.
    #[default]
    Refuse,
    /// It is carried out, without idempotency: sent again, it is carried out again. There is no
    /// [`Claim`](crate::Claim) among its extensions.
    Run,
}

/// # Making a layer
impl<B> IdempotencyLayer<B> {
    /// A layer whose keys belong to callers, whom `caller` tells apart.
    pub fn new(idempotency: Idempotency<B>, caller: KeyBy) -> Self {
        Self { idempotency, rules: Arc::new(Rules::new(Some(caller))) }
    }

    /// A layer whose keys belong to nobody: who sends the request of another with its key gets the answer to it.
    ///
    /// For services with one caller, and where keys cannot be guessed and answers are no secrets.
    pub fn for_one_caller(idempotency: Idempotency<B>) -> Self {
        Self { idempotency, rules: Arc::new(Rules::new(None)) }
    }

    /// Which methods need a key: POST and PATCH, unless set. All others go to the service as they are.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.with(|rules| rules.methods = methods.into_iter().collect())
    }

    /// What to do with a request that has no key: refused with 400, unless set. With [`WithoutKey::Pass`] clients choose:
    /// what they send without a key is carried out each time.
    pub fn without_key(self, without_key: WithoutKey) -> Self {
        self.with(|rules| rules.without_key = without_key)
    }

    /// What to do where the backend fails: 503, unless set.
    ///
    /// It is never silent: [`backend_errors`](Self::backend_errors) counts, [`on_backend_error`](Self::on_backend_error) is
    /// called, and with the features `tracing` and `metrics` [`observability`](crate::observability) tells.
    pub fn without_backend(self, without_backend: WithoutBackend) -> Self {
        self.with(|rules| rules.without_backend = without_backend)
    }

    /// The most bytes of a request's body: 1 MiB, unless set. They are held in memory while the request is carried out.
    pub fn largest_request(self, bytes: usize) -> Self {
        self.with(|rules| rules.largest_request = bytes)
    }

    /// The most bytes of an answer's body that are kept: 64 KiB, unless set. Every backend has room for that, unless
    /// its text is mostly quotes and control characters, which take more in JSON.
    pub fn largest_answer(self, bytes: usize) -> Self {
        self.with(|rules| rules.largest_answer = bytes)
    }

    /// Which headers of an answer are kept, instead of [the usual ones](#what-is-kept). `Content-Length` and
    /// `Transfer-Encoding` never are: servers write them anew.
    pub fn keep_headers(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.with(|rules| rules.kept_headers = names.into_iter().collect())
    }

    /// Another header of an answer that is kept.
    pub fn keep_header(self, name: HeaderName) -> Self {
        self.with(|rules| rules.kept_headers.push(name))
    }

    /// Which answers are kept, by their status, instead of [the usual ones](#what-is-kept).
    ///
    /// ```
    /// # use limited::{Idempotency, memory::MemoryBackend};
    /// # use limited::http::{IdempotencyLayer, KeyBy};
    /// # let idempotency = Idempotency::new(MemoryBackend::new());
    /// // Whatever the service answers, it has answered.
    /// let layer = IdempotencyLayer::new(idempotency, KeyBy::bearer_token()).keep_if(|_| true);
    /// ```
    pub fn keep_if(self, keep: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.keep_if = Arc::new(keep))
    }

    /// A page that says how keys are to be used: the `type` of each problem is its `reason` as a fragment of this URI,
    /// such as `https://developer.example.com/idempotency#request-in-progress`.
    pub fn documentation(self, uri: impl Into<Arc<str>>) -> Self {
        self.with(|rules| rules.documentation = Some(uri.into()))
    }

    /// Calls a function each time the backend fails, whatever is answered then: to log it, to raise an alarm. Also where
    /// it fails after the service has answered; the answer goes out then.
    pub fn on_backend_error(self, told: impl Fn(&BackendError) + Send + Sync + 'static) -> Self {
        self.with(|rules| rules.on_backend_error = Some(Arc::new(told)))
    }

    /// How often the backend has failed, in all services that this layer, or a clone of it, has made.
    pub fn backend_errors(&self) -> u64 {
        self.rules.backend_errors.load(Ordering::Relaxed)
    }

    fn with(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(Arc::make_mut(&mut self.rules));
        self
    }
}

impl<B, S> Layer<S> for IdempotencyLayer<B> {
    type Service = IdempotentService<S, B>;

    fn layer(&self, inner: S) -> IdempotentService<S, B> {
        IdempotentService::new(inner, self.idempotency.clone(), Arc::clone(&self.rules))
    }
}

impl<B> Clone for IdempotencyLayer<B> {
    fn clone(&self) -> Self {
        Self { idempotency: self.idempotency.clone(), rules: Arc::clone(&self.rules) }
    }
}

impl<B> fmt::Debug for IdempotencyLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("idempotency", &self.idempotency)
            .field("rules", &self.rules)
            .finish()
    }
}
