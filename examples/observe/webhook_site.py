"""A receiver of webhooks: python examples/observe/webhook_site.py examples/observe/received.jsonl

It demands the certificate of a node, verifies the signature of each request, and writes what it has not had before to a
file. Whoever answers 200 has taken all events of a request; so it answers when they are in the file.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import pathlib
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PKI = pathlib.Path(__file__).parent / "pki"
SECRET = b"only-for-this-example"
PATIENCE = 300
"""Seconds that a request may have been under way; an older one may be a stranger's, who has heard it."""

known: set[str] = set()


def genuine(signature: str, body: bytes) -> bool:
    """Whether a request is of one who knows the secret, and of now."""
    parts = dict(each.partition("=")[::2] for each in signature.split(","))
    moment = parts.get("t", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > PATIENCE:
        return False
    expected = hmac.new(SECRET, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts.get("v1", ""))


class Receiver(BaseHTTPRequestHandler):
    """Takes events."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """A batch, an event a line."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not genuine(self.headers.get("X-Edgenode-Signature", ""), body):
            self.send_response(403)
        else:
            with open(sys.argv[1], "a", encoding="ascii") as file:
                for line in body.decode("ascii").splitlines():
                    event = json.loads(line)
                    if event["_id"] not in known:  # an event may come twice
                        file.write(f"{line}\n")
                        known.add(event["_id"])
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PKI / "server.pem", PKI / "server.key")
    context.load_verify_locations(PKI / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ThreadingHTTPServer(("127.0.0.1", 8472), Receiver)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print("listening on https://localhost:8472", flush=True)  # noqa: T201
    server.serve_forever()
