"""What is said to a server of Redis: calls as the bytes of a command, and answers as what calls came to.

Law: a key is made of digests, so that nothing a client sends says where it is kept, or how long the name of that is;
and each has the digest of what is counted as its hash tag, so that all of one key's counters are on one shard.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b, sha1
from typing import Protocol

from edgenode.state.interface import Call, Counted, Counter
from edgenode.state.redis_connection import Lie

SCRIPT = pathlib.Path(__file__).with_name("count.lua").read_bytes()
_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

NEWS = 100
"""The most entries of the quarantine that one answer brings."""

_KINDS = {"fixed": b"f", "sliding": b"s", "distinct": b"d", "steps": b"t"}
_REMEMBERED = 4096
"""Ways to count whose bytes are kept."""

_LONGEST = 60
"""Bytes of what is said of a call at the most."""

_MICROSECOND = 1e-6

_counted = tuple.__new__
"""Makes a named tuple in half the time."""

PROBE = Call(Counter("edgenode probe", "fixed", 1 << 50, 1.0), "probe")
"""Shows whether a server can count."""


def bulk(data: bytes) -> bytes:
    """A string, as the protocol has it."""
    return b"$%d\r\n%s\r\n" % (len(data), data)


@lru_cache(8192)
def digest(text: str) -> bytes:
    """What stands for a text of any length; of two that are not the same it is not the same."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest().encode()


class News(Protocol):
    """What is told of the quarantine.

    :ivar token: what it knows: see ``count.lua``.
    """

    token: bytes

    def heard(self, token: bytes, news: bytes) -> None:
        """Take what is new.

        :raises Lie: if it is no such thing.
        """


class Commands:
    """The commands of one node.

    :param prefix: what the names of its keys begin with.
    :ivar quarantine: the end of each command that asks for what is new in quarantine: see ``count.lua``.
    :ivar now: for tests the time on the server's clock, written out.
    """

    def __init__(self, prefix: str) -> None:
        start = prefix.encode() + b":{"
        keys = (start + b"quarantine}:" + part for part in (b"head", b"entries", b"log", b"ends"))
        self._shared = b"".join(map(bulk, keys))
        self._start = b"$%d\r\n%s" % (len(start) + 32 + 2 + 16, start)
        self._known: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self.quarantine = b""
        self.now = b""

    def count(self, calls: Sequence[Call], *, whole: bool = False, alone: bool = False, always: bool = False) -> bytes:
        """The command that counts.

        :param whole: with the script and not its name.
        :param alone: without the question what is new in quarantine.
        :param always: whether by GCRA also what does not fit is counted.
        """
        count, known, start = len(calls), self._known, self._start
        head, number = _heads(count, 0 if alone else 4, 0, whole)
        keys, arguments = [head], [_NOW if not self.now else bulk(self.now), number]
        text, tag = None, b""
        for call in calls:
            counter, key, amount, value, steps, only_if, unless = call
            if key != text:
                text, tag = key, digest(key)
            way = counter, amount, steps, only_if, unless, always
            found = known.get(way) or self._remember(way, call, always)
            keys += (start, tag, found[0])
            arguments.append(found[1])
            if counter.kind == "distinct":
                arguments.append(b"$32\r\n%s\r\n" % digest.__wrapped__(value))  # of any length: not to be kept
        if not alone:
            keys.append(self._shared)
            arguments.append(self.quarantine)
        keys += arguments
        return b"".join(keys)

    def change(self, changes: Sequence[tuple[bytes, ...]], *, whole: bool = False) -> bytes:
        """The command that changes the quarantine, if at all, and asks what is new in it."""
        head, number = _heads(0, 4, 6 * len(changes), whole)
        parts = (bulk(part) for each in changes for part in each)
        return b"".join((head, self._shared, bulk(self.now), number, self.quarantine, *parts))

    def probe(self, *, whole: bool = False, alone: bool = False) -> bytes:
        """A command by which it shows whether the server can count."""
        return self.count((PROBE,), whole=whole, alone=alone)

    def know(self, identity: bytes, sequence: bytes, fresh: bytes) -> None:
        """What of the quarantine the node knows: see ``count.lua``."""
        self.quarantine = b"".join(map(bulk, (identity, sequence, fresh, b"%d" % NEWS)))

    def _remember(self, way: tuple[object, ...], call: Call, always: bool) -> tuple[bytes, bytes]:
        """The end of the name of a counter's keys, and the arguments of a call, but for the value of one that is
        distinct."""
        counter = call.counter
        name = "\n".join(map(str, counter.identity))
        kind = b"S" if always and counter.kind == "sliding" else _KINDS[counter.kind]
        parts = [kind, b"%d" % counter.most, b"%.17g" % counter.period, b"%d" % call.amount]
        parts += [b",".join(b"%d" % at for at in where) for where in (call.only_if, call.unless)]
        if counter.kind != "distinct":
            parts.append(b"," + b"".join(b"%d," % step for step in call.steps) if call.steps else b"")
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        found = self._known[way] = b"}:" + digest(name)[:16] + b"\r\n", b"".join(map(bulk, parts))
        return found

    def read(self, answer: bytes, calls: Sequence[Call], sharing: News) -> tuple[list[Counted | None], Sequence[int]]:
        """What calls came to, and the positions of those whose keys are somebody else's.

        :param sharing: is told what is new in quarantine.
        :raises Lie: if it is no answer to them.
        """
        token, _, rest = answer.partition(b"\n")
        counts, _, news = rest.partition(b"\n")
        if token != sharing.token or news:
            sharing.heard(token, news)
        if b"-" in counts or b"!" in counts or len(counts) > _LONGEST * len(calls):
            return _one_by_one(counts, len(calls))
        try:
            numbers = [*map(int, counts.replace(b",", b" ").split(b" "))]
        except ValueError:
            raise Lie("expected three whole numbers") from None
        if len(numbers) != 3 * len(calls):
            raise Lie("expected another number of answers")
        each = iter(numbers)
        return [
            _counted(Counted, (total, reset * _MICROSECOND, wait * _MICROSECOND))
            for total, reset, wait in zip(each, each, each, strict=True)
        ], ()


def _one_by_one(counts: bytes, calls: int) -> tuple[list[Counted | None], Sequence[int]]:
    """The same where some have not been counted."""
    written = counts.split(b",")
    if len(written) != calls:
        raise Lie("expected another number of answers")
    answers: list[Counted | None] = []
    for each in written:
        numbers = each.split(b" ")
        if each in (b"-", b"!"):
            answers.append(None)
        elif len(each) <= _LONGEST and len(numbers) == 3 and all(map(bytes.isdigit, numbers)):
            total, reset, wait = map(int, numbers)
            answers.append(Counted(total, reset * _MICROSECOND, wait * _MICROSECOND))
        else:
            raise Lie("expected three whole numbers")
    return answers, [at for at, each in enumerate(written) if each == b"!"]


@lru_cache(1024)
def _heads(calls: int, shared: int, changes: int, whole: bool) -> tuple[bytes, bytes]:
    """What a command begins with, and its argument that says how many calls there are.

    :param shared: how many keys of the quarantine it has.
    :param changes: how many arguments say what has changed in it.
    """
    keys = calls + shared
    size = 3 + keys + 2 + 7 * calls + shared + changes  # so many keys are there, and so many arguments of what is known
    head = b"*%d\r\n%s%s" % (size, _BY_TEXT if whole else _BY_NAME, bulk(b"%d" % keys))
    return head, bulk(b"%d" % calls)


_NOW = bulk(b"")
_BY_NAME = bulk(b"EVALSHA") + bulk(_SHA)
_BY_TEXT = bulk(b"EVAL") + bulk(SCRIPT)
