//! The conformance suite, with futures that are polled to their end, and with futures that must be
//! ready at their first poll.

use limited_core::conformance::has_claims;
use limited_memory::MemoryBackend;

mod blocking {
    limited_core::conformance_tests!(super::MemoryBackend::new);
}

mod polled_once {
    use limited_core::conformance::PollOnce;

    limited_core::conformance_tests!(PollOnce(super::MemoryBackend::new));
}

#[test]
fn claims_are_checked_too() {
    assert!(has_claims(&MemoryBackend::new));
}
