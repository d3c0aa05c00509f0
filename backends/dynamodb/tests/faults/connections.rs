//! Faults on real connections, cut before and after the server applied the write.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use limited::{Limiter, ManualClock, Quota};
use limited_dynamodb::DynamoDbBackend;

use crate::support::{Cut, Proxy, serve_over_tcp, server_endpoint, tcp_config_at, unique_table};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_counts_once_over_a_cut_connection() {
    let (endpoint, _server) = serve_over_tcp().await;
    if server_endpoint(&endpoint) != endpoint {
        // The proxy supports plain HTTP to the emulator only.
        return;
    }
    let proxy = Proxy::start(&endpoint).await;
    let client = Client::from_conf(tcp_config_at(proxy.endpoint()).build());
    let backend = DynamoDbBackend::builder(client)
        .table_name(unique_table("connections"))
        .operation_timeout(Duration::from_secs(30))
        .build();
    backend.create_rate_limit_table().await.unwrap();
    let limiter = Limiter::new(backend).clock(ManualClock::new()).quota(Quota::per_hour(1_000));
    let mut used = 0;
    for cut in [Cut::BeforeForwarding, Cut::AfterForwarding, Cut::WithinResponse, Cut::Nowhere]
        .into_iter()
        .cycle()
        .take(40)
    {
        proxy.push_cut(cut);
        used += 1;
        let decision = limiter.allow("key").await.unwrap();
        assert!(decision.is_allowed());
        assert_eq!(decision.used(), used, "{cut:?}");
    }
    proxy.close_connections();
    assert_eq!(
        limiter.allow("key").await.unwrap().used(),
        used + 1,
        "an idle connection that died is replaced"
    );
}
