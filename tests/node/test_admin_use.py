"""The listener of ``[admin]`` while a node runs, stops, and reads its file again."""

from __future__ import annotations

import contextlib
import pathlib
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError

from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from edgenode.node.service import EdgeService
from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, result_of
from tests.support.node import PKI, in_thread, ini

ADMIN = "[admin]\nendpoint = tcp:9100:interface=127.0.0.1\n"
PLACE = ("127.0.0.1", 9100)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path_factory.mktemp("sandbox"))


def ask(node: MemoryNode, path: str, accept: str = "*/*", place: tuple[str, int] = PLACE) -> tuple[int, str, str]:
    """Status, content type and body of an answer."""
    client: Any = node.reactor.sockets.connect(place, ("127.0.0.1", 5000))
    client.send(f"GET {path} HTTP/1.1\r\nHost: node\r\nAccept: {accept}\r\n\r\n".encode())
    received = b""
    while not received.endswith(b"\n"):  # a thread of the test's own makes it
        node.settle()
        with contextlib.suppress(BlockingIOError):
            received += client.recv(1 << 20)
    client.close()
    node.settle()
    head, _, body = received.decode().partition("\r\n\r\n")
    kind = re.findall("^Content-Type: (.*)\r$", head, re.MULTILINE)[0]
    return int(head.split()[1]), kind, body


def test_a_scrape_tells_of_what_has_happened(sandbox: Sandbox) -> None:
    """In both formats the same, and in OpenMetrics with the identifier of a request in each bucket."""
    rule = "[global-filter scripts]\naction = no\nheader.user-agent = ^curl/\n[action no]\ntype = block\nstatus = 403\n"
    with MemoryNode(sandbox.configuration(ADMIN + rule), {"app": FakeOrigin()}) as node:
        client = node.client("www.test", sandbox.clients.issue("alice"))
        assert client.get("/").status == 200
        assert client.get("/", [("User-Agent", "curl/8")]).status == 403
        status, kind, text = ask(node, "/metrics")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        plain = {
            sample.name: sample for family in read_text(text) for sample in family.samples if "edge" in sample.name
        }
        status, kind, text = ask(node, "/metrics", OPENMETRICS)
        assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
        rich = [sample for family in read_openmetrics(text) for sample in family.samples if "edge" in sample.name]
        assert {each.name for each in rich} == set(plain)
        told = {(each.name, *sorted(each.labels.values())): each.value for each in rich}
        assert told["edgenode_requests_total", "", "2xx", "all", "block", "public", "www"] == 1
        assert told["edgenode_requests_total", "4xx", "all", "block", "no", "public", "www"] == 1
        assert told["edgenode_filter_matches_total", "block", "global-filters", "no", "scripts", "yes"] == 1
        assert told["edgenode_handshakes_total", "", "CN=Clients", "public", "verified", "www"] == 2
        assert told["edgenode_origin_server_up", "192.0.2.80:80", "app"] == 1
        assert told["edgenode_ready",] == 1
        identifiers = [each["id"] for each in node.events]
        exemplars = [each.exemplar.labels["request_id"] for each in rich if each.exemplar is not None]
        assert set(exemplars) <= set(identifiers)
        assert exemplars


def test_readiness_follows_the_life_of_a_node(sandbox: Sandbox) -> None:
    """Ready while it serves; not while its last requests end, and it is alive in either case."""
    app = FakeOrigin(lambda request: waiting)
    waiting: Deferred[Any] = Deferred()
    node = MemoryNode(sandbox.configuration(ADMIN), {"app": app})
    assert ask(node, "/ready")[::2] == (200, "ready\n")
    pending = node.client("www.test").request(b"GET", b"https://www.test/slow")
    node.settle()
    stopped = node.service.stopService()
    node.settle()
    assert ask(node, "/ready")[::2] == (503, "not ready: the node stops, and its last requests end\n")
    assert ask(node, "/live")[::2] == (200, "alive\n")
    pending.addErrback(lambda failure: None)
    node.service.cut()
    node.settle()
    result_of(stopped)
    assert node.reactor.sockets.connect(PLACE, ("127.0.0.1", 5000)) is None
    assert not node.reactor.getDelayedCalls()


def test_a_node_without_the_section_does_not_listen(sandbox: Sandbox) -> None:
    """Nor does it import the package that makes the text."""
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:
        assert node.reactor.sockets.connect(PLACE, ("127.0.0.1", 5000)) is None


def test_a_reload_opens_moves_and_closes_it(sandbox: Sandbox) -> None:
    """The new one is there before the old one goes, and it stays if nothing of it changes."""
    other = ("127.0.0.1", 9101)
    with MemoryNode(sandbox.configuration(), {"app": FakeOrigin()}) as node:

        def reload(text: str) -> None:
            done = node.service.reload(sandbox.configuration(text))
            node.settle()
            result_of(done)

        reload(ADMIN)
        assert ask(node, "/live")[0] == 200
        listening = node.reactor.sockets.listeners[PLACE]
        reload(ADMIN + "[global-filter a]\nip = 192.0.2.1\ntags = a\n")
        assert node.reactor.sockets.listeners[PLACE] is listening
        reload(ADMIN.replace("9100", "9101"))
        assert ask(node, "/live", place=other)[0] == 200
        assert node.reactor.sockets.connect(PLACE, ("127.0.0.1", 5000)) is None
        reload("")
        assert node.reactor.sockets.connect(other, ("127.0.0.1", 5000)) is None


def test_a_port_that_is_taken_changes_nothing_at_a_reload(sandbox: Sandbox) -> None:
    """It is a problem of the section, and the old configuration serves on, with its own port."""
    with MemoryNode(sandbox.configuration(ADMIN), {"app": FakeOrigin()}) as node:
        before = node.service.configuration
        node.reactor.sockets.listening("127.0.0.1", 9101)
        done = node.service.reload(sandbox.configuration(ADMIN.replace("9100", "9101")))
        node.settle()
        with pytest.raises(ConfigurationError, match=r"\[admin\] endpoint: cannot listen on 127.0.0.1:9101: Address"):
            result_of(done)
        assert node.service.configuration is before
        assert ask(node, "/ready")[0] == 200
        # What was prepared for it is let go if something else is wrong.
        text = ADMIN.replace("9100", "9102") + "[listener more]\nendpoint = tcp:9101:interface=127.0.0.1\n"
        done = node.service.reload(sandbox.configuration(f"{text}server-groups = www\n"))
        node.settle()
        with pytest.raises(ConfigurationError, match="listener more"):
            result_of(done)
        assert node.reactor.sockets.connect(("127.0.0.1", 9102), ("127.0.0.1", 5000)) is None


def test_a_port_that_is_taken_at_the_start_is_an_error(sandbox: Sandbox) -> None:
    """As for listeners: nothing is left open."""
    node = MemoryNode(sandbox.configuration(), {"app": FakeOrigin()})
    node.reactor.sockets.listening(*PLACE)
    service = EdgeService(
        sandbox.configuration(f"{ADMIN}[listener public]\nendpoint = tcp:444\nserver-groups = www\n"), node.reactor
    )
    with pytest.raises(CannotListenError):
        service.privilegedStartService()
    assert all(not port.listening for port in service.ports.values())
    node.settle()
    node.stop()


# -- on a network ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """Certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def service(pki: PKI, path: pathlib.Path) -> Iterator[EdgeService]:
    """A node whose ``[admin]`` is a Unix socket, not started."""
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    text = ini(1, {"admin": {"endpoint": f"unix:{path}", "mode": "666"}})
    yield EdgeService(Configuration.from_text(text, pki.folder, {}), reactor)


def _ask(path: pathlib.Path, target: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        sock.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: sock.recv(65536), b""))


async def test_a_unix_socket_serves_from_one_start_to_the_next(pki: PKI, tmp_path: pathlib.Path) -> None:
    """It is there as soon as ports are bound, answers metrics, and is gone with the node."""
    path = tmp_path / "admin.sock"
    with service(pki, path) as node:
        for _ in range(2):
            node.privilegedStartService()
            assert path.stat().st_mode & 0o777 == 0o666
            assert b"\r\n\r\nnot ready: the node starts\n" in await in_thread(_ask, path, "/ready")
            node.startService()
            assert b"\r\n\r\nready\n" in await in_thread(_ask, path, "/ready")
            assert b"\nedgenode_ready 1.0\n" in await in_thread(_ask, path, "/metrics")
            await node.stopService()
            assert not path.exists()
