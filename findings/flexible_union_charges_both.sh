#!/usr/bin/env bash
# rate-limiter-flexible 11.4.0: a union of two limits charges the one that admits if the other refuses.
#
# Expected: "1 a minute and 100 a day" decides all or nothing. A request that the minute refuses
#           does not count against the day.
# Seen:     the union asks both limiters at once and takes nothing back. 100 requests within one
#           minute, of which 1 is admitted, use up the whole day.
# Matters:  a client that retries too eagerly for one minute is locked out for the day.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rate-limiter-flexible@11.4.0

cat >show.mjs <<'E'
import { RateLimiterMemory, RateLimiterUnion } from 'rate-limiter-flexible';

const minute = new RateLimiterMemory({ keyPrefix: 'minute', points: 1, duration: 60 });
const day = new RateLimiterMemory({ keyPrefix: 'day', points: 100, duration: 24 * 3600 });
const both = new RateLimiterUnion(minute, day);

let admitted = 0;
for (let request = 0; request < 100; request += 1) {
  await both.consume('key').then(() => { admitted += 1; }, () => {});
}
const { remainingPoints } = await day.get('key');
console.log(`admitted: ${admitted} of 100; remaining of the day's 100: ${remainingPoints}`);
process.exit(0);
E
seen=$(node show.mjs)
echo "$seen"

expected="admitted: 1 of 100; remaining of the day's 100: 0"
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
