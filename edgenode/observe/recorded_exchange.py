"""An event as the exchange that it tells of, so that the readers of rules can look at it.

Law: nothing is guessed. What an event does not hold, or not as a whole, or of another type than the schema says, raises
:class:`NotRecorded` when it is looked at; and where a value stands, and how it is read, says the schema alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from edgenode.model.errors import ClientError
from edgenode.model.exchange import host_of
from edgenode.observe.event_fields import ALL_ROWS, ATTRIBUTES, conforming
from edgenode.observe.event_schema import UNKNOWN
from edgenode.proxy.targets import Target, read_target

Event = Mapping[str, Any]
"""As :mod:`json` reads it."""

_ABSENT = object()


class NotRecorded(Exception):
    """An event does not hold what is looked at."""


def at(event: Event, path: tuple[str, ...]) -> Any:
    """What stands in an event at a path of keys.

    :raises NotRecorded: if nothing does.
    """
    found: Any = event
    for key in path:
        if type(found) is not dict:
            raise NotRecorded
        found = found.get(key, _ABSENT)
    if found is _ABSENT:
        raise NotRecorded
    return found


@functools.cache
def value_at(path: str) -> Callable[[Event], Any]:
    """A reader of a field of events, by its path in the schema: its value as a record has it.

    The reader raises :class:`NotRecorded` if an event does not hold it.
    """
    row = ALL_ROWS[path]
    keys, conforms, known = tuple(path.split(".")), conforming(row.type), row.kind.read

    def read(event: Event) -> Any:
        found = at(event, keys)
        try:
            if not conforms(found):
                raise NotRecorded
            value = known(found)
        except (ValueError, OverflowError):
            raise NotRecorded from None
        if value is UNKNOWN:
            raise NotRecorded
        return value

    return read


class _Part:
    """A part of a record, whose attributes are read from the event.

    :cvar of: where it stands in a record.
    """

    of: ClassVar[str]

    def __init__(self, event: Event) -> None:
        self._event = event

    def __getattr__(self, name: str) -> Any:
        row = ATTRIBUTES[self.of].get(name)
        if row is None:
            raise NotRecorded
        return value_at(row.path)(self._event)


class RecordedExchange(_Part):
    """An event as what :class:`edgenode.model.exchange.Exchange` says of it, as far as that is recorded."""

    of = "exchange"

    @property
    def request(self) -> Any:
        """The request; ``None`` if it could not be read, or there was none."""
        return None if at(self._event, ("request",)) is None else RecordedRequest(self._event)

    @property
    def connection(self) -> Any:
        """The connection."""
        return _Connection(self._event)

    @property
    def tags(self) -> frozenset[str]:
        """The tags at the end."""
        found: frozenset[str] = value_at("tags")(self._event)
        return found

    @property
    def time(self) -> float:
        """When it began."""
        found: float = value_at("time")(self._event)
        return found

    @property
    def identifier(self) -> bytes:
        """Its identifier."""
        found: bytes = value_at("id")(self._event)
        return found


class RecordedRequest(_Part):
    """The head of its request, as far as that is recorded."""

    of = "exchange.request"

    @functools.cached_property
    def _read(self) -> Target:
        try:
            return read_target(self.target, self.method)
        except ClientError:
            raise NotRecorded from None

    @property
    def path(self) -> bytes:
        """The path, as it is forwarded."""
        return self._read.path

    @property
    def query(self) -> bytes | None:
        """What is behind the first ``?``."""
        return self._read.query

    @property
    def normalised_path(self) -> bytes:
        """The path for matching."""
        return self._read.normalised_path

    @property
    def host(self) -> bytes:
        """The authority without its port."""
        return host_of(self.authority)

    @property
    def fields(self) -> RecordedFields:
        """The header fields that are recorded."""
        return RecordedFields(at(self._event, ("request", "headers")))


class RecordedFields:
    """Header fields by their names in lower case, as an event holds them."""

    def __init__(self, recorded: Any) -> None:
        self._recorded = recorded

    def get(self, name: bytes, default: Any = None) -> Any:
        """The values of a field, or the default if the request did not have it.

        :raises NotRecorded: if nobody knows.
        """
        found = at(self._recorded, (name.decode("latin-1"),))
        if type(found) is not list or not all(type(each) is str for each in found):
            raise NotRecorded
        try:
            return tuple([each.encode("latin-1") for each in found]) or default
        except ValueError:
            raise NotRecorded from None

    def __contains__(self, name: bytes) -> bool:
        return bool(self.get(name))


class _Connection(_Part):
    of = "exchange.connection"

    @property
    def client(self) -> Any:
        return _Client(self._event) if self.verification.presented else None

    @property
    def verification(self) -> Any:
        return _Verification(self._event)


class _Client(_Part):
    of = "exchange.connection.client"

    @property
    def sans(self) -> Any:
        return _Names(self._event)

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        if found is None and not ATTRIBUTES[self.of][name].optional:
            raise NotRecorded  # there is a certificate, and it has one
        return found


class _Names(_Part):
    of = "exchange.connection.client.sans"


class _Verification(_Part):
    of = "exchange.connection.verification"

    @property
    def presented(self) -> bool:
        return bool(self._verdict.presented)

    @property
    def verified(self) -> bool:
        return bool(self._verdict.verified)

    @property
    def reason(self) -> str:
        return str(self._verdict.reason)

    @property
    def errors(self) -> tuple[int, ...]:
        if not self.presented:
            return ()
        found: tuple[int, ...] = value_at("certificate.errors")(self._event)
        return found

    @property
    def _verdict(self) -> Any:
        return value_at("certificate.verify")(self._event)

    def __str__(self) -> str:
        return str(self._verdict)
