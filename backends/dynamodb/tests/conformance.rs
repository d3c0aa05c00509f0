//! The conformance suite: over a wire that loses responses on request, and over TCP to the embedded
//! server or the one that `LIMITED_DYNAMODB_ENDPOINT` names.

mod support;

use std::sync::LazyLock;
use std::time::Duration;

use limited_core::conformance::Harness;
use limited_dynamodb::{DynamoDbBackend, Layout};
use support::{Fault, Wire, client, serve_over_tcp, tcp_client, unique_table};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Returns a backend with a timeout that is long enough for a busy machine.
fn backend(client: aws_sdk_dynamodb::Client, layout: Layout) -> DynamoDbBackend {
    let builder = DynamoDbBackend::builder(client)
        .layout(layout)
        .table_name(unique_table("conformance"))
        .idempotency_table_name(unique_table("conformance-claims"));
    let backend = builder.operation_timeout(Duration::from_secs(60)).build();
    RUNTIME.block_on(backend.create_tables()).unwrap();
    backend
}

/// Each backend has a wire of its own.
#[derive(Default)]
struct OverWire {
    wires: std::sync::Mutex<Vec<(String, Wire)>>,
    layout: Layout,
    hides_old_items: bool,
}

impl Harness for OverWire {
    type Backend = DynamoDbBackend;

    fn backend(&self) -> DynamoDbBackend {
        let wire = Wire::new();
        if self.hides_old_items {
            wire.hide_old_items();
            wire.forget_tokens();
        }
        let backend = backend(client(&wire), self.layout);
        self.wires.lock().unwrap().push((backend.table_name().to_owned(), wire));
        backend
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        RUNTIME.block_on(future)
    }

    fn increments_all_at_once(&self) -> bool {
        self.layout == Layout::ItemPerWindow
    }

    fn lose_next_response(&self, backend: &DynamoDbBackend) -> bool {
        let wires = self.wires.lock().unwrap();
        let (_, wire) =
            wires.iter().find(|(table, _)| table == backend.table_name()).expect("the backend of a wire");
        // Hits and every change of a claim are updates, and hits on several counters a transaction.
        for write in ["UpdateItem", "DeleteItem", "TransactWriteItems"] {
            wire.push_fault_on(write, Fault::CutAfter);
        }
        true
    }
}

struct OverTcp(Layout);

static ENDPOINT: LazyLock<String> = LazyLock::new(|| RUNTIME.block_on(serve_over_tcp()).0);

impl Harness for OverTcp {
    type Backend = DynamoDbBackend;

    fn backend(&self) -> DynamoDbBackend {
        backend(tcp_client(&ENDPOINT), self.0)
    }

    fn increments_all_at_once(&self) -> bool {
        self.0 == Layout::ItemPerWindow
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        RUNTIME.block_on(future)
    }
}

mod over_the_wire {
    // DynamoDB removes expired items by its own clock.
    limited_core::conformance_tests!(
        super::OverWire::default(),
        skips: [Removal, FastPath]
    );
}

/// Some servers do not return the item for which a condition failed, and ignore the tokens of
/// transactions.
mod with_hidden_items {
    limited_core::conformance_tests!(
        super::OverWire { hides_old_items: true, ..super::OverWire::default() },
        skips: [Removal, FastPath]
    );
}

mod over_tcp {
    use limited_dynamodb::Layout;

    limited_core::conformance_tests!(super::OverTcp(Layout::ItemPerWindow), skips: [LostResponses, Removal, FastPath]);
}

/// Hits on different keys are counted in turn.
mod item_per_key_over_the_wire {
    use limited_dynamodb::Layout;

    limited_core::conformance_tests!(
        super::OverWire { layout: Layout::ItemPerKey, ..super::OverWire::default() },
        skips: [Removal, FastPath, AllAtOnce]
    );
}

mod item_per_key_with_hidden_items {
    use limited_dynamodb::Layout;

    limited_core::conformance_tests!(
        super::OverWire { layout: Layout::ItemPerKey, hides_old_items: true, ..super::OverWire::default() },
        skips: [Removal, FastPath, AllAtOnce]
    );
}

mod item_per_key_over_tcp {
    use limited_dynamodb::Layout;

    limited_core::conformance_tests!(
        super::OverTcp(Layout::ItemPerKey),
        skips: [LostResponses, Removal, FastPath, AllAtOnce]
    );
}
