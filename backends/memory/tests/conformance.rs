//! The conformance suite, with futures that are polled to their end, and with futures that must be
//! ready at their first poll.

use limited_core::conformance::Harness;
use limited_memory::MemoryBackend;

struct Memory;

impl Harness for Memory {
    type Backend = MemoryBackend;

    fn backend(&self) -> MemoryBackend {
        MemoryBackend::new()
    }

    fn stored_entries(&self, backend: &MemoryBackend) -> Option<usize> {
        Some(backend.len() + backend.claims())
    }

    fn increments_all_at_once(&self) -> bool {
        true
    }
}

mod blocking {
    limited_core::conformance_tests!(super::Memory, skips: [LostResponses]);
}

mod polled_once {
    use limited_core::conformance::PollOnce;

    limited_core::conformance_tests!(PollOnce(super::Memory), skips: [LostResponses]);
}
