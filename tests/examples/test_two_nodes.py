"""The example of nodes that share their state: two processes of it, with curl as the client."""

from __future__ import annotations

import contextlib
import pathlib
import re
import shutil
from collections.abc import Iterator

import pytest

from tests.examples.test_examples import ROOT, TWISTD, running
from tests.examples.test_limits import folder
from tests.examples.test_rate_limits import Browser, shop
from tests.support.node import PKI, Origin
from tests.support.redis import RedisServer, needs_redis
from tests.support.waiting import wait_for

__all__ = ["folder"]  # a fixture
pytestmark = [pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl"), needs_redis]


@contextlib.contextmanager
def node(folder: pathlib.Path, name: str, origin: Origin, server: RedisServer) -> Iterator[int]:
    """The port of one of the nodes, in a process of its own."""
    text = (ROOT / "examples" / "limits" / "two-nodes.ini").read_text()
    text = re.sub(r"tcp:\d+:", "tcp:0:", text).replace("unix:/run/redis/redis.sock", server.url)
    text = text.replace("[state]\n", "[state]\ntimeout = 10s\n")  # a machine with much to do is no server that is away
    file = folder / "examples" / "limits" / f"{name}.ini"
    file.write_text(text.replace("http://127.0.0.1:8080", f"http://127.0.0.1:{origin.port}"))
    with running(folder, *TWISTD, "-n", "edgenode", "--config", str(file)) as port:
        yield port


def test_two_nodes_share_a_limit_and_a_ban(folder: pathlib.Path, pki: PKI) -> None:
    """Five requests pass on both together; who is banned then is banned on both, whoever asks the server."""
    with (
        RedisServer() as server,
        Origin(pki, shop, tls=False) as origin,
        node(folder, "one", origin, server) as one,
        node(folder, "other", origin, server) as other,
    ):
        wait_for(lambda: len(server("CLIENT", "LIST").splitlines()) == 3, "both nodes are connected")
        browsers = [Browser(folder, port, "shop.example.com") for port in (one, other)]
        assert [browsers[n % 2].get("/")[0] for n in range(5)] == [200] * 5
        assert browsers[0].get("/")[0] == 429
        status, fields = browsers[1].get("/")
        assert (status, int(fields["retry-after"]) > 590) == (429, True)
        server.kill()
        assert [each.get("/")[0] for each in browsers] == [429, 429]
