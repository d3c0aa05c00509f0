//! The mock passes the conformance suite, also when it repeats writes, and is never pending.

use limited_core::conformance::{Harness, PollOnce, has_claims};
use limited_mock::{Fault, MockBackend};

struct Mock;

impl Harness for Mock {
    type Backend = MockBackend;

    fn backend(&self) -> MockBackend {
        MockBackend::new()
    }

    fn lose_next_response(&self, backend: &MockBackend) -> bool {
        backend.inject(Fault::repeated_write());
        true
    }
}

mod polled_to_the_end {
    limited_core::conformance_tests!(super::Mock);
}

mod polled_once {
    limited_core::conformance_tests!(super::PollOnce(super::Mock));
}

#[test]
fn claims_are_checked_too() {
    assert!(has_claims(&Mock));
}
