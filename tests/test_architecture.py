"""The table of rooms in ``docs/architecture.rst``, against what every module imports: read from the source, not from
what happens to be loaded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import edgenode

ROOT = Path(edgenode.__path__[0])
PAGE = ROOT.parent / "docs" / "architecture.rst"
TOP = frozenset(("edgenode", "edgenode.__main__"))
"""The modules that stand in no room."""

PURE = ("rules", "policy")
TWISTED_IN_PURE = frozenset(("twisted.internet.defer", "twisted.logger"))
NOT_IN_PURE = frozenset(
    """
    OpenSSL treq httptools time os io pathlib shutil tempfile socket ssl select selectors signal subprocess threading
    multiprocessing concurrent asyncio random secrets builtins importlib
    """.split()  # noqa: SIM905
)
"""The reactor, the network, the clock, the environment and the file system; and the ways around this test."""

STATE = "edgenode.state.interface"
"""All that pure rooms may know of the room of states."""

VERSIONS = ("edgenode.proxy.http1", "edgenode.proxy.http2.server", "edgenode.proxy.http2.client")
FACTORIES = frozenset(("edgenode.proxy.listener.speakers", "edgenode.proxy.origin.opening"))
"""The modules that may name a version of HTTP: the factories of a listener's and of an origin's connections."""


def table(page: str) -> dict[str, frozenset[str]]:
    """What each room may import besides itself, as the page says, in its order."""
    rows = page.partition(".. list-table:: Rooms\n")[2].partition("\n\n``")[0].split("   * - ")[2:]
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        name, *_, imports = (cell.strip() for cell in row.strip().split("\n     - "))
        words = frozenset(re.findall("``([a-z]+)``", imports))
        assert words or imports in ("all above", "nothing of ours"), imports
        found[name.strip("`")] = frozenset(found) if imports == "all above" else words
    return found


ROOMS = table(PAGE.read_text(encoding="utf-8"))


def named(path: Path) -> str:
    """The name of a module of ours."""
    return ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


MODULES: Mapping[str, str] = {named(path): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}
"""The source of every module, by its name."""


def room_of(module: str) -> str:
    """The room of a module of ours, empty for none."""
    return module.split(".")[1] if module not in TOP else ""


def imports(source: str) -> Iterator[str]:
    """Every module that is imported anywhere in a source, in functions and under conditions too.

    ``from x import y`` imports the module ``x.y`` if there is one of ours, else ``x``.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                ours = node.module.partition(".")[0] == ROOT.name
                yield whole if whole in MODULES or not ours else node.module


def misplaced(module: str, source: str) -> list[str]:
    """The imports that a module may not have."""
    room, found = room_of(module), []
    for imported in imports(source):
        package = imported.partition(".")[0]
        if package == ROOT.name:
            if (
                imported in TOP
                or room_of(imported) not in ROOMS[room] | {room}
                or (room in PURE and room_of(imported) == "state" and imported != STATE)
                or (
                    module not in FACTORIES
                    and any(_within(imported, version) and not _within(module, version) for version in VERSIONS)
                )
            ):
                found.append(imported)
        elif room in PURE:
            of_twisted = package == "twisted" and not any(_within(imported, allowed) for allowed in TWISTED_IN_PURE)
            if of_twisted or package in NOT_IN_PURE:
                found.append(imported)
    return found


def _within(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def circles(graph: Mapping[str, frozenset[str]]) -> set[frozenset[str]]:
    """The sets of modules of which each imports every other, if not by itself then through others."""
    reached = {module: _reached(graph, module) for module in graph}
    return {
        frozenset({module} | {other for other in reached[module] if module in reached.get(other, ())})
        for module in graph
        if module in reached[module]
    }


def _reached(graph: Mapping[str, frozenset[str]], module: str) -> set[str]:
    found, waiting = set[str](), [module]
    while waiting:
        fresh = graph.get(waiting.pop(), frozenset()) - found
        found |= fresh
        waiting += fresh
    return found


def test_every_module_has_a_room() -> None:
    """The rooms of the table are the folders of the package, and outside of them stand two modules."""
    assert {room_of(module) for module in MODULES if module not in TOP} == ROOMS.keys()
    assert {named(path) for path in ROOT.glob("*.py")} == TOP


def test_a_room_knows_only_those_above_it() -> None:
    """The order of the table is an order of rooms: each imports from those before it alone."""
    seen: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= seen, room
        seen.add(room)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - TOP))
def test_every_module_imports_only_what_its_room_may(module: str) -> None:
    """No module imports from a room that its own does not stand on."""
    assert misplaced(module, MODULES[module]) == []


def test_no_import_leads_in_a_circle() -> None:
    """No module imports itself through others."""
    graph = {module: frozenset(imports(source)) & MODULES.keys() for module, source in MODULES.items()}
    assert circles(graph) == set()


def test_packages_are_empty() -> None:
    """The ``__init__`` of a room is a docstring: what is in it would be imported with every module of the room. That of
    the tools for tests has their names, and imports none of them."""
    for path in ROOT.rglob("*/__init__.py"):
        if path.parent.name == "testing":
            continue
        assert [type(node) for node in ast.parse(path.read_text()).body] == [ast.Expr], path


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("edgenode.rules.sections", "from edgenode.policy import actions"),
        ("edgenode.rules.sections", "import edgenode.tls.policies"),
        ("edgenode.model.exchange", "from edgenode.rules.sections import Section"),
        ("edgenode.model.exchange", "from edgenode import node"),
        ("edgenode.node.service", "from edgenode import Configuration"),
        ("edgenode.node.service", "import edgenode"),
        ("edgenode.policy.actions", "def f():\n    from twisted.internet import reactor"),
        ("edgenode.policy.actions", "import twisted.web.http"),
        ("edgenode.rules.sections", "if True:\n    import time"),
        ("edgenode.rules.sections", "from os import environ"),
        ("edgenode.policy.actions", "from OpenSSL import SSL"),
        ("edgenode.tls.policies", "if TYPE_CHECKING:\n    from edgenode.proxy.routing import PathMap"),
        ("edgenode.proxy.routing", "import edgenode.config.schema"),
        ("edgenode.config.load", "from edgenode.node.service import EdgeService"),
        ("edgenode.config.load", "from edgenode.net.poller import Poller"),
        ("edgenode.proxy.routing", "from edgenode.proxy.http1 import server"),
        ("edgenode.proxy.routing", "from edgenode.proxy.http1.server import ServerConnection"),
        ("edgenode.simulation.simulator", "from edgenode.commands import explain"),
    ],
)
def test_the_test_sees_what_it_forbids(module: str, source: str) -> None:
    """Each kind of forbidden import is found, wherever in a module it stands."""
    assert misplaced(module, source)


def test_the_test_sees_circles() -> None:
    """A circle is found whole, by way of any number of modules, and what only leads to it is not in it."""
    graph = {"a": "b", "b": "c", "c": "ad", "d": "", "e": "a", "f": "f"}
    sets = {module: frozenset(others) for module, others in graph.items()}
    assert circles(sets) == {frozenset("abc"), frozenset("f")}
    source = "def f():\n    from edgenode.rules import sections\nif TYPE_CHECKING:\n    import edgenode.rules.lists"
    assert list(imports(source)) == ["edgenode.rules.sections", "edgenode.rules.lists"]
