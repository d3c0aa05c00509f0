#!/usr/bin/env bash
# rate-limiter-flexible 11.4.0: a point that is given back after its window ended raises the next limit.
#
# Expected: `reward` returns points that were consumed. If the window of that charge has ended,
#           nothing is left to return, and the next window admits its limit.
# Seen:     the reward opens a window with a negative count, which admits the limit and the reward.
# Matters:  a service that refunds slow requests lets through more than its limit in each window.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund rate-limiter-flexible@11.4.0

cat >show.mjs <<'E'
import { RateLimiterMemory } from 'rate-limiter-flexible';

const limiter = new RateLimiterMemory({ points: 3, duration: 1 });
const admitted = async (calls) => {
  let number = 0;
  for (let call = 0; call < calls; call += 1) {
    await limiter.consume('key').then(() => { number += 1; }, () => {});
  }
  return number;
};
const first = await admitted(9);
await new Promise((passed) => setTimeout(passed, 1100));
await limiter.reward('key', 2);
console.log(`limit 3; admitted: ${first} in one window, and ${await admitted(9)} in the next`);
process.exit(0);
E
seen=$(node show.mjs)
echo "$seen"

expected="limit 3; admitted: 3 in one window, and 5 in the next"
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
