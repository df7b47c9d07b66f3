"""W3C Trace Context: what is read of a client's fields, and what an origin gets (https://www.w3.org/TR/trace-context/).

The cases follow level 2 of the specification's test suite (https://github.com/w3c/trace-context, ``test/test.py``), as
far as they are about one hop.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgenode.model.trace import Trace
from edgenode.proxy.trace_context import (
    Tracing,
    new_ids,
    read_traceparent,
    read_tracestate,
    threshold,
)
from edgenode.proxy.traced_exchange import traced_lines

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)
RESPECTING = Tracing(threshold(0), "respect")

_hex = st.text("0123456789abcdef", min_size=1)


def digits(number: int) -> st.SearchStrategy[bytes]:
    """An identifier: not all zeros."""
    return st.integers(1, 16**number - 1).map(lambda value: b"%0*x" % (number, value))


# -- traceparent -------------------------------------------------------------------------------------------------------


@given(digits(32), digits(16), st.integers(0, 255))
def test_a_traceparent_is_read_as_it_was_written(trace: bytes, span: bytes, flags: int) -> None:
    """Of version 00 whatever the identifiers, and whatever the flags."""
    assert read_traceparent(b"00-%b-%b-%02x" % (trace, span, flags)) == (trace, span, b"%02x" % flags)


@given(st.integers(1, 254), st.sampled_from((b"", b"-", b"-what", b"-the-future-will-be-like", b"-\xff\x80 ")))
def test_of_a_later_version_the_beginning_is_read(version: int, rest: bytes) -> None:
    """Whatever stands behind it, but behind a hyphen."""
    written = b"%02x-%b-%b-01" % (version, TRACE, SPAN)
    assert read_traceparent(written + rest) == (TRACE, SPAN, b"01")
    assert read_traceparent(written + b".") is read_traceparent(written + b"0") is None


@pytest.mark.parametrize(
    "value",
    [
        b"", b"00", b"00-", PARENT + b"-", PARENT + b"-what", PARENT + b".", PARENT + b"0", PARENT[:-1], PARENT[1:],
        b"ff-" + PARENT[3:], b"." + PARENT[1:], b"0-" + PARENT[3:], b"000-" + PARENT[3:], b"0G-" + PARENT[3:],
        b"00-" + b"0" * 32 + PARENT[35:], PARENT[:36] + b"0" * 16 + b"-01", PARENT.upper(), b"FE" + PARENT[2:],
        PARENT.replace(b"4bf9", b"4BF9"), PARENT.replace(b"4bf9", b"4bfx"), PARENT.replace(b"-01", b"-.1"),
        PARENT.replace(b"-01", b"-0"), PARENT.replace(b"-01", b"-001"), PARENT.replace(b"-01", b"-0A"),
        PARENT.replace(b"-", b"_"), PARENT + b"," + PARENT, b" " + PARENT, PARENT + b" ", PARENT + b"\n",
        PARENT.replace(b"4bf9", b"4bf"), PARENT.replace(b"4bf9", b"4bf92"),
    ],
)  # fmt: skip
def test_what_is_no_traceparent(value: bytes) -> None:
    """Another length, another alphabet, no identifier, version ff, two at once."""
    assert read_traceparent(value) is None


@given(st.binary(max_size=80) | st.text("0123456789abcdef-", max_size=80).map(str.encode))
@example(PARENT)
def test_what_is_read_is_sent_on_as_a_traceparent(value: bytes) -> None:
    """Nothing is let in that could not be written, whatever comes."""
    found = read_traceparent(value)
    if found is not None:
        assert read_traceparent(b"00-%b-%b-%b" % found) == found


# -- tracestate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        b"foo=1", b"foo=1,bar=2", b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", b"foo=1 \t , \t bar=2,,baz=3",
        b"z" * 256 + b"=1", b"fw529a3039@dt=FfAAAQAA", b"t@" + b"v" * 200 + b"=!", b"foo=1,foo=2", b"0=1",
        b"foo@=1,foo@@bar=1", b"foo= x",
        b",".join(b"bar%d=%d" % (number, number) for number in range(32)), b"foo=1,", b"a/b*c-d_e=~",
    ],
)  # fmt: skip
def test_a_tracestate_is_sent_on_as_it_came(value: bytes) -> None:
    """To the byte, with empty members and white space between them too."""
    assert read_tracestate([value]) == value


@pytest.mark.parametrize(
    "value",
    [
        b"foo", b"foo=", b"=1", b"foo =1", b"FOO=1", b"foo.bar=1", b"foo=1=2", b"foo=\x7f", b"foo=\xe4", b"foo=1,bar",
        b"z" * 257 + b"=1", b"foo=" + b"v" * 257, b"_foo=1", b"foo=1;bar=2=3", b"foo=1\t2",
        b"@foo=1",
        b",".join(b"bar%d=%d" % (number, number) for number in range(33)),
    ],
)  # fmt: skip
def test_what_is_no_tracestate_is_dropped(value: bytes) -> None:
    """As a whole, for of a part nobody knows what it means."""
    assert read_tracestate([value]) == b""


def test_several_fields_are_one() -> None:
    """In their order; one that is empty is none."""
    assert read_tracestate([b"foo=1", b"bar=2,baz=3"]) == b"foo=1,bar=2,baz=3"
    assert read_tracestate([b""]) == b""
    assert read_tracestate([b"foo=1", b"bar"]) == b""


_members = st.builds(
    lambda key, value: b"%b=%b" % (key.encode(), value.encode()),
    st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True),
    st.from_regex(r"[!-+\--<>-~]{1,200}", fullmatch=True),
)


@given(st.lists(_members, min_size=1, max_size=32, unique_by=lambda member: member.partition(b"=")[0]))
def test_what_is_too_long_is_cut_by_whole_members(members: list[bytes]) -> None:
    """At 512 characters: the long members go first, then the last, and nothing else changes."""
    sent = read_tracestate([b",".join(members)])
    left = sent.split(b",") if sent else []
    assert len(sent) <= 512
    rest = iter(members)
    assert all(member in rest for member in left), "in their order"
    if any(len(member) > 128 for member in left):
        gone = [member for member in members if member not in left]
        assert all(len(member) > 128 for member in gone)


# -- continued, or begun -----------------------------------------------------------------------------------------------


@given(digits(32), digits(16), st.integers(0, 255))
def test_a_trace_is_continued(trace_id: bytes, span: bytes, flags: int) -> None:
    """With its identifier and its decision; the parent is the client's span, and the origin's will be ours."""
    trace = RESPECTING.begin({b"traceparent": (b"00-%b-%b-%02x" % (trace_id, span, flags),)}, trusted=False)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (trace_id, span, bool(flags & 1))
    ours = trace.origin_span_id if trace.sampled else trace.span_id
    assert traced_lines(b"", trace, {}) == b"traceparent: 00-%b-%b-%02x\r\n" % (trace_id, ours, flags & 3)
    assert ours != span
    assert trace.origin_span_id != trace.span_id
    assert trace.link is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {b"tracestate": (b"foo=1",)},
        {b"traceparent": (PARENT, PARENT), b"tracestate": (b"foo=1",)},
        {b"traceparent": (PARENT, b"00-" + b"1" * 32 + b"-" + SPAN + b"-01")},
        {b"traceparent": (PARENT + b"-x",), b"tracestate": (b"foo=1",)},
    ],
)
def test_without_one_traceparent_the_trace_begins_here(fields: Mapping[bytes, tuple[bytes, ...]]) -> None:
    """And no tracestate of another's goes with it."""
    trace = RESPECTING.begin(fields, trusted=True)
    assert trace.trace_id != TRACE
    assert not trace.parent_id
    assert trace.link is None
    assert re.fullmatch(rb"traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n", traced_lines(b"", trace, {}))


def test_a_tracestate_goes_with_its_traceparent() -> None:
    """Behind it, in a field of its own; one that is none takes no traceparent with it."""
    for state, sent in ((b"foo=1", b"tracestate: foo=1\r\n"), (b"foo", b"")):
        fields = {b"traceparent": (PARENT,), b"tracestate": (state,)}
        trace = RESPECTING.begin(fields, trusted=False)
        assert trace.trace_id == TRACE
        assert traced_lines(b"", trace, fields).partition(b"\r\n")[2] == sent


@pytest.mark.parametrize(
    ("parent", "trusted", "continued"),
    [
        ("trusted-proxies", True, True), ("trusted-proxies", False, False), ("respect", False, True),
        ("respect", True, True), ("ignore", True, False), ("ignore", False, False),
    ],
)  # fmt: skip
def test_whose_traces_are_continued(parent: str, trusted: bool, continued: bool) -> None:
    """Nobody else chooses an identifier of ours, or that a trace is sampled; a sampled trace links to theirs."""
    never = Tracing(threshold(0), parent).begin({b"traceparent": (PARENT,)}, trusted)
    assert (never.trace_id == TRACE, never.sampled) == (continued, continued)
    always = Tracing(threshold(1), parent).begin({b"traceparent": (PARENT[:-1] + b"0",)}, trusted)
    assert (always.trace_id == TRACE, always.sampled) == (continued, not continued)
    assert always.link == (None if continued else (TRACE, SPAN))


# -- identifiers, and the share ----------------------------------------------------------------------------------------


def seeded(seed: int) -> Callable[[], bytes]:
    """Identifiers as they are drawn, from a generator that can be asked again."""
    source = random.Random(seed)
    return lambda: b"%048x" % source.getrandbits(192)


@given(st.floats(0, 1), st.integers())
def test_the_share_is_exact(share: float, seed: int) -> None:
    """A trace is sampled if the second half of its identifier, as a number, is below that share of all: no sooner and
    no later, and the same identifier always."""
    tracing, again = Tracing(threshold(share), ids=seeded(seed)), seeded(seed)
    for _ in range(20):
        trace = tracing.begin({}, trusted=False)
        assert trace.sampled == (int(again()[16:32], 16) < round(share * 2**64))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 1.0])
def test_as_many_are_sampled_as_were_said(share: float) -> None:
    """Of twenty thousand, within five standard deviations; of none none, and of all all."""
    tracing = Tracing(threshold(share), ids=seeded(1))
    sampled = sum(tracing.begin({}, trusted=False).sampled for _ in range(20_000))
    assert abs(sampled - 20_000 * share) <= 5 * (20_000 * share * (1 - share)) ** 0.5


def test_identifiers_are_random_and_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one is another; a zero is not an identifier."""
    drawn = [new_ids() for _ in range(1000)]
    assert len({ids[:32] for ids in drawn}) == len({ids[32:] for ids in drawn}) == 1000
    assert all(re.fullmatch(rb"[0-9a-f]{48}", ids) for ids in drawn)
    real, calls = os.urandom, []

    def urandom(size: int) -> bytes:
        calls.append(size)
        return bytes(size) if len(calls) == 1 else real(size)

    monkeypatch.setattr("edgenode.proxy.trace_context._drawn", [])
    monkeypatch.setattr(os, "urandom", urandom)
    ids = new_ids()
    assert ids[:32].strip(b"0")
    assert ids[32:].strip(b"0")
    assert len(calls) == 2


def test_no_two_processes_have_the_same() -> None:
    """What was drawn before a fork is the parent's alone."""
    new_ids()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_ids())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 48) not in {new_ids() for _ in range(200)}
    os.close(reading)
    os.close(writing)


def test_what_a_trace_sends_is_bounded() -> None:
    """Whatever a client sends: at most 512 characters of state, and the line of ours."""
    state = b",".join(b"k%d=%b" % (number, b"v" * 200) for number in range(32))
    trace = RESPECTING.begin({b"traceparent": (PARENT,), b"tracestate": (state,)}, trusted=False)
    assert isinstance(trace, Trace)
    assert len(traced_lines(b"", trace, {b"tracestate": (state,)})) <= 70 + 14 + 512
