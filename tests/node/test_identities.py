"""Which certificate an origin is presented after a reload."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from edgenode.node import identities
from edgenode.proxy.origin.server import Server


def origin(*servers: str) -> Any:
    """An origin with these servers."""
    found = tuple(map(Server.from_text, servers))
    return SimpleNamespace(servers=found, server_name=None, stream=False)


@pytest.mark.parametrize(
    ("after", "stays"),
    [
        (["https://a.test"], True),
        (["https://a.test weight=2"], True),
        (["https://b.test", "https://a.test backup"], True),
        (["https://b.test"], False),
        (["https://a.test:8443"], False),
    ],
)
def test_a_server_that_stays_keeps_its_certificate_until_its_verdict(after: list[str], stays: bool) -> None:
    """An edit of the servers beside it does not put one into use that may have been refused."""
    known = cast(Any, SimpleNamespace(origin=origin("https://a.test")))
    assert identities.stays(known, origin(*after), cast(Any, object())) is stays
