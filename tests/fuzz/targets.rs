//! The targets, one file per parser, and [`layers`] for the whole stack.

mod forwarded;
mod idempotency_key;
mod json_bodies;
mod layers;
mod multipart_bodies;
mod networks;
mod quotas;
mod ratelimit_lists;
mod setting_names;
mod stored_records;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};

pub(crate) use self::networks::trusts;

/// The name of the environment variable for how long each target runs, in seconds.
const SECONDS: &str = "LIMITED_FUZZ_SECONDS";

/// Calls `test` with random inputs until the time is up, at least 64 times. `test` panics if an
/// input breaks a promise.
fn fuzz<S: Strategy>(inputs: &S, test: impl Fn(S::Value))
where
    S::Value: Debug,
{
    let seconds = std::env::var(SECONDS).map_or(1, |text| text.parse().expect(SECONDS));
    let end = Instant::now() + Duration::from_secs(seconds);
    // With the random seed of a new runner, each round has inputs of its own.
    let config = Config { cases: 64, failure_persistence: None, max_shrink_iters: 4096, ..Config::default() };
    let mut rounds = 0;
    while rounds == 0 || Instant::now() < end {
        let result = TestRunner::new(config.clone()).run(inputs, |input| {
            test(input);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        rounds += 1;
    }
    println!("{} inputs", rounds * config.cases);
}
