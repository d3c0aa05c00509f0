#!/usr/bin/env bash
# The crate ratelimit 2.0.0 grants half its rate to a caller that polls every 1.999 µs.
#
# Expected: 1 token a second is 100 tokens in 100 s, however often the caller asks.
# Seen:     each refill rounds down to whole millionths of a token, and moves its timestamp to now.
#           The rest is lost. A caller that polls every 2 µs gets 100, one that polls every
#           1.999 µs gets 50.
# Matters:  how much a limiter admits depends on how eagerly its callers spin.
#           The clock is an argument here, so that the numbers are exact.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cargo init --quiet --vcs none --edition 2021 --name show .
cargo add --quiet ratelimit@=2.0.0

cat >src/main.rs <<'E'
use std::{cell::Cell, rc::Rc, time::Duration};

use ratelimit::{Clock, Ratelimiter};

struct ManualClock(Rc<Cell<Duration>>);

impl Clock for ManualClock {
    fn elapsed(&self) -> Duration {
        self.0.get()
    }
}

fn main() {
    for poll in [1_000_000, 2_000, 1_999] {
        let now = Rc::new(Cell::new(Duration::ZERO));
        let limiter = Ratelimiter::with_clock(1, ManualClock(now.clone()));
        let mut granted = 0;
        while now.get() < Duration::from_secs(100) {
            now.set(now.get() + Duration::from_nanos(poll));
            granted += u32::from(limiter.try_wait().is_ok());
        }
        println!("polled every {poll} ns: {granted} tokens in 100 s");
    }
}
E
seen=$(cargo run --quiet --release)
echo "$seen"

expected='polled every 1000000 ns: 100 tokens in 100 s
polled every 2000 ns: 100 tokens in 100 s
polled every 1999 ns: 50 tokens in 100 s'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
