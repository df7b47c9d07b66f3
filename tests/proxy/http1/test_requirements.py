"""The requirements of RFC 9112 and RFC 9110, each put to a live node with an origin behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from attrs import frozen

from tests.support.http1_requirements import ROWS, Requirement
from tests.support.node import OK, PKI, Client, Node, Origin, Served, get, in_thread, running

pytestmark = pytest.mark.lasting


@frozen(eq=False)
class Front:
    """A node and its origin."""

    node: Node
    origin: Origin


def _behave(served: Served) -> None:
    """Answer as the row says that a request names; any other is answered well."""
    while request := served.request():
        row = re.search(rb"X-Row: (\d+)\r\n", request)
        answer = OK if row is None else ROWS[int(row[1])].answer
        served.send(answer)
        if b"Connection: close" in answer or b"Transfer-Encoding" in answer[:30]:
            return


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A node and its origin."""
    pki = PKI.make(tmp_path_factory.mktemp("pki"))
    with Origin(pki, _behave) as origin, running(pki, origin) as node:
        yield Front(node, origin)


def _ask(node: Node, number: int, row: Requirement) -> tuple[int, bytes, bool]:
    """The status, all of the answer, and whether the connection ended with it."""
    with node.client() as client:
        client.send(row.request.replace(b"ROW", b"X-Row: %d" % number))
        received = b""
        while True:
            answer = client.answer(row.request.lstrip().partition(b" ")[0].decode("ascii"))
            received += answer.head + answer.body
            if answer.status == 100:
                client.send(b"hi")
            if answer.status >= 200:
                return answer.status, received, _ends(client)


def _ends(client: Client) -> bool:
    if client.ended:
        return True
    client.send(get("/next"))
    try:
        return client.answer().body != b"ok"
    except EOFError:
        return True


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda n: f"{ROWS[n].section} {ROWS[n].sentence}")
async def test_requirement(front: Front, number: int) -> None:
    """The answer has its status and its fields, the origin gets what it has to; it ends when it must."""
    row = ROWS[number]
    status, answered, ended = await in_thread(_ask, front.node, number, row)
    front.node.events.told.clear()
    arrived = b"".join(request for request in front.origin.take() if not request.startswith(b"GET /next "))
    assert status == row.status
    assert row.unmet(arrived, answered) == []
    assert ended == row.ends


def test_most_requirements_are_here() -> None:
    """As many as there are, less those for others; none of them twice."""
    assert len({(row.section, row.sentence) for row in ROWS}) == len(ROWS) > 90
