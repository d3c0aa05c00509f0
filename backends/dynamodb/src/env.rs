//! Creates a backend from environment variables.

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use limited_core::{BackendError, Escaped, Result};

use crate::{DynamoDbBackend, DynamoDbBackendBuilder, Layout};

const TABLE: &str = "RATE_LIMIT_TABLE_NAME";
const IDEMPOTENCY_TABLE: &str = "IDEMPOTENCY_TABLE_NAME";
const LAYOUT: &str = "RATE_LIMIT_LAYOUT";
const OPERATION_TIMEOUT: &str = "RATE_LIMIT_OPERATION_TIMEOUT";
/// Each by its own name, and by an alternative one.
const MAX_ATTEMPTS: [&str; 2] = ["RATE_LIMIT_MAX_ATTEMPTS", "DYNAMORM_RETRY_MAX_ATTEMPTS"];
const BASE_DELAY: [&str; 2] = ["RATE_LIMIT_BASE_DELAY", "DYNAMORM_RETRY_BASE_DELAY"];

impl DynamoDbBackend {
    /// Creates a backend from environment variables: calls [`DynamoDbBackendBuilder::from_env`] and
    /// builds.
    ///
    /// # Errors
    ///
    /// The errors of [`DynamoDbBackendBuilder::from_env`].
    pub async fn from_env() -> Result<Self> {
        DynamoDbBackendBuilder::from_env().await.map(DynamoDbBackendBuilder::build)
    }
}

/// # From the environment
impl DynamoDbBackendBuilder {
    /// Reads the settings from environment variables, and creates a client.
    ///
    /// Region, credentials and endpoint are found by the usual AWS chain: environment, profile
    /// (processes and single sign-on included), web identity, container, instance.
    /// `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL` set another endpoint. Create one backend
    /// per process and clone it; in a Lambda, outside of the handler. The client uses TLS (rustls
    /// on ring, with the system's root certificates) and no proxy. For another set-up, pass [your
    /// own client](DynamoDbBackend::builder).
    ///
    /// | variable | sets | default |
    /// |---|---|---|
    /// | `RATE_LIMIT_TABLE_NAME` | [`table_name`](Self::table_name) | `rate-limits` |
    /// | `IDEMPOTENCY_TABLE_NAME` | [`idempotency_table_name`](Self::idempotency_table_name) | `idempotency` |
    /// | `RATE_LIMIT_LAYOUT` | [`layout`](Self::layout): `item-per-window` or `item-per-key` | `item-per-window` |
    /// | `RATE_LIMIT_OPERATION_TIMEOUT` | [`operation_timeout`](Self::operation_timeout), in ms | 250 |
    /// | `RATE_LIMIT_MAX_ATTEMPTS`, or `DYNAMORM_RETRY_MAX_ATTEMPTS` | [`max_attempts`](Self::max_attempts) | 2 |
    /// | `RATE_LIMIT_BASE_DELAY`, or `DYNAMORM_RETRY_BASE_DELAY` | [`first_backoff`](Self::first_backoff), in ms | 10 |
    ///
    /// If both variables of a setting are set, the first one counts. An empty variable counts as
    /// not set. The SDK's `AWS_MAX_ATTEMPTS` and `AWS_RETRY_MODE` have no effect on decisions.
    ///
    /// No request is sent to DynamoDB. If neither the environment nor the profile names a region,
    /// the machine's metadata service is queried, which takes a second on a machine without one.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](BackendError::Misconfigured) if a variable is not a number or not a layout,
    /// or if there is no region. Credentials are looked up by the first request, not here.
    pub async fn from_env() -> Result<Self> {
        let settings = Environment::read(|name| env::var_os(name))?;
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let config =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http.build_https()).load().await;
        if config.region().is_none() {
            return Err(BackendError::Misconfigured(
                "no AWS region is configured; set `AWS_REGION`, or a region in the profile".into(),
            ));
        }
        Ok(settings.apply(Self::new(Client::new(&config))))
    }
}

/// The settings that the environment contains.
#[derive(Debug, Default, PartialEq)]
struct Environment {
    table: Option<String>,
    idempotency_table: Option<String>,
    layout: Option<Layout>,
    operation_timeout: Option<Duration>,
    max_attempts: Option<u32>,
    base_delay: Option<Duration>,
}

impl Environment {
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let filled = |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        let text = |name| {
            let value = filled(name).map(|(_, value)| value.into_string());
            value.transpose().map_err(|value| invalid(name, &value, "a name in UTF-8"))
        };
        let number = |names: &[&'static str], min: u32| {
            let number = |(name, value): (_, OsString)| match value.to_str().map(|text| text.trim().parse()) {
                Some(Ok(number)) if number >= min => Ok(number),
                _ => Err(invalid(name, &value, &format!("a whole number from {min} to {}", u32::MAX))),
            };
            names.iter().find_map(|name| filled(name)).map(number).transpose()
        };
        let millis = |number: u32| Duration::from_millis(number.into());
        Ok(Self {
            table: text(TABLE)?,
            idempotency_table: text(IDEMPOTENCY_TABLE)?,
            layout: text(LAYOUT)?.map(|text| layout(&text)).transpose()?,
            operation_timeout: number(&[OPERATION_TIMEOUT], 1)?.map(millis),
            max_attempts: number(&MAX_ATTEMPTS, 1)?,
            base_delay: number(&BASE_DELAY, 0)?.map(millis),
        })
    }

    fn apply(self, mut builder: DynamoDbBackendBuilder) -> DynamoDbBackendBuilder {
        if let Some(table) = self.table {
            builder = builder.table_name(table);
        }
        if let Some(table) = self.idempotency_table {
            builder = builder.idempotency_table_name(table);
        }
        if let Some(layout) = self.layout {
            builder = builder.layout(layout);
        }
        if let Some(timeout) = self.operation_timeout {
            builder = builder.operation_timeout(timeout);
        }
        if let Some(attempts) = self.max_attempts {
            builder = builder.max_attempts(attempts);
        }
        if let Some(delay) = self.base_delay {
            builder = builder.first_backoff(delay);
        }
        builder
    }
}

/// Reads the name of a layout.
fn layout(text: &str) -> Result<Layout> {
    let names = format!("`{}` or `{}`", Layout::ItemPerWindow, Layout::ItemPerKey);
    text.trim().parse().map_err(|_| invalid(LAYOUT, &text.into(), &names))
}

fn invalid(name: &str, value: &OsString, expected: &str) -> BackendError {
    let message = format!(
        "the environment variable `{name}` is `{}`; set it to {expected}",
        Escaped(&value.to_string_lossy())
    );
    BackendError::Misconfigured(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment> {
        Environment::read(|requested| {
            let found = variables.iter().find(|(name, _)| *name == requested);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn missing_or_empty_variable_keeps_the_default() {
        assert_eq!(read(&[]).unwrap(), Environment::default());
        let empty = [TABLE, IDEMPOTENCY_TABLE, LAYOUT, OPERATION_TIMEOUT, MAX_ATTEMPTS[0], BASE_DELAY[1]]
            .map(|name| (name, ""));
        assert_eq!(read(&empty).unwrap(), Environment::default());
    }

    #[test]
    fn every_variable_is_read() {
        let read = read(&[
            ("RATE_LIMIT_TABLE_NAME", "limits"),
            ("IDEMPOTENCY_TABLE_NAME", "claims"),
            ("RATE_LIMIT_LAYOUT", "item-per-key"),
            ("RATE_LIMIT_OPERATION_TIMEOUT", "400"),
            ("DYNAMORM_RETRY_MAX_ATTEMPTS", "3"),
            ("DYNAMORM_RETRY_BASE_DELAY", " 0 "),
        ]);
        let expected = Environment {
            table: Some("limits".to_owned()),
            idempotency_table: Some("claims".to_owned()),
            layout: Some(Layout::ItemPerKey),
            operation_timeout: Some(Duration::from_millis(400)),
            max_attempts: Some(3),
            base_delay: Some(Duration::ZERO),
        };
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn own_variable_precedes_the_alternative() {
        for (own, alternative) in [MAX_ATTEMPTS, BASE_DELAY].map(<(_, _)>::from) {
            assert_eq!(read(&[(own, "7"), (alternative, "8")]).unwrap(), read(&[(own, "7")]).unwrap());
            assert_eq!(read(&[(own, ""), (alternative, "8")]).unwrap(), read(&[(own, "8")]).unwrap());
        }
    }

    #[test]
    fn error_shows_a_variable_on_one_line() {
        let error = read(&[(OPERATION_TIMEOUT, "250\nERROR \u{1b}[2J")]).unwrap_err().to_string();
        assert!(error.contains(r"`250\nERROR \u{1b}[2J`"), "{error}");
    }

    #[test]
    fn unknown_layout_is_an_error_that_names_the_known_ones() {
        let error = read(&[(LAYOUT, "per-key")]).unwrap_err();
        assert!(matches!(error, BackendError::Misconfigured(_)), "{error}");
        for text in ["`RATE_LIMIT_LAYOUT` is `per-key`", "`item-per-window` or `item-per-key`"] {
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn variable_that_is_not_a_number_is_an_error_that_names_it() {
        for name in [OPERATION_TIMEOUT, MAX_ATTEMPTS[0], MAX_ATTEMPTS[1], BASE_DELAY[0], BASE_DELAY[1]] {
            for value in ["250ms", "-1", "1.5", "4294967296", "many"] {
                let error = read(&[(name, value)]).unwrap_err();
                assert!(matches!(error, BackendError::Misconfigured(_)), "{error}");
                assert!(error.to_string().contains(&format!("`{name}` is `{value}`")), "{error}");
            }
        }
        for name in [OPERATION_TIMEOUT, MAX_ATTEMPTS[0], MAX_ATTEMPTS[1]] {
            assert!(read(&[(name, "0")]).unwrap_err().to_string().contains("from 1"));
        }
    }
}
