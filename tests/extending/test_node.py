"""Stages and sinks of one's own in a running node: where they judge, what exempts from them, what a reload keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer

from edgenode import (
    NOTHING,
    Action,
    Close,
    Configuration,
    ConfigurationError,
    Decision,
    EdgeEndpoint,
    EdgeService,
    Exchange,
    Forward,
    IEventSink,
    Outcome,
    Placed,
    Reason,
    Record,
    Respond,
    Response,
    Stage,
    setting,
)
from tests.support.node import PKI, Changes, Client, Events, Node, Origin, in_thread, ini, started, until

HERE = __name__


@frozen
class Refuse(Action):
    """Answers 429."""

    skips = True
    default_priority = 450

    def outcome(self, exchange: Exchange) -> Outcome:
        """The answer."""
        return Respond(Response(429, (), b"slowly\n"))


@frozen
class Keys:
    """How many are let through, and whether bodies are looked at."""

    most: int = setting("Requests.", 1)
    bodies: bool = setting("Whether bodies are looked at.", False)


@define(eq=False)
class Counting:
    """Refuses what is more than some requests, or has a certain body."""

    name: str
    keys: Keys = Keys()
    count: int = 0

    @property
    def needs(self) -> frozenset[str]:
        """The body, if that is to be looked at."""
        return frozenset(("body",) if self.keys.bodies else ())

    def decide(self, exchange: Exchange) -> Decision:
        """Count."""
        self.count += 1
        request = exchange.request
        if self.keys.bodies and request is not None and request.body is not None and b"evil" in request.body.data:
            return Decision(action=Refuse("evil"))
        if self.count <= self.keys.most:
            return Decision(frozenset((f"{self.name}-counted",)))
        return Decision(frozenset(("over",)), (Reason(self.name, "", f"count: {self.count}"),), Refuse(self.name))


def counting(name: str, keys: Keys) -> Stage:
    """The factory as a function."""
    return Counting(name, keys)


@implementer(IEventSink)
class Keeping(Service):
    """Keeps the statuses of exchanges while it runs; all of its kind are known."""

    all: ClassVar[list[Keeping]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self.kept: list[int] = []
        self.starts = 0
        self.all.append(self)

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self.starts += 1

    def record(self, record: Record) -> None:
        """Take a record."""
        assert self.running
        self.kept.append(record.status)


@implementer(IEventSink)
class Failing:
    """A sink that fails."""

    def __init__(self, name: str) -> None:
        self.name = name

    def record(self, record: Record) -> None:
        """Fail."""
        raise RuntimeError(self.name)


@frozen
class Odd(Action):
    """An action that fails, or comes to what is no outcome."""

    skips = True
    default_priority = 450
    what: Any = field(default=None, kw_only=True)

    def outcome(self, exchange: Exchange) -> Outcome:
        """What it was given, or what that raises."""
        if isinstance(self.what, Exception):
            raise self.what
        outcome: Outcome = self.what
        return outcome


REQUEST = b"GET /%b HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\n\r\n"


async def statuses(node: Node, *paths: str) -> list[int]:
    """The statuses of requests, one after another."""
    found = []
    for path in paths:
        answer = await node.exchange(REQUEST % path.encode())
        found.append(int(answer.split()[1]) if answer else 0)
    return found


async def test_a_stage_by_ini_judges_where_it_is_placed(pki: PKI, origin: Origin) -> None:
    """Behind the filters an action of the type skip exempts from it, as from one that is built in; a path map may go
    without it; the event has its reason, its time and its tags."""
    changes: Changes = {
        "stage tally": {"factory": f"{HERE}:counting", "after": "global-filters", "most": "1"},
        "action exempt": {"type": "skip", "skip": "tally"},
        "global-filter friends": {"path": "^/friend", "action": "exempt"},
        "global-filter counted": {"tag": "tally-counted", "tags": "seen"},
        "security-policy all": {"path-maps": "health all"},
        "path-map health": {"path": "^/health$", "origin": "origin", "stages": "none"},
    }
    async with started(pki, origin, changes) as node:
        assert await statuses(node, "", "", "friend", "health") == [200, 429, 200, 200]
        first, second, friend, health = await node.events.take(4)
        assert [*first["stages"]] == ["tagging", "global-filters", "tally"]
        assert "tally-counted" in first["tags"]
        assert "seen" not in first["tags"], "it judges behind the filters"
        assert (second["action"], second["reasons"][-1]["entry"]) == ("tally", "count: 2")
        assert friend["reasons"][-1] == {
            "stage": "tally", "filter": "", "entry": "left out", "annotation": "", "action": "",
        }  # fmt: skip
        assert "tally" not in health["stages"]


async def test_a_stage_before_the_filters_gives_them_tags(pki: PKI, origin: Origin) -> None:
    """As the automatic tags are."""
    changes: Changes = {
        "stage tally": {"factory": f"{HERE}:counting", "before": "global-filters", "most": "2"},
        "global-filter counted": {"tag": "tally-counted", "action": "block", "path": "^/x", "relation": "and"},
    }
    async with started(pki, origin, changes) as node:
        assert await statuses(node, "", "x", "x") == [200, 403, 429]
        await node.events.take(3)


async def test_a_stage_that_needs_bodies_gets_them(pki: PKI, origin: Origin) -> None:
    """The beginning of a body is held back for it, and a longer body than it sees is refused, as for filters."""
    changes: Changes = {
        "stage bodies": {"factory": f"{HERE}:counting", "most": "9", "bodies": "yes"},
        "path-map all": {"inspect-body-size": "16"},
    }
    post = b"POST / HTTP/1.1\r\nHost: open.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    async with started(pki, origin, changes) as node:
        for body, status in ((b"harmless", b"200"), (b"evil", b"429"), (b"x" * 17, b"413")):
            assert (await node.exchange(post % (len(body), body))).split()[1] == status
        await node.events.take(3)


async def test_a_reload_keeps_a_stage_whose_section_is_the_same(pki: PKI, origin: Origin) -> None:
    """What it has counted goes on; with other keys it is a new one."""
    changes: dict[str, dict[str, str | None]] = {"stage tally": {"factory": f"{HERE}:counting", "most": "1"}}
    async with started(pki, origin, changes) as node:
        assert await statuses(node, "") == [200]
        (pki.folder / "same.ini").write_text(ini(origin.port, changes))
        await node.service.reload(Configuration.load(pki.folder / "same.ini", node.service.configuration))
        assert await statuses(node, "") == [429]
        changes["stage tally"]["most"] = "2"
        (pki.folder / "other.ini").write_text(ini(origin.port, changes))
        await node.service.reload(Configuration.load(pki.folder / "other.ini", node.service.configuration))
        assert await statuses(node, "") == [200]
        await node.events.take(3)


@frozen
class Needing:
    """What is no stage, for it does not decide."""

    name: str
    needs: Any


def node_with(pki: PKI, origin: Origin, stages: Sequence[Stage | Placed], changes: Changes | None = None) -> Node:
    """A node in a program that gives it stages, not started yet."""
    from twisted.internet import reactor

    events = Events()
    configuration = Configuration.from_text(ini(origin.port, changes), pki.folder, {})
    return Node(EdgeService(configuration, reactor, events, stages=stages), events, pki)


async def test_a_program_gives_stages_with_their_places(pki: PKI, origin: Origin) -> None:
    """In every path map and after every reload; a section without a factory says where, and lets skip and path maps
    name it."""
    changes: Changes = {
        "stage declared": {"after": "tagging"},
        "action exempt": {"type": "skip", "skip": "declared"},
        "global-filter exempting": {"path": "^/exempt", "action": "exempt"},
        "security-policy all": {"path-maps": "health all"},
        "path-map health": {"path": "^/health$", "origin": "origin", "stages": "none"},
    }
    last, declared, first = (Counting(name, Keys(most=9)) for name in ("last", "declared", "first"))
    node = node_with(pki, origin, [last, declared, Placed(first, before="inspection")], changes)
    node.start()
    try:
        assert await statuses(node, "", "health") == [200, 200]
        everything, health = await node.events.take(2)
        assert [*everything["stages"]] == ["tagging", "declared", "global-filters", "first", "last"]
        assert [*health["stages"]] == ["tagging", "global-filters", "first", "last"]
        await node.reload(origin, changes)
        assert await statuses(node, "") == [200]
        assert (last.count, declared.count, first.count) == (3, 2, 3)
        await node.events.take()
        with pytest.raises(ConfigurationError, match=r"\[stage else\] factory: this key is required"):
            await node.reload(origin, {**changes, "stage else": {}})
    finally:
        await node.stop()


@pytest.mark.parametrize(
    ("stages", "changes", "sentence"),
    [
        ([], {"stage declared": {}}, r"\[stage declared\] factory: this key is required: no program gives the stage"),
        (
            [Counting("by-ini")],
            {"stage by-ini": {"factory": f"{HERE}:counting"}},
            r"\[stage by-ini\] factory: the program gives one as well",
        ),
        ([Counting("twice"), Counting("twice")], {}, "the program gives two stages of one name"),
    ],
)
def test_stages_that_do_not_fit_the_configuration(
    pki: PKI, origin: Origin, stages: list[Stage], changes: Changes, sentence: str
) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigurationError, match=sentence):
        node_with(pki, origin, stages, changes)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((Counting("x"), "global-filter"), "there is no built-in stage global-filter: there are tagging"),
        ((Counting("x"), "inspection", "tagging"), "before another or after one, and not both"),
        ((Counting("x"), "tagging"), "the automatic tags come first"),
        ((Counting("global-filters"),), "global-filters is the name of a built-in stage"),
        ((Counting("acl"),), "acl is the name of a built-in stage"),
        ((object(),), "a stage has a name, and a set of what it needs"),
        ((Counting(""),), "a stage has a name, and a set of what it needs"),
        ((Needing("x", {7}),), "the stage x needs what there is not: 7"),
        ((Needing("x", frozenset()),), "the stage x has no method decide"),
    ],
)  # fmt: skip
def test_a_stage_has_a_name_and_a_place(arguments: tuple[Any, ...], sentence: str) -> None:
    """An error where it is placed, and no surprise later."""
    with pytest.raises(ValueError, match=sentence):
        Placed(*arguments)


async def test_a_sink_lives_with_the_node(pki: PKI, origin: Origin) -> None:
    """Besides the events of the program; what a reload takes away ends, and what it brings begins."""
    Keeping.all.clear()
    async with started(pki, origin, {"sink one": {"factory": f"{HERE}:Keeping"}}) as node:
        (one,) = Keeping.all
        assert one.running
        assert await statuses(node, "") == [200]
        await node.events.take()
        assert one.kept == [200]
        await node.reload(origin, {"sink two": {"factory": f"{HERE}:Keeping"}})
        _, two = Keeping.all
        assert (one.running, two.running) == (0, 1)
        assert await statuses(node, "") == [200]
        await node.events.take()
        assert (one.kept, two.kept) == ([200], [200])
    assert not two.running


@frozen
class FileKeys:
    """Which file."""

    file: str = setting("The file.")


@implementer(IEventSink)
class Exclusive(Service):
    """Writes to a file that nobody else may have open."""

    files: ClassVar[dict[str, list[str]]] = {}
    open: ClassVar[list[str]] = []
    made: ClassVar[list[Exclusive]] = []

    def __init__(self, name: str, keys: FileKeys) -> None:
        self.name = name
        self._file = keys.file
        self.made.append(self)

    def startService(self) -> None:
        """Open it."""
        super().startService()
        assert self._file not in self.open
        self.open.append(self._file)

    def stopService(self) -> None:
        """Close it."""
        super().stopService()
        self.open.remove(self._file)

    def record(self, record: Record) -> None:
        """Write the target."""
        assert self.running
        request = record.exchange.request
        assert request is not None
        self.files.setdefault(self._file, []).append(request.target.decode())


async def test_reloads_lose_no_event_of_a_sink_and_double_none(pki: PKI, origin: Origin) -> None:
    """Of the same section it is the same sink, opened once; of a changed one the old is closed before the new is
    opened, and that has the events of requests that were under way. Who loads it need not think of that."""

    class Holding:
        name = "holding"
        needs: frozenset[str] = frozenset()
        held: ClassVar[list[Deferred[Decision]]] = []

        def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
            request = exchange.request
            if request is None or not request.path.startswith(b"/held"):
                return NOTHING
            self.held.append(Deferred())
            return self.held[-1]

    def sinks(*files: str) -> Changes:
        return {f"sink {file[0]}": {"factory": f"{HERE}:Exclusive", "file": file} for file in files}

    async def release() -> None:
        for each in Holding.held:
            each.callback(NOTHING)
        Holding.held.clear()
        for answer in asked:
            assert await answer == [200]
        asked.clear()

    Exclusive.files.clear()
    Exclusive.made.clear()
    asked: list[Deferred[list[int]]] = []
    node = node_with(pki, origin, [Holding()], sinks("a", "b1"))
    node.start()
    try:
        for number, files in enumerate((("a", "b1"), ("a", "b2"), ("a", "b2", "c"), ("a", "b1"))):
            asked.append(Deferred.fromCoroutine(statuses(node, f"held{number}")))
            await until(lambda: len(Holding.held) == len(asked))
            await node.reload(origin, sinks(*files))
            assert await statuses(node, f"asked{number}") == [200]
            assert sorted(Exclusive.open) == sorted(files)
        await release()
        await node.events.take(8)
    finally:
        await node.stop()
    every = sorted([f"/held{number}" for number in range(4)] + [f"/asked{number}" for number in range(4)])
    assert sorted(Exclusive.files["a"]) == every
    assert sorted(Exclusive.files["b1"] + Exclusive.files["b2"]) == every
    assert Exclusive.files["b2"] == ["/asked1", "/asked2"]
    assert Exclusive.files["c"] == ["/asked2"]
    assert Exclusive.open == []


async def test_a_stage_is_kept_whoever_loads_the_configuration(pki: PKI, origin: Origin) -> None:
    """As by ``before=``: what it has counted goes on; with other keys it is a new one."""
    changes: dict[str, dict[str, str | None]] = {"stage tally": {"factory": f"{HERE}:counting", "most": "1"}}
    async with started(pki, origin, changes) as node:
        assert await statuses(node, "") == [200]
        await node.reload(origin, changes)
        assert await statuses(node, "") == [429]
        changes["stage tally"]["most"] = "2"
        await node.reload(origin, changes)
        assert await statuses(node, "") == [200]
        await node.events.take(3)


async def test_two_ports_of_one_configuration_share_its_sinks(pki: PKI, origin: Origin) -> None:
    """A sink is opened with the first port, and closed when the last is over, so that no port loses its events."""
    from twisted.internet import reactor

    Keeping.all.clear()
    changes: Changes = {"sink one": {"factory": f"{HERE}:Keeping"}}
    configuration = Configuration.from_text(ini(origin.port, changes), pki.folder, {}, requests=False)
    endpoint = EdgeEndpoint(reactor, configuration, "public")
    (sink,) = Keeping.all
    ports: list[Any] = [await endpoint.listen(Factory.forProtocol(Protocol)) for _ in range(2)]
    for port in ports:
        await in_thread(lambda number: Client(number, "open.test").close(), port.getHost().port)
    await until(lambda: sink.kept == [0, 0])
    assert sink.starts == 1
    for port in ports:
        await port.stopListening()
        await port.when_over()
        assert bool(sink.running) == (port is ports[0])


async def test_a_sink_that_fails_takes_no_record_from_another(
    pki: PKI, origin: Origin, flush_logged_errors: Callable[..., list[Failure]]
) -> None:
    """The exchange goes on, the others get the record, and the log says it once; when the sink ends, with the node or
    by a reload, how many were lost."""
    Keeping.all.clear()
    changes: Changes = {"sink bad": {"factory": f"{HERE}:Failing"}, "sink good": {"factory": f"{HERE}:Keeping"}}
    with capturedLogs() as logged:
        async with started(pki, origin, changes) as node:
            assert await statuses(node, "", "") == [200, 200]
            await node.reload(origin, changes)
            assert await statuses(node, "") == [200]
            await node.reload(origin, {"sink worse": {"factory": f"{HERE}:Failing"}})
            assert await statuses(node, "", "") == [200, 200]
            await node.events.take(5)
            assert Keeping.all[0].kept == [200, 200, 200]
    assert len(flush_logged_errors(RuntimeError)) == 2
    told = [(each["name"], each["count"]) for each in logged if str(each.get("name")).startswith("[sink")]
    assert told == [("[sink bad]", 1), ("[sink bad]", 3), ("[sink worse]", 1), ("[sink worse]", 2)]


_forward: Any = Forward
_respond: Any = Respond
_response: Any = Response  # without their types


@pytest.mark.parametrize(
    "what",
    [
        RuntimeError("of an action"),
        None,
        "Close",
        Respond(Response(200, ((b"x", b"a\r\nSet-Cookie: b=c"),))),
        Respond(Response(200, ((b"x: y\r\nz", b"a"),))),
        Respond(Response(99)),
        Forward(((b"x", b"a\nb"),)),
        Forward(((b"Authorization", b"none"),)),
        Forward(((b"content-length", b"9"),)),
        Forward(((b"host", b"other.test"),)),
        _forward("headers"),
        _forward(iter(())),
        Respond(Response(200, ((b"Transfer-Encoding", b"chunked"),), b"x")),
        Respond(Response(200, ((b"content-length", b"1"),), b"xy")),
        Respond(_response(200, (("x", "y"),))),
        Respond(_response(200.5)),
        Respond(_response("200")),
        Respond(_response(200, (), "text")),
        _respond(None),
        defer.succeed(Close()),
    ],
    ids=lambda bad: repr(bad).partition(" at 0x")[0],
)  # fmt: skip
async def test_an_action_that_fails_lets_nobody_pass(
    pki: PKI, origin: Origin, flush_logged_errors: Callable[..., list[Failure]], what: Any
) -> None:
    """It raises, comes to what is no outcome, or sets what would be another header: 503 in any case."""

    class Proposing:
        name = "proposing"
        needs: frozenset[str] = frozenset()

        def decide(self, exchange: Exchange) -> Decision:
            return Decision(action=Odd("odd", what=what))

    node = node_with(pki, origin, [Proposing()], {"edge": {"failure": "open"}})
    node.start()
    try:
        assert await statuses(node, "") == [503]
        (event,) = await node.events.take()
        assert event["action"] == "odd"
    finally:
        await node.stop()
    assert len(flush_logged_errors(RuntimeError, TypeError, ValueError, AttributeError)) == 1


async def test_a_stage_may_wait_and_close(pki: PKI, origin: Origin) -> None:
    """A Deferred of its own, and an outcome without an answer."""

    class Waiting:
        name = "waiting"
        needs: frozenset[str] = frozenset()

        def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
            request = exchange.request
            if request is not None and request.path == b"/close":
                return defer.succeed(Decision(action=Odd("gone", what=Close())))
            return NOTHING

    node = node_with(pki, origin, [Placed(Waiting(), after="tagging")])
    node.start()
    try:
        assert await statuses(node, "", "close") == [200, 0]
        assert [event["status"] for event in await node.events.take(2)] == [200, 444]
    finally:
        await node.stop()
