"""``OriginAgent.of``: an origin by its configuration and name, with treq, through reloads, and to its end."""

from __future__ import annotations

import io
import pathlib
from typing import Any

import pytest
import treq
from treq.client import HTTPClient
from twisted.internet.task import deferLater
from twisted.web._newclient import RequestNotSent
from twisted.web.client import FileBodyProducer, readBody

from edgenode import Configuration, ConfigurationError, OriginAgent, OriginError
from tests.support.node import OK, PKI, Changes, Origin, Served, answering, fields, ini, started

URI = b"https://origin.test/"


def written(pki: PKI, port: int, changes: Changes | None = None) -> pathlib.Path:
    """A configuration's file whose origin is on a port of this host."""
    path = pki.folder / "agent.ini"
    path.write_text(ini(port, changes) if changes else ini(port))
    return path


@pytest.mark.parametrize("loaded", [False, True])
async def test_an_origin_is_asked_by_configuration_and_name(pki: PKI, loaded: bool) -> None:
    """With its identity and trust; when ``close`` has fired nothing is left in the reactor, and no more is sent."""
    from twisted.internet import reactor

    with Origin(pki) as origin:
        path = written(pki, origin.port)
        agent = OriginAgent.of(Configuration.load(path) if loaded else path, "origin", reactor)
        assert await readBody(await agent.request(b"GET", URI)) == b"ok"
        await agent.close()
        with pytest.raises(RequestNotSent) as caught:
            await agent.request(b"GET", URI)
        error = OriginError.of(caught.value)
        assert error is not None
        assert error.reason == "the agent is closed"
    assert origin.peers == ["edge as a client"]


async def test_an_origin_that_there_is_not_is_an_error_that_names_those_there_are(pki: PKI) -> None:
    """So is a file with errors."""
    from twisted.internet import reactor

    with pytest.raises(ConfigurationError, match="there is no such origin; there is: origin"):
        OriginAgent.of(written(pki, 1), "shop", reactor)
    with pytest.raises(ConfigurationError):
        OriginAgent.of(written(pki, 1, {"origin origin": {"servers": "ftp://a"}}), "origin", reactor)


ALONE = """
[origin shop]
servers     = https://127.0.0.1:{port}
server-name = origin.test
trust-store = servers
certificate = edge-client

[trust-store servers]
authorities = servers.pem

[certificate edge-client]
chain = edge-client.pem
key   = edge-client.key
authorities = servers.pem
"""


@pytest.mark.parametrize(
    "more",
    [
        "",
        "[edge]\nwatch-interval = 0\nno-such-key = x\nstate = /proc/none\n",
        "[certificate other]\nchain = gone.pem\nkey = gone.key\n[origin other]\nservers = ftp://x\nnothing = 1\n",
        "[global-filter bad]\nexpression = this is (\n[globl-filter x]\n[stage s]\nfactory = no_such:module\n",
        "[path-map x]\na line that is none\n[origin other]\n[origin other]\n",
        "[listener l]\nendpoint = tcp:99999\n[server-group g]\n[datafeed x]\nsource = https://gone.test\n",
    ],
    ids=["nothing else", "edge", "files", "rules", "lines", "listeners"],
)
async def test_an_origin_needs_only_its_own_sections(pki: PKI, more: str) -> None:
    """A file may hold nothing else, or anything: what is wrong elsewhere does not hold it up, in a reload neither."""
    from twisted.internet import reactor

    with Origin(pki) as origin:
        path = pki.folder / "alone.ini"
        path.write_text(more + ALONE.format(port=origin.port))
        agent = OriginAgent.of(path, "shop", reactor)
        assert await readBody(await agent.request(b"GET", URI)) == b"ok"
        path.write_text(ALONE.format(port=origin.port) + more)
        await agent.reload()
        assert await readBody(await agent.request(b"GET", URI)) == b"ok"
        await agent.close()
    assert origin.peers[0] == "edge as a client"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("servers ", "[origin shop]\nservers ", r":3: \[origin shop\]: the section is written twice"),
        ("trust-store =", "trust-stores =", r'\[origin shop\] trust-stores: unknown key; did you mean "trust-store"\?'),
        ("= edge-client\n\n[t", "= edge-clent\n\n[t", r"\[origin shop\] certificate: there is no .*edge-client"),
        (
            "authorities = servers.pem\n\n[c",
            "authority = servers.pem\n\n[c",
            r"\[trust-store servers\] authority: unknown",
        ),
        ("edge-client.key", "gone.key", r"\[certificate edge-client\] key: "),
        ("[trust-store servers]\n", "[trust-store servers]\na line that is none\n", ":9: expected .kind name."),
    ],
)
async def test_what_is_wrong_in_an_origins_sections_is_an_error(pki: PKI, old: str, new: str, told: str) -> None:
    """Of its own, of its trust store and of its certificate; and in a reload nothing has changed then."""
    from twisted.internet import reactor

    with Origin(pki) as origin:
        path, text = pki.folder / "alone.ini", ALONE.format(port=origin.port)
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigurationError, match=told):
            OriginAgent.of(path, "shop", reactor)
        path.write_text(text)
        agent = OriginAgent.of(path, "shop", reactor)
        path.write_text(text.replace(old, new))
        with pytest.raises(ConfigurationError, match=told):
            await agent.reload()
        assert await readBody(await agent.request(b"GET", URI)) == b"ok"
        await agent.close()


async def test_a_reload_is_followed(pki: PKI) -> None:
    """Of a changed file, or of another configuration; with an unusable one nothing has changed."""
    from twisted.internet import reactor

    with Origin(pki) as one, Origin(pki) as two, Origin(pki) as three:
        agent = OriginAgent.of(written(pki, one.port), "origin", reactor)
        await readBody(await agent.request(b"GET", URI))
        before = agent.pool
        assert before.open == 1
        one.behaviour = Served.stall
        written(pki, two.port)
        await agent.reload()
        await deferLater(reactor, 0.1)
        assert not before.open, "what was idle is closed, and not kept until the agent is"
        await readBody(await agent.request(b"GET", URI))
        pathlib.Path(pki.folder / "agent.ini").write_text("[nonsense]\n")
        with pytest.raises(ConfigurationError):
            await agent.reload()
        await readBody(await agent.request(b"GET", URI))
        await agent.reload(Configuration.load(written(pki, three.port)))
        await readBody(await agent.request(b"GET", URI))
        await agent.close()
    assert [len(each.requests) for each in (one, two, three)] == [1, 2, 1]


async def test_a_reload_that_comes_after_the_end_opens_nothing(pki: PKI) -> None:
    """What is under way when the agent is closed makes it no agent again."""
    from twisted.internet import reactor

    with Origin(pki) as one, Origin(pki) as two:
        agent = OriginAgent.of(written(pki, one.port), "origin", reactor)
        reloading = agent.reload(Configuration.load(written(pki, two.port)))
        await agent.close()
        await reloading
        with pytest.raises(RequestNotSent):
            await agent.request(b"GET", URI)
    assert (one.connections, two.connections) == ([], [])


async def test_a_service_s_reload_is_followed(pki: PKI) -> None:
    """The agent uses the service's connections, and leaves them alone when it is closed."""
    with Origin(pki) as one, Origin(pki) as two:
        async with started(pki, one) as node:
            agent = OriginAgent.of(node.service, "origin")
            await readBody(await agent.request(b"GET", URI))
            await node.service.reload(Configuration.load(written(pki, two.port)))
            await readBody(await agent.request(b"GET", URI))
            await agent.close()
            await readBody(await agent.request(b"GET", URI))
            with pytest.raises(RuntimeError):
                agent.reload()
    assert [len(each.requests) for each in (one, two)] == [1, 2]


async def test_cached_connections_can_be_closed(pki: PKI) -> None:
    """As those of an ``HTTPConnectionPool``: the next request opens another."""
    from twisted.internet import reactor

    with Origin(pki) as origin:
        agent = OriginAgent.of(written(pki, origin.port), "origin", reactor)
        for _ in range(2):
            await readBody(await agent.request(b"GET", URI))
            assert agent.pool.open == 1
            await agent.closeCachedConnections()
            assert agent.pool.open == 0
        await agent.close()
    assert len(origin.connections) == 2


async def test_treq_works_as_over_any_agent(pki: PKI) -> None:
    """get, post, json, files, basic auth, cookies, streams, unbuffered, a timeout, and what is left of them."""
    from twisted.internet import reactor

    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"
    big = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
    with Origin(pki) as origin:
        agent = OriginAgent.of(written(pki, origin.port), "origin", reactor)
        client, url = HTTPClient(agent), "https://origin.test/"
        assert await (await client.get(url, params={"a": "b"}, auth=("me", "secret"))).text() == "ok"
        assert await (await client.post(url, json={"a": 1})).content() == b"ok"
        assert await (await client.put(url, data={"a": "b"})).content() == b"ok"
        assert (
            await (
                await client.post(url, files={"a": ("a.txt", "text/plain", FileBodyProducer(io.BytesIO(b"file")))})
            ).content()
            == b"ok"
        )
        assert await (await client.delete(url)).content() == b"ok"
        assert await (await client.head(url)).content() == b""
        get, post, put, files, delete, head = origin.take()
        assert get.startswith(b"GET /?a=b HTTP/1.1\r\n")
        assert fields(get, "Authorization") == [b"Basic bWU6c2VjcmV0"]
        assert post.endswith(b'{"a":1}')
        assert put.endswith(b"\r\n\r\na=b")
        assert b'filename="a.txt"' in files
        assert (delete[:6], head[:4]) == (b"DELETE", b"HEAD")
        origin.behaviour = answering(cookie)
        await agent.closeCachedConnections()
        for _ in range(2):
            await (await client.get(url)).content()
        assert [fields(request, "Cookie") for request in origin.take()] == [[], [b"a=b"]]
        origin.behaviour = answering(big)
        await agent.closeCachedConnections()
        pieces: list[bytes] = []
        await treq.collect(await client.get(url, unbuffered=True), pieces.append)
        assert b"".join(pieces) == b"x" * 200_000
        origin.behaviour = Served.stall
        await agent.closeCachedConnections()
        with pytest.raises(Exception) as caught:
            await client.get(url, timeout=0.1)
        assert "Cancelled" in type(caught.value).__name__
        origin.behaviour = answering(OK)
        assert await (await client.get(url)).content() == b"ok"
        await agent.close()
        await deferLater(reactor, 0)
        left: Any = agent.pool
        assert (left.open, left.queued) == (0, 0)
