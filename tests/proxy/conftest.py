"""What holds in every test of the proxy: a connection to a client goes only where the table of its states says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from edgenode.proxy.http1.server import ServerConnection
from edgenode.proxy.http1.states import TRANSITIONS, State


@pytest.fixture(autouse=True, scope="session")
def lawful_states() -> Iterator[None]:
    """Fails where a connection takes a way that is not in the table."""
    slot: Any = ServerConnection.__dict__["state"]

    def get(connection: ServerConnection) -> State:
        state: State = slot.__get__(connection)
        return state

    def set_(connection: ServerConnection, state: State) -> None:
        before = _state_of(slot, connection)
        assert before is None or state in TRANSITIONS[before].values(), f"from {before!r} to {state!r}"
        slot.__set__(connection, state)

    type.__setattr__(ServerConnection, "state", property(get, set_))
    yield
    type.__setattr__(ServerConnection, "state", slot)


def _state_of(slot: Any, connection: ServerConnection) -> State | None:
    try:
        state: State = slot.__get__(connection)
    except AttributeError:
        return None  # it is being made
    return state
