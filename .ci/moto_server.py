#!/usr/bin/env python3
"""Serves moto's DynamoDB on a free port, and prints its endpoint.

One request at a time: moto's own server runs several, and its conditional writes are not atomic
then.
"""

import logging

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
application = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, application, threaded=False)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
