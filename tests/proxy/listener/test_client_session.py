"""A client on its connection: which server group serves it, and the verdict on its certificate as of now."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

import pytest
from attrs import define

from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.listener.context import ListenerContext
from tests.proxy.http1.test_request_head import read
from tests.support import memory
from tests.support.certificates import Issued, now
from tests.support.memory import MemoryNode
from tests.support.node import PKI, Changes, fields, get


@define
class Clock:
    """The time of sessions.

    :ivar now: seconds since the epoch.
    """

    now: float

    def in_an_hour(self) -> datetime.datetime:
        """That time."""
        return datetime.datetime.fromtimestamp(self.now + 3600, datetime.UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """It stands still."""
    clock = Clock(now().timestamp())
    monkeypatch.setattr(ClientSession, "now", lambda session: clock.now)
    return clock


@pytest.fixture
def node(pki: PKI, clock: Clock) -> Iterator[MemoryNode]:
    """A node on that clock."""
    with memory.node(pki) as node:
        yield node


def session_of(node: MemoryNode, name: str = "open.test", *chain: Issued, address: str = "127.0.0.1") -> ClientSession:
    """The session of a client whose handshake is done."""
    client = node.client(name, chain, address)
    assert client.connection is not None
    assert client.connection.session is not None
    return client.connection.session


def context_of(pki: PKI, changes: Changes) -> ListenerContext:
    """What a reload with these changes would bring."""
    with memory.node(pki, changes) as other:
        return other.port.context


def test_a_site_is_remembered_as_long_as_it_holds(node: MemoryNode, clock: Clock, pki: PKI) -> None:
    """Until the certificate expires, to the second; and not for a time before it was made."""
    session = session_of(node, "strict.test", pki.clients.issue("CN=Alice", not_after=clock.in_an_hour()))
    began = clock.now
    site = session.site(b"strict.test", clock.now)
    assert site.refusal is None
    clock.now = began + 3600
    assert session.site(b"strict.test", clock.now) is site
    clock.now = began + 3600.999
    assert session.site(b"strict.test", clock.now) is site
    clock.now = began + 3601
    expired = session.site(b"strict.test", clock.now)
    assert expired.refusal is not None
    assert expired.refusal.status == 495
    clock.now = began
    assert session.site(b"strict.test", clock.now).refusal is None
    clock.now = began - 10
    assert session.site(b"strict.test", clock.now) is not site


def test_a_verdict_as_of_now_is_the_session_s_too(node: MemoryNode, clock: Clock, pki: PKI) -> None:
    """For who asks without a request: the endpoint that serves other protocols."""
    session = session_of(node, "strict.test", pki.clients.issue(not_after=clock.in_an_hour()))
    assert session.admit() is None
    clock.now += 3601
    error = session.admit()
    assert error is not None
    assert error.status == 495


def test_authorities_are_remembered_within_a_bound(node: MemoryNode, clock: Clock) -> None:
    """Sixteen of a connection; a client that names ever others takes no memory."""
    session = session_of(node)
    for number in range(100):
        session.site(b"open.test:%d" % (number + 1), clock.now)
        assert len(session._sites) <= 16
    assert session.site(b"open.test:100", clock.now) is session.site(b"open.test:100", clock.now)


def test_a_host_of_another_policy_is_misdirected(node: MemoryNode, clock: Clock) -> None:
    """And so is nobody's; the next request finds the connection as it was."""
    session = session_of(node)
    for host in (b"strict.test", b"nobody.test"):
        with pytest.raises(ClientError) as caught:
            session.site(host, clock.now)
        assert caught.value.status == 421
    assert session.site(b"other.test", clock.now).group.name == "other"


def test_each_authority_and_path_map_has_a_standing_of_its_own(node: MemoryNode, clock: Clock) -> None:
    """The host that an origin is told of is the request's; and what is the same is the same object."""
    session = session_of(node)
    standings = {}
    for host in (b"open.test", b"other.test", b"open.test:8443"):
        request = read(start=b"GET https://%b/ HTTP/1.1" % host)
        site = session.site(request.authority, clock.now)
        exchange = Exchange(session.connection, request, client="127.0.0.1", server_group=site.group.name)
        standing = site.standing(site.group.path_maps[0], exchange, own=True)
        assert fields(standing.lines, "x-forwarded-host") == [host]
        assert site.standing(site.group.path_maps[0], exchange, own=True) is standing
        others = site.standing(site.group.path_maps[0], exchange, own=False)
        assert (others.tags, others.lines) == (None, b"")
        assert site.standing(site.group.path_maps[0], exchange, own=False) is others
        standings[host] = standing
    assert len(set(map(id, standings.values()))) == 3


def test_after_a_reload_everything_is_looked_at_anew(node: MemoryNode, clock: Clock, pki: PKI) -> None:
    """The server group by its name; who is a trusted proxy; and nothing remembered is left."""
    session = session_of(node)
    before = session.site(b"open.test", clock.now)
    session.follow(session.context)
    assert session.site(b"open.test", clock.now) is before
    assert not session.behind_proxy
    session.follow(context_of(pki, {"edge": {"trusted-proxies": "127.0.0.0/8"}}))
    assert session.behind_proxy
    after = session.site(b"open.test", clock.now)
    assert after is not before
    assert after.group is session.handshake_group
    assert after.group is not before.group


def test_after_a_reload_with_other_terms_a_connection_is_good_for_nothing(
    node: MemoryNode, clock: Clock, pki: PKI
) -> None:
    """Only a new handshake can ask for a certificate."""
    session = session_of(node)
    changed = {"server-group open": {"mtls": "on", "trust-store": "clients"}}
    session.follow(context_of(pki, changed))
    with pytest.raises(ClientError) as caught:
        session.site(b"open.test", clock.now)
    assert caught.value.status == 421
    assert session.site(b"other.test", clock.now).group.name == "other"


def test_a_trusted_proxy_s_requests_share_only_what_is_the_connections(pki: PKI) -> None:
    """Each may be another client's: addresses, tags and events are those of each; what is said of the peer is kept."""
    with memory.node(pki, {"edge": {"trusted-proxies": "127.0.0.1/32"}}) as node:
        client = node.client()
        for address in ("192.0.2.1", "192.0.2.2"):
            client.send(get("/", "open.test", f"X-Forwarded-For: {address}"))
            origin = node.opened[0] if node.opened else node.origin()
            assert fields(origin.read(), "x-forwarded-for") == [f"{address}, 127.0.0.1".encode()]
            origin.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            client.answer()
        assert [record.exchange.client for record in node.records] == ["192.0.2.1", "192.0.2.2"]
        tags = [{tag for tag in event["tags"] if tag.startswith("ip:")} for event in node.events]
        assert tags == [{"ip:192-0-2-1"}, {"ip:192-0-2-2"}]
        assert [event["client"] for event in node.events] == ["192.0.2.1", "192.0.2.2"]
        first, second = (record.standing for record in node.records)
        assert first is not None
        assert first is second
        assert first.event_prefix


def test_rules_see_the_scheme_that_a_trusted_proxy_reports(pki: PKI) -> None:
    """``protocol:http`` for a request that came to it without TLS; what else it may write there is no scheme."""
    redirect = {"type": "redirect", "location": "https://open.test${http.request.uri}"}
    filters = {"global-filter plain": {"tag": "protocol:http", "action": "to-https"}, "action to-https": redirect}
    with memory.node(pki, {"edge": {"trusted-proxies": "127.0.0.1/32"}, **filters}) as node:
        client = node.client()
        client.send(get("/a?b", "open.test", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: http"))
        answer = client.answer()
        assert (answer.status, answer.fields("location")) == (302, [b"https://open.test/a?b"])
        assert node.events[0]["request"]["scheme"] == "http"
        for reported in ("https", "HTTP", "gopher"):
            client.send(get("/", "open.test", "X-Forwarded-For: 192.0.2.1", f"X-Forwarded-Proto: {reported}"))
            origin = node.opened[0] if node.opened else node.origin()
            assert fields(origin.read(), "x-forwarded-proto") == [b"https"]
            origin.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            client.answer()


def test_who_is_no_trusted_proxy_speaks_for_itself(pki: PKI) -> None:
    """Whatever it reports."""
    with memory.node(pki, {"edge": {"trusted-proxies": "10.0.0.0/8"}}) as node:
        client = node.client()
        client.send(get("/", "open.test", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil.test"))
        received = node.origin().read()
        assert fields(received, "x-forwarded-for") == [b"127.0.0.1"]
        assert fields(received, "x-forwarded-host") == [b"open.test"]
        assert fields(received, "forwarded") == [b'for=127.0.0.1;host="open.test";proto=https']


def test_the_facts_of_a_session_are_not_changed(node: MemoryNode, clock: Clock, pki: PKI) -> None:
    """A verdict as of now is another object: events that are not written yet keep theirs."""
    session = session_of(node, "strict.test", pki.clients.issue(not_after=clock.in_an_hour()))
    before = session.connection
    site = session.site(b"strict.test", clock.now)
    assert site.connection is before
    clock.now += 3601
    assert session.site(b"strict.test", clock.now).connection is not before
    assert session.connection is before
    assert before.verification.verified
