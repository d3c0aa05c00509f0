//! A rule: a quota of its own for some of the requests.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;

use crate::Quotas;
use crate::http::InvalidPolicyName;
use crate::http::ratelimit_headers::PolicyName;

pub(super) type Applies = dyn Fn(&Parts) -> bool + Send + Sync;

/// A quota of its own for some of the requests of a layer, such as those of one route.
///
/// Requests of different rules are counted apart, and apart from requests that no rule applies to.
/// [`RateLimitLayer::rule`](super::RateLimitLayer::rule) has an example. For one quota on several
/// routes, create one rule that applies to all of them.
///
/// In axum, a layer of the router finds the route of a request by
/// `parts.extensions.get::<MatchedPath>()`. Its text is that of the route, such as `/users/{id}`.
#[derive(Clone)]
pub struct RateLimitRule {
    pub(super) name: PolicyName,
    pub(super) namespace: Option<Arc<str>>,
    pub(super) quotas: Quotas,
    pub(super) applies: Arc<Applies>,
}

impl RateLimitRule {
    /// Creates a rule for the requests that `applies` accepts, with one quota or
    /// [several](Quotas). The name is that of the policy in headers and bodies. Of several quotas,
    /// each has a name of its own: see [`policy_name`](super::RateLimitLayer::policy_name).
    ///
    /// # Errors
    ///
    /// [`InvalidPolicyName`] if a header cannot contain the name: it must be printable ASCII and
    /// not empty.
    pub fn new(
        name: impl Into<String>,
        quotas: impl Into<Quotas>,
        applies: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Result<Self, InvalidPolicyName> {
        Ok(Self {
            name: PolicyName::new(name)?,
            namespace: None,
            quotas: quotas.into(),
            applies: Arc::new(applies),
        })
    }

    /// Sets the [namespace](crate::Limiter::namespace) that the requests are counted in. Default:
    /// that of the limiter, a slash, and the name of the rule, with `%` and `/` in the name as
    /// `%25` and `%2F`: `api/login` for the rule `login` of a limiter with the namespace `api`.
    ///
    /// Limiters with one namespace share what they count, whichever layer they are in. So give no
    /// other limiter of the backend the namespace `api/login`. Rules with one namespace share what
    /// they count too, if their windows are equally long: with different quotas, the requests of
    /// one rule spend the quota of the other.
    #[must_use]
    pub fn namespace(self, namespace: impl Into<Arc<str>>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// Returns the namespace of the rule of a limiter.
    ///
    /// The escaped name contains no slash. So no two pairs of a namespace and a name meet.
    pub(super) fn namespace_in(&self, limiter: &str) -> Arc<str> {
        match &self.namespace {
            Some(namespace) => Arc::clone(namespace),
            None => {
                let name = self.name.as_str().replace('%', "%25").replace('/', "%2F");
                format!("{limiter}/{name}").into()
            }
        }
    }
}

/// Why a layer cannot have a rule.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleConflict {
    /// The layer, or another of its rules, has this name.
    #[error("the layer already has a policy `{0}`; expected a name of its own for each rule")]
    Name(String),
    /// The limiter of the layer has this namespace.
    #[error("the limiter of the layer already has the namespace `{}`; expected another for the rule", .0.escape_debug())]
    Namespace(String),
}

impl fmt::Debug for RuleConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        limited_core::debug_error(f, "RuleConflict", self)
    }
}

impl fmt::Debug for RateLimitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitRule")
            .field("name", &self.name.as_str())
            .field("namespace", &self.namespace)
            .field("quotas", &format_args!("{}", self.quotas))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quota;

    #[test]
    fn namespaces_of_different_rules_differ() {
        let namespace = |limiter: &str, name: &str| {
            RateLimitRule::new(name, Quota::per_minute(1), |_| true).unwrap().namespace_in(limiter)
        };
        assert_eq!(&*namespace("", "login"), "/login");
        assert_eq!(&*namespace("api", "login"), "api/login");
        assert_ne!(namespace("api", "a/b"), namespace("api/a", "b"));
        assert_ne!(namespace("api", "a/b"), namespace("api", "a%2Fb"));
    }
}
