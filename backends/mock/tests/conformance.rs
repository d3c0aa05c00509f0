//! The mock passes the conformance suite, asked by future and at once, also when it repeats writes.

use limited_core::conformance::{Harness, Immediate, has_claims};
use limited_mock::{Fault, MockBackend};

struct ByFuture;

impl Harness for ByFuture {
    type Backend = MockBackend;

    fn backend(&self) -> MockBackend {
        MockBackend::new()
    }

    fn lose_next_response(&self, backend: &MockBackend) -> bool {
        backend.inject(Fault::repeated_write());
        true
    }
}

struct AtOnce;

impl Harness for AtOnce {
    type Backend = Immediate<MockBackend>;

    fn backend(&self) -> Immediate<MockBackend> {
        Immediate(MockBackend::new())
    }

    fn lose_next_response(&self, backend: &Immediate<MockBackend>) -> bool {
        backend.0.inject(Fault::repeated_write());
        true
    }
}

mod by_future {
    limited_core::conformance_tests!(super::ByFuture);
}

mod at_once {
    limited_core::conformance_tests!(super::AtOnce);
}

#[test]
fn claims_are_checked_too() {
    assert!(has_claims(&ByFuture));
}
