//! A limiter of a layer: which requests it limits, by which key, and at which cost.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::response;

use super::policy::PolicyGroup;
use crate::Quota;
use crate::http::cors::is_preflight;
use crate::http::{KeyExtractor, MissingKey};

pub(super) type PerRequest<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;
pub(super) type PerResponse = Arc<dyn Fn(&response::Parts) -> bool + Send + Sync>;

/// The settings of a limiter with a key extractor of its own, and of its rules.
#[derive(Clone)]
pub(super) struct KeyedLimiter {
    /// The policies of the limiter, and then those of its rules.
    pub(super) groups: Vec<PolicyGroup>,
    pub(super) is_enabled: bool,
    pub(super) skips_preflights: bool,
    /// A request is skipped if one of them says so.
    pub(super) skip: Vec<PerRequest<bool>>,
    pub(super) key: KeyExtractor,
    pub(super) cost: Option<PerRequest<u64>>,
    pub(super) quota_of: Option<PerRequest<Option<Quota>>>,
    pub(super) missing_key: MissingKey,
    /// A request counts if all of them say so.
    pub(super) count_only: Vec<PerResponse>,
}

/// What a request costs, and the limiter that decides about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestHit {
    /// The index of the settings.
    pub(super) keyed: usize,
    /// The index of the policies within the settings.
    pub(super) group: usize,
    /// The index of the limiter.
    pub(super) limiter: usize,
    /// The quota of this request, if it is not that of the limiter.
    pub(super) quota: Option<Quota>,
    pub(super) cost: u64,
}

impl KeyedLimiter {
    pub(super) const fn new(groups: Vec<PolicyGroup>, key: KeyExtractor) -> Self {
        Self {
            groups,
            is_enabled: true,
            skips_preflights: false,
            skip: Vec::new(),
            key,
            cost: None,
            quota_of: None,
            missing_key: MissingKey::Reject,
            count_only: Vec::new(),
        }
    }

    /// Returns what a request costs, by which policies. `None` if it is not limited.
    pub(super) fn hit(&self, keyed: usize, parts: &Parts) -> Option<RequestHit> {
        if self.skips(parts) {
            return None;
        }
        let cost = self.cost.as_ref().map_or(1, |cost| cost(parts));
        if cost == 0 {
            return None;
        }
        let applies = |group: &PolicyGroup| group.applies.as_ref().is_some_and(|applies| applies(parts));
        let (group, quota) = match self.groups.iter().position(applies) {
            Some(rule) => (rule, None),
            None => (0, self.quota_of.as_ref().and_then(|quota| quota(parts))),
        };
        Some(RequestHit { keyed, group, limiter: self.groups[group].limiter, quota, cost })
    }

    fn skips(&self, parts: &Parts) -> bool {
        !self.is_enabled
            || (self.skips_preflights && is_preflight(parts))
            || self.skip.iter().any(|skip| skip(parts))
    }

    /// Returns whether a request with this response counts.
    pub(super) fn counts(&self, response: &response::Parts) -> bool {
        self.count_only.iter().all(|counts| counts(response))
    }
}

impl fmt::Debug for KeyedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter")
            .field("policies", &self.groups)
            .field("is_enabled", &self.is_enabled)
            .field("key", &self.key)
            .field("missing_key", &self.missing_key)
            .finish_non_exhaustive()
    }
}
