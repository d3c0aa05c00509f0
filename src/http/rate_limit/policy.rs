//! The named policies of a limiter: one for each of its quotas.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use super::rule::Applies;
use crate::http::dimension_headers::DimensionHeaders;
use crate::http::ratelimit_headers::{self, PolicyName};
use crate::{Algorithm, Limiter, Quota};

/// A named quota.
#[derive(Clone)]
pub(super) struct Policy {
    pub(super) name: PolicyName,
    pub(super) quota: Quota,
    /// The value of `RateLimit-Policy`.
    pub(super) header: HeaderValue,
    /// `None` if no header can have this name.
    pub(super) dimension: Option<DimensionHeaders>,
}

/// A policy that applies to a request.
#[derive(Clone, Copy)]
pub(super) struct AppliedPolicy<'a> {
    pub(super) name: &'a PolicyName,
    /// The prepared value of `RateLimit-Policy`. `None` if the request has a quota of its own.
    pub(super) header: Option<&'a HeaderValue>,
    pub(super) dimension: Option<&'a DimensionHeaders>,
    pub(super) quota: Quota,
    pub(super) algorithm: Algorithm,
    pub(super) cost: u64,
}

impl Policy {
    fn new(name: PolicyName, quota: Quota, algorithm: Algorithm) -> Self {
        let header = ratelimit_headers::policy(&name, quota, algorithm);
        let dimension = DimensionHeaders::new(name.as_str());
        Self { name, quota, header, dimension }
    }
}

/// The policies of one limiter: that of a layer, or of one of its rules.
#[derive(Clone)]
pub(super) struct PolicyGroup {
    /// The index of the limiter.
    pub(super) limiter: usize,
    /// The name of the limiter's only policy, and of a quota of the request's own. The names of
    /// several policies begin with it.
    pub(super) name: PolicyName,
    dimension: Option<DimensionHeaders>,
    pub(super) algorithm: Algorithm,
    /// One for each quota of the limiter, in its order.
    pub(super) policies: Vec<Policy>,
    /// Which requests the limiter is for. `None` if it is for those that no rule applies to.
    pub(super) applies: Option<Arc<Applies>>,
    /// Whether the limiter is in shadow.
    pub(super) is_shadow: bool,
}

impl PolicyGroup {
    /// Creates the policies of a limiter with this index.
    pub(super) fn new<B>(
        index: usize,
        limiter: &Limiter<B>,
        name: PolicyName,
        applies: Option<Arc<Applies>>,
    ) -> Self {
        let (quotas, algorithm) = (limiter.get_quotas(), limiter.get_algorithm());
        let names = names_of(&name, &quotas);
        let policies = names.into_iter().zip(&*quotas);
        let policies = policies.map(|(name, &quota)| Policy::new(name, quota, algorithm)).collect();
        let dimension = DimensionHeaders::new(name.as_str());
        let is_shadow = limiter.is_shadow();
        Self { limiter: index, name, dimension, algorithm, policies, applies, is_shadow }
    }

    /// Gives the policies the names that follow from this one.
    pub(super) fn set_name(&mut self, name: PolicyName) {
        let quotas: Vec<_> = self.policies.iter().map(|policy| policy.quota).collect();
        self.set_names(names_of(&name, &quotas));
        self.dimension = DimensionHeaders::new(name.as_str());
        self.name = name;
    }

    /// Gives each policy a name.
    pub(super) fn set_names(&mut self, names: Vec<PolicyName>) {
        for (policy, name) in self.policies.iter_mut().zip(names) {
            *policy = Policy::new(name, policy.quota, self.algorithm);
        }
    }

    /// Returns the policies that apply to a request of this cost: those of the limiter, or the
    /// quota of the request.
    pub(super) fn applied(&self, quota: Option<Quota>, cost: u64) -> impl Iterator<Item = AppliedPolicy<'_>> {
        let algorithm = self.algorithm;
        let of_request = quota.map(|quota| {
            let (name, dimension) = (&self.name, self.dimension.as_ref());
            AppliedPolicy { name, header: None, dimension, quota, algorithm, cost }
        });
        let own = if of_request.is_some() { &[] } else { &*self.policies };
        of_request.into_iter().chain(own.iter().map(move |policy| {
            let Policy { name, quota, header, dimension } = policy;
            let (header, dimension) = (Some(header), dimension.as_ref());
            AppliedPolicy { name, header, dimension, quota: *quota, algorithm, cost }
        }))
    }

    /// Returns the names that headers can contain.
    pub(super) fn names(&self) -> impl Iterator<Item = &PolicyName> {
        std::iter::once(&self.name).chain(self.policies.iter().map(|policy| &policy.name))
    }

    /// Returns whether one of its policies has this name.
    pub(super) fn has_name(&self, name: &PolicyName) -> bool {
        self.names().any(|other| other == name)
    }
}

impl fmt::Debug for PolicyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policies = self.policies.iter().map(|policy| (policy.name.as_str(), policy.quota.to_string()));
        f.debug_map().entries(policies).finish()
    }
}

/// Returns the name of each quota: of several, `api-second`, `api-10min`, `api-day`.
fn names_of(name: &PolicyName, quotas: &[Quota]) -> Vec<PolicyName> {
    let mut names: Vec<PolicyName> = Vec::with_capacity(quotas.len());
    for quota in quotas {
        let mut own = name.clone();
        if quotas.len() > 1 {
            let unit = unit(*quota);
            own = name.with_suffix(&unit);
            // The texts of two windows that differ may have the same beginning.
            let mut number = 2;
            while names.contains(&own) {
                own = name.with_suffix(&format!("{unit}-{number}"));
                number += 1;
            }
        }
        names.push(own);
    }
    names
}

/// Returns the window of a quota as a word: `second`, `10min`, `day`.
fn unit(quota: Quota) -> String {
    let text = quota.to_string();
    let window = text.split_once('/').map_or("", |(_, window)| window);
    match window.split_whitespace().next().unwrap_or_default() {
        "s" => "second",
        "min" => "minute",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(quotas: &[Quota]) -> Vec<String> {
        let names = names_of(&PolicyName::new("api").unwrap(), quotas);
        names.iter().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn each_of_several_quotas_is_named_after_its_window() {
        assert_eq!(names(&[Quota::per_second(5)]), ["api"]);
        let ten_minutes = Quota::new(5, Duration::from_secs(600)).unwrap().burst(7);
        let quotas = [
            Quota::per_second(5),
            Quota::per_minute(9).burst(3),
            ten_minutes,
            Quota::per_hour(1),
            Quota::per_day(5),
        ];
        assert_eq!(names(&quotas), ["api-second", "api-minute", "api-10min", "api-hour", "api-day"]);
    }

    #[test]
    fn names_of_one_limiter_differ() {
        assert_eq!(names(&[Quota::per_day(1); 3]), ["api-day", "api-day-2", "api-day-3"]);
    }
}
