//! The `UpdateItem` of each operation on a claim.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use limited_core::{
    ClaimRequest, Completion, FencingToken, LAPSED_CLAIM_TTL, Owner, StoredResult, Timestamp,
    lapsed_claim_expires,
};

use super::record::Status;
use crate::attributes::{
    COMPLETED_AT, CREATED_AT, EXPIRES_AT, FENCING_TOKEN, FUNCTION_NAME, IDEMPOTENCY_KEY, KIND_ERROR,
    KIND_OMITTED, LOCK_TOKEN, LOCKED_UNTIL, OMITTED_REASON, REQUEST_BODY, REQUEST_HASH, RESPONSE,
    RESPONSE_KIND, STATUS, STATUS_CODE, TENANT_ID, TIMESTAMP, UPDATED_AT,
};
use crate::expression::Update;
use crate::format::{expires_at, hex_128, timestamp};

/// How long the record of a released or forgotten key stays, for its fencing token.
const FREE_RECORD_TTL: Duration = LAPSED_CLAIM_TTL.saturating_mul(3);

/// The key is free if it is absent, expired, released, not begun, or its lease has ended; and if
/// the last owner was another. Otherwise a first attempt that arrives late would reopen what its
/// own repetition has closed.
const IS_FREE: &str = "attribute_not_exists(#key) OR \
    ((#expires <= :now_s OR #status IN (:failed, :pending) \
    OR (#status = :processing AND (attribute_not_exists(#until) OR #until <= :lapsed))) \
    AND (attribute_not_exists(#token) OR #token <> :token))";

/// The claim is in progress, has not expired, and belongs to this owner.
const IS_OWN: &str = "#status = :processing AND #token = :token \
    AND (attribute_not_exists(#expires) OR #expires > :now_s)";

/// Acquires the key, and removes the attributes of an earlier claim that this one does not set.
pub(super) fn claim(request: &ClaimRequest<'_>, tenant: Option<&str>, now: Timestamp) -> Update {
    let mut update = Update::default();
    update.conditions.push(IS_FREE.into());
    update.name("#key", IDEMPOTENCY_KEY);
    update.text(":failed", Status::Failed.as_str());
    update.text(":pending", Status::Pending.as_str());
    update.number(":now_s", now.as_secs());
    update.text(":lapsed", timestamp(latest_lapsed(now)));

    update.put("processing", "#status", STATUS, text(Status::Processing.as_str()));
    update.put("token", "#token", LOCK_TOKEN, text(hex_128(request.owner.0)));
    update.put("until", "#until", LOCKED_UNTIL, text(timestamp(request.expires_at)));
    update.put("expires", "#expires", EXPIRES_AT, expiry(lapsed_claim_expires(request.expires_at)));
    update.put("hash", "#hash", REQUEST_HASH, request.request_hash.and_then(|hash| text(hash.to_string())));
    update.put("body", "#body", REQUEST_BODY, request.metadata.request.and_then(text));
    let function = request.metadata.function_name.filter(|name| !name.is_empty());
    update.put("function", "#function", FUNCTION_NAME, function.and_then(text));
    update.put("tenant", "#tenant", TENANT_ID, tenant.and_then(text));
    update.put("now", "#updated", UPDATED_AT, text(timestamp(now)));
    for (short, name) in [("#created", CREATED_AT), ("#timestamp", TIMESTAMP)] {
        update.name(short, name);
        update.set.push(format!("{short} = if_not_exists({short}, :now)"));
    }
    update.name("#fence", FENCING_TOKEN);
    update.number(":seed", FencingToken::seed(now).0);
    update.number(":one", 1);
    update.set.push("#fence = if_not_exists(#fence, :seed) + :one".into());
    update.result(None, None, None);
    update.remove_all(&[("#code", STATUS_CODE), ("#done", COMPLETED_AT)]);
    update
}

/// Records `result`: that of the completion, or what is stored instead.
pub(super) fn finish(completion: &Completion<'_>, result: &StoredResult, now: Timestamp) -> Update {
    let mut update = of_owner(completion.owner, now);
    update.put("completed", "#status", STATUS, text(Status::Completed.as_str()));
    update.put("now", "#updated", UPDATED_AT, text(timestamp(now)));
    update.put("now", "#done", COMPLETED_AT, text(timestamp(now)));
    update.put("expires", "#expires", EXPIRES_AT, completion.expires.and_then(expiry));
    let code = completion.status_code.map(|code| AttributeValue::N(code.to_string()));
    update.put("code", "#code", STATUS_CODE, code);
    match result {
        StoredResult::Nothing => update.result(None, None, None),
        StoredResult::Value(value) => update.result(Some(value), None, None),
        StoredResult::Error(error) => update.result(Some(error), Some(KIND_ERROR), None),
        StoredResult::Omitted { reason } => update.result(None, Some(KIND_OMITTED), Some(reason)),
    }
    update.remove_all(&[("#until", LOCKED_UNTIL)]);
    update
}

/// Extends the lease, and never shortens it.
pub(super) fn renew(owner: Owner, expires_at: Timestamp, now: Timestamp) -> Update {
    let mut update = of_owner(owner, now);
    update.put("now", "#updated", UPDATED_AT, text(timestamp(now)));
    update.put("until", "#until", LOCKED_UNTIL, text(timestamp(expires_at)));
    update.put("expires", "#expires", EXPIRES_AT, expiry(lapsed_claim_expires(expires_at)));
    update.conditions.push("(attribute_not_exists(#until) OR #until < :until)".into());
    update
}

/// Releases the key. The item stays for its fencing token, and for the owner's token, which
/// identifies a late request.
pub(super) fn release(owner: Owner, now: Timestamp) -> Update {
    let mut update = of_owner(owner, now);
    update.put("failed", "#status", STATUS, text(Status::Failed.as_str()));
    update.put("now", "#updated", UPDATED_AT, text(timestamp(now)));
    update.put("expires", "#expires", EXPIRES_AT, expiry(now.saturating_add(FREE_RECORD_TTL)));
    update.remove_all(&[("#until", LOCKED_UNTIL)]);
    update
}

/// Clears the item except for its fencing token, if the item exists.
pub(super) fn forget(now: Timestamp) -> Update {
    let mut update = Update::default();
    update.conditions.push("attribute_exists(#key)".into());
    update.name("#key", IDEMPOTENCY_KEY);
    update.put("failed", "#status", STATUS, text(Status::Failed.as_str()));
    update.put("now", "#updated", UPDATED_AT, text(timestamp(now)));
    update.put("expires", "#expires", EXPIRES_AT, expiry(now.saturating_add(FREE_RECORD_TTL)));
    update.result(None, None, None);
    update.remove_all(&[
        ("#token", LOCK_TOKEN),
        ("#until", LOCKED_UNTIL),
        ("#hash", REQUEST_HASH),
        ("#body", REQUEST_BODY),
        ("#code", STATUS_CODE),
        ("#done", COMPLETED_AT),
        ("#created", CREATED_AT),
        ("#function", FUNCTION_NAME),
        ("#tenant", TENANT_ID),
        ("#timestamp", TIMESTAMP),
    ]);
    update
}

/// Returns an update whose condition holds only for the owner of a live claim.
fn of_owner(owner: Owner, now: Timestamp) -> Update {
    let mut update = Update::default();
    update.conditions.push(IS_OWN.into());
    for (short, name) in [("#status", STATUS), ("#token", LOCK_TOKEN), ("#expires", EXPIRES_AT)] {
        update.name(short, name);
    }
    update.text(":processing", Status::Processing.as_str());
    update.text(":token", hex_128(owner.0));
    update.number(":now_s", now.as_secs());
    update
}

impl Update {
    /// Sets an attribute, or removes it if there is no content. `value` is the name of the value,
    /// without its colon.
    fn put(&mut self, value: &str, short: &str, name: &str, content: Option<AttributeValue>) {
        self.name(short, name);
        match content {
            Some(content) => {
                self.values.insert(format!(":{value}"), content);
                self.set.push(format!("{short} = :{value}"));
            }
            None => self.remove.push(short.into()),
        }
    }

    fn remove_all(&mut self, attributes: &[(&str, &str)]) {
        for (short, name) in attributes {
            self.put("", short, name, None);
        }
    }

    fn result(&mut self, response: Option<&str>, kind: Option<&str>, reason: Option<&str>) {
        self.put("response", "#response", RESPONSE, response.and_then(text));
        self.put("kind", "#kind", RESPONSE_KIND, kind.and_then(text));
        self.put("reason", "#reason", OMITTED_REASON, reason.and_then(text));
    }
}

fn text(text: impl Into<String>) -> Option<AttributeValue> {
    Some(AttributeValue::S(text.into()))
}

fn expiry(expires: Timestamp) -> Option<AttributeValue> {
    Some(AttributeValue::N(expires_at(expires).to_string()))
}

/// Returns the latest end of a lease that has ended by `now`. A lease until the last [`Timestamp`]
/// never ends.
fn latest_lapsed(now: Timestamp) -> Timestamp {
    now.min(Timestamp::from_nanos(u64::MAX - 1))
}
