//! Compares the cost of `RateLimitLayer` with that of `tower_governor`, on an empty handler.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin tower
//! ```
//!
//! Each sample creates requests with the client's address in an extension and passes them to a
//! service. One service is the bare handler. The cost of a layer is the difference to it.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::Body;
use clap::Parser;
use http::{Request, Response, StatusCode};
use limited::http::{ClientAddress, KeyExtractor as LimitedKey, PeerAddress, RateLimitLayer};
use limited::memory::MemoryBackend;
use limited::{Limiter, Quota};
use limited_peers::statistics::Spread;
use limited_peers::table::{Table, duration, figure};
use tower::{Layer, Service, service_fn};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

/// Measures the layers.
#[derive(Parser)]
struct Options {
    /// The number of samples of each layer.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// The number of requests in a sample.
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
}

/// Reads the address from the extension that `RateLimitLayer` reads, so that both cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PeerKey;

impl KeyExtractor for PeerKey {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let peer = request.extensions().get::<PeerAddress>();
        peer.map(|peer| peer.0).ok_or(GovernorError::UnableToExtractKey)
    }
}

/// Sends a number of requests. Returns the duration and the number of refused requests.
type Sample = Box<dyn FnMut(u32) -> (Duration, u32)>;

fn sample<S>(mut service: S) -> Sample
where
    S: Service<Request<()>, Response: Refusable, Error = Infallible> + 'static,
{
    Box::new(move |requests| {
        let started = Instant::now();
        let refused = (0..requests).filter(|_| is_refused(&mut service)).count();
        (started.elapsed(), u32::try_from(refused).unwrap_or(u32::MAX))
    })
}

/// Sends one request and returns whether it was refused. No service waits, so one poll is enough.
fn is_refused<S>(service: &mut S) -> bool
where
    S: Service<Request<()>, Response: Refusable, Error = Infallible>,
{
    let mut request = Request::new(());
    request.extensions_mut().insert(PeerAddress(IpAddr::from([192, 0, 2, 7])));
    let mut context = Context::from_waker(Waker::noop());
    let _ = service.poll_ready(&mut context);
    match pin!(service.call(black_box(request))).poll(&mut context) {
        Poll::Ready(Ok(response)) => black_box(response).is_refused(),
        Poll::Ready(Err(_)) | Poll::Pending => true,
    }
}

trait Refusable {
    fn is_refused(&self) -> bool;
}

impl<B> Refusable for Response<B> {
    fn is_refused(&self) -> bool {
        self.status() == StatusCode::TOO_MANY_REQUESTS
    }
}

fn handler() -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone
{
    service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body::empty())))
}

fn limited(quota: Quota) -> Sample {
    let limiter = Limiter::new(MemoryBackend::new()).quota(quota);
    sample(RateLimitLayer::new(limiter, LimitedKey::address(ClientAddress::peer())).layer(handler()))
}

/// Admits `burst` requests. If `burst` is 1, the next request is admitted after an hour.
fn tower_governor(burst: u32, headers: bool) -> anyhow::Result<Sample> {
    let mut builder = GovernorConfigBuilder::default();
    let period = if burst == 1 { Duration::from_secs(3_600) } else { Duration::from_nanos(1) };
    let mut builder = builder.period(period).burst_size(burst).key_extractor(PeerKey);
    let invalid = || anyhow::anyhow!("tower_governor rejects a burst of {burst} with a period of {period:?}");
    Ok(if headers {
        let config = builder.use_headers().finish().ok_or_else(invalid)?;
        sample(GovernorLayer::<_, _, Body>::new(config).layer(handler()))
    } else {
        let config = builder.finish().ok_or_else(invalid)?;
        sample(GovernorLayer::<_, _, Body>::new(config).layer(handler()))
    })
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    for (outcome, refuses) in [("Admitted", false), ("Refused", true)] {
        let (quota, burst) = if refuses {
            (Quota::new(1, Duration::from_secs(86_400))?, 1)
        } else {
            (Quota::new(1_000_000_000, Duration::from_secs(3_600))?, 1_000_000_000)
        };
        let mut subjects: [(&str, Sample); 4] = [
            ("no layer", sample(handler())),
            ("limited", limited(quota)),
            ("tower_governor, with headers", tower_governor(burst, true)?),
            ("tower_governor, without headers", tower_governor(burst, false)?),
        ];
        let mut times = vec![Vec::new(); subjects.len()];
        for round in 0..=options.rounds {
            for position in 0..subjects.len() {
                let index = (position + round) % subjects.len();
                let (name, sample) = &mut subjects[index];
                let (elapsed, refused) = sample(options.requests);
                // The first round warms up, and uses up the limit of requests to be refused.
                if round > 0 {
                    let expected = if refuses && index > 0 { options.requests } else { 0 };
                    anyhow::ensure!(
                        refused == expected,
                        "{name} refused {refused} of {} requests; expected {expected}",
                        options.requests
                    );
                    times[index].push(elapsed.as_nanos() as f64 / f64::from(options.requests));
                }
            }
        }
        let cost = |index: usize| -> Vec<f64> {
            times[index].iter().zip(&times[0]).map(|(layer, bare)| layer - bare).collect()
        };
        println!("\n### {outcome}\n");
        let mut table = Table::new([
            "layer",
            "request, median",
            "layer, min",
            "median",
            "max",
            "ratio to tower_governor with headers",
        ]);
        for (index, (name, _)) in subjects.iter().enumerate() {
            let request = duration(Spread::of(times[index].iter().copied()).median);
            let cells = if index == 0 {
                [(); 4].map(|()| String::from("–"))
            } else {
                let Spread { min, median, max } = Spread::of(cost(index));
                let ratio = Spread::of_ratios(&cost(index), &cost(2)).median;
                [duration(min), duration(median), duration(max), figure(ratio)]
            };
            table.row([(*name).to_owned(), request].into_iter().chain(cells));
        }
        println!("{table}");
    }
    Ok(())
}
