"""How the values of an event are written as JSON.

Law: whatever a client has sent, what is written is printable ASCII. Every event needs these: they are made for speed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, cast

from edgenode.model.alphabets import only
from edgenode.model.decision import Reason

text: Callable[[str], str] = cast(Any, encode_basestring_ascii)
"""A text as JSON (RFC 8259, section 7); everything but printable ASCII is escaped."""


def octets(value: bytes) -> str:
    """Bytes as a text, a character for each."""
    return text(value.decode("latin-1"))


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def instant(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339, UTC, cut to microseconds."""
    whole = int(seconds)
    return '"%s.%06dZ"' % (_second(whole), (seconds - whole) * 1e6)  # noqa: UP031  # it takes 0.1 µs less


def version(value: tuple[int, int]) -> str:
    """The version of HTTP, as in a request line (RFC 9112, section 2.3)."""
    return '"HTTP/1.1"' if value == (1, 1) else f'"HTTP/{value[0]}.{value[1]}"'


def texts(values: Iterable[str]) -> str:
    """A list of texts."""
    return f"[{','.join(map(text, values))}]"


def tags(values: frozenset[str]) -> str:
    """Tags, sorted."""
    # Escaping them one by one takes longer than to sort them, and there is hardly ever anything to escape.
    joined = '","'.join(sorted(values))
    only_the_added_quotes = len(text(joined)) == len(joined) + 2 * len(values)
    return f'["{joined}"]' if only_the_added_quotes else texts(sorted(values))


@functools.lru_cache(64)
def _label(stage: str) -> str:
    return f"{text(stage)}:"


def stages(timings: Iterable[tuple[str, float]]) -> str:
    """Stages, each with the whole microseconds that it took."""
    members = []  # not by a comprehension, which would make a function for every event
    for stage, taken in timings:
        members.append(f"{_label(stage)}{round(taken)}")
    return f"{{{','.join(members)}}}"


PLAIN = only(bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\'))
"""Leaves what stands in a text of JSON as it is."""


def escaped(value: bytes) -> bytes:
    """Bytes as they stand within the quotes of a text."""
    return octets(value)[1:-1].encode("ascii")


@functools.lru_cache(16)
def header_labels(names: tuple[bytes, ...]) -> tuple[tuple[bytes, bytes, bytes], ...]:
    """How each of several header fields is written in an object of them: its name, what stands before its first value,
    and the whole of it without any.

    :param names: in lower case, from the configuration.
    """
    labels = [b"%b%b:[" % (b"," if place else b"", octets(name).encode("ascii")) for place, name in enumerate(names)]
    return tuple((name, label + b'"', label + b"]") for name, label in zip(names, labels, strict=True))


def headers(found: Mapping[bytes, tuple[bytes, ...]]) -> str:
    """Every value of each header field."""
    members = (f"{octets(name)}:[{','.join(map(octets, values))}]" for name, values in found.items())
    return f"{{{','.join(members)}}}"


_json_of = attrgetter("json")


def reasons(values: Iterable[Reason]) -> str:
    """Reasons, in the order judged."""
    return f"[{','.join(map(_json_of, values))}]" if values else "[]"
