"""The script that counts in Redis, against the counters in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from edgenode.state.interface import Call, Counted, Counter
from edgenode.state.memory import MemoryState
from edgenode.state.redis_commands import Commands
from tests.support.redis import BlockingClient, RedisServer, needs_redis

pytestmark = needs_redis

FLOWS = (Counter("flow f", "steps", 2, 10.0), Counter("flow g", "steps", 3, 3.0), Counter("flow h", "steps", 1, 5.0))
COUNTERS = tuple(
    Counter(f"rate-limit {kind}", kind, most, period)
    for kind in ("fixed", "sliding", "distinct")
    for most, period in ((0, 5.0), (1, 0.5), (3, 7.0), (10, 1.0))
)

keys = st.sampled_from(("a", "b", "\ud800 odd"))
steps = st.lists(st.integers(0, 2), max_size=3, unique=True).map(tuple)
calls_of_flows = st.tuples(st.sampled_from(FLOWS), keys, steps).map(lambda each: Call(each[0], each[1], steps=each[2]))
amounts = st.sampled_from((0, 1, 1, 1, 2, 5, 10**9))
values = st.sampled_from(("", "x", "y", "z", "w"))
calls_of_limits = st.tuples(st.sampled_from(COUNTERS), keys, amounts, values).map(lambda each: Call(*each))


@st.composite
def requests(draw: st.DrawFn) -> Sequence[Call]:
    """The calls of a request: flows first, then what may depend on them."""
    flows = draw(st.lists(calls_of_flows, max_size=2))
    which = st.lists(st.integers(0, len(flows) - 1), max_size=2, unique=True) if flows else st.just([])
    limits = draw(st.lists(st.tuples(calls_of_limits, which, which), max_size=4))
    return [*flows, *(call._replace(only_if=tuple(only), unless=tuple(but)) for call, only, but in limits)]


def nothing(token: bytes, news: bytes) -> None:
    """Of a quarantine that is not asked for nothing is new."""
    assert (token, news) == (b"-", b"")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server of its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def client(server: RedisServer) -> Iterator[BlockingClient]:
    """A connection to it."""
    client = BlockingClient(server.path)
    yield client
    client.close()


class Counting:
    """The script with a clock of the test's own."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self._commands = Commands("test")
        client("FLUSHALL")

    def __call__(self, calls: Sequence[Call], now: float, *, always: bool = False) -> list[Counted | None]:
        self._commands.now = b"%.17g" % now
        answer = self._client.raw(self._commands.count(calls, whole=True, alone=True, always=always))
        answers, faulty = self._commands.read(answer, calls, nothing)
        assert not faulty
        return answers


def same(one: Sequence[Counted | None], other: Sequence[Counted | None]) -> bool:
    """Whether answers are the same, but for a microsecond."""
    return len(one) == len(other) and all(
        a is b
        if a is None or b is None
        else (a.total == b.total and abs(a.reset - b.reset) < 2e-6 and abs(a.wait - b.wait) < 2e-6)
        for a, b in zip(one, other, strict=True)
    )


pauses = st.sampled_from((0.0, 0.001, 0.3, 0.5, 1.0, 2.5, 7.0))


@settings(max_examples=300)
@given(times=st.lists(st.tuples(requests(), pauses, st.booleans()), max_size=12))
def test_the_script_counts_as_the_memory_does(
    client: BlockingClient, times: list[tuple[Sequence[Call], float, bool]]
) -> None:
    """Whatever is counted, in whatever order and at whatever times: Redis answers what the memory does."""
    clock = Clock()
    memory, redis = MemoryState(clock.seconds), Counting(client)
    for calls, pause, added in times:
        clock.advance(pause)
        if not calls:
            continue
        if added:
            memory.add(calls)
            redis(calls, clock.seconds(), always=True)
        else:
            expected, answers = memory.count(calls), redis(calls, clock.seconds())
            assert same(expected, answers), (calls, expected, answers)


@pytest.mark.parametrize("kind", ["fixed", "sliding", "distinct", "steps"])
def test_a_clock_that_is_set_back_refuses_nobody_for_longer(client: BlockingClient, kind: str) -> None:
    """A server's clock that is set back by an hour leaves a window as long as it was."""
    redis, counter = Counting(client), Counter("rate-limit x", kind, 2, 60.0)
    first = redis([Call(counter, "k", value="a", steps=(0,))], 7200.0)[0]
    again = redis([Call(counter, "k", value="b", steps=(0,))], 3600.0)[0]
    assert first is not None
    assert again is not None
    assert again.reset <= 60.0
    later = redis([Call(counter, "k", value="c", steps=(0,))], 3661.0)[0]
    assert later is not None
    assert later.total == 1


@pytest.mark.parametrize("kind", ["sliding", "distinct"])
def test_what_has_come_counts_on_when_a_reload_changes_the_number(client: BlockingClient, kind: str) -> None:
    """The same as in memory."""
    redis, memory = Counting(client), MemoryState(lambda: 1.0)
    for most in (4, 12, 1, 6):
        calls = [Call(Counter("x", kind, most, 60.0), "k", value=str(most))]
        assert same(redis(calls, 1.0), memory.count(calls))


def test_what_is_counted_runs_out(client: BlockingClient, server: RedisServer) -> None:
    """Every key that is written for a counter has a time to live, no longer than its window and a second."""
    redis = Counting(client)
    redis([Call(counter, "k", value="v", steps=(0,)) for counter in (*COUNTERS, *FLOWS)], 5.0)
    names = server("KEYS", "*")
    assert names
    assert all(0 < server("PTTL", name) <= 11000 for name in names)


def test_a_key_of_somebody_else_is_the_fault_of_its_call(client: BlockingClient, server: RedisServer) -> None:
    """A list, or a text, where a counter should be is left as it is, and the calls beside it count."""
    redis = Counting(client)
    counters = [Counter("rate-limit x", kind, 3, 60.0) for kind in ("fixed", "sliding", "distinct")]
    calls = [Call(each, "k", value="v") for each in counters]
    redis(calls, 1.0)
    names = server("KEYS", "*")
    fine = Call(Counter("rate-limit fine", "fixed", 3, 60.0), "k")
    for write in (("LPUSH", "1"), ("SET", "hello"), ("SET", "nan 1 1"), ("SET", "")):
        for name in names:
            server("DEL", name)
            server(write[0], name, write[1])
        commands = Commands("test")
        answer = client.raw(commands.count([*calls, fine], whole=True, alone=True))
        answers, faulty = commands.read(answer, [*calls, fine], nothing)
        assert faulty == [0, 1, 2], write
        assert answers[3] is not None
        assert all(server("TYPE", name) == (b"list" if write[0] == "LPUSH" else b"string") for name in names)


def test_the_name_of_a_key_says_nothing_of_what_is_counted(client: BlockingClient, server: RedisServer) -> None:
    """A key of any length, with braces and line ends, has a name of one length, and its own hash tag."""
    redis, counter = Counting(client), Counter("rate-limit x", "fixed", 3, 60.0)
    values = ["k", "}{", "\r\n$5\r\n", "x" * 100_000, "\0"]
    redis([Call(counter, value) for value in values], 1.0)
    names = server("KEYS", "*")
    assert len(names) == len(values)
    assert {len(name) for name in names} == {len("test:{") + 32 + 2 + 16}
    assert all(name.count(b"{") == name.count(b"}") == 1 for name in names)
