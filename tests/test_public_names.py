"""The public names of the package, as other people's programs and type checkers see them."""

from __future__ import annotations

import inspect
import os
import pathlib
import pydoc
import re
import subprocess
import sys
from types import FunctionType, ModuleType

import pytest

import edgenode
from edgenode import testing

ROOT = pathlib.Path(__file__).parent.parent
OUTSIDE = """
from __future__ import annotations

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from zope.interface import implementer

import edgenode
from edgenode import (
    NOTHING, Action, Body, ClientError, ClientIdentity, Close, Decision, Event, Exchange, Forward, IEdgeTransport,
    IEventSink, OriginError, OriginPool, Outcome, Reason, Record, Respond, Response, Stage, Verification, event_of,
)


class Quota:
    name = "quota"
    needs = frozenset(("body",))

    def decide(self, exchange: Exchange) -> Decision | Deferred[Decision]:
        client: ClientIdentity | None = exchange.connection.client
        verdict: Verification = exchange.connection.verification
        body: Body | None = None if exchange.request is None else exchange.request.body
        if client is None or not verdict.verified or body is None or not body.truncated:
            return NOTHING
        return Decision(frozenset(("greedy",)), (Reason(self.name, "size"),), Teapot("teapot"))


@frozen
class Teapot(Action):
    def outcome(self, exchange: Exchange) -> Outcome:
        if exchange.request is None:
            return Close()
        if exchange.request.method == b"BREW":
            return Respond(Response(418))
        return Forward(((b"x-brewed", b"no"),))


@implementer(IEventSink)
class Sink:
    def record(self, record: Record) -> None:
        error: ClientError | OriginError | None = record.error
        event: Event = event_of(record)
        status: int = event["status"] if error is None else error.status
        verify: str = event["certificate"]["verify"]


class Greeter(Protocol):
    def connectionMade(self) -> None:
        transport = self.transport
        assert IEdgeTransport.providedBy(transport)
        group: str = transport.server_group
        client: ClientIdentity | None = transport.client


def health(pool: OriginPool) -> int:
    return pool.open


stage: Stage = Quota()
sink: IEventSink = Sink()
"""


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module in (edgenode, testing) for name in module.__all__]
)
def test_every_public_name_is_there_and_documented(module: ModuleType, name: str) -> None:
    """A name in ``__all__`` can be had, is what its own module calls so, and says what it is."""
    found = getattr(module, name)
    assert name in dir(module)
    if inspect.isroutine(found) or inspect.isclass(found):
        assert found.__name__ == name
    if isinstance(found, (type(edgenode.IEventSink), type, FunctionType)):
        assert found.__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = edgenode.Nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = testing.Nothing  # type: ignore[attr-defined]


def test_importing_the_package_loads_no_room_and_no_reactor() -> None:
    """Whoever imports the package may still install the reactor of his choice, even with all public names."""
    program = (
        "import sys, edgenode\n"
        "dir(edgenode)\n"
        "assert not [name for name in sys.modules if name.startswith('edgenode.')]\n"
        "for name in edgenode.__all__: getattr(edgenode, name)\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_dir_and_help_show_the_public_names() -> None:
    """``dir(edgenode)`` has them all, and ``help(edgenode)`` says of each what it is."""
    assert set(edgenode.__all__) <= set(dir(edgenode))
    text = pydoc.plain(pydoc.render_doc(edgenode))
    for name in edgenode.__all__:
        found = getattr(edgenode, name)
        kind = "class " if inspect.isclass(found) else ""
        assert re.search(rf"\b{kind}{name}\b", text), name


def checked(tmp_path: pathlib.Path, source: str) -> tuple[int, str]:
    """What ``mypy --strict`` says of a program that is no part of the checkout."""
    (tmp_path / "mypy.ini").write_text("[mypy]\nplugins = mypy_zope:plugin\n")
    (tmp_path / "program.py").write_text(source)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "program.py"],
        cwd=tmp_path, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_what_stages_actions_and_sinks_need_for_their_annotations_is_public(tmp_path: pathlib.Path) -> None:
    """A program from outside with each of them passes ``mypy --strict``."""
    assert checked(tmp_path, OUTSIDE) == (0, "Success: no issues found in 1 source file\n")


MISTAKES = {
    "edgenode.FilteredResorce": 'has no attribute "FilteredResorce"',
    "from edgenode import Forwrad": 'has no attribute "Forwrad"',
    "health(edgenode.OriginPool.opened)": "incompatible type",
    "event: Event = event_of(None)": "incompatible type",
    "def f(event: Event) -> object: return event['statsu']": 'has no key "statsu"',
    "def g(transport: IEdgeTransport) -> str: return transport.group": 'has no attribute "group"',
}


def test_mistakes_are_seen_by_a_type_checker(tmp_path: pathlib.Path) -> None:
    """A misspelt name, key or attribute is an error of ``mypy --strict``, and not an object of any kind."""
    source = "\n".join((OUTSIDE, *MISTAKES))
    status, output = checked(tmp_path, source)
    assert status == 1
    first = source.count("\n") + 2 - len(MISTAKES)
    for line, said in enumerate(MISTAKES.values(), first):
        assert re.search(rf"^program.py:{line}: error: .*{re.escape(said)}", output, re.MULTILINE), (said, output)
