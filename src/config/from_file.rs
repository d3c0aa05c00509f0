//! What a file contains, before it is validated.

use serde::Deserialize;

use super::{AttemptsConfig, InvalidConfig, LimiterConfig};
use crate::{Algorithm, OnError, Quota, Quotas};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimiterFields {
    namespace: String,
    quota: Quotas,
    algorithm: Algorithm,
    on_error: OnError,
}

impl TryFrom<LimiterFields> for LimiterConfig {
    type Error = InvalidConfig;

    fn try_from(fields: LimiterFields) -> Result<Self, InvalidConfig> {
        let LimiterFields { namespace, quota, algorithm, on_error } = fields;
        let config = Self { namespace, quota, algorithm, on_error };
        config.validate().map(|()| config)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptsFields {
    #[serde(default)]
    namespace: String,
    quota: Quota,
}

impl TryFrom<AttemptsFields> for AttemptsConfig {
    type Error = InvalidConfig;

    fn try_from(fields: AttemptsFields) -> Result<Self, InvalidConfig> {
        let AttemptsFields { namespace, quota } = fields;
        let config = Self { namespace, quota };
        config.validate().map(|()| config)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde_json::{from_value, json, to_value};

    use super::*;

    const BUCKET: Quota = Quota::per_minute(100).burst(20);

    /// Reads the same text from TOML and from JSON.
    fn read<T: serde::de::DeserializeOwned + PartialEq + Debug>(toml: &str) -> Result<T, String> {
        let table: toml::Table = toml::from_str(toml).unwrap();
        let from_json = from_value(to_value(&table).unwrap());
        match (toml::from_str::<T>(toml), from_json) {
            (Ok(config), Ok(same)) => {
                assert_eq!(config, same);
                Ok(config)
            }
            (Err(error), Err(same)) => {
                assert!(error.to_string().contains(&same.to_string()), "{error}, {same}");
                Err(same.to_string())
            }
            different => panic!("{different:?}"),
        }
    }

    #[test]
    fn file_configures_a_limiter() {
        let config: LimiterConfig = read(
            r#"
            namespace = "search"
            quota = "100/min burst 20"
            algorithm = "token-bucket"
            on_error = "allow"
            "#,
        )
        .unwrap();
        assert_eq!((config.namespace.as_str(), config.quota), ("search", BUCKET.into()));
        assert_eq!((config.algorithm, config.on_error), (Algorithm::TokenBucket, OnError::Allow));
    }

    #[test]
    fn field_that_is_not_set_has_its_default() {
        assert_eq!(read("").as_ref(), Ok(&LimiterConfig::default()));
        let config: LimiterConfig = read(r#"quota = "5/s""#).unwrap();
        assert_eq!((config.quota, config.algorithm), (Quota::per_second(5).into(), Algorithm::FixedWindow));
        assert!(read::<AttemptsConfig>("").unwrap_err().contains("missing field `quota`"));
        assert_eq!(read(r#"quota = "3/hour""#), Ok(AttemptsConfig::new(Quota::per_hour(3))));
    }

    #[test]
    fn several_quotas_are_a_text_or_a_list() {
        let expected: Quotas = "10/s; 1000/hour; 20000/day".parse().unwrap();
        for text in [r#"quota = "10/s; 1000/h; 20000/day""#, r#"quota = ["10/s", "1000/h", "20000/day"]"#] {
            let config: LimiterConfig = read(text).unwrap();
            assert_eq!(config.quota, expected, "{text}");
            assert_eq!(to_value(&config).unwrap()["quota"], "10/s; 1000/hour; 20000/day");
        }
    }

    #[test]
    fn mistake_in_a_file_is_an_error_that_says_what_is_expected() {
        for (text, message) in [
            (r#"quotas = "5/s""#, "unknown field `quotas`, expected one of `namespace`, `quota`"),
            (r#"quota = "5 per second""#, "invalid quota `5 per second`; expected a limit and a window"),
            (r#"quota = "1/0s""#, "1 ms to 100 years"),
            (r#"quota = "5/s; 9 per hour""#, "invalid quota `9 per hour`; expected a limit and a window"),
            (r#"quota = "5/s; 9/1000ms""#, "the quotas `5/s` and `9/s` have windows of equal length"),
            (r#"quota = ["5/s", "9/1000ms"]"#, "the quotas `5/s` and `9/s` have windows of equal length"),
            (r#"quota = ["5/s", "9 per hour"]"#, "invalid quota `9 per hour`"),
            ("quota = []", "expected at least one quota"),
            ("quota = 5", "expected quotas as text, such as `10/s; 1000/h`, or a list of quotas"),
            (r#"quota = ["5/s", "9/hour burst 2"]"#, "the burst of the quota `9/hour burst 2` has no effect"),
            (r#"algorithm = "TokenBucket""#, "expected fixed-window, sliding-window or token-bucket"),
            (r#"on_error = "open""#, "unknown decision on errors `open`; expected return, allow or deny"),
            (r#"quota = "100/min burst 20""#, "no effect under fixed-window"),
            ("algorithm = \"token-bucket\"\nquota = \"100/min burst 0\"", "a burst of 0 admits nothing"),
        ] {
            let error = read::<LimiterConfig>(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
        for text in [r#"quota = "3/hour burst 3""#, "quota = \"3/hour\"\nmax = 3"] {
            assert!(read::<AttemptsConfig>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn written_configuration_reads_as_itself() {
        let limiter = LimiterConfig {
            namespace: "search".into(),
            quota: BUCKET.into(),
            algorithm: Algorithm::TokenBucket,
            on_error: OnError::Return,
        };
        assert_eq!(
            to_value(&limiter).unwrap(),
            json!({
                "namespace": "search",
                "quota": "100/min burst 20",
                "algorithm": "token-bucket",
                "on_error": "return",
            })
        );
        assert_eq!(toml::from_str(&toml::to_string(&limiter).unwrap()), Ok(limiter));
        let attempts = AttemptsConfig::new(Quota::per_hour(3));
        assert_eq!(toml::from_str(&toml::to_string(&attempts).unwrap()), Ok(attempts));
    }
}
