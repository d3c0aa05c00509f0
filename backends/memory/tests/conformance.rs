//! The conformance suite: waited for, at once, and as a limiter asks.

use limited_core::conformance::has_claims;
use limited_memory::MemoryBackend;

mod waited_for {
    limited_core::conformance_tests!(super::MemoryBackend::new);
}

mod at_once {
    use limited_core::conformance::Immediate;

    limited_core::conformance_tests!(|| Immediate(super::MemoryBackend::new()));
}

mod as_a_limiter_asks {
    use limited_core::conformance::AtOnce;

    limited_core::conformance_tests!(|| AtOnce(super::MemoryBackend::new()));
}

#[test]
fn claims_are_checked_too() {
    assert!(has_claims(&MemoryBackend::new));
}
