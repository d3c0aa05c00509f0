#!/usr/bin/env bash
# axios-retry 4.5.0 repeats a request at once if `Retry-After` is longer than 24.8 days.
#
# Expected: a wait of 30 days is like a wait of 20 days, only longer. Or the client gives up.
# Seen:     it waits if the server says 20 days. It uses up all retries at once if the server
#           says 30 days. The wait goes to `setTimeout` as it is, and Node.js turns a delay of
#           more than 2^31 - 1 ms into 1 ms.
# Matters:  a server that asks for the longest wait gets the most requests.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund axios@1.21.1 axios-retry@4.5.0

cat >show.mjs <<'E'
import http from 'node:http';
import axios from 'axios';
import axiosRetry from 'axios-retry';

for (const days of [20, 30]) {
  let requests = 0;
  const server = http.createServer((_, response) => {
    requests += 1;
    response.writeHead(429, { 'Retry-After': days * 24 * 3600 }).end();
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const client = axios.create();
  axiosRetry(client, { retries: 3, retryCondition: (error) => error.response?.status === 429 });
  client.get(`http://127.0.0.1:${server.address().port}/`).catch(() => {});
  await new Promise((passed) => setTimeout(passed, 2000));
  console.log(`Retry-After of ${days} days: ${requests} request(s) in 2 s`);
}
process.exit(0);
E
seen=$(node --no-warnings show.mjs)
echo "$seen"

expected='Retry-After of 20 days: 1 request(s) in 2 s
Retry-After of 30 days: 4 request(s) in 2 s'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
