//! The name of a policy in telemetry.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "metrics")]
use super::metrics::PolicyKeys;

/// The name of a limiter or of limited attempts in telemetry, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Policy(Option<Arc<Named>>);

struct Named {
    name: Box<str>,
    /// Made once, so that a decision of a named policy allocates nothing.
    #[cfg(feature = "metrics")]
    keys: PolicyKeys,
}

impl Policy {
    /// Creates a policy of this name. An empty name is none.
    pub(crate) fn named(name: impl Into<Box<str>>) -> Self {
        let name = name.into();
        if name.is_empty() {
            return Self::default();
        }
        Self(Some(Arc::new(Named {
            #[cfg(feature = "metrics")]
            keys: PolicyKeys::new(&name),
            name,
        })))
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_ref().map(|named| &*named.name)
    }

    #[cfg(feature = "metrics")]
    pub(super) fn keys(&self) -> Option<&PolicyKeys> {
        self.0.as_ref().map(|named| &named.keys)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
