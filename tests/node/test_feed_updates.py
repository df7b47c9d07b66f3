"""Lists and datafeeds in a configuration and in a running node: good content is used, and no other."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from attrs import Factory, define
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.feeds.contents import Content, Fed, Refused, check_share
from edgenode.feeds.fetch import Document, Fetcher, Validators
from edgenode.feeds.store import Status
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node import control
from edgenode.node.feed_listing import listing
from edgenode.node.feed_updates import FeedUpdates, Outcome, ask, pause, remote
from edgenode.rules import filter_feeds
from tests.support.certificates import SERVER
from tests.support.node import PKI, Answer, Changes, Node, Origin, Served, fields, get, in_thread, ini, started, until
from tests.support.threads import AtOnce

ROOT = pathlib.Path(__file__).parent.parent.parent
LOCAL = b"127.0.0.0/8\n"
MANY = b"".join(b"192.0.2.%d\n" % number for number in range(100))
FEW = b"".join(MANY.splitlines(keepends=True)[:25])
AN_ADDRESS = "expected an address or a network, such as 10.0.0.0/8 or 2001:db8::/32"


@pytest.fixture
def pki(tmp_path: pathlib.Path) -> PKI:
    """Certificates and a folder ``state`` of each test's own."""
    pki = PKI.make(tmp_path)
    pki.servers.issue("feeds", eku=[SERVER], sans=["IP:127.0.0.1"]).write(pki.folder, "feeds")
    (pki.folder / "state").mkdir(mode=0o700)
    (pki.folder / "list.txt").write_text("::1\n")
    return pki


@define(eq=False)
class Pages:
    """What a server of feeds answers: by path, a body and an ETag, or a whole answer."""

    body: bytes = LOCAL
    etag: str = ""
    answer: bytes = b""
    held: threading.Event = Factory(threading.Event)

    def __attrs_post_init__(self) -> None:
        self.held.set()

    def __call__(self, served: Served) -> None:
        """Answer."""
        while (request := served.request()) is not None:
            self.held.wait(10)
            if self.answer:
                served.send(self.answer)
                return
            tag = f'ETag: "{self.etag}"\r\n' if self.etag else ""
            if self.etag and fields(request, "if-none-match") == [f'"{self.etag}"'.encode()]:
                served.send(f"HTTP/1.1 304 Not Modified\r\n{tag}\r\n".encode())
            else:
                served.send(f"HTTP/1.1 200 OK\r\n{tag}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body)


@pytest.fixture
def pages() -> Pages:
    """What the server of feeds answers."""
    return Pages()


@pytest.fixture
def server(pki: PKI, pages: Pages) -> Iterator[Origin]:
    """The server of feeds."""
    with Origin(pki, pages, stem="feeds", demand=False) as server:
        yield server


def fed(server: Origin, **keys: str) -> Changes:
    """A node whose filter ``bad`` blocks who is in a feed."""
    return fed_from(f"https://127.0.0.1:{server.port}/bad.txt", **keys)


def fed_from(url: str, **keys: str) -> Changes:
    """The same, fed from an address."""
    source = {
        "action": "block",
        "source": url,
        "feed": "ip",
        "trust-store": "servers",
        **{key.replace("_", "-"): value for key, value in keys.items()},
    }
    return {"edge": {"state": "state"}, "global-filter bad": source}


def configured(pki: PKI, changes: Changes) -> Configuration:
    """A configuration of a node with an origin that is never asked."""
    return Configuration.from_text(ini(1, changes), pki.folder, {})


def problems(pki: PKI, changes: Changes) -> list[str]:
    """What is wrong with a configuration, or doubtful; as it is printed."""
    try:
        return list(map(str, configured(pki, changes).warnings))
    except ConfigurationError as error:
        return list(map(str, error.problems))


def size(configuration: Configuration, header: str = "global-filter bad") -> int | None:
    """How many values a section has; ``None`` if it has no content."""
    content = configuration.contents.read.get(header)
    return None if content is None else content.size


@define(eq=False)
class Asking:
    """Asks a source outside of a node."""

    fetcher: Fetcher

    async def __call__(
        self, configuration: Configuration, header: str = "global-filter bad", *, shrink: bool = False
    ) -> tuple[Outcome, Configuration]:
        """What came of it, and the configuration with what is new."""
        found = [configuration]

        async def take(header: str, section: Fed, content: Content) -> None:
            contents = configuration.contents
            found.append(configuration.holding(contents.renewed(header, content, contents.signatures[header])))

        outcome = await ask(configuration, header, self.fetcher, take, shrink)
        return outcome, found[-1]


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Asks a source."""
    from twisted.internet import reactor

    poller = Poller(reactor)
    deadlines = Deadlines(poller)
    yield Asking(Fetcher(poller, deadlines))
    deadlines.stop()


@implementer(ILogObserver)
class Said(list[str]):
    """What has been logged, a sentence each."""

    def __call__(self, event: LogEvent) -> None:
        """Log it."""
        self.append(formatEvent(event))


@pytest.fixture
def said() -> Iterator[Said]:
    """What is logged during a test."""
    said = Said()
    globalLogPublisher.addObserver(said)
    yield said
    globalLogPublisher.removeObserver(said)


async def answered(node: Node) -> int:
    """The status that a new client gets."""

    def look() -> Answer:
        with node.client() as client:
            return client.ask(get())

    answer: Answer = await in_thread(look)
    return answer.status


# -- what is written -------------------------------------------------------------------------------------------------


def test_items_of_a_list(pki: PKI) -> None:
    """They are its members, with their annotations."""
    items = "\n 192.0.2.0/24 # office\n ; none\n 2001:db8::1"
    configuration = configured(pki, {"list office": {"type": "ip", "items": items}})
    members = configuration.contents.lists["office"]
    assert (members.name, members.type) == ("$office", "ip")
    assert [each.first for each in members.networks.ranges()] == [0xC0000200, 0x20010DB8 << 96 | 1]
    assert members.annotations == {"192.0.2.0/24": "office"}
    assert configuration.rules.definitions.lists == {"office": members}


def test_every_bad_item_is_shown(pki: PKI) -> None:
    """With its line, its column and a caret; and so is what is written twice."""
    found = problems(pki, {"list office": {"type": "ip", "items": "\n 192.0.2.1\n 192.0.2.1/24\n office\n 192.0.2.1"}})
    assert found == [
        "[list office] items: line 5: this is written twice\n    192.0.2.1\n    ^",
        "[list office] items: line 3: host bits are set: the network is 192.0.2.0/24\n"
        "    192.0.2.1/24\n              ^",
        f"[list office] items: line 4: {AN_ADDRESS}\n    office\n    ^",
    ]


def test_a_thousand_bad_items_are_not_all_shown(pki: PKI) -> None:
    """Some, and that there are more."""
    items = "".join(f"\n x{number}" for number in range(1000))
    found = problems(pki, {"list office": {"type": "ip", "items": items}})
    assert len(found) == 11
    assert found[-1] == "[list office] items: and more of this kind"


SOURCE: dict[str, str | None] = {"source": "https://127.0.0.1/x"}
STATE: Changes = {"edge": {"state": "state"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"list Office": {"type": "ip", "items": "::1"}}, "the name of a list consists of a-z, 0-9, _ and dots"),
        ({"list a-b": {"type": "ip", "items": "::1"}}, "the name of a list consists of a-z, 0-9, _ and dots"),
        ({"list a": {"type": "ip"}}, "has neither items nor a source"),
        ({"list a": {"type": "ipv4"}}, "expected one of ip, string, hostname, asn"),
        ({"list a": {"type": "ip", **SOURCE, "bad-lines": "no"}, **STATE}, "expected one of refuse, skip"),
        ({"list a": {"type": "ip", **SOURCE}}, "needs [edge] state"),
        ({"list a": {"type": "ip", "source": "http://127.0.0.1/x"}, **STATE}, "the source must be https"),
        ({"list a": {"type": "ip", "source": "ftp://127.0.0.1/x"}, **STATE}, "expected https://HOST/PATH"),
        ({"list a": {"type": "ip", "source": "file:none.txt"}}, "cannot read"),
        ({"list a": {"type": "ip", "source": "file://host/x"}}, "a file has no host"),
        ({"list a": {"type": "ip", **SOURCE, "refresh": "10ms"}, **STATE}, "asked at most once a second"),
        ({"list a": {"type": "ip", **SOURCE, "most-shrink": "101"}, **STATE}, "expected a number from 0 to 100"),
        ({"list a": {"type": "ip", **SOURCE, "max-size": "0"}, **STATE}, "a size is 1 byte or more"),
        ({"list a": {"type": "ip", "source": "https://[:::::]/"}, **STATE}, "expected a host name or an IP address"),
        ({"list a": {"type": "ip", "source": "https://1.2.3/"}, **STATE}, "expected a host name or an IP address"),
        ({"list a": {"type": "ip", "source": "https://a.1/"}, **STATE}, "expected a host name or an IP address"),
        ({"list a": {"type": "ip", **SOURCE, "format": "xml"}, **STATE}, "expected lines, csv COLUMN, separated"),
        ({"list a": {"type": "ip", **SOURCE, "trust-store": "none"}, **STATE}, "there is no [trust-store none]"),
        ({"list a": {"type": "ip", "items": "::1", "refresh": "1h"}}, "has no effect without a source"),
        ({"list a": {"type": "ip", "source": "file:list.txt", "refresh": "1h"}}, "has no effect without an https"),
        ({"global-filter a": {"tags": "a", **SOURCE}, **STATE}, "a source needs feed, the category of its lines"),
        ({"global-filter a": {"tags": "a", "feed": "ip"}}, "has no meaning without a source"),
        ({"global-filter a": {"tags": "a", "feed": "tag", **SOURCE}, **STATE}, "cannot be of the category tag"),
        ({"global-filter a": {"tags": "a", "feed": "ipp", **SOURCE}, **STATE}, "did you mean ip?"),
        ({"global-filter a": {"tags": "a", "feed": "ip", "ip": "::1", **SOURCE}, **STATE}, "are for relation = or"),
        ({"edge": {"state": "none"}}, "there is no such folder"),
        ({"edge": {"state": "edge.pem"}}, "there is no such folder"),
    ],
)  # fmt: skip
def test_keys_that_do_not_go_together(pki: PKI, changes: Changes, sentence: str) -> None:
    """Each is reported, and nothing else but that the list is of no use."""
    found = [
        each for each in problems(pki, changes) if "nothing refers to" not in each and "nothing has come" not in each
    ]
    assert len(found) == 1, found
    assert sentence in found[0]


def test_a_list_that_nobody_names_is_of_no_use(pki: PKI) -> None:
    """It is a warning."""
    found = problems(pki, {"list a": {"type": "ip", "items": "::1"}})
    assert found == ["warning: [list a]: nothing refers to this section"]


def test_a_trust_store_that_is_strict_with_clients_is_not_for_servers(pki: PKI) -> None:
    """As with origins."""
    changes: Changes = {
        **STATE,
        "list a": {"type": "ip", **SOURCE, "trust-store": "strict"},
        "trust-store strict": {"authorities": "servers.pem", "verification": "strict"},
    }
    assert any("asked of clients and not of servers" in each for each in problems(pki, changes))


def test_a_folder_that_everybody_can_write_to_is_refused(pki: PKI, server: Origin) -> None:
    """Rules are made of what is in it."""
    (pki.folder / "state").chmod(0o777)
    assert any("[edge] state: everybody can write into" in each for each in problems(pki, fed(server)))


def naming(expression: str) -> Changes:
    """A node whose filter ``x`` has an expression, and there is a list of each type."""
    return {
        "list ips": {"type": "ip", "items": "127.0.0.0/8"},
        "list hosts": {"type": "hostname", "items": "\n *.test\n example.com"},
        "list texts": {"type": "string", "items": "GET"},
        "list numbers": {"type": "asn", "items": "64496"},
        "global-filter x": {"action": "block", "expression": expression},
    }


@pytest.mark.parametrize(
    ("expression", "status"),
    [
        ("ip.src in $ips", 403), ("not ip.src in $ips", 200), ("http.host in $hosts", 403),
        ("http.request.method in $texts", 403), ("any(http.request.headers.names[*] in $texts)", 200),
        ("ip.src in $ips and not http.host in $hosts", 200),
    ],
)  # fmt: skip
async def test_expressions_name_lists(pki: PKI, origin: Origin, expression: str, status: int) -> None:
    """And are true of what is in them."""
    async with started(pki, origin, naming(expression)) as node:
        assert await answered(node) == status


@pytest.mark.parametrize(
    ("expression", "sentence", "column"),
    [
        ("ip.src in $none", "there is no [list none]", 10),
        ("http.host in $ips", "[list ips] is of type ip, and cannot be compared with what is Bytes", 13),
        ("ip.src in $hosts", "[list hosts] is of type hostname, and cannot be compared with what is Ip", 10),
        ("http.host in $numbers", "[list numbers] is of type asn, and cannot be compared with what is Bytes", 13),
        (
            "any(http.request.headers.names[*] in $ips)",
            "[list ips] is of type ip, and cannot be compared with what is Bytes",
            37,
        ),
    ],
)
def test_a_list_of_other_values_is_an_error(pki: PKI, expression: str, sentence: str, column: int) -> None:
    """As is one that there is not; both with a caret."""
    found = [each for each in problems(pki, naming(expression)) if "nothing refers to" not in each]
    assert found == [f"[global-filter x] expression: {sentence}\n    {expression}\n    {' ' * column}^"]


# -- files -----------------------------------------------------------------------------------------------------------


def filed(**keys: str) -> Changes:
    """A node whose filter ``bad`` blocks who is in a file."""
    return {
        "edge": {"watch-interval": "20ms"},
        "global-filter bad": {"action": "block", "source": "file:bad.txt", "feed": "ip", **keys},
    }


def test_a_bad_line_of_a_file_is_shown(pki: PKI) -> None:
    """What others wrote steers no terminal."""
    (pki.folder / "bad.txt").write_text("# ok\n192.0.2.1\n\x1b[31mred\n")
    found = problems(pki, filed())
    assert found == [f"[global-filter bad] source: line 3: {AN_ADDRESS}\n    \ufffd[31mred\n    ^"]


@pytest.mark.parametrize(
    ("content", "keys", "sentence"),
    [
        (b"", {}, "it is empty"),
        (b"# nobody\n", {}, "it is empty"),
        (b"192.0.2.1\n" * 100, {"max-size": "999"}, "is larger than max-size"),
        (b"a\xff", {}, "line 1: not UTF-8"),
        (b"{}", {"format": "json a"}, "the path leads nowhere"),
    ],
)
def test_a_file_that_cannot_be_used(pki: PKI, content: bytes, keys: dict[str, str], sentence: str) -> None:
    """Is an error of the configuration."""
    (pki.folder / "bad.txt").write_bytes(content)
    (found,) = problems(pki, filed(**keys))
    assert found.startswith("[global-filter bad] source: ")
    assert sentence in found


def test_an_empty_file_can_be_right(pki: PKI) -> None:
    """If all may be gone."""
    (pki.folder / "bad.txt").touch()
    assert size(configured(pki, filed(**{"most-shrink": "100"}))) == 0


async def test_a_file_is_read_anew_when_it_changes(pki: PKI, origin: Origin, said: Said) -> None:
    """Unless it is broken, or too much of it is gone: then the old one stays in use, and the log says so once."""
    path = pki.folder / "bad.txt"
    path.write_bytes(MANY)
    async with started(pki, origin, filed()) as node:
        assert await answered(node) == 200
        path.write_bytes(MANY + LOCAL)
        await until(lambda: size(node.service.configuration) == 101)
        assert await answered(node) == 403
        path.write_bytes(MANY + b"local\n")
        await until(lambda: "the old files stay in use: [global-filter bad]" in said)
        assert any("line 101: expected an address" in each for each in said)
        assert await answered(node) == 403
        said.clear()
        path.write_bytes(FEW)
        await until(lambda: "the old files stay in use: [global-filter bad]" in said)
        assert any("where there were 101: more are gone than most-shrink allows, 50 %" in each for each in said)
        assert await answered(node) == 403
        path.write_bytes(MANY)
        await until(lambda: size(node.service.configuration) == 100)
        assert await answered(node) == 200


# -- sources ---------------------------------------------------------------------------------------------------------


async def test_a_node_without_content_asks_for_it_at_once(
    pki: PKI, origin: Origin, server: Origin, pages: Pages, said: Said
) -> None:
    """Until it has come the filter matches nothing, and ``check`` warns of that."""
    pages.held.clear()
    async with started(pki, origin, fed(server)) as node:
        (warning,) = node.service.configuration.warnings
        assert "nothing has come from there yet; until it has come nothing matches by it" in str(warning)
        assert await answered(node) == 200
        pages.held.set()
        await until(lambda: size(node.service.configuration) == 1)
        assert await answered(node) == 403
        await until(lambda: "[global-filter bad] changed: 1 value" in said)
    assert (pki.folder / "state" / "global-filter.bad.feed").read_bytes().endswith(b"\n" + LOCAL)


async def test_content_survives_a_restart(pki: PKI, origin: Origin, server: Origin, asking: Asking) -> None:
    """A node has it at once, and asks nobody before it is due."""
    await asking(configured(pki, fed(server)))
    assert len(server.requests) == 1
    async with started(pki, origin, fed(server)) as node:
        assert node.service.configuration.warnings == ()
        assert await answered(node) == 403
    assert len(server.requests) == 1


async def test_what_is_due_is_asked_for(pki: PKI, origin: Origin, server: Origin, pages: Pages) -> None:
    """Again and again, with the ETag of what is there; what is new takes over without a reload."""
    pages.etag = "one"
    async with started(pki, origin, fed(server, refresh="1s", most_shrink="100")) as node:
        await until(lambda: len(server.requests) == 2)
        assert fields(server.requests[1], "if-none-match") == [b'"one"']
        assert await answered(node) == 403
        pages.etag, pages.body = "two", MANY
        await until(lambda: size(node.service.configuration) == 100)
        assert await answered(node) == 200


async def test_a_reload_asks_nobody_sooner(pki: PKI, origin: Origin, server: Origin) -> None:
    """Neither one that leaves the filter as it is, nor one that changes another key of it."""
    async with started(pki, origin, fed(server)) as node:
        await until(lambda: size(node.service.configuration) == 1)
        await until(lambda: (pki.folder / "state" / "global-filter.bad.status").exists())
        for keys in ({}, {"description": "other"}, {"refresh": "2h"}):
            await node.reload(origin, fed(server, **keys))
            assert await answered(node) == 403
    assert len(server.requests) == 1


async def test_a_reload_to_another_source_asks_it_at_once(pki: PKI, origin: Origin, server: Origin) -> None:
    """And what came from the old one is no longer used."""
    async with started(pki, origin, fed(server)) as node:
        await until(lambda: size(node.service.configuration) == 1)
        await until(lambda: (pki.folder / "state" / "global-filter.bad.status").exists())
        await node.reload(origin, fed(server, source=f"https://127.0.0.1:{server.port}/other.txt"))
        await until(lambda: len(server.requests) == 2)
        await until(lambda: size(node.service.configuration) == 1)
    assert server.requests[1].startswith(b"GET /other.txt ")


async def test_a_reload_to_another_folder_asks_at_once(pki: PKI, origin: Origin, server: Origin) -> None:
    """What is kept in it may be another content, or none."""
    (pki.folder / "other").mkdir()
    async with started(pki, origin, fed(server)) as node:
        await until(lambda: size(node.service.configuration) == 1)
        await until(lambda: (pki.folder / "state" / "global-filter.bad.status").exists())
        await node.reload(origin, {**fed(server), "edge": {"state": "other"}})
        await until(lambda: size(node.service.configuration) == 1)
        await until(lambda: (pki.folder / "other" / "global-filter.bad.status").exists())
    assert len(server.requests) == 2


async def test_what_is_in_use_outlives_what_was_kept(pki: PKI, server: Origin, asking: Asking) -> None:
    """A reload from a file does not lose it with the folder; unless it comes from elsewhere, or is read otherwise."""
    _, configuration = await asking(configured(pki, fed(server)))
    (pki.folder / "state" / "global-filter.bad.feed").unlink()
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(1, fed(server)))
    after = Configuration.load(file, configuration)
    assert after.contents.read["global-filter bad"] is configuration.contents.read["global-filter bad"]
    (warning,) = after.warnings
    assert "nothing has come from there yet; what is in use stays in use" in str(warning)
    for keys in ({"source": f"https://127.0.0.1:{server.port}/x"}, {"format": "csv 1"}, {"feed": "path"}):
        file.write_text(ini(1, fed(server, **keys)))
        assert size(Configuration.load(file, configuration)) is None


async def test_a_node_that_is_started_again_asks_again(pki: PKI, origin: Origin, server: Origin, pages: Pages) -> None:
    """Each source once, whatever was being asked for when it was stopped."""
    pages.held.clear()
    async with started(pki, origin, fed(server)) as node:
        for count in (1, 2, 3):
            await until(lambda: len(server.requests) == count)  # noqa: B023
            await node.service.stopService()
            node.service.startService()
        await until(lambda: len(server.requests) == 4)
        pages.held.set()
        await until(lambda: size(node.service.configuration) == 1)
        assert await answered(node) == 403
    assert len(server.requests) == 4


async def test_a_node_can_stop_while_it_asks(pki: PKI, origin: Origin, server: Origin, pages: Pages) -> None:
    """And can be reloaded to one without the filter."""
    pages.held.clear()
    async with started(pki, origin, fed(server)) as node:
        await until(lambda: len(server.requests) == 1)
        await node.reload(origin, {})
        await node.reload(origin, fed(server))
        await until(lambda: len(server.requests) == 2)
    assert not pages.held.is_set(), "what was asked for has been answered before the node stopped"
    assert len(server.requests) == 2
    pages.held.set()


async def test_an_inactive_filter_asks_nobody(pki: PKI, origin: Origin, server: Origin) -> None:
    """Nor does it warn that it has no content."""
    async with started(pki, origin, fed(server, active="no")) as node:
        assert node.service.configuration.warnings == ()
        assert await answered(node) == 200
    assert server.requests == []


async def test_content_changes_under_load_without_a_failed_request(
    pki: PKI, origin: Origin, server: Origin, pages: Pages
) -> None:
    """Kept connections go on, and each request is judged by the one content or the other."""
    pages.body = MANY
    async with started(pki, origin, fed(server, refresh="1s", most_shrink="100")) as node:
        await until(lambda: size(node.service.configuration) == 100)

        def load() -> list[int]:
            statuses: list[int] = []
            with node.client() as client:
                end = time.monotonic() + 10
                while (not statuses or statuses[-1] == 200) and time.monotonic() < end:
                    statuses.append(client.ask(get()).status)
            return statuses

        loads = [in_thread(load) for _ in range(3)]
        pages.body = MANY + LOCAL
        for each in loads:
            statuses = await each
            assert statuses[-1] == 403
            assert set(statuses[:-1]) <= {200}


async def test_a_failure_is_logged_once(
    pki: PKI, origin: Origin, server: Origin, pages: Pages, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it comes again; and once more when it is over."""
    monkeypatch.setattr("edgenode.node.feed_updates._FIRST_RETRY", 0.1)
    pages.answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
    async with started(pki, origin, fed(server, refresh="1s")):
        await until(lambda: len(server.requests) == 3)
        assert said.count("[global-filter bad] nothing came: the server answers 500") == 1
        pages.answer = b""
        await until(lambda: "[global-filter bad] changed: 1 value" in said)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "keys", "detail"),
    [
        (MANY[:-1] + b"x\n", {}, f'line 100: {AN_ADDRESS}: "192.0.2.99x"'),
        (b"x\n" * 200_000, {}, f'line 1: {AN_ADDRESS}: "x" (and more)'),
        (b"192.0.2.1\n" * 101, {}, "1 value where there were 100: more are gone than most-shrink"),
        (MANY + b"0.0.0.0/1\n128.0.0.0/1\n", {}, "every IPv4 address is in it"),
        (MANY + b"::/0\n", {}, "every IPv6 address is in it"),
        (b"", {}, "it is empty"),
        (FEW, {}, "25 values where there were 100: more are gone than most-shrink allows, 50 %"),
        (FEW, {"most_shrink": "0"}, "25 values where there were 100: more are gone than most-shrink"),
        (MANY + b"# %b\n" % (b"x" * 2000), {"max_size": "2k"}, "it is larger than max-size"),
        (b"<html>Not found</html>", {}, "it is an HTML page"),
    ],
)  # fmt: skip
async def test_bad_content_is_refused(
    pki: PKI, server: Origin, pages: Pages, asking: Asking, body: bytes, keys: dict[str, str], detail: str
) -> None:
    """Nothing of it is used or kept; what is there stays, also after a restart."""
    pages.body = MANY
    outcome, configuration = await asking(configured(pki, fed(server, **keys)))
    assert (str(outcome), size(configuration)) == ("changed: 100 values", 100)
    pages.body = body
    outcome, after = await asking(configuration)
    assert outcome.word == "kept old"
    assert outcome.detail.startswith(detail)
    assert after is configuration
    assert outcome.status.failures == 1
    assert size(configured(pki, fed(server, **keys))) == 100


async def test_content_that_shrinks_by_less_is_used(pki: PKI, server: Origin, pages: Pages, asking: Asking) -> None:
    """Up to the share, or by any if somebody says so."""
    pages.body = MANY
    _, configuration = await asking(configured(pki, fed(server, most_shrink="75")))
    pages.body = FEW
    outcome, configuration = await asking(configuration)
    assert str(outcome) == "changed: 25 values"
    pages.body = LOCAL
    outcome, configuration = await asking(configuration)
    assert outcome.word == "kept old"
    outcome, configuration = await asking(configuration, shrink=True)
    assert str(outcome) == "changed: 1 value"


async def test_the_same_content_changes_nothing(pki: PKI, server: Origin, pages: Pages, asking: Asking) -> None:
    """Of servers that know no ETag too: nothing is compiled, and nothing written but when it was asked."""
    _, configuration = await asking(configured(pki, fed(server)))
    file = pki.folder / "state" / "global-filter.bad.feed"
    before = file.stat()
    outcome, after = await asking(configuration)
    assert str(outcome) == "not changed: 1 value"
    assert after is configuration
    assert file.stat() == before


async def test_rules_that_cannot_be_compiled_with_a_content_refuse_it(
    pki: PKI, server: Origin, pages: Pages, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regular expressions can be too large together with others; nothing of them is left on the disk."""
    for most in ("_MOST_OF_ONE", "_MOST_OF_ALL"):
        monkeypatch.setattr(filter_feeds, most, 1 << 30)
    # Hyperscan leaves those with named classes to RE2, which has a limit.
    pages.body = b"".join(b"%d[[:space:]].{900}\n" % number for number in range(1000))
    configuration = configured(pki, fed(server, feed="path"))
    outcome, after = await asking(configuration)
    assert "too large together" in outcome.detail
    assert after is configuration
    assert [each.name for each in (pki.folder / "state").iterdir()] == ["global-filter.bad.status"]


async def test_a_disk_that_takes_nothing_is_a_failure(
    pki: PKI, server: Origin, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be kept is not used either: else it would be gone with the next start."""
    configuration = configured(pki, fed(server))
    (pki.folder / "state").rmdir()
    outcome, after = await asking(configuration)
    assert outcome.detail.startswith(f"cannot be kept in {pki.folder / 'state'}: No such file")
    assert after is configuration


async def test_kept_content_is_checked_like_a_download(pki: PKI, server: Origin, asking: Asking) -> None:
    """If it cannot be believed there is none, with a warning; and the source is asked for all of it."""
    await asking(configured(pki, fed(server)))
    path = pki.folder / "state" / "global-filter.bad.feed"
    path.write_bytes(path.read_bytes()[:-1])
    configuration = configured(pki, fed(server))
    assert size(configuration) is None
    (warning,) = configuration.warnings
    assert "is damaged, or larger than max-size; until it has come nothing matches by it" in str(warning)
    outcome, configuration = await asking(configuration)
    assert str(outcome) == "changed: 1 value"
    (warning,) = configured(pki, fed(server, feed="certificate.fingerprint")).warnings
    assert "what was kept of it: line 1: expected 64 digits in hexadecimal" in str(warning)


async def test_everybody_is_in_a_feed_only_if_somebody_says_so(
    pki: PKI, server: Origin, pages: Pages, asking: Asking
) -> None:
    """Then it goes on, also with other content."""
    pages.body = b"0.0.0.0/0\n"
    outcome, configuration = await asking(configured(pki, fed(server)))
    assert str(outcome) == "nothing came: every IPv4 address is in it"
    outcome, configuration = await asking(configuration, shrink=True)
    assert str(outcome) == "changed: 1 value"
    pages.body += LOCAL
    outcome, configuration = await asking(configuration)
    assert str(outcome) == "changed: 2 values"


# -- lists -----------------------------------------------------------------------------------------------------------


async def test_a_list_with_a_source(pki: PKI, server: Origin, pages: Pages, asking: Asking) -> None:
    """In another format."""
    pages.body = b'{"hosts": [{"name": "example.com"}, {"name": "*.example.org"}]}'
    changes: Changes = {
        **STATE,
        "list hosts": {
            "type": "hostname",
            "source": f"https://127.0.0.1:{server.port}/hosts.json",
            "format": "json hosts[*].name",
            "trust-store": "servers",
        },
    }
    configuration = configured(pki, changes)
    assert configuration.contents.lists["hosts"].words == frozenset()
    outcome, configuration = await asking(configuration, "list hosts")
    assert str(outcome) == "changed: 2 values"
    members = configuration.rules.definitions.lists["hosts"]
    assert (members.words, members.suffixes) == (frozenset({b"example.com"}), frozenset({b".example.org"}))


def test_contents_are_taken_over_where_they_are_the_same(pki: PKI) -> None:
    """A reload does not read a million lines again."""
    (pki.folder / "bad.txt").write_bytes(MANY)
    before = configured(pki, filed())
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(1, filed()))
    after = Configuration.load(file, before)
    assert after.contents.read["global-filter bad"] is before.contents.read["global-filter bad"]
    file.write_text(ini(1, filed(feed="certificate.fingerprint")))
    with pytest.raises(ConfigurationError, match="expected 64 digits in hexadecimal"):
        Configuration.load(file, before)


# -- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refresh", "status", "has_content", "expected"),
    [
        ("1h", Status(""), False, 0), ("1h", Status(""), True, 0), ("1h", Status("", 9000, 9000), True, 2600),
        ("1h", Status("", 9000, 9000), False, 0), ("1h", Status("", 1000, 1000), True, 0),
        ("1h", Status("", 99999, 99999), True, 3600), ("1h", Status("", 10000, 0, 1, "x"), True, 60),
        ("1h", Status("", 10000, 0, 3, "x"), False, 240), ("30s", Status("", 10000, 0, 3, "x"), True, 30),
        ("7d", Status("", 10000, 0, 10**9, "x"), True, 3600), ("0", Status(""), False, None),
    ],
)  # fmt: skip
def test_when_a_source_is_asked(
    pki: PKI, server: Origin, refresh: str, status: Status, has_content: bool, expected: float | None
) -> None:
    """After its pause; at once if there is nothing; later and later while it fails; never for a clock set back."""
    section = remote(configured(pki, fed(server, refresh=refresh)))["global-filter bad"]
    assert pause(section, status, has_content, 10_000.0) == expected


# -- the command -----------------------------------------------------------------------------------------------------


def command(pki: PKI, changes: Changes, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``edgenode feeds``."""
    file = pki.folder / "edgenode.ini"
    file.write_text(ini(1, changes))
    action, *options = arguments
    return subprocess.run(
        [sys.executable, "-m", "edgenode", "feeds", action, str(file), *options],
        capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=30, check=False,
    )  # fmt: skip


async def test_the_command_updates_and_lists(pki: PKI, server: Origin, pages: Pages) -> None:
    """One line for each feed, and a status that a script can use."""
    listed = {"type": "ip", "source": "file:bad.txt"}
    (pki.folder / "bad.txt").write_bytes(MANY)
    changes: Changes = {**fed(server), "list office": listed, "list none": {"type": "ip", "items": "::1"}}
    done = await in_thread(command, pki, changes, "update")
    assert (done.returncode, done.stdout) == (0, "global-filter bad: changed: 1 value\n")
    done = await in_thread(command, pki, changes, "update", "bad")
    assert (done.returncode, done.stdout, done.stderr) == (0, "global-filter bad: not changed: 1 value\n", "")
    pages.body = b"nobody\n"
    done = await in_thread(command, pki, changes, "update")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("global-filter bad: kept old: line 1: expected an address")
    done = await in_thread(command, pki, changes, "list")
    lines = [line.split(None, 5) for line in done.stdout.splitlines()]
    assert lines[0] == ["section", "source", "values", "age", "next"]
    assert lines[1][:4] == ["list", "office", f"file:{pki.folder}/bad.txt", "100"]
    assert lines[2][:4] == ["global-filter", "bad", f"https://127.0.0.1:{server.port}/bad.txt", "1"]
    assert lines[2][5].startswith("in 0:0")
    assert "(line 1: expected an address" in lines[2][5]
    assert len(lines) == 3


async def test_the_command_shows_no_keys(pki: PKI, server: Origin) -> None:
    """The query of a source may hold one."""
    changes = fed(server, source=f"https://127.0.0.1:{server.port}/bad.txt?key=hidden")
    done = await in_thread(command, pki, changes, "list")
    assert f"https://127.0.0.1:{server.port}/bad.txt  " in done.stdout
    assert "hidden" not in done.stdout + done.stderr


async def test_the_command_says_what_it_does_not_know(pki: PKI, server: Origin) -> None:
    """A name of no feed, and a configuration that cannot be used."""
    done = await in_thread(command, pki, fed(server), "update", "bat")
    assert done.returncode == 1
    assert done.stderr == 'bat: no section of this name has an https source; did you mean "bad"?\n'
    done = await in_thread(command, pki, {**fed(server), "edge": {}}, "update")
    assert done.returncode == 1
    assert "needs [edge] state" in done.stderr
    assert server.requests == []


async def test_a_running_node_takes_over_what_the_command_has_fetched(
    pki: PKI, origin: Origin, server: Origin, pages: Pages
) -> None:
    """By itself; and what the command was told to accept the node accepts."""
    pages.body = MANY
    changes = fed(server)
    changes = {**changes, "edge": {**changes["edge"], "watch-interval": "20ms"}}
    async with started(pki, origin, changes) as node:
        await until(lambda: size(node.service.configuration) == 100)
        pages.body = LOCAL
        done = await in_thread(command, pki, changes, "update", "bad", "--shrink")
        assert (done.returncode, done.stdout) == (0, "global-filter bad: changed: 1 value\n")
        await until(lambda: size(node.service.configuration) == 1)
        assert await answered(node) == 403


# -- guards ------------------------------------------------------------------------------------------------------------


def test_everybody_may_be_in_a_file_of_ones_own(pki: PKI) -> None:
    """Only what comes from elsewhere is refused if suddenly every address is in it."""
    (pki.folder / "own.txt").write_bytes(LOCAL)
    own = {"list own": {"type": "ip", "source": "file:own.txt"}, "edge": {"state": "state"}}
    before = configured(pki, {**own, "list far": {"type": "ip", "source": "https://127.0.0.1:1/x"}})
    (pki.folder / "own.txt").write_bytes(b"0.0.0.0/0\n")
    after, said = before.refreshed(["list own"])
    assert said == []
    everybody = after.contents.read["list own"]
    far = after.lists["far"]
    with pytest.raises(Refused, match="every IPv4 address is in it"):
        check_share("list far", far, everybody, None)


@define(eq=False)
class Fetched:
    """Answers the first request with a document, at once, and the next ones never.

    :ivar asked: how many there were.
    """

    reactor: Any
    data: bytes
    asked: int = 0

    def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Have something done."""
        return deferToThreadPool(self.reactor, self.reactor.getThreadPool(), function, *arguments)

    async def fetch(self, *_: object) -> Document:
        """The document."""
        self.asked += 1
        if self.asked > 1:
            await Deferred[None]()
        return Document(self.data, Validators())


async def test_what_came_for_a_section_that_has_changed_meanwhile_is_not_used(pki: PKI) -> None:
    """Its reader was another: the content is for the section that was asked for, and for no other."""
    before = configured(pki, fed_from("https://127.0.0.1:1/bad.txt"))
    after = configured(pki, fed_from("https://127.0.0.1:2/bad.txt"))
    used: list[Configuration] = []

    def change(function: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        used.append(function(after))
        return succeed(used[-1])

    reactor: Any = AtOnce()
    fetcher = Fetched(reactor, LOCAL)
    updates = FeedUpdates(cast(Fetcher, fetcher), lambda: before, change)
    updates.start()
    reactor.advance(1)
    assert used == [after]
    updates.stop()


async def test_a_list_is_asked_for_as_a_filter_is(pki: PKI) -> None:
    """It cannot be inactive, and comes into use when it has come."""
    far = {"type": "ip", "source": "https://127.0.0.1:1/far.txt", "trust-store": "servers"}
    configuration = configured(pki, {**STATE, "list far": far})
    used: list[Configuration] = []

    def change(function: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        used.append(function(configuration))
        return succeed(used[-1])

    reactor: Any = AtOnce()
    updates = FeedUpdates(cast(Fetcher, Fetched(reactor, LOCAL)), lambda: configuration, change)
    updates.start()
    reactor.advance(1)
    assert [size(each, "list far") for each in used] == [1]
    updates.stop()


async def test_content_that_the_node_cannot_use_is_not_kept(pki: PKI, said: Said) -> None:
    """A reload with it is refused: it is reported like other bad content, and the disk has what is in use."""
    configuration = configured(pki, fed_from("https://127.0.0.1:1/bad.txt"))
    problem = Problem("global-filter bad", "source", "is too large together with others")
    reactor: Any = AtOnce()
    fetcher = cast(Fetcher, Fetched(reactor, LOCAL))
    updates = FeedUpdates(fetcher, lambda: configuration, lambda function: fail(ConfigurationError([problem])))
    updates.start()
    reactor.advance(1)
    assert [each.name for each in (pki.folder / "state").iterdir()] == ["global-filter.bad.status"]
    assert [line for line in said if str(problem) in line]
    updates.stop()


# -- several sources, own entries, bad lines -------------------------------------------------------------------------


def two(server: Origin, **keys: str) -> Changes:
    """A node whose filter ``bad`` blocks who is in one of two feeds."""
    url = f"https://127.0.0.1:{server.port}/"
    return fed_from(f"\n  {url}v4.txt?key=hidden\n  {url}v6.txt", **keys)


def by_path(served: Served, pages: dict[str, tuple[str, bytes]]) -> None:
    """Answer with a body by the path, which has an ETag; a path that is not there is 503."""
    while (request := served.request()) is not None:
        path = request.split(b" ")[1].decode().partition("?")[0]
        etag, body = pages.get(path, ("", b""))
        if not etag:
            served.send(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")
        elif fields(request, "if-none-match") == [f'"{etag}"'.encode()]:
            served.send(f'HTTP/1.1 304 Not Modified\r\nETag: "{etag}"\r\n\r\n'.encode())
        else:
            head = f'HTTP/1.1 200 OK\r\nETag: "{etag}"\r\nContent-Length: {len(body)}\r\n\r\n'
            served.send(head.encode() + body)


async def test_several_sources_are_one_content(pki: PKI, asking: Asking) -> None:
    """Each is asked with its own ETag, and what has not changed is read from where it was kept."""
    pages = {"/v4.txt": ("a", b"192.0.2.1\n192.0.2.2\n"), "/v6.txt": ("b", b"2001:db8::/32\n")}
    with Origin(pki, lambda served: by_path(served, pages), stem="feeds", demand=False) as server:
        changes = two(server)
        outcome, configuration = await asking(configured(pki, changes))
        assert str(outcome) == "changed: 3 values"
        assert len(configuration.contents.feeds["bad"].networks) == 2
        outcome, _ = await asking(configuration)
        assert str(outcome) == "not changed: 3 values"
        pages["/v6.txt"] = ("c", b"2001:db8::/32\n2001:db9::/32\n2001:dba::1\n")
        outcome, configuration = await asking(configuration)
        assert str(outcome) == "changed: 5 values"
        assert size(configured(pki, changes)) == 5  # after a restart
        (pki.folder / "state" / "global-filter.bad.feed").write_bytes(b"damaged")
        pages["/v6.txt"] = ("d", b"2001:db8::/32\n2001:db9::/32\n")
        outcome, configuration = await asking(configuration)
        assert str(outcome) == "changed: 4 values"


async def test_one_of_several_sources_that_fails_leaves_all_as_it_was(pki: PKI, asking: Asking) -> None:
    """The sentence says which, without its query; nothing of the other is used alone."""
    pages = {"/v4.txt": ("a", MANY), "/v6.txt": ("b", b"2001:db8::/32\n")}
    with Origin(pki, lambda served: by_path(served, pages), stem="feeds", demand=False) as server:
        _, configuration = await asking(configured(pki, two(server)))
        pages["/v4.txt"], pages["/v6.txt"] = ("", b""), ("c", b"2001:db9::/32\n")
        outcome, after = await asking(configuration)
        assert str(outcome) == f"kept old: https://127.0.0.1:{server.port}/v4.txt: the server answers 503"
        assert after is configuration
        pages["/v4.txt"], pages["/v6.txt"] = ("a", MANY), ("c", b"x\n")
        outcome, after = await asking(configuration)
        assert str(outcome).startswith(f"kept old: https://127.0.0.1:{server.port}/v6.txt: line 1: {AN_ADDRESS}")
        assert after is configuration


def test_several_files_are_one_list(pki: PKI) -> None:
    """A line each; a file of them that changes is noticed."""
    (pki.folder / "a.txt").write_bytes(b"192.0.2.1\n")
    (pki.folder / "b.txt").write_bytes(b"198.51.100.1\n")
    changes: Changes = {"list a": {"type": "ip", "source": "\n file:a.txt\n file:b.txt"}}
    configuration = configured(pki, changes)
    assert size(configuration, "list a") == 2
    (pki.folder / "b.txt").write_bytes(b"198.51.100.1\n198.51.100.9\n")
    assert list(configuration.changed()) == ["list a"]
    (pki.folder / "b.txt").write_bytes(b"x\n")
    (found,) = (each for each in problems(pki, changes) if "nothing refers" not in each)
    assert f"file:{pki.folder}/b.txt: line 1: {AN_ADDRESS}" in found


def test_a_list_may_have_items_beside_its_source(pki: PKI, server: Origin) -> None:
    """They are its members even before anything has come, with their annotations."""
    url = f"https://127.0.0.1:{server.port}/x"
    both: dict[str, str | None] = {"type": "ip", "items": "\n 192.0.2.1 # office", "source": "file:list.txt"}
    members = configured(pki, {"list a": both}).contents.lists["a"]
    assert (len(members.networks), members.annotations) == (2, {"192.0.2.1": "office"})
    configuration = configured(pki, {"list a": {**both, "source": url}, "edge": {"state": "state"}})
    assert len(configuration.contents.lists["a"].networks) == 1
    found = problems(pki, {"list a": {**both, "items": "\n 1.2.3.4/8"}})
    assert any("[list a] items: line 2: host bits" in each for each in found)


@pytest.mark.parametrize(
    ("keys", "path", "status"),
    [
        ({"relation": "or", "ip": "127.0.0.1 # us", "list": "::1"}, "/", 403),
        ({"relation": "or", "ip": "::1", "list": "127.0.0.0-127.0.0.255"}, "/", 403),
        ({"relation": "or", "ip": "::1", "list": "::2"}, "/", 200),
        ({"path": "^/admin", "list": "127.0.0.1"}, "/admin", 403),
        ({"path": "^/admin", "list": "127.0.0.1"}, "/", 200),
        ({"path": "^/admin", "list": "::1"}, "/admin", 200),
        ({"expression": 'http.request.uri.path eq "/x"', "list": "127.0.0.1"}, "/x", 403),
        ({"ip": "\n !127.0.0.1\n !::1", "list": "127.0.0.0/8"}, "/", 200),
        ({"ip": "\n !127.0.0.2\n !::1", "list": "127.0.0.0/8"}, "/", 403),
    ],
)  # fmt: skip
async def test_a_filter_may_have_rules_beside_its_source(
    pki: PKI, origin: Origin, keys: dict[str, str], path: str, status: int
) -> None:
    """Its relation joins them: ``or`` for entries like those of the feed, ``and`` to narrow it or to except some."""
    (pki.folder / "list.txt").write_text(keys["list"])
    own: dict[str, str | None] = {key: value for key, value in keys.items() if key != "list"}
    section = {"action": "block", "source": "file:list.txt", "feed": "ip", **own}
    async with started(pki, origin, {"global-filter bad": section}) as node:

        def look() -> int:
            with node.client() as client:
                return client.ask(get(path)).status

        assert await in_thread(look) == status


BAD = b"192.0.2.1\nnobody\n192.0.2.3\n\xff\n192.0.2.5\n"


def test_one_bad_line_is_skipped_where_the_section_says_so(pki: PKI) -> None:
    """And reported, with its line; by default all is refused."""
    (pki.folder / "list.txt").write_bytes(BAD)
    section: dict[str, str | None] = {"type": "ip", "source": "file:list.txt"}
    assert any("line 4: not UTF-8" in each for each in problems(pki, {"list a": section}))
    changes: Changes = {"list a": {**section, "bad-lines": "skip"}}
    assert size(configured(pki, changes), "list a") == 3
    found = [each for each in problems(pki, changes) if "nothing refers" not in each]
    assert found == [
        "warning: [list a] source: line 4: not UTF-8",
        f"warning: [list a] source: line 2: {AN_ADDRESS}\n    nobody\n    ^",
    ]


@pytest.mark.parametrize(
    ("keys", "data", "left", "out"),
    [
        ({"format": "csv 2"}, b'a,192.0.2.1\nb\n"c"d,x\ne,192.0.2.2\nf,192.0.2.3\n', 3, 2),
        ({"format": "csv ip"}, b"ip\n192.0.2.1\nx\n192.0.2.2\n", 2, 1),
        ({"format": "separated tab 1"}, b"192.0.2.1\ta\nStart\tb\n192.0.2.2\tc\n", 2, 1),
        ({"format": "json-lines a"}, b'{"a":"192.0.2.1"}\n{"b":1}\n{\n{"a":"192.0.2.2"}\n{"a":"::1"}\n', 3, 2),
        ({"format": "json [*]"}, b'["192.0.2.1", "x", "192.0.2.2"]', 2, 1),
        ({"type": "hostname"}, b"a.example\nb..example\n.c.example\n", 2, 1),
        ({"type": "asn"}, b"AS1\nASN\n2\n", 2, 1),
    ],
)
def test_bad_lines_of_any_format_are_skipped(
    pki: PKI, keys: dict[str, str | None], data: bytes, left: int, out: int
) -> None:
    """Whether they cannot be taken apart, or hold no value of the type."""
    (pki.folder / "list.txt").write_bytes(data)
    changes: Changes = {"list a": {"type": "ip", "source": "file:list.txt", "bad-lines": "skip", **keys}}
    assert size(configured(pki, changes), "list a") == left
    assert sum("warning: [list a] source: " in each for each in problems(pki, changes)) == out


@pytest.mark.parametrize("most_shrink", ["50", "100"])
async def test_what_is_mostly_bad_lines_is_not_the_feed(
    pki: PKI, asking: Asking, server: Origin, pages: Pages, most_shrink: str
) -> None:
    """A page that says sorry is refused all the same, and so is what has no good line left."""
    configuration = configured(pki, fed(server, bad_lines="skip", most_shrink=most_shrink))
    pages.body = MANY + b"<b>sorry</b>\n"
    outcome, configuration = await asking(configuration)
    assert str(outcome) == f"changed: 100 values; left out: line 101: {AN_ADDRESS}"
    for page in (b"<b>\nso\nsorry\n", b"192.0.2.1\n<html>\n<body>\n"):
        pages.body = page
        outcome, configuration = await asking(configuration)
        assert str(outcome).startswith("kept old: more bad lines than good ones: ")


async def test_the_command_shows_what_the_running_node_uses(pki: PKI, server: Origin, pages: Pages) -> None:
    """Not what is in the file or the folder; what has come since is said to be another."""
    from twisted.internet import reactor

    pages.body = MANY
    changes = {**fed(server), "list office": {"type": "ip", "source": "file:list.txt"}}
    await in_thread(command, pki, changes, "update")
    running = configured(pki, changes)

    def feeds() -> Deferred[control.Report]:
        return succeed(control.Report(True, listing(running)))

    port: Any = control.listen(reactor, feeds, feeds=feeds)
    try:
        done = await in_thread(command, pki, changes, "list", "--pid", str(os.getpid()))
        first, second = (line.split(None, 5) for line in done.stdout.splitlines()[1:])
        assert first[:4] == ["list", "office", f"file:{pki.folder}/list.txt", "1"]
        assert second[3] == "100"
        assert second[4].startswith("0:00:0")
        pages.body = LOCAL
        await in_thread(command, pki, changes, "update", "bad", "--shrink")
        (pki.folder / "list.txt").write_text("::1\n::2\n")
        done = await in_thread(command, pki, changes, "list", "--pid", str(os.getpid()))
        first, second = (line.split(None, 5) for line in done.stdout.splitlines()[1:])
        assert (first[3], second[3]) == ("1", "100")
        assert "its file has changed, and that is not in use" in first[5]
        assert "another content has come, and is not in use" in second[5]
    finally:
        await maybeDeferred(port.stopListening)
    done = await in_thread(command, pki, changes, "list", "--pid", str(os.getpid()))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgenode feeds: no node can be asked: no node runs there\n"
    done = await in_thread(command, pki, changes, "list")
    assert done.stderr.endswith("this is what one would use\n")


async def test_a_shipped_feed_is_updated_by_command_and_switched_on(pki: PKI, origin: Origin, server: Origin) -> None:
    """Only if it is named is it asked while it is off; once on it has its content at once, and own entries beside."""
    keys: dict[str, str | None] = {"source": f"https://127.0.0.1:{server.port}/tor", "trust-store": "servers"}
    changes: Changes = {"edge": {"state": "state"}, "global-filter system.tor-exits": keys}
    done = await in_thread(command, pki, changes, "update")
    assert (done.returncode, done.stdout, server.requests) == (0, "", [])
    done = await in_thread(command, pki, changes, "update", "system.tor-exits")
    assert (done.returncode, done.stdout) == (0, "global-filter system.tor-exits: changed: 1 value\n")
    done = await in_thread(command, pki, changes, "list", "--all")
    (line,) = (each for each in done.stdout.splitlines() if "system.tor-exits" in each)
    assert line.endswith("switched off")
    on = {**keys, "active": "yes", "action": "block", "relation": "or", "ip": "::1"}
    async with started(pki, origin, {**changes, "global-filter system.tor-exits": on}) as node:
        assert await answered(node) == 403
    assert len(server.requests) == 1


def test_shipped_feeds_need_no_folder_until_they_are_switched_on(pki: PKI) -> None:
    """And then they say that they do."""
    assert problems(pki, {}) == []
    found = problems(pki, {"global-filter system.aws": {"active": "yes"}})
    assert any("needs [edge] state" in each for each in found)
