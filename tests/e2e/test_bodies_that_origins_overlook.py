"""A body that an origin does not read is no request of its own: nobody would have judged it."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.node import PKI, Changes, in_thread, started

SMUGGLED = b"DELETE /admin HTTP/1.1\r\nHost: open.test\r\n\r\n"


class Overlooking(ThreadingHTTPServer):
    """Python's own server, whose handlers here read no body, and what it was asked."""

    def __init__(self, patience: float) -> None:
        self.seen: list[str] = []
        self.patience = patience
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    """Answers any request, and 401 where it is asked whether it wants the body."""

    server: Overlooking
    protocol_version = "HTTP/1.1"

    def handle_expect_100(self) -> bool:
        self.server.seen.append(self.requestline)
        time.sleep(self.server.patience)
        self._answer(401)
        return False

    def do_GET(self) -> None:
        self.server.seen.append(self.requestline)
        self._answer(200)

    do_DELETE = do_PURGE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize(
    ("method", "expects", "patience"),
    [("GET", False, 0), ("PURGE", False, 0), ("POST", True, 0.2), ("POST", True, 0.6)],
)
async def test_a_request_within_a_body_is_none(pki: PKI, method: str, expects: bool, patience: float) -> None:
    """Behind a GET, behind a method whose body the origin does not know of, and behind an upload that it refuses before
    or after the node has stopped waiting for its word."""
    server = Overlooking(patience)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    origin = {"servers": f"http://127.0.0.1:{server.server_address[1]}", "server-name": None, "certificate": None}
    changes: Changes = {"origin origin": {**origin, "trust-store": None, "continue-timeout": "400ms"}}
    length = f"Content-Length: {len(SMUGGLED)}\r\n"
    asks = "Expect: 100-continue\r\n" * expects
    head = f"{method} /public HTTP/1.1\r\nHost: open.test\r\n{length}{asks}\r\n".encode()
    async with started(pki, server.server_address[1], changes) as node:

        def talk() -> None:
            with node.client() as client:
                client.send(head if expects else head + SMUGGLED)
                if expects:
                    time.sleep(0.05)  # the node has asked the origin by then, or the test shows less
                    client.send(SMUGGLED)
                client.head()

        await in_thread(talk)
    server.shutdown()
    server.server_close()
    thread.join()
    assert server.seen == [f"{method} /public HTTP/1.1"]
