//! The settings of limited attempts: reading them, and setting them from a configuration.

use std::time::Duration;

use limited_core::InvalidWindowLength;

use super::LimitedAttempt;
use crate::{AttemptsConfig, InvalidConfig, Quota};

/// # Settings from a configuration
impl<B> LimitedAttempt<B> {
    /// Creates a limit of `quota.limit()` attempts within `quota.window()` of the first one, such
    /// as `"3/hour".parse()?`. A burst has no effect. A calendar has none either: attempts last for
    /// the [nominal length](Quota::window) of the quota.
    pub fn from_quota(backend: B, quota: Quota) -> Self {
        Self::new(backend, quota.limit(), quota.window())
    }

    /// Creates a limit from a configuration, such as a part of a file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] if the settings do not fit together.
    pub fn from_config(backend: B, config: &AttemptsConfig) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self::from_quota(backend, config.quota).namespace(config.namespace.as_str()))
    }
}

/// # Reading the settings
impl<B> LimitedAttempt<B> {
    /// Returns the maximum of attempts per validity.
    pub const fn get_max(&self) -> u64 {
        self.max
    }

    /// Returns the validity, also one that is out of range.
    pub const fn get_validity(&self) -> Duration {
        match self.length {
            Ok(length) => length.as_duration(),
            Err(InvalidWindowLength(validity)) => validity,
        }
    }

    /// Returns the namespace.
    pub fn get_namespace(&self) -> &str {
        &self.namespace
    }
}
