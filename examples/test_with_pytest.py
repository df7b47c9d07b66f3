"""A test of a site and of a protocol with pytest, without sockets: ``python -m pytest examples/test_with_pytest.py``.

The coroutine needs pytest-twisted; the others do not.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
import pytest_twisted
from treq.client import HTTPClient

from edgenode.testing import FakeOrigin, MemoryNode, Sandbox, exchange_of, identity

RULES = """
[global-filter scripts]
header.user-agent = ^curl/
action            = forbid

[action forbid]
type   = block
status = 403
"""


@pytest.fixture
def sandbox(tmp_path: pathlib.Path) -> Sandbox:
    """Certificates, and a configuration that they fit."""
    return Sandbox.make(tmp_path)


@pytest.fixture
def node(sandbox: Sandbox) -> Iterator[MemoryNode]:
    """A node with these rules, in front of an origin that says ok."""
    with MemoryNode(sandbox.configuration(RULES), {"app": FakeOrigin()}) as node:
        yield node


def test_scripts_are_refused(node: MemoryNode) -> None:
    """Others are not."""
    client = node.client("www.test")
    assert client.get("/", [("User-Agent", "curl/8.5")]).status == 403
    assert client.get("/", [("User-Agent", "Firefox")]).body == b"ok"


def test_the_pipeline_alone(sandbox: Sandbox) -> None:
    """No node is needed to ask what rules think of a request."""
    pipeline = sandbox.configuration(RULES).pipeline("all")
    alice = identity(sandbox.clients.issue("alice"))
    decision = pipeline.decide(exchange_of("GET", "https://www.test/", [("User-Agent", "curl/8.5")], client=alice))
    assert decision.action.name == "forbid"
    assert "cert-subject:cn-alice" in decision.tags


@pytest_twisted.ensureDeferred
async def test_treq(node: MemoryNode) -> None:
    """The client of a node is an agent of Twisted's."""
    response = await HTTPClient(node.client("www.test")).get("https://www.test/")
    assert await response.text() == "ok"
