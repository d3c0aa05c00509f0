#!/usr/bin/env bash
# retry-axios 4.0.3 does not repeat a request if the server sends `Retry-After: 0`.
#
# Expected: 0 is a valid number of seconds (RFC 9110, section 10.2.3): repeat at once.
# Seen:     with `Retry-After: 1` the request is repeated and succeeds. With 0, and no other
#           difference, it fails with the first 429: the client takes 0 for "no valid wait".
# Matters:  servers that round a wait down send 0 in the last second of every window.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund axios@1.21.1 retry-axios@4.0.3

cat >show.mjs <<'E'
import http from 'node:http';
import axios from 'axios';
import * as rax from 'retry-axios';

for (const wait of [1, 0]) {
  let requests = 0;
  const server = http.createServer((_, response) => {
    requests += 1;
    response.writeHead(requests === 1 ? 429 : 200, { 'Retry-After': wait }).end();
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const client = axios.create();
  rax.attach(client);
  const status = await client.get(`http://127.0.0.1:${server.address().port}/`, { raxConfig: { retry: 3 } })
    .then((response) => response.status, (error) => error.response.status);
  console.log(`Retry-After: ${wait}: ${requests} request(s), final status ${status}`);
  server.close();
}
E
seen=$(node show.mjs)
echo "$seen"

expected='Retry-After: 1: 2 request(s), final status 200
Retry-After: 0: 1 request(s), final status 429'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
