"""The corpus of hostile requests before a live node: judged by what a recording origin receives, byte for byte.

The origin's bytes are read by :mod:`tests.support.rfc9112`, which is written from the grammar and shares nothing with
the node.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import frozen

from tests.support.hostile import CUT, MALFORMED, SERVED, STOPPED, Arrival, Hostile
from tests.support.hostile_places import LIMITS
from tests.support.hostile_requests import FAMILIES
from tests.support.node import PKI, Client, Node, Origin, get, in_thread, started
from tests.support.rfc9112 import Malformed, Parsed, read_stream

OURS = {
    b"host", b"content-length", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host",
    b"forwarded", b"via", b"x-request-id",
}  # fmt: skip
"""What the node writes itself."""


@frozen
class Told:
    """What a client was told: the status of each answer, and how the connection ended, empty if it did not."""

    statuses: tuple[int, ...]
    ended: str


def _send(node: Node, number: int, case: Hostile) -> Told:
    """Send a request with a good one behind it; that one has a number to be found by."""
    follower = get(f"/follower-{number}")
    with node.client() as client:
        if case.end != SERVED:
            # In one piece: an origin that is told of a part of the body may take that for all of it, and answer.
            client.send(case.before + case.data + follower)
            received = client.rest()
            statuses = re.findall(rb"HTTP/1\.1 ([2-5]\d\d) ", received)
            assert b"\r\nConnection: close\r\n" in received, case
            return Told(tuple(map(int, statuses)), client.ended)
        client.send(case.before + case.data)
        told = [_answer(client, case.data)]
        if case.closes:
            client.rest()
        else:
            client.send(follower)
            told.append(_answer(client, follower))
        return Told(tuple(told), client.ended)


def _answer(client: Client, request: bytes) -> int:
    """The status of the final answer; 0 if none comes."""
    try:
        answer = client.answer(request.lstrip(b"\r\n").partition(b" ")[0].decode("ascii"))
        while answer.status < 200:
            answer = client.answer()
    except EOFError:
        return 0
    return answer.status


def _send_all(node: Node, cases: Sequence[Hostile]) -> list[Told]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(_send, [node] * len(cases), range(len(cases)), cases))


def _right(case: Hostile) -> Told:
    """What a client has to be told."""
    if case.end != SERVED:
        return Told((200,) * len(read_stream(case.before).messages) + (case.status,), "close_notify")
    return Told((200,), "close_notify") if case.closes else Told((200, 200), "")


def _expected(cases: Sequence[Hostile]) -> Counter[Arrival]:
    """What has to arrive, and how often."""
    expected: Counter[Arrival] = Counter()
    for number, case in enumerate(cases):
        expected.update(_arrival(message) for message in read_stream(case.before).messages)
        if case.arrival is not None:
            expected.update((case.arrival, *(() if case.closes else (Arrival(target=b"/follower-%d" % number),))))
    return expected


def _arrival(message: Parsed) -> Arrival:
    # Behind a body that an origin may overlook the node says that it is the last.
    fields = tuple(each for each in message.fields if each[0] not in OURS and each != (b"connection", b"close"))
    (host,) = message.values(b"host")
    return Arrival(message.start[0], message.start[1], message.body, fields, host)


def _read(origin: Origin, cases: Sequence[Hostile]) -> Iterator[Arrival | str]:
    """What has arrived, and what should not have."""
    unfinished = any(case.end in (CUT, STOPPED) for case in cases)
    for received in map(bytes, origin.connections):
        try:
            stream = read_stream(received)
        except Malformed as error:
            yield f"malformed bytes were delivered: {error}"
            continue
        for message in stream.messages:
            yield _arrival(message)
            if message.start[2] != b"HTTP/1.1" or message.extensions or message.trailers:
                yield f"as no node writes it: {message}"
        if stream.rest and not unfinished:
            yield f"a request that was not to begin: {stream.rest!r}"


@pytest.mark.deadline(60)
@pytest.mark.parametrize("family", FAMILIES)
async def test_what_arrives_is_what_may_arrive(pki: PKI, family: str) -> None:
    """Every request that is right arrives as it is, every other is answered with its status and the end."""
    cases = FAMILIES[family]
    with Origin(pki) as origin:
        async with started(pki, origin, LIMITS) as node:
            told = await in_thread(_send_all, node, cases)
            node.events.told.clear()
    arrived = list(_read(origin, cases))
    wrong = [f"{case.name}: {each}" for case, each in zip(cases, told, strict=True) if each != _right(case)]
    wrong += [each for each in arrived if isinstance(each, str)]
    arrivals = Counter(each for each in arrived if isinstance(each, Arrival))
    wrong += [f"nobody sent {each}" for each in arrivals - _expected(cases)]
    wrong += [f"did not arrive: {each}" for each in _expected(cases) - arrivals]
    assert not wrong, f"{len(wrong)} of {len(cases)}:\n" + "\n".join(wrong[:20])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_grammar_agrees_with_the_corpus(family: str) -> None:
    """What is called malformed is no HTTP to the reader written from the grammar either; all else is."""
    names = set()
    for case in FAMILIES[family]:
        assert case.name not in names, "two of one name"
        names.add(case.name)
        data = case.data.lstrip(b"\r\n") if case.end == SERVED else case.data + get()
        try:
            read_stream(case.before + data)
            malformed = False
        except Malformed:
            malformed = True
        assert malformed == (case.end in (MALFORMED, CUT)), case


def test_the_corpus_is_large() -> None:
    """Hundreds of requests of each kind: a family that is lost by mistake is missed."""
    ends = Counter(case.end for cases in FAMILIES.values() for case in cases)
    assert ends[MALFORMED] > 1500
    assert ends[CUT] > 200
    assert ends[SERVED] > 300
