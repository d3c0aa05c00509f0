//! Requests to the mock, as owned data: the stores apply them, and calls record them.

use limited_core::{
    BucketQuota, ClaimKey, ClaimKind, ClaimMetadata, ClaimRequest, Completion, Counter, Hit, Operation,
    Owner, Timestamp, Window, WindowId,
};

/// One operation, with its subject and its arguments except the time.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Counter(CounterId, CounterOp),
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

/// An operation on a counter.
#[derive(Clone, Debug)]
pub(crate) enum CounterOp {
    /// The metadata of the hit is apart, because a [`Hit`] borrows it.
    Increment {
        hit: Hit<'static>,
        metadata: Option<String>,
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
        let (namespace, key) = (counter.namespace().to_owned(), counter.key().to_owned());
        Self::Counter(CounterId { namespace, key, window: counter.window() }, operation)
    }

    pub(crate) fn claim(key: &ClaimKey<'_>, operation: ClaimOp) -> Self {
        let (namespace, kind) = (key.namespace().to_owned(), key.kind());
        Self::Claim(ClaimId { namespace, kind, key: key.key().to_owned() }, operation)
    }

    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Counter(id, _) => &id.namespace,
            Self::Claim(id, _) => &id.namespace,
        }
    }

    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Counter(id, _) => &id.key,
            Self::Claim(id, _) => &id.key,
        }
    }

    pub(crate) const fn operation(&self) -> Operation {
        match self {
            Self::Counter(_, CounterOp::Increment { .. }) => Operation::Increment,
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

impl CounterOp {
    pub(crate) fn increment(bucket: Option<BucketQuota>, hit: &Hit<'_>) -> Self {
        let &Hit { cost, floor, ceiling, window_id, metadata } = hit;
        let metadata = metadata.map(ToOwned::to_owned);
        let hit = Hit { cost, floor, ceiling, window_id, metadata: None };
        Self::Increment { hit, metadata, bucket }
    }
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
