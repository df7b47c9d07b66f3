"""A site on the endpoint ``edgenode:`` speaks HTTP/2 with the clients that people have, and its filters judge it."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from edgenode.config.load import Configuration
from edgenode.embedding.filtered_resource import FilteredResource
from edgenode.model.exchange import Exchange
from tests.support.listening import Listening, listening
from tests.support.node import PKI, in_thread, ini, until

CHANGES = {
    "global-filter secret": {"action": "block", "path": "^/secret"},
    "global-filter evil": {"action": "block", "expression": 'http.request.body.raw contains "evil"'},
    "server-group open": {"hosts": "open.test, localhost"},
    "path-map all": {"inspect-body-size": "1m"},
}
pytestmark = [
    pytest.mark.skipif(
        None in map(shutil.which, ("curl", "nghttp", "h2load")), reason="curl, nghttp or h2load missing"
    ),
    pytest.mark.filterwarnings("ignore:.*_Unsafe.*was deprecated:DeprecationWarning"),
]


class Who(Resource):
    """Says who asks, by which version of HTTP."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        client = request.getComponent(Exchange).connection.client
        return b"%b by %b" % (b"nobody" if client is None else client.subject.encode(), request.clientproto)

    def render_POST(self, request: Any) -> bytes:
        return b"%d bytes" % len(request.content.read())


class Slow(Resource):
    """Begins an answer, and remembers how it ends."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[object] = []

    def render_GET(self, request: Any) -> int:
        from twisted.internet import reactor

        request.notifyFinish().addBoth(self.ends.append)
        request.write(b"begun")
        deferLater(reactor, 0.2, lambda: request._disconnected or request.finish())
        return NOT_DONE_YET


def site(pki: PKI) -> tuple[Site, Slow]:
    """A site behind filters."""
    from twisted.web.static import Data, File  # which warns of itself

    root, slow = Resource(), Slow()
    (pki.folder / "file.bin").write_bytes(bytes(range(256)) * 20_000)
    children = {
        b"who": Who(),
        b"slow": slow,
        b"file": File(str(pki.folder / "file.bin")),
        b"k": Data(b"x" * 1024, "a/b"),
    }
    for name, child in children.items():
        root.putChild(name, child)
    pki.client.write(pki.folder, "alice")
    pipeline = Configuration.from_text(ini(1, CHANGES), pki.folder, {}).pipeline("all")
    return Site(FilteredResource(pipeline, root)), slow


async def ran(*command: str, **options: Any) -> str:
    """What a program says."""
    run = await in_thread(subprocess.run, command, capture_output=True, check=False, timeout=25, **options)
    return str((run.stdout + run.stderr).decode("latin-1"))


def curl(pki: PKI, served: Listening, path: str, *options: str, host: str = "open.test") -> list[str]:
    """Ask with curl, which offers HTTP/2."""
    where = f"{host}:{served.number}"
    return [
        "curl", "-sS", "--http2", "--cacert", str(pki.folder / "servers.pem"), "--resolve", f"{where}:127.0.0.1",
        "-w", "|%{http_version}|%{http_code}", *options, f"https://{where}{path}",
    ]  # fmt: skip


async def test_curl_speaks_http_2_and_is_known_by_its_certificate(pki: PKI) -> None:
    """GET, POST, an upload of several windows, a download of many, a refusal and what is none."""
    factory, _ = site(pki)
    own = ("--cert", str(pki.folder / "alice.pem"), "--key", str(pki.folder / "alice.key"))
    (pki.folder / "up").write_bytes(b"u" * 300_000)
    async with listening(pki, factory, CHANGES) as served:
        assert await ran(*curl(pki, served, "/who")) == "nobody by HTTP/2|2|200"
        alice = await ran(*curl(pki, served, "/who", *own, host="strict.test"))
        assert alice == "CN=Alice,O=Partners by HTTP/2|2|200"
        assert await ran(*curl(pki, served, "/who", "-d", "a=b")) == "3 bytes|2|200"
        assert await ran(*curl(pki, served, "/who", "-d", "so evil")) == "Forbidden.\n|2|403"
        up = await ran(*curl(pki, served, "/who", "--data-binary", f"@{pki.folder / 'up'}"))
        assert up == "300000 bytes|2|200"
        down = await ran(*curl(pki, served, "/file", "-o", str(pki.folder / "down")))
        assert (down, (pki.folder / "down").read_bytes()) == ("|2|200", bytes(range(256)) * 20_000)
        assert await ran(*curl(pki, served, "/secret")) == "Forbidden.\n|2|403"
        assert (await ran(*curl(pki, served, "/nothing", "-o", "/dev/null"))).endswith("|2|404")


async def test_nghttp_gets_several_at_once(pki: PKI) -> None:
    """Each stream is judged by itself."""
    factory, _ = site(pki)
    async with listening(pki, factory, CHANGES) as served:
        url = f"https://localhost:{served.number}"
        said = await ran("nghttp", "-ns", *(url + path for path in ("/k", "/secret", "/who", "/file", "/k?2")))
    assert sorted(re.findall(r"ms  (\d{3}) .* (/\S*)", said)) == [
        ("200", "/file"), ("200", "/k"), ("200", "/k?2"), ("200", "/who"), ("403", "/secret"),
    ]  # fmt: skip


async def test_h2load_has_every_answer(pki: PKI) -> None:
    """Ten streams at a time on each of four connections."""
    factory, _ = site(pki)
    async with listening(pki, factory, CHANGES) as served:
        said = await ran("h2load", "-n", "400", "-c", "4", "-m", "10", f"https://localhost:{served.number}/k")
        assert "400 succeeded, 0 failed, 0 errored, 0 timeout" in said
        assert "status codes: 400 2xx" in said
        assert "Application protocol: h2" in said
        await served.events(4)


async def test_a_client_that_goes_in_mid_answer_is_noticed(pki: PKI) -> None:
    """And one that stays has its answer to the end."""
    factory, slow = site(pki)
    async with listening(pki, factory, CHANGES) as served:
        assert await ran(*curl(pki, served, "/slow")) == "begun|2|200"
        assert slow.ends == [None]
        await ran(*curl(pki, served, "/slow", "--max-time", "0.1"))
        await until(lambda: len(slow.ends) == 2)
        assert slow.ends[1] is not None


async def test_an_endpoint_without_h2_among_its_protocols_speaks_http_1(pki: PKI) -> None:
    """``alpn=http/1.1`` in its string."""
    factory, _ = site(pki)
    async with listening(pki, factory, CHANGES, ":alpn=http/1.1") as served:
        assert await ran(*curl(pki, served, "/who")) == "nobody by HTTP/1.1|1.1|200"
