//! The conformance suite: waited for, at once, and as a limiter asks.

use limited_core::conformance::has_claims;
use limited_memory::MemoryBackend;

mod increment {
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
