"""The corpus of downgraded requests before a live node: HTTP/2 in, judged by what a recording origin of HTTP/1.1
receives, byte for byte, as :mod:`tests.e2e.test_hostile_requests` does for HTTP/1.1."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve, frozen

from tests.e2e.test_hostile_requests import OURS
from tests.support.downgrades import CUT, DECLINED, EITHER, FAMILIES, REFUSED, SERVED, Downgrade
from tests.support.hostile import Arrival
from tests.support.hostile_places import LIMITS
from tests.support.http2_frames import DATA, END_STREAM, Connection, Reply, frame, get, headers
from tests.support.node import PKI, Origin, in_thread, started
from tests.support.rfc9112 import Malformed, Parsed, read_stream

CASE = b"x-case"
"""The field that every request has, to be found by."""

PROTOCOL_ERROR = 1


@frozen
class Told:
    """What a client was told.

    :ivar status: of the final response, 0 without one.
    :ivar reset: the code of RST_STREAM.
    :ivar alive: whether the connection served another request afterwards.
    """

    status: int
    reset: int | None
    alive: bool

    @property
    def refused(self) -> bool:
        return self.reset is not None or self.status >= 400

    def right(self, case: Downgrade) -> bool:
        """Whether that is what a client has to be told."""
        if case.end == REFUSED:
            return self.alive and (self.status == 400 or (self.status, self.reset) == (0, PROTOCOL_ERROR))
        if case.end == SERVED:
            return self.alive and (self.status, self.reset) == (200, None)
        return self.alive and (self.refused or (case.end == EITHER and self.status == 200))


def _send(port: int, number: int, case: Downgrade) -> Told:
    """Send a request on a connection of its own, and a good one after it."""
    with Connection.to(port) as connection:
        stream = connection.stream()
        fields = (*case.fields, (CASE, b"%d" % number))
        data = headers(stream, fields, case.body is None and case.trailers is None)
        if case.body is not None:
            data += frame(DATA, END_STREAM if case.trailers is None else 0, stream, case.body)
        if case.trailers is not None:
            data += headers(stream, case.trailers)
        connection.send(data)
        reply = connection.answer(stream)
        follower = Reply() if connection.lost else connection.ask(get(f"/follower-{number}"))
        return Told(reply.status, reply.reset, follower.status == 200)


def send_all(port: int, cases: Sequence[Downgrade]) -> list[Told]:
    """Send every case; what each client was told."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(_send, [port] * len(cases), range(len(cases)), cases))


def _arrival(message: Parsed) -> Arrival:
    fields = tuple(each for each in message.fields if each[0] not in {*OURS, CASE, b"connection", b"te", b"trailer"})
    (host,) = message.values(b"host")
    return Arrival(message.start[0], message.start[1], message.body, fields, host)


def judge(connections: Sequence[bytes], cases: Sequence[Downgrade], told: Sequence[Told]) -> list[str]:
    """All that is wrong."""
    arrived: dict[int, list[Arrival]] = {}
    wrong = []
    for received in connections:
        try:
            stream = read_stream(received)
        except Malformed as error:
            wrong.append(f"malformed bytes were delivered: {error}: {received[:300]!r}")
            continue
        for message in stream.messages:
            if marks := message.values(CASE):
                arrived.setdefault(int(marks[0]), []).append(_arrival(message))
            elif not message.start[1].startswith(b"/follower-"):
                wrong.append(f"nobody sent {message}")
        if stream.rest and not any(f"{CASE.decode()}: {number}\r\n".encode() in stream.rest.lower()
                                   for number, case in enumerate(cases) if case.end in (CUT, EITHER)):  # fmt: skip
            wrong.append(f"a request that was not to begin: {stream.rest!r}")
    for number, (case, each) in enumerate(zip(cases, told, strict=True)):
        expected = {SERVED: [[case.arrival]], EITHER: [[case.arrival], []]}.get(case.end, [[]])
        if arrived.get(number, []) not in expected:
            wrong.append(f"{case.name}: arrived {arrived.get(number)} instead of {case.arrival}")
        if not each.right(case):
            wrong.append(f"{case.name}: {case.end}: {each}")
    return wrong


@pytest.mark.deadline(120)
@pytest.mark.parametrize("family", FAMILIES)
async def test_what_arrives_is_what_may_arrive(pki: PKI, family: str) -> None:
    """Every request that is right arrives as it is, every other is a stream error or 400; connections go on."""
    cases = FAMILIES[family]
    with Origin(pki) as origin:
        async with started(pki, origin, LIMITS) as node:
            told = await in_thread(send_all, node.port, cases)
            node.events.told.clear()
    wrong = judge([bytes(each) for each in origin.connections], cases, told)
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


def test_the_corpus_is_large() -> None:
    """Hundreds of requests: a family that is lost by mistake is missed."""
    cases = [case for family in FAMILIES.values() for case in family]
    assert sum(case.end in (REFUSED, DECLINED, CUT) for case in cases) > 700
    assert sum(case.end == SERVED for case in cases) > 25
    assert all(len({case.name for case in family}) == len(family) for family in FAMILIES.values())


def test_the_judge_sees_what_is_wrong() -> None:
    """A request that is smuggled, one that arrives and must not, and one that arrives otherwise."""
    good, bad = FAMILIES["cookies"]
    cases, told = [good, bad], [Told(200, None, True), Told(0, PROTOCOL_ERROR, True)]
    head = b"GET / HTTP/1.1\r\nHost: open.test\r\nx-case: %d\r\n"
    right = head % 0 + b"cookie: a=b; c=d; e=f\r\n\r\n"
    assert judge([right], cases, told) == []
    assert judge([right + b"GET /smuggled HTTP/1.1\r\nHost: open.test\r\n\r\n"], cases, told)
    assert judge([right + head % 1 + b"\r\n"], cases, told)
    assert judge([head % 0 + b"cookie: a=b\r\n\r\n"], cases, told)
    assert judge([right, b"x\r\n\r\n"], cases, told)
    assert judge([right], cases, [told[0], evolve(told[1], alive=False)])
    assert judge([right], cases, [told[0], told[0]])
