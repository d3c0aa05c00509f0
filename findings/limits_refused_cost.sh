#!/usr/bin/env bash
# Python `limits` 5.8.0: a refused hit uses up a fixed window, although nothing was admitted.
#
# Expected: one hit with cost 11 is refused by "10 per hour" and changes nothing.
# Seen:     the fixed window adds the cost before it compares. The key is refused for the rest of
#           the hour without ever having been admitted. The moving window and the sliding window
#           counter of the same package do as expected.
# Matters:  one request that is too large locks its client out.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check limits==5.8.0

cat >show.py <<'E'
from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

ten_per_hour = RateLimitItemPerHour(10)
for strategy in (FixedWindowRateLimiter, MovingWindowRateLimiter, SlidingWindowCounterRateLimiter):
    limiter = strategy(MemoryStorage())
    large = limiter.hit(ten_per_hour, "key", cost=11)
    small = sum(limiter.hit(ten_per_hour, "key") for _ in range(20))
    print(f"{strategy.__name__}: cost 11 admitted: {large}; then {small} of 20 hits admitted")
E
seen=$(env/bin/python show.py)
echo "$seen"

expected='FixedWindowRateLimiter: cost 11 admitted: False; then 0 of 20 hits admitted
MovingWindowRateLimiter: cost 11 admitted: False; then 10 of 20 hits admitted
SlidingWindowCounterRateLimiter: cost 11 admitted: False; then 10 of 20 hits admitted'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
