//! Configurations that a file can hold.

#[cfg(feature = "serde")]
mod from_file;

use std::fmt;

use limited_core::debug_error;

use crate::{Algorithm, OnError, Quota, Quotas};

/// The settings of a [`Limiter`](crate::Limiter) that a file can hold.
///
/// [`Limiter::from_config`](crate::Limiter::from_config) applies it. With the feature `serde` it
/// implements `Serialize` and `Deserialize`. Every field has the default of
/// [`Limiter::new`](crate::Limiter::new), an unknown field is an error, and the result is
/// [valid](Self::validate). Quotas and names are [text](Quota#text-format). In TOML:
///
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use std::collections::HashMap;
/// use limited::{Limiter, LimiterConfig, memory::MemoryBackend};
///
/// let limits: HashMap<String, LimiterConfig> = toml::from_str(
///     r#"
///     [login]
///     namespace = "login"
///     quota = "5/min"
///     algorithm = "sliding-window"
///     on_error = "deny"
///
///     [search]
///     namespace = "search"
///     quota = "100/s burst 20"
///     algorithm = "token-bucket"
///
///     [upload]
///     namespace = "upload"
///     quota = ["10/s", "1000/hour", "20000/day"]
///     "#,
/// )?;
/// let login = Limiter::from_config(MemoryBackend::new(), &limits["login"])?;
/// assert_eq!(login.get_quota(), "5/min".parse()?);
/// assert_eq!(limits["upload"].quota.to_string(), "10/s; 1000/hour; 20000/day");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The same in JSON:
///
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// # use limited::{LimiterConfig, OnError};
/// let login: LimiterConfig = serde_json::from_str(
///     r#"{
///         "namespace": "login",
///         "quota": "5/min",
///         "algorithm": "sliding-window",
///         "on_error": "deny"
///     }"#,
/// )?;
/// assert_eq!(login.on_error, OnError::Deny);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// Without serde, each field parses from its text:
///
/// ```
/// # use limited::LimiterConfig;
/// let mut config = LimiterConfig::default();
/// config.quota = "100/s burst 20".parse()?;
/// config.algorithm = "token-bucket".parse()?;
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "from_file::LimiterFields")
)]
#[non_exhaustive]
pub struct LimiterConfig {
    /// The namespace. Default: empty.
    pub namespace: String,
    /// The quota, such as `100/min burst 20`, or several: `10/s; 1000/h` as text, or a list.
    /// Default:
    /// `100/min`.
    pub quota: Quotas,
    /// The algorithm. Default: `fixed-window`.
    pub algorithm: Algorithm,
    /// What to decide if the backend fails. Default: `return`.
    pub on_error: OnError,
}

impl LimiterConfig {
    /// Checks that the settings fit together.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] if a quota has a burst that has no effect under the algorithm, or a burst of
    /// 0.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let algorithm = self.algorithm;
        self.quota.iter().try_for_each(|&quota| match (algorithm, quota.get_burst()) {
            (Algorithm::FixedWindow | Algorithm::SlidingWindow, Some(_)) => {
                Err(InvalidConfig::BurstWithoutBucket { quota, algorithm })
            }
            (Algorithm::TokenBucket, Some(0)) => Err(InvalidConfig::ZeroBurst { quota }),
            (Algorithm::TokenBucket, Some(_)) | (_, None) => Ok(()),
        })
    }
}

/// The settings of a [`LimitedAttempt`](crate::LimitedAttempt) that a file can hold.
///
/// [`LimitedAttempt::from_config`](crate::LimitedAttempt::from_config) applies it. With the feature
/// `serde` it implements `Serialize` and `Deserialize`. An unknown field is an error, and the
/// result is [valid](Self::validate).
///
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use std::time::Duration;
/// use limited::{AttemptsConfig, LimitedAttempt, memory::MemoryBackend};
///
/// // At most 3 attempts within an hour of the first one.
/// let config: AttemptsConfig = toml::from_str(r#"quota = "3/hour""#)?;
/// let attempts = LimitedAttempt::from_config(MemoryBackend::new(), &config)?;
/// assert_eq!((attempts.get_max(), attempts.get_validity()), (3, Duration::from_secs(3600)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "from_file::AttemptsFields")
)]
#[non_exhaustive]
pub struct AttemptsConfig {
    /// The namespace. Default: empty.
    pub namespace: String,
    /// The maximum of attempts per validity, such as `3/hour`. Required.
    pub quota: Quota,
}

impl AttemptsConfig {
    /// Creates a configuration with the empty namespace.
    pub const fn new(quota: Quota) -> Self {
        Self { namespace: String::new(), quota }
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] if the quota has a burst, which has no effect on attempts.
    pub const fn validate(&self) -> Result<(), InvalidConfig> {
        match self.quota.get_burst() {
            Some(_) => Err(InvalidConfig::BurstOfAttempts { quota: self.quota }),
            None => Ok(()),
        }
    }
}

/// Why the settings of a configuration do not fit together.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// The quota has a burst, and the algorithm has no bucket.
    #[error(
        "the burst of the quota `{quota}` has no effect under {algorithm}; use the algorithm token-bucket, or remove \
         the burst"
    )]
    BurstWithoutBucket {
        /// The quota.
        quota: Quota,
        /// The algorithm.
        algorithm: Algorithm,
    },
    /// The bucket holds nothing, and admits nothing.
    #[error(
        "the burst of the quota `{quota}` admits nothing; set a burst of 1 or more, or a limit of 0 to refuse \
         everything"
    )]
    ZeroBurst {
        /// The quota.
        quota: Quota,
    },
    /// The quota of attempts has a burst.
    #[error("the burst of the quota `{quota}` has no effect on attempts; remove the burst")]
    BurstOfAttempts {
        /// The quota.
        quota: Quota,
    },
}

impl fmt::Debug for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::BurstWithoutBucket { .. } => "BurstWithoutBucket",
            Self::ZeroBurst { .. } => "ZeroBurst",
            Self::BurstOfAttempts { .. } => "BurstOfAttempts",
        };
        debug_error(f, name, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: Quota = Quota::per_minute(100).burst(20);

    #[test]
    fn burst_has_to_have_an_effect() {
        let mut config = LimiterConfig { quota: BUCKET.into(), ..LimiterConfig::default() };
        for algorithm in [Algorithm::FixedWindow, Algorithm::SlidingWindow] {
            config.algorithm = algorithm;
            let error = config.validate().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "the burst of the quota `100/min burst 20` has no effect under {algorithm}; use the algorithm \
                     token-bucket, or remove the burst"
                )
            );
            assert_eq!(format!("{error:?}"), format!("BurstWithoutBucket: {error}"));
        }
        config.algorithm = Algorithm::TokenBucket;
        assert_eq!(config.validate(), Ok(()));
        let empty = BUCKET.burst(0);
        config.quota = Quotas::new([Quota::per_second(5), empty]).unwrap();
        assert_eq!(config.validate(), Err(InvalidConfig::ZeroBurst { quota: empty }));
        assert_eq!(
            AttemptsConfig::new(BUCKET).validate(),
            Err(InvalidConfig::BurstOfAttempts { quota: BUCKET })
        );
    }
}
