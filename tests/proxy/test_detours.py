"""Requests that are answered without their origin, or that a second one gets too."""

from __future__ import annotations

import pathlib
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.task import Clock

from edgenode.proxy.maintenance import Maintenance
from edgenode.proxy.mirroring import Copy, Mirror, shadow
from tests.support.node import OK, PKI, Changes, Origin, Served, answering, fields, get, started, until

HTML = b"<p>Back at ten</p>"


def test_a_file_is_the_answer_while_it_exists(tmp_path: pathlib.Path) -> None:
    """It is looked at once a second; a new content is the new answer; a folder in its place is one too."""
    clock, path = Clock(), tmp_path / "down.html"
    maintenance = Maintenance(path, 90.0, clock.seconds)
    assert maintenance.answer() is None
    path.write_bytes(HTML)
    assert maintenance.answer() is None
    clock.advance(1)
    answer = maintenance.answer()
    assert answer is not None
    assert (answer.status, answer.body) == (503, HTML)
    assert dict(answer.headers)[b"retry-after"] == b"90"
    assert dict(answer.headers)[b"content-type"].startswith(b"text/html")
    path.write_bytes(b"later")
    clock.advance(1)
    answer = maintenance.answer()
    assert answer is not None
    assert answer.body == b"later"
    path.unlink()
    path.mkdir()
    clock.advance(1)
    answer = maintenance.answer()
    assert answer is not None
    assert answer.body == b"Down for maintenance\n"
    path.rmdir()
    clock.advance(1)
    assert maintenance.answer() is None


def test_the_host_of_a_copy() -> None:
    """As Envoy writes it, but never at an address."""
    names = {
        b"a.test": b"a.test-shadow",
        b"a.test:8443": b"a.test-shadow:8443",
        b"[::1]:8": b"[::1]:8",
        b"1.2.3.4": b"1.2.3.4",
    }
    assert {each: shadow(each) for each in names} == names


def mirrored(port: int, **keys: str) -> Changes:
    """A node whose requests a second origin gets too."""
    second = {
        "servers": f"https://127.0.0.1:{port}",
        "server-name": "origin.test",
        "certificate": "edge-client",
        "trust-store": "servers",
    }
    return {
        "path-map all": {"mirror": "second", **keys},
        "origin second": second,
        "origin origin": {"base-path": "/app"},
    }


async def test_a_second_origin_gets_a_copy(pki: PKI) -> None:
    """With its body, by its own certificate; what it answers, or that it does not, nobody sees."""

    def stall(served: Served) -> None:
        served.request()
        served.stall()

    with Origin(pki, answering(OK)) as first, Origin(pki, stall) as second:
        async with started(pki, first, mirrored(second.port, **{"mirror-max-body": "10"})) as node:
            for body in b"1234567890", b"12345678901":
                request = get("/x", "open.test", f"Content-Length: {len(body)}", method="POST", close=True, body=body)
                assert (await node.exchange(request)).startswith(b"HTTP/1.1 200 ")
            await until(lambda: second.requests)
    assert len(first.requests) == 2
    assert first.requests[0].startswith(b"POST /app/x HTTP/1.1\r\n")
    (copy,) = second.requests
    assert copy.startswith(b"POST /x HTTP/1.1\r\n")
    assert copy.endswith(b"\r\n\r\n1234567890")
    assert fields(copy, "host") == [b"open.test-shadow"]


def test_copies_whose_bodies_still_come_are_counted() -> None:
    """So that many slow uploads hold no more than a hundred bodies; what becomes no copy is counted no more."""
    mirror = Mirror(cast(Any, None), 1.0, 10)
    head = cast(Any, SimpleNamespace(length=None))

    def begin() -> Copy | None:
        return mirror.begin(head, b"", b"12345", False)

    copies = [copy for copy in (begin() for _ in range(150)) if copy is not None]
    assert len(copies) == mirror.under_way == 100
    copies[0].add(b"123456", False)
    copies[0].over()
    copies[1].over()
    assert mirror.under_way == 98
    assert begin() is not None
