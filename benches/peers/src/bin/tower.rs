//! What a layer costs on an empty handler: ours beside `tower_governor`, turn by turn in one process.
//!
//! ```sh
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin tower
//! ```
//!
//! Every turn makes its requests, with the client's address in an extension, and answers them by an empty handler. The
//! bare handler does so without a layer: what a layer costs is what its turn takes longer.

use std::convert::Infallible;
use std::hint::black_box;
use std::net::IpAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use axum::body::Body;
use clap::Parser;
use http::{Request, Response, StatusCode};
use limited::http::{ClientAddress, KeyBy, PeerAddress, RateLimitLayer};
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
    /// How many turns each layer has.
    #[arg(long, default_value_t = 41)]
    rounds: usize,
    /// How many requests a turn has.
    #[arg(long, default_value_t = 20_000)]
    requests: u32,
}

/// The address where our layer looks for it too, so that both find it alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ByPeer;

impl KeyExtractor for ByPeer {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let peer = request.extensions().get::<PeerAddress>();
        peer.map(|peer| peer.0).ok_or(GovernorError::UnableToExtractKey)
    }
}

type Turn = Box<dyn FnMut(u32) -> (Duration, u32)>;

/// Has a service answer so many requests; tells how long it took, and how many were refused.
fn turns<S>(mut service: S) -> Turn
where
    S: Service<Request<()>, Response: Refusable, Error = Infallible> + 'static,
{
    Box::new(move |requests| {
        let started = Instant::now();
        let refused = (0..requests).filter(|_| answer(&mut service)).count();
        (started.elapsed(), u32::try_from(refused).unwrap_or(u32::MAX))
    })
}

/// Whether one request is refused. Nothing here waits, so one poll is enough.
fn answer<S>(service: &mut S) -> bool
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

fn empty() -> impl Service<Request<()>, Response = Response<Body>, Error = Infallible, Future: Send> + Clone {
    service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body::empty())))
}

fn ours(quota: Quota) -> Turn {
    let limiter = Limiter::new(MemoryBackend::new()).quota(quota);
    turns(RateLimitLayer::new(limiter, KeyBy::address(ClientAddress::peer())).layer(empty()))
}

/// `burst` requests, and one more only after an hour each where it is small.
fn tower_governor(burst: u32, headers: bool) -> anyhow::Result<Turn> {
    let mut builder = GovernorConfigBuilder::default();
    let period = if burst == 1 { Duration::from_secs(3_600) } else { Duration::from_nanos(1) };
    let mut builder = builder.period(period).burst_size(burst).key_extractor(ByPeer);
    let impossible = || anyhow::anyhow!("a quota of nothing");
    Ok(if headers {
        let config = builder.use_headers().finish().ok_or_else(impossible)?;
        turns(GovernorLayer::<_, _, Body>::new(config).layer(empty()))
    } else {
        let config = builder.finish().ok_or_else(impossible)?;
        turns(GovernorLayer::<_, _, Body>::new(config).layer(empty()))
    })
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    for (outcome, refuses) in [("admitted", false), ("refused", true)] {
        let (quota, burst) = if refuses {
            (Quota::new(1, Duration::from_secs(86_400))?, 1)
        } else {
            (Quota::new(1_000_000_000, Duration::from_secs(3_600))?, 1_000_000_000)
        };
        let mut contestants: [(&str, Turn); 4] = [
            ("no layer", turns(empty())),
            ("limited", ours(quota)),
            ("tower_governor, with headers", tower_governor(burst, true)?),
            ("tower_governor, without headers", tower_governor(burst, false)?),
        ];
        let mut times = vec![Vec::new(); contestants.len()];
        for round in 0..=options.rounds {
            for turn in 0..contestants.len() {
                let who = (turn + round) % contestants.len();
                let (name, answer) = &mut contestants[who];
                let (took, refused) = answer(options.requests);
                // The first round warms up, and uses up what there is where requests are to be refused.
                if round > 0 {
                    let expected = if refuses && who > 0 { options.requests } else { 0 };
                    anyhow::ensure!(refused == expected, "{name}: {refused} refused, and not {expected}");
                    times[who].push(took.as_nanos() as f64 / f64::from(options.requests));
                }
            }
        }
        let cost = |who: usize| -> Vec<f64> {
            times[who].iter().zip(&times[0]).map(|(layer, bare)| layer - bare).collect()
        };
        println!("\n## {outcome}\n");
        let mut table = Table::new([
            "layer",
            "whole, median",
            "layer, min",
            "median",
            "max",
            "× tower_governor with headers",
        ]);
        for (who, (name, _)) in contestants.iter().enumerate() {
            let whole = duration(Spread::of(times[who].iter().copied()).median);
            let cells = if who == 0 {
                [(); 4].map(|()| String::from("–"))
            } else {
                let Spread { least, median, most } = Spread::of(cost(who));
                let ratio = Spread::of_pairs(&cost(who), &cost(2)).median;
                [duration(least), duration(median), duration(most), figure(ratio)]
            };
            let [least, median, most, ratio] = cells;
            table.row([(*name).to_owned(), whole, least, median, most, ratio]);
        }
        println!("{table}");
    }
    Ok(())
}
