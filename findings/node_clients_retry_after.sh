#!/usr/bin/env bash
# What clients for Node.js do with `Retry-After`: after a 429, for a wait of weeks, after a 409, and
# after a 429 to a POST.
#
# Expected: a client that repeats a request waits as long as the server says.
# Seen:     the table below. Each client may repeat a request 3 times. Which statuses and methods it
#           repeats is its own default.
#           waits          it repeats once the time is over, or has not repeated within 3.5 s
#           too early      it repeats before
#           gives up       it does not repeat; the first response is the result
# Matters:  `Retry-After` alone does not make a client wait. Five of eight come too early for 30
#           days, three for less. One repeats a 409, at once. Two repeat a POST.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund axios@1.21.1 axios-retry@4.5.0 retry-axios@4.0.3 got@14.6.6 \
  ky@1.14.3 undici@7.30.2 ofetch@1.5.1 make-fetch-happen@15.0.6 superagent@10.4.2

cat >show.mjs <<'E'
import http from 'node:http';
import axios from 'axios';
import axiosRetry from 'axios-retry';
import * as rax from 'retry-axios';
import got from 'got';
import ky from 'ky';
import { Agent, RetryAgent, request } from 'undici';
import { ofetch } from 'ofetch';
import fetch from 'make-fetch-happen';
import superagent from 'superagent';

const retrying = axios.create();
axiosRetry(retrying, { retries: 3 });
const attached = axios.create();
rax.attach(attached);
const agent = new RetryAgent(new Agent(), { maxRetries: 3 });
const clients = {
  'axios-retry 4.5.0': (method, url) => retrying.request({ method, url }),
  'retry-axios 4.0.3': (method, url) => attached.request({ method, url, raxConfig: { retry: 3 } }),
  'got 14.6.6': (method, url) => got(url, { method, retry: { limit: 3 } }),
  'ky 1.14.3': (method, url) => ky(url, { method, retry: 3 }),
  'undici 7.30.2, `RetryAgent`': (method, url) => request(url, { method, dispatcher: agent }),
  'ofetch 1.5.1': (method, url) => ofetch(url, { method, retry: 3 }),
  'make-fetch-happen 15.0.6': (method, url) => fetch(url, { method, retry: 3 }),
  'superagent 10.4.2': (method, url) => superagent(method, url).retry(3),
};
const cases = [['GET', 429, 2], ['GET', 429, 2_147_483], ['GET', 429, 2_592_000], ['GET', 409, 2], ['POST', 429, 2]];

async function show(send, [method, status, wait]) {
  const times = [];
  const server = http.createServer((_, response) => {
    times.push(performance.now());
    response.writeHead(status, { 'Retry-After': wait }).end();
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const done = send(method, `http://127.0.0.1:${server.address().port}/`).then(() => true, () => true);
  const isDone = await Promise.race([done, new Promise((passed) => setTimeout(passed, 3500))]);
  if (times.length === 1) return isDone ? 'gives up' : 'waits';
  return times[1] - times[0] < 900 * wait ? 'too early' : 'waits';
}
for (const [name, send] of Object.entries(clients)) {
  const seen = await Promise.all(cases.map((each) => show(send, each)));
  console.log(`| ${[name, ...seen].join(' | ')} |`);
}
process.exit(0);
E
seen=$(node --no-warnings show.mjs)
echo "$seen"

#         client, GET 429 with 2 s, with 2,147,483 s, with 30 days, GET 409, POST 429
expected='| axios-retry 4.5.0 | waits | waits | too early | gives up | gives up |
| retry-axios 4.0.3 | waits | gives up | gives up | gives up | gives up |
| got 14.6.6 | waits | waits | too early | gives up | gives up |
| ky 1.14.3 | waits | waits | waits | gives up | gives up |
| undici 7.30.2, `RetryAgent` | waits | waits | waits | gives up | gives up |
| ofetch 1.5.1 | too early | too early | too early | too early | too early |
| make-fetch-happen 15.0.6 | too early | too early | too early | gives up | gives up |
| superagent 10.4.2 | too early | too early | too early | gives up | too early |'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
