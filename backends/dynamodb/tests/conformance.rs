//! The conformance suite.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use limited_core::conformance::Harness;
use limited_dynamodb::DynamoDbBackend;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::Runtime;

struct Server {
    runtime: Runtime,
    endpoint: String,
    made: AtomicU32,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(dynoxide::server::serve_on(listener, dynoxide::Database::memory().unwrap()));
    Server { runtime, endpoint, made: AtomicU32::new(0) }
});

struct H;
impl Harness for H {
    type Backend = DynamoDbBackend;
    fn backend(&self) -> DynamoDbBackend {
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .endpoint_url(&SERVER.endpoint)
            .http_client(http)
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .build();
        let n = SERVER.made.fetch_add(1, Ordering::Relaxed);
        let backend = DynamoDbBackend::builder(aws_sdk_dynamodb::Client::from_conf(config))
            .table_name(format!("limits-{n}"))
            .operation_timeout(std::time::Duration::from_secs(30))
            .build();
        self.block_on(backend.create_tables()).unwrap();
        assert_eq!(self.block_on(backend.check_tables()).unwrap(), []);
        backend
    }
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        SERVER.runtime.handle().block_on(future)
    }
}
limited_core::conformance_tests!(H);
