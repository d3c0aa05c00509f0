//! The settings of a limiter: reading them, and setting them from a configuration.

use super::Limiter;
use crate::{Algorithm, InvalidConfig, LimiterConfig, OnError, Quota, Quotas};

/// # Settings from a configuration
impl<B> Limiter<B> {
    /// Creates a limiter over `backend` from a configuration, such as a part of a file. The clock
    /// is that of the [system](Self#clock).
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] if the settings do not fit together.
    pub fn from_config(backend: B, config: &LimiterConfig) -> Result<Self, InvalidConfig> {
        config.validate()?;
        Ok(Self::new(backend)
            .namespace(config.namespace.as_str())
            .quotas(config.quota.clone())
            .algorithm(config.algorithm)
            .on_error(config.on_error))
    }
}

/// # Reading the settings
///
/// The builders have the plain names: [`quota`](Self::quota) sets what
/// [`get_quota`](Self::get_quota) returns.
impl<B> Limiter<B> {
    /// Returns the quota; the first one, if there are [several](Self::get_quotas).
    pub const fn get_quota(&self) -> Quota {
        self.quota
    }

    /// Returns all quotas.
    pub fn get_quotas(&self) -> Quotas {
        Quotas::from_parts(self.quota, self.several.clone())
    }

    /// Returns the algorithm.
    pub const fn get_algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the namespace.
    pub fn get_namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns what is decided if the backend fails.
    pub const fn get_on_error(&self) -> OnError {
        self.on_error
    }

    /// Returns the settings that a file can hold. They are [valid](LimiterConfig::validate), unless
    /// the quota has a burst under a window, or a burst of 0.
    pub fn get_config(&self) -> LimiterConfig {
        LimiterConfig {
            namespace: self.namespace.as_ref().to_owned(),
            quota: self.get_quotas(),
            algorithm: self.algorithm,
            on_error: self.on_error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Algorithm::TokenBucket;

    #[test]
    fn getters_return_what_the_builders_set() {
        let quota = Quota::per_second(5).burst(9);
        let limiter =
            Limiter::new(()).quota(quota).algorithm(TokenBucket).namespace("login").on_error(OnError::Deny);
        assert_eq!((limiter.get_quota(), limiter.get_algorithm()), (quota, TokenBucket));
        assert_eq!((limiter.get_namespace(), limiter.get_on_error()), ("login", OnError::Deny));
        let other = limiter.with_quota(Quota::per_day(1));
        assert_eq!((other.get_quota(), other.limiter().get_quota()), (Quota::per_day(1), quota));
    }

    #[test]
    fn limiter_of_a_configuration_returns_it() {
        assert_eq!(Limiter::new(()).get_config(), LimiterConfig::default());
        let quota = Quota::per_second(5).burst(9);
        let mut config = LimiterConfig {
            namespace: "login".into(),
            quota: quota.into(),
            algorithm: TokenBucket,
            on_error: OnError::Deny,
        };
        let limiter = Limiter::from_config((), &config).unwrap();
        assert_eq!(limiter.get_config(), config);
        assert_eq!(limiter.is_coarse, Limiter::new(()).quota(quota).algorithm(TokenBucket).is_coarse);
        config.quota = Quotas::new([quota, Quota::new(1, Duration::from_millis(1)).unwrap()]).unwrap();
        let limiter = Limiter::from_config((), &config).unwrap();
        assert_eq!((limiter.get_quotas(), limiter.get_quota()), (config.quota.clone(), quota));
        assert!(!limiter.is_coarse, "the coarse clock is not precise enough for the second quota");
        config.algorithm = Algorithm::SlidingWindow;
        assert!(Limiter::from_config((), &config).is_err());
    }
}
