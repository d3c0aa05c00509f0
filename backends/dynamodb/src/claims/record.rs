//! How the item of a claim is read: as this backend writes it, and as other programs do.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    BackendError, FencingToken, Finished, InProgress, Key, Owner, Record, RequestHash, StoredResult,
    Timestamp,
};

use super::json;
use crate::attributes::{
    COMPLETED_AT, ERROR, EXPIRES_AT, FENCE, Item, LOCK_TOKEN, LOCKED_UNTIL, NOT_KEPT, NOT_KEPT_REASON,
    REQUEST_HASH, RESPONSE, RESPONSE_KIND, STATUS, STATUS_CODE, UPDATED_AT, number, unreadable,
};
use crate::item::parse_timestamp;

/// The item of a claim. What is not asked for is not read, so that it cannot be in the way.
#[derive(Debug)]
pub(super) struct Stored(pub(super) Item);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Noted by somebody, and not begun: free to claim.
    Pending,
    Processing,
    Completed,
    /// Given up: free to claim.
    Failed,
}

impl Status {
    const ALL: [Self; 4] = [Self::Pending, Self::Processing, Self::Completed, Self::Failed];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

impl Stored {
    /// Whether the token is this owner's, whatever has become of its claim.
    pub(super) fn is_of(&self, owner: Owner) -> bool {
        matches!(self.0.get(LOCK_TOKEN), Some(AttributeValue::S(token)) if *token == token_of(owner))
    }

    pub(super) fn status(&self) -> Result<Status, BackendError> {
        let text = self.text(STATUS)?.unwrap_or_default();
        Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            let message =
                format!("a claim has the `{STATUS}` `{text}`, which is none of the documented ones");
            BackendError::Corrupt(message.into())
        })
    }

    /// Whether the record has expired: as a condition compares it, in whole seconds.
    pub(super) fn has_expired(&self, now: Timestamp) -> Result<bool, BackendError> {
        let Some(value) = self.0.get(EXPIRES_AT) else { return Ok(false) };
        let number = value.as_n().map_err(|_| unreadable(EXPIRES_AT))?;
        // Others may write a fraction, or a number too large for a time.
        let expires = number.parse().ok().or_else(|| Some(rounded_up(number.parse().ok()?)));
        Ok(expires.ok_or_else(|| unreadable(EXPIRES_AT))? <= now.as_secs())
    }

    /// What there is on the key: nothing where it is free, but for a lease that has ended.
    pub(super) fn live(&self, now: Timestamp) -> Result<Option<Record>, BackendError> {
        if self.has_expired(now)? {
            return Ok(None);
        }
        match self.status()? {
            Status::Pending | Status::Failed => Ok(None),
            Status::Processing => Ok(Some(Record::InProgress(InProgress {
                owner: self.owner(),
                fencing_token: fencing_token(&self.0)?,
                expires_at: self.time(LOCKED_UNTIL)?.unwrap_or_default(),
                request_hash: self.request_hash()?,
            }))),
            Status::Completed => Ok(Some(Record::Finished(Finished {
                owner: self.owner(),
                fencing_token: fencing_token(&self.0)?,
                at: self.completed_at()?,
                result: self.result()?,
                status_code: self.status_code()?,
                request_hash: self.request_hash()?,
            }))),
        }
    }

    /// The result, where the record is completed. One that expires at once is told to the request that wrote it, which
    /// has its `now`.
    pub(super) fn finished_by(&self, now: Timestamp) -> Result<Option<StoredResult>, BackendError> {
        if self.status()? != Status::Completed || (self.has_expired(now)? && self.completed_at()? != now) {
            return Ok(None);
        }
        self.result().map(Some)
    }

    /// Who holds it or has done it. A token of another format stands for an owner that nobody is.
    fn owner(&self) -> Owner {
        let token = match self.0.get(LOCK_TOKEN) {
            Some(AttributeValue::S(token)) => token.as_str(),
            _ => "",
        };
        let own = |digits: &str| u128::from_str_radix(digits, 16).ok().map(Owner);
        own(token).filter(|owner| token_of(*owner) == token).unwrap_or_else(|| {
            let request_hash = Key::new().secret("", token);
            let digits = request_hash.as_str().rsplit('=').next().unwrap_or_default();
            own(digits.get(..32).unwrap_or_default()).unwrap_or(Owner(u128::MAX))
        })
    }

    fn completed_at(&self) -> Result<Timestamp, BackendError> {
        let at = self.time(COMPLETED_AT)?;
        Ok(at.map_or_else(|| self.time(UPDATED_AT), |at| Ok(Some(at)))?.unwrap_or_default())
    }

    fn result(&self) -> Result<StoredResult, BackendError> {
        let response = || match self.0.get(RESPONSE) {
            None => Ok(None),
            Some(AttributeValue::S(json)) => Ok(Some(Arc::from(json.as_str()))),
            Some(value) => match json::written(value) {
                Some(json) => Ok(Some(Arc::from(json))),
                None => Err(BackendError::Corrupt(
                    format!("the attribute `{RESPONSE}` holds a set or bytes, which JSON has none of").into(),
                )),
            },
        };
        match self.text(RESPONSE_KIND)?.unwrap_or_default() {
            "" => Ok(response()?.map_or(StoredResult::Nothing, StoredResult::Value)),
            ERROR => Ok(StoredResult::Error(response()?.ok_or_else(|| unreadable(RESPONSE))?)),
            NOT_KEPT => {
                let reason = self.text(NOT_KEPT_REASON)?.unwrap_or("the record does not say why");
                Ok(StoredResult::Omitted { reason: reason.into() })
            }
            _ => Err(unreadable(RESPONSE_KIND)),
        }
    }

    fn status_code(&self) -> Result<Option<u16>, BackendError> {
        let code = self.0.get(STATUS_CODE).map(|code| number(STATUS_CODE, code)).transpose()?;
        code.map(|code| u16::try_from(code).map_err(|_| unreadable(STATUS_CODE))).transpose()
    }

    fn request_hash(&self) -> Result<Option<RequestHash>, BackendError> {
        self.text(REQUEST_HASH)?
            .map(|text| parse_fingerprint(text).ok_or_else(|| unreadable(REQUEST_HASH)))
            .transpose()
    }

    fn text(&self, name: &str) -> Result<Option<&str>, BackendError> {
        let value = self.0.get(name);
        value.map(|value| value.as_s().map(String::as_str).map_err(|_| unreadable(name))).transpose()
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, BackendError> {
        self.text(name)?.map(|text| parse_timestamp(text).ok_or_else(|| unreadable(name))).transpose()
    }
}

/// How an owner is written: 32 hexadecimal digits.
pub(super) fn token_of(owner: Owner) -> String {
    format!("{:032x}", owner.0)
}

/// The number of the grant; 0 where another program wrote none.
pub(super) fn fencing_token(item: &Item) -> Result<FencingToken, BackendError> {
    let fencing_token = item.get(FENCE).map_or(Ok(0), |fencing_token| number(FENCE, fencing_token))?;
    u64::try_from(fencing_token).map(FencingToken).map_err(|_| unreadable(FENCE))
}

fn parse_fingerprint(text: &str) -> Option<RequestHash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(RequestHash(bytes))
}

/// What is below 0 is 0, and what is too large the largest.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "such a cast saturates")]
fn rounded_up(seconds: f64) -> u64 {
    seconds.ceil() as u64
}
