//! The mock passes the conformance suite, also when it repeats writes, and is never pending. It
//! removes nothing.

use limited_core::conformance::{Harness, PollOnce};
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

    fn increments_all_at_once(&self) -> bool {
        true
    }
}

mod polled_to_the_end {
    limited_core::conformance_tests!(super::Mock, skips: [Removal, FastPath]);
}

mod polled_once {
    limited_core::conformance_tests!(super::PollOnce(super::Mock), skips: [Removal, FastPath]);
}
