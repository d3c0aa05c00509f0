//! Faults between a client and the server.

use std::time::Duration;

use serde_json::json;

use super::emulator::Response;

/// The fault that one request meets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// 400 `ProvisionedThroughputExceededException`; not applied.
    Throttle,
    /// 500 `InternalServerError`; not applied.
    InternalError,
    /// 400 `AccessDeniedException`; not applied.
    AccessDenied,
    /// Any other error: its status and its full `__type`; not applied.
    Error(u16, &'static str),
    /// As [`Throttle`](Self::Throttle), with a throttling reason.
    ThrottledBy(&'static str),
    /// As [`Error`](Self::Error), with an `x-amz-retry-after` of so many milliseconds.
    RetryAfter(u16, &'static str, u64),
    /// 400 `TransactionCanceledException` with these codes as its reasons; not applied.
    Canceled(&'static [&'static str]),
    /// Reaches the server after this delay, even if the caller has been dropped by then.
    DelayBefore(Duration),
    /// Applied at once; the response is delayed.
    DelayResponse(Duration),
    /// The connection fails; not applied.
    CutBefore,
    /// Applied; then the connection fails.
    CutAfter,
    /// Applied; half of the response's body arrives, and the length is unknown. The SDK reports a
    /// service error without a code, of status 200. If the length is known, as over TCP, use
    /// [`Cut::WithinResponse`](super::Cut).
    Truncate,
    /// Not applied; no response.
    Hang,
    /// Applied; no response.
    HangAfter,
}

impl Fault {
    /// Returns whether the server runs the request, now or later.
    pub(crate) fn is_applied(self) -> bool {
        match self {
            Self::None
            | Self::DelayBefore(_)
            | Self::DelayResponse(_)
            | Self::CutAfter
            | Self::Truncate
            | Self::HangAfter => true,
            Self::Throttle
            | Self::InternalError
            | Self::AccessDenied
            | Self::Error(..)
            | Self::RetryAfter(..)
            | Self::ThrottledBy(_)
            | Self::Canceled(_)
            | Self::CutBefore
            | Self::Hang => false,
        }
    }

    /// Returns the response in place of the server's.
    pub(crate) fn error(self) -> Option<Response> {
        let (status, kind, message) = match self {
            Self::Throttle | Self::ThrottledBy(_) => (
                400,
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "The level of configured provisioned throughput for the table was exceeded. Consider increasing \
                 your provisioning level with the UpdateTable API.",
            ),
            Self::InternalError => (
                500,
                "com.amazonaws.dynamodb.v20120810#InternalServerError",
                "The request processing has failed",
            ),
            Self::AccessDenied => (
                400,
                "com.amazon.coral.service#AccessDeniedException",
                "User: arn:aws:iam::000000000000:user/test is not authorized to perform this action",
            ),
            Self::Canceled(_) => (
                400,
                "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "Transaction cancelled, please refer cancellation reasons for specific reasons",
            ),
            Self::Error(status, kind) | Self::RetryAfter(status, kind, _) => {
                (status, kind, "an injected error")
            }
            _ => return None,
        };
        let mut response = Response::error(status, kind, message);
        if let Self::ThrottledBy(reason) = self {
            let resource = "arn:aws:dynamodb:eu-west-1:000000000000:table/limits";
            response.body["ThrottlingReasons"] = json!([{ "reason": reason, "resource": resource }]);
        }
        if let Self::Canceled(codes) = self {
            let reasons = codes.iter().map(|code| json!({ "Code": code, "Message": "an injected reason" }));
            response.body["CancellationReasons"] = reasons.collect();
        }
        Some(response)
    }
}

/// Returns a schedule for [`Wire::set_faults`](super::Wire::set_faults): about `percent` of the
/// requests meet one of `faults`. Equal seeds give equal schedules.
pub(crate) fn drawn(
    seed: u64,
    percent: u64,
    faults: &[Fault],
) -> impl FnMut(&str, usize) -> Fault + Send + use<> {
    let faults = faults.to_vec();
    move |_, number| {
        let draw = mixed(seed ^ mixed(number as u64));
        if faults.is_empty() || draw % 100 >= percent {
            return Fault::None;
        }
        let index = mixed(draw) % faults.len() as u64;
        faults[usize::try_from(index).unwrap()]
    }
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
