//! A backend as the environment asks for it.

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_dynamodb::Client;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use limited_core::BackendError;

use crate::{DynamoDbBackend, DynamoDbBackendBuilder};

const TABLE: &str = "RATE_LIMIT_TABLE_NAME";
const IDEMPOTENCY_TABLE: &str = "IDEMPOTENCY_TABLE_NAME";
const OPERATION_TIMEOUT: &str = "RATE_LIMIT_OPERATION_TIMEOUT";
/// Each under its own name, and the one that it is also known by.
const MAX_ATTEMPTS: [&str; 2] = ["RATE_LIMIT_MAX_ATTEMPTS", "DYNAMORM_RETRY_MAX_ATTEMPTS"];
const BASE_DELAY: [&str; 2] = ["RATE_LIMIT_BASE_DELAY", "DYNAMORM_RETRY_BASE_DELAY"];

impl DynamoDbBackend {
    /// A backend as the environment asks for it: [`DynamoDbBackendBuilder::from_env`], built.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn from_env() -> Result<Self, BackendError> {
        DynamoDbBackendBuilder::from_env().await.map(DynamoDbBackendBuilder::build)
    }
}

/// # From the environment
impl DynamoDbBackendBuilder {
    /// Settings as the environment asks for them, over a client of its own.
    ///
    /// Region, credentials and endpoint are found as every AWS program finds them: environment, profile (processes and
    /// single sign-on included), web identity, container, instance; `AWS_ENDPOINT_URL_DYNAMODB` or `AWS_ENDPOINT_URL`
    /// name another endpoint. Make one backend per process and clone it; in a Lambda, outside of the handler. The
    /// client speaks TLS by rustls on ring with the system's root certificates, and uses no proxy: for another, bring
    /// [your own client](DynamoDbBackend::builder).
    ///
    /// | variable | sets | unless set |
    /// |---|---|---|
    /// | `RATE_LIMIT_TABLE_NAME` | [`table_name`](Self::table_name) | `rate-limits` |
    /// | `IDEMPOTENCY_TABLE_NAME` | [`idempotency_table_name`](Self::idempotency_table_name) | `idempotency` |
    /// | `RATE_LIMIT_OPERATION_TIMEOUT` | [`operation_timeout`](Self::operation_timeout), in ms | 250 |
    /// | `RATE_LIMIT_MAX_ATTEMPTS`, or `DYNAMORM_RETRY_MAX_ATTEMPTS` | [`max_attempts`](Self::max_attempts) | 2 |
    /// | `RATE_LIMIT_BASE_DELAY`, or `DYNAMORM_RETRY_BASE_DELAY` | [`first_backoff`](Self::first_backoff), in ms | 10 |
    ///
    /// Where two variables set the same, the first counts. One that is set to nothing counts as not set. The SDK's own
    /// `AWS_MAX_ATTEMPTS` and `AWS_RETRY_MODE` do not concern decisions.
    ///
    /// No request is sent to DynamoDB. Where neither environment nor profile name a region, the metadata service of the
    /// machine is asked, which takes a second where there is none.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](BackendError::Misconfigured) for a variable that is not a number, and for want of a region.
    /// Credentials are looked for by the first request.
    pub async fn from_env() -> Result<Self, BackendError> {
        let settings = Environment::read(|name| env::var_os(name))?;
        let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let config =
            aws_config::defaults(BehaviorVersion::latest()).http_client(http.build_https()).load().await;
        if config.region().is_none() {
            return Err(BackendError::Misconfigured(
                "no AWS region: set `AWS_REGION`, or a region in the profile".into(),
            ));
        }
        Ok(settings.apply(Self::new(Client::new(&config))))
    }
}

/// What the environment says.
#[derive(Debug, Default, PartialEq)]
struct Environment {
    table: Option<String>,
    idempotency_table: Option<String>,
    operation_timeout: Option<Duration>,
    max_attempts: Option<u32>,
    base_delay: Option<Duration>,
}

impl Environment {
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, BackendError> {
        let filled = |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        let text = |name| {
            let value = filled(name).map(|(_, value)| value.into_string());
            value.transpose().map_err(|value| no_such(name, &value, "a name in UTF-8"))
        };
        let number = |names: &[&'static str], least: u32| {
            let number = |(name, value): (_, OsString)| match value.to_str().map(|text| text.trim().parse()) {
                Some(Ok(number)) if number >= least => Ok(number),
                _ => Err(no_such(name, &value, &format!("a whole number from {least} to {}", u32::MAX))),
            };
            names.iter().find_map(|name| filled(name)).map(number).transpose()
        };
        let millis = |number: u32| Duration::from_millis(number.into());
        Ok(Self {
            table: text(TABLE)?,
            idempotency_table: text(IDEMPOTENCY_TABLE)?,
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

fn no_such(name: &str, value: &OsString, wanted: &str) -> BackendError {
    let message = format!("the environment variable `{name}` is `{}`: set it to {wanted}", value.display());
    BackendError::Misconfigured(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, BackendError> {
        Environment::read(|wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn what_is_not_set_or_set_to_nothing_keeps_its_default() {
        assert_eq!(read(&[]).unwrap(), Environment::default());
        let empty = [TABLE, IDEMPOTENCY_TABLE, OPERATION_TIMEOUT, MAX_ATTEMPTS[0], BASE_DELAY[1]]
            .map(|name| (name, ""));
        assert_eq!(read(&empty).unwrap(), Environment::default());
    }

    #[test]
    fn every_variable_is_read() {
        let read = read(&[
            ("RATE_LIMIT_TABLE_NAME", "limits"),
            ("IDEMPOTENCY_TABLE_NAME", "claims"),
            ("RATE_LIMIT_OPERATION_TIMEOUT", "400"),
            ("DYNAMORM_RETRY_MAX_ATTEMPTS", "3"),
            ("DYNAMORM_RETRY_BASE_DELAY", " 0 "),
        ]);
        let wanted = Environment {
            table: Some("limits".to_owned()),
            idempotency_table: Some("claims".to_owned()),
            operation_timeout: Some(Duration::from_millis(400)),
            max_attempts: Some(3),
            base_delay: Some(Duration::ZERO),
        };
        assert_eq!(read.unwrap(), wanted);
    }

    #[test]
    fn a_variable_of_its_own_name_precedes_the_other() {
        for (own, other) in [MAX_ATTEMPTS, BASE_DELAY].map(<(_, _)>::from) {
            assert_eq!(read(&[(own, "7"), (other, "8")]).unwrap(), read(&[(own, "7")]).unwrap());
            assert_eq!(read(&[(own, ""), (other, "8")]).unwrap(), read(&[(own, "8")]).unwrap());
        }
    }

    #[test]
    fn a_variable_that_is_no_number_is_an_error_that_names_it() {
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
