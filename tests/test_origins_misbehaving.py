"""A node before an origin that misbehaves: the client gets 502, 504, or a response that is cut; the event says why."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.misbehaviours import MISBEHAVIOURS, MOMENT, misbehaving
from tests.node import PKI, Node, Origin, get, in_thread, running

pytestmark = pytest.mark.lasting

PAGES = {502: b"502 Bad Gateway\n", 504: b"504 Gateway Timeout\n"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Node]:
    """A node before the misbehaving origin."""
    with (
        Origin(pki, misbehaving()) as origin,
        running(pki, origin, {"origin origin": {"read-timeout": "400ms"}}) as node,
    ):
        yield node


def ask(node: Node, path: str) -> tuple[int, bytes, bytes, str]:
    """Ask for a path, and then, unless the node closes, for another.

    :return: status and body, the other's body, and how the node closed.
    """
    with node.client() as client:
        answer = client.ask(get(path))
        while answer.status < 200:
            answer = client.answer()
        time.sleep(MOMENT)
        other = b"" if client.ended else client.ask(get("/well")).body
        return answer.status, answer.body, other, client.ended


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_whatever_the_origin_does_the_client_gets_one_clear_answer(node: Node, name: str) -> None:
    """A bad head is 502, silence is 504, a bad body is a cut response; what follows is right again."""
    expected = MISBEHAVIOURS[name]
    node.events.told.clear()
    status, body, other, ended = await in_thread(ask, node, f"/{name}")
    assert status == expected.status
    event = (await node.events.take(1 if ended else 2))[0]
    if status in PAGES:
        assert body == PAGES[status]
        assert expected.reason in event["error"]["reason"]
        assert (event["error"]["fault"], event["error"]["status"]) == ("origin", status)
        assert other == b"ok"
    elif expected.reason:
        assert ended == "cut"
        assert expected.reason in event["error"]["reason"]
    else:
        assert (body, other, event["error"]) == (expected.body, b"ok", None)
