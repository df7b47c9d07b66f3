"""A node before an origin that misbehaves: the client gets 502 or 504, or a response that is cut; the event says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.misbehaviours import MISBEHAVIOURS
from tests.node import PKI, Client, Node, Origin, get, in_thread, running

pytestmark = pytest.mark.lasting

PAGES = {502: b"502 Bad Gateway\n", 504: b"504 Gateway Timeout\n"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> PKI:
    """The certificates."""
    return PKI.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Node]:
    """A node before the misbehaving origin."""
    from tests.misbehaviours import misbehaving

    with (
        Origin(pki, misbehaving()) as origin,
        running(pki, origin, {"origin origin": {"read-timeout": "400ms"}}) as node,
    ):
        yield node


def ask(client: Client, path: str) -> tuple[int, bytes, bytes]:
    """Ask for a path, and then, unless the node has closed, for another: status and body, and the body of the other."""
    answer = client.ask(get(path))
    if client.ended:
        return answer.status, answer.body, b""
    return answer.status, answer.body, client.ask(get("/well")).body


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_whatever_the_origin_does_the_client_gets_one_clear_answer(node: Node, name: str) -> None:
    """A bad head is 502, silence is 504, a bad body is a cut response; what follows is right again."""
    expected = MISBEHAVIOURS[name]
    with node.client() as client:
        status, body, other = await in_thread(ask, client, f"/{name}")
        ended = client.ended
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
