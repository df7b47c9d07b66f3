"""How the values of an event are written as JSON, and read back from it.

Law: ``read(json.loads(write(value)))`` is the value, or :data:`UNKNOWN` where the JSON does not hold all of it; it is
never something else. Whatever a client has sent, what is written is printable ASCII.
"""

from __future__ import annotations

import datetime
import functools
import time
from collections.abc import Callable, Iterable, Mapping
from json.encoder import encode_basestring_ascii
from operator import attrgetter
from typing import Any, Final, cast

from attrs import fields, frozen

from edgenode.model.decision import Reason
from edgenode.model.exchange import Address, Verification

UNKNOWN: Final = object()
"""What is read where the JSON holds only a part of a value."""

LONGEST_NAME = 1024
"""Characters of a distinguished name, or of all names of a kind, that are written: their owner chose their length."""

_LONGEST_CHAIN = 1000
"""Certificates; no TLS handshake has so many."""


@frozen
class Kind:
    """A way to write values.

    :ivar write: a value as JSON text.
    :ivar read: the value that some JSON of the field's type stands for, or :data:`UNKNOWN`; raises ``ValueError``.
    """

    write: Callable[[Any], str]
    read: Callable[[Any], Any]


# -- what every event has, written for speed ---------------------------------------------------------------------------

text: Callable[[str], str] = cast(Any, encode_basestring_ascii)
"""A text as JSON (RFC 8259, section 7); everything but printable ASCII is escaped."""


def octets(value: bytes) -> str:
    """Bytes as a text, a character for each."""
    return text(value.decode("latin-1"))


def _number(value: int | None) -> str:
    """An integer, or ``null``."""
    return "null" if value is None else str(value)


def _flag(value: bool) -> str:
    """``true`` or ``false``."""
    return "true" if value else "false"


@functools.lru_cache(4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def instant(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339, UTC, cut to microseconds."""
    return f'"{_second(int(seconds))}.{int(seconds % 1 * 1e6):06d}Z"'


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


def stages(timings: Iterable[tuple[str, float]]) -> str:
    """Stages, each with the whole microseconds that it took."""
    members = []  # not by a comprehension, which would make a function for every event
    for stage, taken in timings:
        members.append(f"{text(stage)}:{round(taken)}")
    return f"{{{','.join(members)}}}"


@functools.lru_cache(16)
def _labels(names: tuple[bytes, ...]) -> tuple[tuple[bytes, str, str], ...]:
    """Names of header fields, each with the beginning of its member and the whole of one without values."""
    return tuple((name, f"{octets(name)}:[", f"{octets(name)}:[]") for name in names)


def headers(found: Mapping[bytes, tuple[bytes, ...]], names: tuple[bytes, ...]) -> str:
    """Every value of each of these header fields, none of one that is absent. Of no other field anything is written.

    :param names: in lower case, from the configuration.
    """
    read = found.get
    members = []
    for name, label, absent in _labels(names):
        values = read(name)
        if not values:
            members.append(absent)
        elif len(values) == 1:  # nearly always
            members.append(f"{label}{text(values[0].decode('latin-1'))}]")
        else:
            members.append(f"{label}{','.join(map(octets, values))}]")
    return f"{{{','.join(members)}}}"


_json_of = attrgetter("json")


def reasons(values: Iterable[Reason]) -> str:
    """Reasons, in the order judged."""
    return f"[{','.join(map(_json_of, values))}]" if values else "[]"


# -- what a connection has, and what is read ---------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _name(value: str) -> str:
    return text(value[:LONGEST_NAME])


def _names(values: tuple[str, ...]) -> str:
    """All names of a kind; ``null`` if they are too long, for some of them are not all."""
    return texts(values) if sum(map(len, values)) + len(values) <= LONGEST_NAME else "null"


def _numbers(values: Iterable[int]) -> str:
    return f"[{','.join(map(str, values))}]"


def _moment(value: datetime.datetime) -> str:
    return f'"{value.isoformat()[:19]}Z"'  # whole seconds: X.509 has no others


def _read_moment(value: str | None) -> datetime.datetime | None:
    if value is None:
        return None
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"a time without its zone: {value}")
    return moment


def _read_instant(value: str) -> float:
    moment = _read_moment(value)
    assert moment is not None
    return moment.timestamp()


def _read_version(value: str) -> tuple[int, int]:
    major, _, minor = value.removeprefix("HTTP/").partition(".")
    return int(major), int(minor)


def _read_chain(length: int) -> tuple[bytes, ...]:
    """As many certificates, of which nothing is known."""
    if not 0 <= length <= _LONGEST_CHAIN:
        raise ValueError(f"a chain of {length} certificates")
    return (b"",) * length


def _read_address(value: str) -> Address:
    host, _, port = value.rpartition(":")
    return Address.of(host.removeprefix("[").removesuffix("]"), int(port))


def _read_verdict(value: str) -> Verification:
    """As much of it as its word says; the numbers are fields of their own."""
    if value == "NONE":
        return Verification()
    if value == "SUCCESS":
        return Verification(presented=True, verified=True)
    if not value.startswith("FAILED:"):
        raise ValueError(f"no verdict on a certificate: {value}")
    return Verification(presented=True, reason=value.removeprefix("FAILED:"))


def _read_headers(value: dict[str, list[str]]) -> dict[bytes, tuple[bytes, ...]]:
    return {name.encode("ascii"): tuple(each.encode("latin-1") for each in found) for name, found in value.items()}


_REASON_NAMES = tuple(each.name for each in fields(Reason))


def _read_reasons(values: list[dict[str, str]]) -> tuple[Reason, ...]:
    if not all(each.keys() >= set(_REASON_NAMES) for each in values):
        raise ValueError("a reason of which a part is missing")
    return tuple(Reason(*map(each.__getitem__, _REASON_NAMES)) for each in values)


TEXT = Kind(text, _same)
NUMBER = Kind(_number, _same)
FLAG = Kind(_flag, _same)
NAME = Kind(_name, lambda value: UNKNOWN if value is not None and len(value) >= LONGEST_NAME else value)
TEXTS = Kind(texts, tuple)
NAMES = Kind(_names, lambda values: UNKNOWN if values is None else tuple(values))
NUMBERS = Kind(_numbers, tuple)
OCTETS = Kind(octets, lambda value: value.encode("latin-1"))
INSTANT = Kind(instant, _read_instant)
MOMENT = Kind(_moment, _read_moment)
VERSION = Kind(version, _read_version)
ADDRESS = Kind(lambda value: text(str(value)), _read_address)
VERDICT = Kind(lambda value: text(str(value)), _read_verdict)
CHAIN = Kind(lambda value: str(len(value)), _read_chain)
TAGS = Kind(tags, frozenset)
STAGES = Kind(stages, lambda value: tuple(value.items()))
REASONS = Kind(reasons, _read_reasons)
HEADERS = Kind(lambda found: headers(found, tuple(found)), _read_headers)
