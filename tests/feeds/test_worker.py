"""Large JSON documents are read beside the node: with the same result, and nobody waits."""

from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgenode.feeds import worker
from edgenode.feeds.contents import Refused, read_download
from edgenode.feeds.store import Stored
from edgenode.model.errors import InvalidValue
from edgenode.model.settings import Source
from edgenode.rules.feed_formats import Format
from edgenode.rules.lists import List

ALL = Format.from_text("json [*]")
EMPTY = b"[" + b"[]," * 2_000_000 + b"[]]"


def test_a_large_document_has_the_values_that_a_small_one_has() -> None:
    """Whatever characters they have in them; so has a refusal its place."""
    texts = [f"{number} \u00e4\n\t\U0001f600" for number in range(20_000)]
    data = json.dumps(texts).encode()
    assert worker.read(ALL, data, True) == ALL.read(data)
    for wrong in (data[:-1], data[:-1] + b", null]", data + b"\xff", b'{"\xe4": ' + data):
        with pytest.raises(InvalidValue) as here:
            ALL.read(wrong)
        with pytest.raises(InvalidValue) as there:
            worker.read(ALL, wrong, True)
        assert there.value.sentence == here.value.sentence


@settings(max_examples=10, deadline=None)
@given(st.lists(st.text() | st.integers()))
def test_any_document_is_read_as_here(values: list[str | int]) -> None:
    """In a process of its own or not."""
    data = json.dumps(values).encode() + b" " * (1 << 17)

    def outcome(read: object, *arguments: object) -> object:
        try:
            return read(*arguments).texts  # type: ignore[operator]
        except InvalidValue as problem:
            return problem.sentence

    assert outcome(worker.read, ALL, data, True) == outcome(ALL.read, data)


def test_other_threads_go_on_while_a_document_is_read() -> None:
    """Even one that takes a second: none waits for all of it, or for much of it at a time."""

    def refused() -> None:
        with pytest.raises(Refused):
            read_download("list a", section, [Stored("", EMPTY)], None)

    section = List(type="ip", source=(Source("https://a/"),), format=ALL)
    reading = threading.Thread(target=refused)
    turns = 0
    reading.start()
    while reading.is_alive():
        time.sleep(0.001)  # gives the other thread the interpreter; one that keeps it leaves two turns or three
        turns += 1
    assert turns > 10


def test_a_document_has_so_much_time_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of either, and it is refused."""
    for limit, most, sentence in (("_LONGEST", 0.01, "takes longer than"), ("_MOST_MEMORY", 1 << 27, "much memory")):
        with monkeypatch.context() as patched:
            patched.setattr(worker, limit, most)
            with pytest.raises(InvalidValue, match=sentence):
                worker.read(ALL, EMPTY, True)
