"""Response rules with real sockets: a page that changes while the node runs, a reload, and curl as an outsider."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.test_http2 import curl
from tests.support.node import PKI, Alone, Changes, Node, Origin, Served, alone, get, started

ERROR = b"HTTP/1.1 503 Busy\r\nContent-Length: 5\r\nContent-Encoding: gzip\r\nServer: x\r\n\r\nerror"


def _errors(served: Served) -> None:
    """Answer with an error whose body comes later, or not at all."""
    while (request := served.request()) is not None:
        if b" /broken " in request:
            served.send(ERROR[:-3])
            return
        if b" /late " in request:
            served.send(ERROR[:-5])
            served.send(ERROR[-5:])
        elif b" /chunked " in request:
            served.send(b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nerror\r\n0\r\n\r\n")
        elif b" /ok " in request:
            served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nok")
        else:
            served.send(ERROR if not request.startswith(b"HEAD") else ERROR[:-5])


def _changes(page: pathlib.Path, **more: str) -> Changes:
    rules = {"error-page": f"500-599: {page}", "remove": "server", **more}
    return {
        "edge": {"watch-interval": "20ms"},
        "response-rules site": rules,
        "server-group open": {"response-rules": "site"},
    }


async def _body(node: Node) -> bytes:
    return (await node.exchange(get(close=True))).partition(b"\r\n\r\n")[2]


async def test_a_page_that_changes_is_used_without_a_reload(pki: PKI, tmp_path: pathlib.Path) -> None:
    """And one that is gone, or that a reload can no longer use, stays as it was."""
    page = tmp_path / "page.txt"
    page.write_text("first")
    with Origin(pki, _errors) as origin:
        async with started(pki, origin, _changes(page)) as node:
            assert await _body(node) == b"first"
            page.write_text("second")
            told: list[bytes] = []

            async def changed() -> None:
                while b"second" not in told:
                    told.append(await _body(node))

            await changed()
            assert set(told) <= {b"first", b"second"}
            page.write_bytes(b"\xff")
            for _ in range(5):
                assert await _body(node) == b"second"
            await node.reload(origin, _changes(tmp_path / "page.txt", **{"error-page": '503: "third"'}))
            assert await _body(node) == b"third\n"


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Alone]:
    """A node of its own in front of the origin."""
    (pki.folder / "down.html").write_text("<h1>${http.response.code}</h1>")
    with Origin(pki, _errors) as origin, alone(pki, origin, _changes(pki.folder / "down.html")) as node:
        yield node


@pytest.mark.skipif(shutil.which("curl") is None, reason="tried out with curl")
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_reads_page_after_page_on_one_connection(pki: PKI, node: Alone, version: str) -> None:
    """Whatever the origin does with the body of its error, the answer is whole and the next one is the next one."""
    paths = ("/", "/late", "/chunked", "/broken", "/ok", "/")
    base = f"https://open.test:{node.port}"
    said = curl(pki, node, paths[0], version, *(f"{base}{path}" for path in paths[1:]))
    assert said.count("<h1>503</h1>") == 4
    assert said.count("<h1>500</h1>") == 1
    assert said.count("ok") == 1
    assert said.count("error") == 0
    head = curl(pki, node, "/", version, "-I").lower()
    assert "content-length: 12" in head
    assert "content-encoding" not in head
    assert "server:" not in head
    assert "strict-transport-security: max-age=31536000" in head
