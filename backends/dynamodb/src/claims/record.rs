//! Reads the item of a claim, as this backend writes it and as other programs do.

use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    BackendError, Escaped, FencingToken, Finished, InProgress, Key, Owner, Record, RequestHash, Result,
    StoredResult, Timestamp,
};

use super::json::to_json;
use crate::attributes::{
    COMPLETED_AT, EXPIRES_AT, FENCING_TOKEN, Item, KIND_ERROR, KIND_OMITTED, LOCK_TOKEN, LOCKED_UNTIL,
    OMITTED_REASON, REQUEST_HASH, RESPONSE, RESPONSE_KIND, STATUS, STATUS_CODE, UPDATED_AT, number, text,
    time, unreadable,
};
use crate::format::hex_128;

/// The item of a claim. Attributes are read on demand, so one that is unreadable fails only what
/// needs it.
#[derive(Debug)]
pub(super) struct StoredClaim(pub(super) Item);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Another program has noted it, and nothing has begun: free to claim.
    Pending,
    Processing,
    Completed,
    /// Released or forgotten: free to claim.
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

impl StoredClaim {
    /// Returns whether the token is this owner's, whatever the status of its claim.
    pub(super) fn is_of(&self, owner: Owner) -> bool {
        matches!(self.0.get(LOCK_TOKEN), Some(AttributeValue::S(token)) if *token == hex_128(owner.0))
    }

    pub(super) fn status(&self) -> Result<Status> {
        let found = text(&self.0, STATUS)?.unwrap_or_default();
        Status::ALL.into_iter().find(|status| status.as_str() == found).ok_or_else(|| {
            BackendError::Corrupt(format!("a claim has the unknown `{STATUS}` `{}`", Escaped(found)).into())
        })
    }

    /// Returns whether the record has expired, in whole seconds, as a condition compares them.
    pub(super) fn has_expired(&self, now: Timestamp) -> Result<bool> {
        let Some(value) = self.0.get(EXPIRES_AT) else { return Ok(false) };
        let number = value.as_n().map_err(|_| unreadable(EXPIRES_AT))?;
        // Other programs may write a fraction, or a number too large for a time.
        let expires = number.parse().ok().or_else(|| Some(rounded_up(number.parse().ok()?)));
        Ok(expires.ok_or_else(|| unreadable(EXPIRES_AT))? <= now.as_secs())
    }

    /// Returns the record on the key: none if the key is free. A lease that has ended is still
    /// returned.
    pub(super) fn record(&self, now: Timestamp) -> Result<Option<Record>> {
        if self.has_expired(now)? {
            return Ok(None);
        }
        match self.status()? {
            Status::Pending | Status::Failed => Ok(None),
            Status::Processing => Ok(Some(Record::InProgress(InProgress {
                owner: self.owner(),
                fencing_token: fencing_token(&self.0)?,
                expires_at: time(&self.0, LOCKED_UNTIL)?.unwrap_or_default(),
                request_hash: self.request_hash()?,
            }))),
            Status::Completed => Ok(Some(Record::Finished(Finished {
                owner: self.owner(),
                fencing_token: fencing_token(&self.0)?,
                at: self.completed_at()?,
                result: self.result()?,
                status_code: number(&self.0, STATUS_CODE)?,
                request_hash: self.request_hash()?,
            }))),
        }
    }

    /// Returns the result, if the record is completed and has not expired. A record that expired
    /// when it was written is still returned to a repetition of the request that wrote it, which
    /// has the same `now`.
    pub(super) fn result_finished_at(&self, now: Timestamp) -> Result<Option<StoredResult>> {
        if self.status()? != Status::Completed || (self.has_expired(now)? && self.completed_at()? != now) {
            return Ok(None);
        }
        self.result().map(Some)
    }

    /// Returns the owner. A token in another format belongs to an owner that no caller uses.
    fn owner(&self) -> Owner {
        let token = match self.0.get(LOCK_TOKEN) {
            Some(AttributeValue::S(token)) => token.as_str(),
            _ => "",
        };
        let own = |digits: &str| u128::from_str_radix(digits, 16).ok().map(Owner);
        own(token).filter(|owner| hex_128(owner.0) == token).unwrap_or_else(|| {
            let hash = Key::new().secret("", token);
            let digits = hash.as_str().rsplit('=').next().unwrap_or_default();
            own(digits.get(..32).unwrap_or_default()).unwrap_or(Owner(u128::MAX))
        })
    }

    fn completed_at(&self) -> Result<Timestamp> {
        let at = match time(&self.0, COMPLETED_AT)? {
            None => time(&self.0, UPDATED_AT)?,
            at => at,
        };
        Ok(at.unwrap_or_default())
    }

    fn result(&self) -> Result<StoredResult> {
        let response = || match self.0.get(RESPONSE) {
            None => Ok(None),
            Some(AttributeValue::S(json)) => Ok(Some(Arc::from(json.as_str()))),
            Some(value) => match to_json(value) {
                Some(json) => Ok(Some(Arc::from(json))),
                None => Err(BackendError::Corrupt(
                    format!("the attribute `{RESPONSE}` contains a set or bytes, which JSON lacks").into(),
                )),
            },
        };
        match text(&self.0, RESPONSE_KIND)?.unwrap_or_default() {
            "" => Ok(response()?.map_or(StoredResult::Nothing, StoredResult::Value)),
            KIND_ERROR => Ok(StoredResult::Error(response()?.ok_or_else(|| unreadable(RESPONSE))?)),
            KIND_OMITTED => {
                let reason = text(&self.0, OMITTED_REASON)?.unwrap_or("the record contains no reason");
                Ok(StoredResult::Omitted { reason: reason.into() })
            }
            _ => Err(unreadable(RESPONSE_KIND)),
        }
    }

    fn request_hash(&self) -> Result<Option<RequestHash>> {
        text(&self.0, REQUEST_HASH)?
            .map(|text| parse_hash(text).ok_or_else(|| unreadable(REQUEST_HASH)))
            .transpose()
    }
}

/// Returns the fencing token of the last grant; 0 if another program wrote none.
pub(super) fn fencing_token(item: &Item) -> Result<FencingToken> {
    Ok(FencingToken(number(item, FENCING_TOKEN)?.unwrap_or(0)))
}

fn parse_hash(text: &str) -> Option<RequestHash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(RequestHash(bytes))
}

/// Rounds up to whole seconds. A value out of range becomes the nearest `u64`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn rounded_up(seconds: f64) -> u64 {
    seconds.ceil() as u64
}
