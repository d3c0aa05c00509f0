//! Requests to the mock, as owned data: the stores apply them, and calls record them.

use limited_core::{
    BucketQuota, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, Counter, Hit, Operation,
    Owner, Refund, Timestamp, Window, WindowId,
};

/// One operation, with its subject and its arguments except the time.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Counter(CounterId, CounterOp),
    /// Several hits at once.
    Counters(Vec<CounterHit>),
    Claim(ClaimId, ClaimOp),
}

/// The identity of a counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CounterId {
    pub(crate) namespace: String,
    pub(crate) key: String,
    pub(crate) window: Window,
}

/// The identity of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClaimId {
    pub(crate) namespace: String,
    pub(crate) kind: ClaimKind,
    pub(crate) key: String,
}

/// One of several hits at once. The metadata of the hit is apart, because a [`Hit`] borrows it.
#[derive(Clone, Debug)]
pub(crate) struct CounterHit {
    pub(crate) id: CounterId,
    pub(crate) hit: Hit<'static>,
    pub(crate) metadata: Option<String>,
    pub(crate) bucket: Option<BucketQuota>,
    pub(crate) is_sliding: bool,
}

/// An operation on a counter.
#[derive(Clone, Debug)]
pub(crate) enum CounterOp {
    /// The metadata of the hit is apart, because a [`Hit`] borrows it.
    Increment {
        hit: Hit<'static>,
        metadata: Option<String>,
        bucket: Option<BucketQuota>,
    },
    Refund {
        refund: Refund,
        bucket: Option<BucketQuota>,
    },
    Get {
        bucket: Option<BucketQuota>,
    },
    Reset {
        window: Option<WindowId>,
    },
}

/// An operation on a claim. The metadata is apart, because requests borrow it.
#[derive(Clone, Debug)]
pub(crate) enum ClaimOp {
    Claim { request: ClaimRequest<'static>, metadata: OwnedMetadata },
    Finish { completion: Completion<'static>, metadata: OwnedMetadata },
    Renew { owner: Owner, expires_at: Timestamp },
    Release { owner: Owner },
    Find,
    Forget,
}

/// [`ClaimMetadata`] that owns its texts.
#[derive(Clone, Debug)]
pub(crate) struct OwnedMetadata {
    function_name: Option<String>,
    tenant: Option<String>,
    request: Option<String>,
}

impl Request {
    pub(crate) fn counter(counter: &Counter<'_>, operation: CounterOp) -> Self {
        Self::Counter(CounterId::of(counter), operation)
    }

    pub(crate) fn counters(hits: &[(Counter<'_>, Hit<'_>)]) -> Self {
        Self::Counters(hits.iter().map(|(counter, hit)| CounterHit::new(counter, hit)).collect())
    }

    pub(crate) fn claim(key: &ClaimKey<'_>, operation: ClaimOp) -> Self {
        let (namespace, kind) = (key.namespace().to_owned(), key.kind());
        Self::Claim(ClaimId { namespace, kind, key: key.key().to_owned() }, operation)
    }

    /// Returns the namespace of the counter or claim; of several counters, that of the first.
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Counter(id, _) => &id.namespace,
            Self::Counters(hits) => hits.first().map_or("", |hit| &hit.id.namespace),
            Self::Claim(id, _) => &id.namespace,
        }
    }

    /// Returns the key of the counter or claim; of several counters, that of the first.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Counter(id, _) => &id.key,
            Self::Counters(hits) => hits.first().map_or("", |hit| &hit.id.key),
            Self::Claim(id, _) => &id.key,
        }
    }

    /// Returns whether the request is about a counter or claim whose namespace and key fit.
    pub(crate) fn is_about(&self, fits: impl Fn(&str, &str) -> bool) -> bool {
        match self {
            Self::Counters(hits) if !hits.is_empty() => {
                hits.iter().any(|hit| fits(&hit.id.namespace, &hit.id.key))
            }
            _ => fits(self.namespace(), self.key()),
        }
    }

    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Counter(_, CounterOp::Increment { .. }) => Operation::Increment,
            Self::Counters(_) => Operation::IncrementAll,
            Self::Counter(_, CounterOp::Refund { .. }) => Operation::Refund,
            Self::Counter(_, CounterOp::Get { .. }) => Operation::Get,
            Self::Counter(_, CounterOp::Reset { .. }) => Operation::Reset,
            Self::Claim(_, ClaimOp::Claim { .. }) => Operation::Claim,
            Self::Claim(_, ClaimOp::Finish { .. }) => Operation::Finish,
            Self::Claim(_, ClaimOp::Renew { .. }) => Operation::Renew,
            Self::Claim(_, ClaimOp::Release { .. }) => Operation::Release,
            Self::Claim(_, ClaimOp::Find) => Operation::Find,
            Self::Claim(_, ClaimOp::Forget) => Operation::Forget,
        }
    }
}

impl CounterId {
    fn of(counter: &Counter<'_>) -> Self {
        let (namespace, key) = (counter.namespace().to_owned(), counter.key().to_owned());
        Self { namespace, key, window: counter.window() }
    }
}

impl CounterHit {
    fn new(counter: &Counter<'_>, hit: &Hit<'_>) -> Self {
        let (hit, metadata) = owned(hit);
        // A quota is a property of buckets alone.
        let bucket = counter.bucket().filter(|_| matches!(counter.window(), Window::Bucket { .. }));
        Self { id: CounterId::of(counter), hit, metadata, bucket, is_sliding: counter.is_sliding() }
    }

    /// Returns the hit with its metadata.
    pub(crate) fn hit(&self) -> Hit<'_> {
        Hit { metadata: self.metadata.as_deref(), ..self.hit }
    }
}

impl CounterOp {
    pub(crate) fn increment(bucket: Option<BucketQuota>, hit: &Hit<'_>) -> Self {
        let (hit, metadata) = owned(hit);
        Self::Increment { hit, metadata, bucket }
    }
}

/// Returns the hit without its metadata, and the metadata.
fn owned(hit: &Hit<'_>) -> (Hit<'static>, Option<String>) {
    let &Hit { cost, floor, ceiling, window_id, metadata } = hit;
    (Hit { cost, floor, ceiling, window_id, metadata: None }, metadata.map(ToOwned::to_owned))
}

impl ClaimOp {
    pub(crate) fn claim(request: &ClaimRequest<'_>) -> Self {
        let &ClaimRequest { owner, expires_at, request_hash, metadata, .. } = request;
        let request = ClaimRequest::new(owner, expires_at).with_request_hash(request_hash);
        Self::Claim { request, metadata: metadata.into() }
    }

    pub(crate) fn finish(completion: &Completion<'_>) -> Self {
        let Completion { owner, result, status_code, expires, metadata, .. } = completion.clone();
        let completion =
            Completion::new(owner).with_result(result).with_status_code(status_code).with_expiry(expires);
        Self::Finish { completion, metadata: metadata.into() }
    }
}

impl From<ClaimMetadata<'_>> for OwnedMetadata {
    fn from(metadata: ClaimMetadata<'_>) -> Self {
        let ClaimMetadata { function_name, tenant, request, .. } = metadata;
        let [function_name, tenant, request] =
            [function_name, tenant, request].map(|text| text.map(ToOwned::to_owned));
        Self { function_name, tenant, request }
    }
}

impl OwnedMetadata {
    pub(crate) fn borrow(&self) -> ClaimMetadata<'_> {
        ClaimMetadata::default()
            .with_function_name(self.function_name.as_deref())
            .with_tenant(self.tenant.as_deref())
            .with_request(self.request.as_deref())
    }
}
