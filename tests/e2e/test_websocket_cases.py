"""WebSocket through the node, by HTTP/1.1 (RFC 6455) and by HTTP/2 (RFC 8441): what comes back is what comes back from
the origin alone, frame by frame, and ends alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import frozen

from tests.support.clients import Client, fields
from tests.support.http2_frames import Connection, Reply, get, headers
from tests.support.node import PKI, Node, Origin, in_thread, started
from tests.support.websocket_cases import FAMILIES, Case, echo, odd_lengths, read_frames

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@frozen
class Outcome:
    """What came back.

    :ivar extensions: that were agreed upon.
    :ivar received: all frames behind the handshake, see :func:`read_frames`.
    :ivar ended: whether the connection, or the stream, ended properly.
    """

    extensions: bytes
    received: list[tuple[int, bytes]]
    ended: bool


def _pieces(case: Case) -> list[bytes]:
    data, size = case.sent, case.piece or len(case.sent) or 1
    return [data[at : at + size] for at in range(0, len(data), size)]


def over_http1(client: Client, case: Case) -> Outcome:
    """Open a WebSocket on a connection of HTTP/1.1, and do what a case says."""
    with client:
        lines = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13"]
        if case.extensions:
            lines.append(f"Sec-WebSocket-Extensions: {case.extensions}")
        client.send("\r\n".join(("GET /ws HTTP/1.1", "Host: open.test", *lines, "\r\n")).encode())
        head = client.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert fields(head, "Sec-WebSocket-Accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
        for piece in _pieces(case):
            client.send(piece)
        received = client.rest()
        extensions = b", ".join(fields(head, "Sec-WebSocket-Extensions"))
        return Outcome(extensions, read_frames(received), client.ended == "close_notify")


def over_http2(connection: Connection, case: Case) -> Outcome:
    """Open a WebSocket on a stream of HTTP/2, and do what a case says."""
    with connection:
        # No client may ask for it before it has seen that the server allows it (RFC 8441, section 3).
        assert connection.until(lambda: connection.settings.get(8) == 1)
        number = connection.stream()
        more = [(b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
        if case.extensions:
            more.append((b"sec-websocket-extensions", case.extensions.encode()))
        connection.send(headers(number, get("/ws", "open.test", *more, method="CONNECT"), done=False))
        reply = connection.replies.setdefault(number, Reply())
        assert connection.until(lambda: reply.status), reply
        assert reply.status == 200, reply
        for piece in _pieces(case):
            connection.body(number, piece)
        connection.answer(number)
        extensions = [value for name, value in reply.fields if name == b"sec-websocket-extensions"]
        return Outcome(b", ".join(extensions), read_frames(reply.body), reply.ended and reply.reset is None)


def by(node: Node, version: str, case: Case) -> Outcome:
    """Do what a case says, through a node."""
    if version == "HTTP/1.1":
        return over_http1(node.client(), case)
    return over_http2(Connection.to(node.port), case)


def all_of(run: Callable[[Case], Outcome], cases: Sequence[Case]) -> list[Outcome]:
    """The outcome of each case."""
    with ThreadPoolExecutor(4) as threads:
        return list(threads.map(run, cases))


VERSIONS = pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])


@pytest.mark.deadline(120)
@pytest.mark.parametrize("family", FAMILIES)
@VERSIONS
async def test_the_node_adds_nothing(pki: PKI, version: str, family: str) -> None:
    """The origin's answer, its last word and its end arrive as they do without a node."""
    cases = FAMILIES[family]
    itself = pki.servers.issue("a client")
    with Origin(pki, echo) as origin:
        async with started(pki, origin) as node:

            def alone(case: Case) -> Outcome:
                return over_http1(Client(origin.port, "origin.test", chain=[itself]), case)

            def through(case: Case) -> Outcome:
                return by(node, version, case)

            expected = await in_thread(all_of, alone, cases)
            outcomes = await in_thread(all_of, through, cases)
            node.events.told.clear()
    assert all(each.received and each.ended for each in expected)
    wrong = [
        f"{case.name}: {outcome.extensions!r} {str(outcome.received)[-90:]} {outcome.ended}, alone "
        f"{right.extensions!r} {str(right.received)[-90:]}"
        for case, outcome, right in zip(cases, outcomes, expected, strict=True)
        if outcome != right
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


@VERSIONS
async def test_a_length_in_another_form_is_refused(pki: PKI, version: str) -> None:
    """What readers may take in two ways does not reach the origin: a protocol error (1002)."""
    with Origin(pki, echo) as origin:
        async with started(pki, origin) as node:
            outcomes = await in_thread(all_of, lambda case: by(node, version, case), list(odd_lengths()))
            node.events.told.clear()
    assert {tuple(each.received) for each in outcomes} == {((0x88, b"\x03\xea"),)}


def test_there_are_cases_of_every_kind() -> None:
    """A family that is lost by mistake is missed."""
    assert sum(map(len, FAMILIES.values())) > 400
    assert all(len({case.name for case in family}) == len(family) for family in FAMILIES.values())
