#!/usr/bin/env bash
# What clients for Python do with `Retry-After`: after a 429, for a wait of weeks, after a 409, and
# after a 429 to a POST.
#
# Expected: a client that repeats a request waits as long as the server says.
# Seen:     the table below. Each client may repeat a request 3 times. Which statuses and methods it
#           repeats is its own default, and 429 for the clients that have no default.
#           waits          it repeats once the time is over, or has not repeated within 3.5 s
#           too early      it repeats before
#           gives up       it does not repeat; the first response is the result
# Matters:  `Retry-After` alone does not make a client wait. No client repeats a 409, and only one
#           repeats a POST.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check urllib3==2.8.0 requests==2.34.2 httpx==0.28.1 \
  httpx-retries==0.6.0 aiohttp==3.14.5 aiohttp-retry==2.9.1

cat >show.py <<'E'
import asyncio, os, threading, time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import aiohttp_retry, httpx, httpx_retries, requests, urllib3
from requests.adapters import HTTPAdapter

session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=urllib3.Retry(3)))
client = httpx.Client(transport=httpx_retries.RetryTransport(retry=httpx_retries.Retry(total=3)))
async def with_aiohttp(method, url):
    options = aiohttp_retry.ExponentialRetry(attempts=4, statuses={429})
    async with aiohttp_retry.RetryClient(retry_options=options) as client:
        await client.request(method, url)

clients = {
    "urllib3 2.8.0": lambda method, url: urllib3.PoolManager().request(method, url, retries=3),
    "requests 2.34.2, `Retry`": session.request,
    "httpx-retries 0.6.0": client.request,
    "aiohttp-retry 2.9.1": lambda method, url: asyncio.run(with_aiohttp(method, url)),
}

def show(send, case):
    method, status, wait = case
    times = []
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            times.append(time.monotonic())
            self.send_response(status)
            for name, value in [("Retry-After", wait), ("Content-Length", 0)]:
                self.send_header(name, value)
            self.end_headers()
        do_POST = do_GET
        log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    done = threading.Thread(target=send, args=(method, f"http://127.0.0.1:{server.server_port}/"), daemon=True)
    done.start()
    done.join(3.5)
    if len(times) > 1:
        return "too early" if times[1] - times[0] < 0.9 * wait else "waits"
    return "waits" if done.is_alive() else "gives up"

threading.excepthook = lambda _: None
cases = [("GET", 429, 2), ("GET", 429, 2_147_483), ("GET", 429, 2_592_000), ("GET", 409, 2), ("POST", 429, 2)]
for name, send in clients.items():
    seen = ThreadPoolExecutor(len(cases)).map(lambda case: show(send, case), cases)
    print("|", " | ".join([name, *seen]), "|", flush=True)
os._exit(0)
E
seen=$(env/bin/python show.py)
echo "$seen"

#         client, GET 429 with 2 s, with 2,147,483 s, with 30 days, GET 409, POST 429
expected='| urllib3 2.8.0 | waits | waits | waits | gives up | gives up |
| requests 2.34.2, `Retry` | waits | waits | waits | gives up | gives up |
| httpx-retries 0.6.0 | waits | waits | waits | gives up | gives up |
| aiohttp-retry 2.9.1 | too early | too early | too early | gives up | too early |'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
