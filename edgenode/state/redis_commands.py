"""What is said to a server of Redis: calls as the bytes of a command, and answers as what calls came to.

Law: a key is made of digests, so that nothing a client sends says where it is kept, or how long the name of that is;
and each has the digest of what is counted as its hash tag, so that all of one key's counters are on one shard.
"""

from __future__ import annotations

import pathlib
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b, sha1
from struct import Struct

from edgenode.state.interface import Call, Counted
from edgenode.state.redis_connection import Lie

SCRIPT = pathlib.Path(__file__).with_name("count.lua").read_bytes()
_SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest().encode()

NEWS = 100
"""The most entries of the quarantine that one answer brings."""

_KINDS = {"fixed": b"f", "sliding": b"s", "distinct": b"d", "steps": b"t"}
_REMEMBERED = 4096
"""Ways to count whose bytes are kept."""

_COUNTED = Struct("<qQQ")
"""What an answer says of a call: the total, and microseconds until it is 0 again and until one more fits."""

_SOMEBODY_ELSES = -2
"""The total of a call whose key is somebody else's; -1 is that of one that did not count."""

_MICROSECOND = 1e-6

Hear = Callable[[bytes, bytes], None]
"""Takes what is new in quarantine, and what is known then; it raises :class:`Lie` if it is no such thing."""

_counted = tuple.__new__
"""Makes a named tuple in half the time."""


def bulk(data: bytes) -> bytes:
    """A string, as the protocol has it."""
    return b"$%d\r\n%s\r\n" % (len(data), data)


@lru_cache(8192)
def digest(text: str) -> bytes:
    """What stands for a text of any length; of two that are not the same it is not the same."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest().encode()


class Commands:
    """The commands of one node.

    :param prefix: what the names of its keys begin with.
    :ivar token: what the node knows of the quarantine, as answers begin: see ``count.lua``.
    :ivar now: for tests the time on the server's clock, written out.
    """

    def __init__(self, prefix: str) -> None:
        start = prefix.encode() + b":{"
        keys = (start + b"quarantine}:" + part for part in (b"head", b"entries", b"log", b"ends"))
        self._shared = b"".join(map(bulk, keys))
        self._start = b"$%d\r\n%s" % (len(start) + 32 + 2 + 16, start)
        self._known: dict[tuple[object, ...], tuple[bytes, bytes]] = {}
        self.now = b""
        self.know(b"", b"0")

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
            arguments.append(self._quarantine)
        keys += arguments
        return b"".join(keys)

    def change(self, changes: Sequence[tuple[bytes, ...]], *, whole: bool = False) -> bytes:
        """The command that changes the quarantine, if at all, and asks what is new in it."""
        head, number = _heads(0, 4, 6 * len(changes), whole)
        parts = (bulk(part) for each in changes for part in each)
        return b"".join((head, self._shared, bulk(self.now), number, self._quarantine, *parts))

    def know(self, identity: bytes, sequence: bytes) -> None:
        """What of the quarantine the node knows: its id, and the last sequence number."""
        self.token = identity + b" " + sequence
        fresh = secrets.token_hex(8).encode()
        self._quarantine = b"".join(map(bulk, (identity, sequence, fresh, b"%d" % NEWS)))

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

    def read(self, answer: bytes, calls: Sequence[Call], hear: Hear) -> tuple[list[Counted | None], Sequence[int]]:
        """What calls came to, and the positions of those whose keys are somebody else's.

        :param hear: takes what is new in quarantine.
        :raises Lie: if it is no answer to them.
        """
        token, _, rest = answer.partition(b"\n")
        end = _COUNTED.size * len(calls)
        if rest[end : end + 1] != b"\n":
            raise Lie("expected another number of answers")
        news = rest[end + 1 :]
        if token != self.token or news:
            hear(token, news)
        numbers = _COUNTED.iter_unpack(rest[:end])
        answers = [
            _counted(Counted, (total, reset * _MICROSECOND, wait * _MICROSECOND)) if total >= 0 else None
            for total, reset, wait in numbers
        ]
        return answers, _somebody_elses(rest[:end]) if None in answers else ()


def _somebody_elses(counts: bytes) -> Sequence[int]:
    """The positions of calls whose keys are somebody else's."""
    totals = [total for total, _, _ in _COUNTED.iter_unpack(counts)]
    if min(totals) < _SOMEBODY_ELSES:
        raise Lie("expected a number that is not negative")
    return [at for at, total in enumerate(totals) if total == _SOMEBODY_ELSES]


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
