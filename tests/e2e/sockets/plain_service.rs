//! Rate limits in front of a plain Tower service on hyper.

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{BodyExt, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use limited::http::{ClientAddress, KeyExtractor, PeerAddress, RateLimitLayer};
use tower::{ServiceBuilder, service_fn};

use crate::{client, get, header, limiter, listen};

async fn shout(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    Ok(Response::new(Full::from(body.to_ascii_uppercase())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_service_is_limited_by_the_peer_address() {
    let (limiter, clock) = limiter("2/min");
    let layer = RateLimitLayer::new(limiter, KeyExtractor::address(ClientAddress::peer()));
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let service = ServiceBuilder::new()
                .map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(PeerAddress(peer.ip()));
                    request
                })
                .layer(layer.clone())
                .service(service_fn(shout));
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::spawn(connection);
        }
    });

    let client = client();
    let response = client.post(format!("http://{address}/")).body("hello").send().await.unwrap();
    assert_eq!(header(&response, "ratelimit"), Some("\"default\";r=1;t=60"));
    assert_eq!(response.text().await.unwrap(), "HELLO");
    assert_eq!(get(&client, address, "/").await.status(), 200);

    let rejected = get(&client, address, "/").await;
    assert_eq!(rejected.status(), 429);
    assert_eq!(header(&rejected, "retry-after"), Some("60"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(get(&client, address, "/").await.status(), 200);
}
