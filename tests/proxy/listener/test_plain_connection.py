"""A listener without TLS: what it serves, what it redirects, and what it serves to nobody."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from edgenode.__main__ import main
from edgenode.config.load import Configuration
from edgenode.model.errors import ConfigurationError
from tests.support import memory
from tests.support.memory import MemoryNode
from tests.support.node import PKI, Changes, ini

PLAIN: Changes = {
    "listener public": {"tls": "no", "server-groups": "open, other"},
    "server-group open": {"certificate": None},
}


@pytest.fixture
def node(pki: PKI) -> Iterator[MemoryNode]:
    """A node whose port has no TLS."""
    with memory.node(pki, PLAIN) as node:
        yield node


@pytest.fixture
def redirecting(pki: PKI) -> Iterator[MemoryNode]:
    """A node that redirects, for groups with client certificates too."""
    keys = {"tls": "no", "redirect-to-https": "8443", "default-server-group": "open"}
    hosts = {"hosts": "open.test, *.open.test"}
    with memory.node(pki, {"listener public": keys, "server-group open": hosts}) as node:
        yield node


def ask(node: MemoryNode, data: bytes) -> tuple[bytes, bytes]:
    """Status line and all that a new client is answered."""
    client = node.raw()
    client.send(data)
    answer = client.read()
    return answer.partition(b"\r\n")[0], answer


def test_requests_are_served_by_host_and_tagged_http(node: MemoryNode) -> None:
    """The origin hears of http; a group needs no certificate; a second request goes on the same connection."""
    client = node.raw()
    for host in ("open.test", "other.test"):
        client.send(f"GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        origin = node.asked()
        assert b"X-Forwarded-Proto: http\r\n" in origin.read()
        origin.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert client.read().endswith(b"\r\n\r\nok")
    assert [event["server_group"] for event in node.events] == ["open", "other"]
    assert all("protocol:http" in event["tags"] for event in node.events)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: strict.test\r\n\r\n", b"421"),
        (b"GET http://strict.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n", b"421"),
        (b"GET https://open.test/ HTTP/1.1\r\nHost: open.test\r\n\r\n", b"421"),
        (b"GET / HTTP/1.0\r\n\r\n", b"421"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: open.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
    ],
)
def test_what_is_served_to_nobody(node: MemoryNode, request_: bytes, status: bytes) -> None:
    """Hosts that are not its own, targets of https, other protocols, and what has two readings."""
    line, answer = ask(node, request_)
    assert line.split(b" ")[1] == status
    assert b"Connection: close" in answer
    assert not node.opened


def test_a_silent_client_is_let_go_and_a_slow_head_is_answered_408(node: MemoryNode) -> None:
    """The limits are those of TLS."""
    silent, slow = node.raw(), node.raw()
    slow.send(b"GET / HT")
    node.loop.wait(16, 0.5)
    assert silent.read().endswith(b"EOF")
    assert slow.read().startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("request_", "status", "location"),
    [
        (b"GET /a?b=c HTTP/1.1\r\nHost: open.test:80\r\n\r\n", b"301", b"https://open.test:8443/a?b=c"),
        (b"GET //evil.test/ HTTP/1.1\r\nHost: strict.test\r\n\r\n", b"301", b"https://strict.test:8443//evil.test/"),
        (b"PUT / HTTP/1.1\r\nHost: a.open.test\r\n\r\n", b"308", b"https://a.open.test:8443/"),
        (b"OPTIONS * HTTP/1.1\r\nHost: open.test\r\n\r\n", b"308", b"https://open.test:8443/"),
        (b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", b"301", b"https://open.test:8443/"),
        (b"GET http://evil.test/a HTTP/1.1\r\nHost: open.test\r\n\r\n", b"301", b"https://open.test:8443/a"),
        (b"GET / HTTP/1.0\r\n\r\n", b"301", b"https://open.test:8443/"),
    ],
)
def test_redirects_name_a_host_of_a_server_group(
    redirecting: MemoryNode, request_: bytes, status: bytes, location: bytes
) -> None:
    """An unknown host is sent to the first of the default group; nobody is asked, and the event says what was said."""
    line, answer = ask(redirecting, request_)
    assert line.split(b" ")[1] == status
    assert b"\r\nLocation: %b\r\n" % location in answer
    assert b"Strict-Transport-Security" not in answer
    assert not redirecting.opened
    assert [event["status"] for event in redirecting.events] == [int(status)]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"tls": "no", "server-groups": "open, strict"}, "without TLS no client shows a certificate"),
        ({"tls": "yes", "redirect-to-https": "yes"}, "has a meaning with tls = no alone, for HTTP"),
        ({"tls": "no", "server-groups": "open", "protocols": "h2"}, "without TLS HTTP/1.1 alone is spoken"),
        ({"tls": "no", "redirect-to-https": "70000"}, "expected yes, no, or the port of HTTPS"),
    ],
)
def test_what_cannot_be_served_is_an_error(pki: PKI, keys: dict[str, str | None], sentence: str) -> None:
    """Of the configuration, and before any connection."""
    with pytest.raises(ConfigurationError, match=sentence):
        Configuration.from_text(ini(80, {"listener public": keys}), pki.folder)


def test_a_group_that_is_served_with_tls_needs_a_certificate(pki: PKI) -> None:
    """As ever."""
    with pytest.raises(ConfigurationError, match="this key is required") as raised:
        Configuration.from_text(ini(80, {"server-group open": {"certificate": None}}), pki.folder)
    assert [problem.section for problem in raised.value.problems] == ["server-group open"]


def test_explain_knows_ports_without_tls(pki: PKI, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plain address is asked of a plain port, and a redirect is what comes of it."""
    for keys, shown in (({}, '"path_map": "all"'), ({"redirect-to-https": "yes"}, '"https://open.test/a"')):
        changes: Changes = {**PLAIN, "listener public": {**PLAIN["listener public"], **keys}}
        path = pki.folder / f"{tmp_path.name}.ini"
        path.write_text(ini(80, changes))
        assert main(["explain", "--json", str(path), "http://open.test/a"]) == 0
        assert shown in capsys.readouterr().out
