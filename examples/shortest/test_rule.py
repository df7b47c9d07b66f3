"""A test of a rule, without sockets: ``python -m pytest examples/shortest/test_rule.py``."""

from __future__ import annotations

import pathlib

from edgenode.testing import FakeOrigin, MemoryNode, Sandbox

RULES = """
[global-filter scripts]
header.user-agent = ^curl/
action            = forbid
[action forbid]
type = block
"""


def test_scripts_are_refused(tmp_path: pathlib.Path) -> None:
    """The origin does not hear of them."""
    origin = FakeOrigin()
    with MemoryNode(Sandbox.make(tmp_path).configuration(RULES), {"app": origin}) as node:
        assert node.client("www.test").get("/", [("User-Agent", "curl/8.5")]).status == 403
        assert not origin.requests
