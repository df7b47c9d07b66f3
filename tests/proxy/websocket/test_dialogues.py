"""Random WebSockets through the whole data path: however they are cut, interleaved and carried, everything arrives."""

from __future__ import annotations

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proxy.websocket.carriers import Carrier, carried
from tests.proxy.websocket.frames import BINARY, PING, PONG, TEXT, closing, frame
from tests.support import memory
from tests.support.memory import merged
from tests.support.node import PKI, Changes

PROTOCOLS = st.sampled_from(("HTTP/1.1", "HTTP/2"))
SIZES = st.sampled_from((0, 1, 5, 125, 126, 3000, 65_536, 200_000))


@frozen
class Step:
    """One side sends so much of what it has to send, or reads."""

    client: bool
    sends: int


MESSAGES = st.lists(st.tuples(st.sampled_from((TEXT, BINARY, PING, PONG)), SIZES, st.integers(1, 3)), max_size=5)
STEPS = st.lists(st.builds(Step, st.booleans(), st.sampled_from((0, 0, 1, 7, 1000, 50_000))), max_size=25)


def written(messages: list[tuple[int, int, int]], *, masked: bool) -> bytes:
    """The frames of messages, each of so many bytes in so many fragments."""
    data = b""
    for opcode, size, pieces in messages:
        payload = (b"%d " % size * (size // 2 + 1))[:size]
        if opcode in (PING, PONG):
            data += frame(opcode, payload[:125], masked=masked)
            continue
        step = size // pieces + 1
        parts = [payload[at : at + step] for at in range(0, max(size, 1), step)]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            data += frame(0 if number else opcode, part, masked=masked, fin=last)
    return data


@settings(max_examples=60)
@given(MESSAGES, MESSAGES, STEPS, PROTOCOLS, PROTOCOLS, st.sampled_from(("no", "text", "all")))
def test_everything_arrives_in_order(
    pki: PKI,
    forth: list[tuple[int, int, int]],
    back: list[tuple[int, int, int]],
    steps: list[Step],
    client: str,
    origin: str,
    inspected: str,
) -> None:
    """In both directions at once, and the Close frame of each behind it; inspected messages too, whoever is slow."""
    changes: Changes = {"path-map all": {"inspect-messages": inspected}}
    if origin == "HTTP/2":
        changes = merged(changes, {"origin origin": {"protocol": "h2"}})
    with memory.node(pki, changes) as node:
        left, right = carried(node, client, origin)
        ends: dict[bool, Carrier] = {True: left, False: right}
        wholes = {side: written(forth if side else back, masked=side) + closing(1000, masked=side) for side in ends}
        unsent, read = dict(wholes), {True: b"", False: b""}
        for step in steps:
            end = ends[step.client]
            if step.sends:
                sent = end.send(unsent[step.client][: step.sends])
                unsent[step.client] = unsent[step.client][sent:]
            else:
                read[step.client] += end.read()
        for _ in range(200):
            for side, end in ends.items():
                if unsent[side]:
                    unsent[side] = unsent[side][end.send(unsent[side]) :]
                read[side] += end.read()
        assert not any(unsent.values())
        if inspected == "no":
            assert read == {True: wholes[False], False: wholes[True]}
        else:  # control frames overtake the fragments of a message that is not complete
            assert read[True] == wholes[False]
            assert sorted(read[False]) == sorted(wholes[True])
        right.finish()
        left.close()
        node.loop.wait(6, 0.5)
        assert not node.port.load.relays
        assert node.events[-1]["websocket"]["code"] == 1000
