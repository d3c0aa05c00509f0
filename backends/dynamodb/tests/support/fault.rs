//! What can go wrong between a client and the server.

use std::time::Duration;

use super::emulator::Answer;

/// What happens to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// 400 `ProvisionedThroughputExceededException`; not applied.
    Throttle,
    /// 500 `InternalServerError`; not applied.
    InternalError,
    /// 503 `ServiceUnavailable`; not applied.
    ServiceUnavailable,
    /// 400 `AccessDeniedException`; not applied.
    AccessDenied,
    /// Any other error: its status and its whole `__type`; not applied.
    Error(u16, &'static str),
    /// Reaches the server so much later, though its caller may be gone by then.
    DelayBefore(Duration),
    /// Applied at once, answered so much later.
    DelayAnswer(Duration),
    /// The connection fails; not applied.
    CutBefore,
    /// Applied; then the connection fails.
    CutAfter,
    /// Applied; of the answer's body comes half, and nobody notices: the SDK makes it a service error without a code,
    /// of status 200. Where the length is known, as over TCP, [`Cut::AmidAnswer`](super::Cut) is what happens.
    Truncate,
    /// Not applied, never answered.
    Hang,
    /// Applied, never answered.
    HangAfter,
}

impl Fault {
    /// Whether the server gets to run the request, now or later.
    pub(crate) fn is_applied(self) -> bool {
        match self {
            Self::None
            | Self::DelayBefore(_)
            | Self::DelayAnswer(_)
            | Self::CutAfter
            | Self::Truncate
            | Self::HangAfter => true,
            Self::Throttle
            | Self::InternalError
            | Self::ServiceUnavailable
            | Self::AccessDenied
            | Self::Error(..)
            | Self::CutBefore
            | Self::Hang => false,
        }
    }

    /// The answer in place of the server's.
    pub(crate) fn error(self) -> Option<Answer> {
        let (status, kind, message) = match self {
            Self::Throttle => (
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
            Self::ServiceUnavailable => (
                503,
                "com.amazonaws.dynamodb.v20120810#ServiceUnavailable",
                "The service is currently unavailable",
            ),
            Self::AccessDenied => (
                400,
                "com.amazon.coral.service#AccessDeniedException",
                "User: arn:aws:iam::000000000000:user/test is not authorized to perform this action",
            ),
            Self::Error(status, kind) => (status, kind, "an error that a test asked for"),
            _ => return None,
        };
        Some(Answer::error(status, kind, message))
    }
}

/// A schedule for [`Wire::set_faults`](super::Wire::set_faults): of a hundred requests about `percent` meet a fault out
/// of `faults`. The same seed, the same schedule.
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
