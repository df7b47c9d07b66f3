"""The table of rooms: who may import whom, read from the source and not from what happens to be loaded."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgenode

ROOT = Path(edgenode.__path__[0])
HALLWAY = frozenset(("exchange", "decision", "errors", "interfaces", "settings"))
MAY_IMPORT = {
    "hallway": frozenset[str](),
    "rules": frozenset(("hallway",)),
    "policy": frozenset(("hallway", "rules")),
    "state": frozenset(("hallway",)),
    "tls": frozenset(("hallway",)),
    "proxy": frozenset(("hallway", "rules", "policy", "tls")),
    "config": frozenset(("hallway", "rules", "policy", "state", "tls", "proxy")),
}
"""What each room may import besides itself; the front door, whatever is in no room, may import everything."""

PURE = ("rules", "policy")
TWISTED_IN_PURE = frozenset(("twisted.internet.defer", "twisted.logger"))
NOT_IN_PURE = frozenset(
    """
    OpenSSL treq httptools time os io pathlib shutil tempfile socket ssl select selectors signal subprocess threading
    multiprocessing asyncio random secrets builtins importlib
    """.split()  # noqa: SIM905
)
"""The reactor, the network, the clock, the environment and the file system; and the ways around this test."""

MODULES = sorted(path for path in ROOT.rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a module of ours, named without ``edgenode.``."""
    first = module.partition(".")[0]
    if first in HALLWAY:
        return "hallway"
    return first if first in MAY_IMPORT else "front door"


def imports(source: str) -> Iterator[str]:
    """Every module that is imported anywhere in a source, in functions and under conditions too.

    ``from x import y`` may import the module ``x.y``, so both are named.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named(path: Path) -> str:
    """The name of a module of ours, without ``edgenode.``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def misplaced(room: str, source: str) -> list[str]:
    """The imports that a module in a room may not have."""
    found = []
    for imported in imports(source):
        package, _, rest = imported.partition(".")
        if package == "edgenode" and rest:
            other = room_of(rest)
            if room in MAY_IMPORT and other != room and other not in MAY_IMPORT[room]:
                found.append(imported)
        elif room in PURE and (package in NOT_IN_PURE or (package == "twisted" and not _of_twisted(imported))):
            found.append(imported)
    return found


def _of_twisted(imported: str) -> bool:
    return any(f"{imported}.".startswith(f"{allowed}.") or allowed == imported for allowed in TWISTED_IN_PURE)


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_every_room_imports_only_what_it_may(path: Path) -> None:
    """No module imports from a room that its own does not stand on."""
    assert misplaced(room_of(named(path)), path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("rules", "from edgenode.policy import actions"),
        ("rules", "import edgenode.tls.policies"),
        ("hallway", "from edgenode.rules.sections import Section"),
        ("hallway", "from edgenode import service"),
        ("policy", "def f():\n    from twisted.internet import reactor"),
        ("policy", "import twisted.web.http"),
        ("rules", "if True:\n    import time"),
        ("rules", "from os import environ"),
        ("policy", "from OpenSSL import SSL"),
        ("tls", "from edgenode.proxy.routing import PathMap"),
        ("proxy", "import edgenode.config.schema"),
        ("config", "from edgenode.node.service import EdgeService"),
    ],
)
def test_the_test_sees_what_it_forbids(room: str, source: str) -> None:
    """Each kind of forbidden import is found, wherever in a module it stands."""
    assert misplaced(room, source)


def test_settings_stand_in_the_hallway() -> None:
    """Every room may describe its settings, and settings know no room."""
    assert all("hallway" in allowed for room, allowed in MAY_IMPORT.items() if room != "hallway")
    assert room_of("settings") == "hallway"
