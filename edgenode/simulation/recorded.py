"""A recorded exchange: what an event holds of it, as something that rules can look at again.

Law: what an event does not hold is never taken for absent. There are two readings of each: one in which something
stands in the place of the unknown, so that everything that serves can run on it, and one that raises
:class:`~edgenode.rules.matching.certainty.NotKnown` wherever the unknown is looked at. What an event holds, and where
that stood in the exchange, says the schema: :mod:`edgenode.observe.event_schema`.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

from attrs import evolve, frozen

from edgenode.model.errors import ClientError
from edgenode.model.exchange import (
    UNKNOWN_CLIENT,
    AlternativeNames,
    ClientIdentity,
    Connection,
    Exchange,
    Request,
    Verification,
)
from edgenode.observe.event_fields import ATTRIBUTES, Values, attributes, read_event
from edgenode.policy.contentfilter.masking import MASKED
from edgenode.policy.tagging import BOT, HUMAN
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.streams import RequestHead
from edgenode.rules.matching.certainty import NotKnown

LONGEST_LINE = 1 << 20
"""Characters of a line that is read; a longer one is no event."""

_JUDGED = (404, 413, 421, 495, 496)
"""The refusals that are a judgement: the others say what became of the connection, or of the node."""

_LIMITS = HeadLimits(target=1 << 20, head=1 << 21, headers=10_000)
_LONG_AGO = datetime.datetime.fromtimestamp(0, datetime.UTC)
_NOBODY = ClientIdentity(b"", (), "", "", "", "", _LONG_AGO, _LONG_AGO, Verification())
"""What stands in the place of what is not known of a client."""

_CONNECTION = "exchange.connection"
_CLIENT = f"{_CONNECTION}.client"
"""Where they stand in a record."""

_TAGGED = {"subject", "issuer", "tags"}
"""What becomes a tag of a client that is verified: :mod:`edgenode.policy.tagging`."""


class NoEvent(Exception):
    """A line is no event of ours; the text says why."""


class NotJudged(Exception):
    """An event is about something that no rule has judged; the text says what."""


@frozen
class Verdict:
    """What became of a request, as far as rules and routes had a say.

    :ivar word: the name of the action, ``forward`` for none, or ``refused``.
    :ivar status: the status that the node answered, 444 for none; 0 if it forwarded, or if nobody knows.
    :ivar mode: the mode of filtration if an action was not carried out for it; else empty.
    """

    word: str
    status: int = 0
    mode: str = ""

    def __str__(self) -> str:
        mode = f" (mode = {self.mode})" if self.mode else ""
        return f"{self.word}{f' {self.status}' if self.status else ''}{mode}"

    def same(self, other: Verdict) -> bool:
        """Whether it is the same, as far as both are known."""
        either = not self.status or not other.status or self.status == other.status
        return (self.word, self.mode) == (other.word, other.mode) and either


@frozen
class Recorded:
    """One recorded exchange.

    :ivar place: what to find it by: identifier, time, client and request.
    :ivar listener: where it came in.
    :ivar time: when it began, seconds since the epoch.
    :ivar client: the client's address.
    :ivar connection: the connection, with something in the place of what is not known.
    :ivar head: the head of the request, likewise.
    :ivar verdict: what became of it.
    :ivar received: bytes of the body that came; there may have been more of them.
    :ivar answer: what the client was sent if the origin was asked: the status, bytes of the body, and what the origin
        answered, as :meth:`edgenode.model.decision.After.responded` is told; ``None`` if the origin was not asked.
    :ivar human: whether the client had solved a challenge; ``None`` if nobody looked.
    :ivar filter: the filter whose action was taken, empty if none was.
    :ivar unsure: what is not known that the route, or the verdict on the client, may depend on; empty for nothing.
    :ivar probe_connection: the connection, raising where what is not known is looked at.
    :ivar probe_request: the request likewise.
    """

    place: Mapping[str, str]
    listener: str
    time: float
    client: str
    connection: Connection
    head: RequestHead
    verdict: Verdict
    received: int
    answer: tuple[int, int, int] | None
    human: bool | None
    filter: str
    unsure: str
    probe_connection: Connection
    probe_request: Request

    @classmethod
    def of(cls, line: str) -> Self:
        """Read an event.

        :raises NoEvent: if it is none.
        :raises NotJudged: if it is about something that was not judged.
        """
        try:
            event = json.loads(line)
            if not isinstance(event, dict) or not event.keys() & {"request", "event"}:
                raise NoEvent("not an event")
            if "request" not in event:
                raise NotJudged("what happened to the state")
            return cls._of(event, read_event(event))
        except RecursionError:
            raise NoEvent("nested too deep") from None
        except json.JSONDecodeError as error:
            raise NoEvent(f"not JSON: {error.msg}") from None
        except (ValueError, OverflowError) as error:
            raise NoEvent(f"not an event of this version: {error}") from None
        except ClientError as error:
            raise NoEvent(f"a request that would be refused: {error}") from None

    @classmethod
    def _of(cls, event: Mapping[str, Any], values: Values) -> Self:
        if values["request"] is None:
            raise NotJudged("without a request")
        if "websocket.code" in values:
            raise NotJudged("a WebSocket, behind its handshake")
        verdict = _verdict(values)
        head, probe_request = _requests(values)
        connection, probe_connection = _connections(values)
        when, client = values["time"], values["client"]
        if client != UNKNOWN_CLIENT:
            client = str(ipaddress.ip_address(client))
        place = {"id": values["id"].decode("latin-1"), "time": event["time"], "client": client}
        place |= {part: event["request"][part] for part in ("method", "authority", "target")}
        return cls(
            place,
            values["listener"],
            when,
            client,
            connection,
            head,
            verdict,
            values["bytes.received"],
            _answer(values),
            True if HUMAN in values["tags"] else False if BOT in values["tags"] else None,
            _filter(values),
            "" if connection.client is None or _known(values).keys() >= _TAGGED else "certificate",
            probe_connection,
            probe_request,
        )

    def probe(self, exchange: Exchange) -> Exchange:
        """The exchange as it was routed, as one that raises where what is not known is looked at."""
        return evolve(exchange, connection=self.probe_connection, request=self.probe_request)


def _verdict(values: Values) -> Verdict:
    action, status, failed = values["action"], values["status"], values["error"] is not None
    if failed and values["error.fault"] == "client":
        if values["error.status"] in _JUDGED:
            return Verdict("refused", values["error.status"])
        if not values["path_map"]:
            raise NotJudged("not judged")
    if action is None:
        return Verdict("forward")
    forwarded = values["origin"] is not None or failed or status == 499
    return Verdict(action, 0 if forwarded else status, "" if values["mode"] == "block" else values["mode"])


def _answer(values: Values) -> tuple[int, int, int] | None:
    """What the client was sent if the origin was asked."""
    if values["origin"] is None:
        return None
    of_origin = values["error"] is not None and values["error.fault"] == "origin"
    answered = values["error.status"] if of_origin else values["origin.status"]
    return values["status"], values["bytes.sent"], answered or 0


def _filter(values: Values) -> str:
    """The filter whose action was taken; of several that proposed it the first."""
    taken = values["action"]
    return next((why.filter for why in values["reasons"] if taken and why.action == taken), "")


# -- the request -------------------------------------------------------------------------------------------------------


def _requests(values: Values) -> tuple[RequestHead, Request]:
    """The request with something in the place of what is not known, and as one that raises there."""
    known = attributes(values, "exchange.request", whole=True)
    length, recorded = known["length"], {name.lower(): found for name, found in known["fields"].items()}
    lines = [b"%b %b HTTP/1.1" % (known["method"], known["target"]), b"host: " + known["authority"]]
    lines += [
        b"%b: %b" % (name, value)
        for name, found in recorded.items()
        if name not in (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
        for value in found
    ]
    if length != 0:
        lines.append(b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length)
    lines += _fillers(values["tags"], {line.partition(b":")[0] for line in lines[1:]})
    head = read_request_head(b"\r\n".join((*lines, b"", b"")), _LIMITS, known["scheme"])
    head.version = known["version"]
    body: Any = head.body if length == 0 else _Unknown("body")
    fields: Any = _Fields({name: found for name, found in recorded.items() if not any(map(MASKED.search, found))})
    headers: Any = _Unknown("all headers")
    probe = evolve(head.with_body(body), headers=headers, names=headers, fields=fields)
    if MASKED.search(head.target):
        probe = _Masked(
            head.method, head.scheme, head.authority, head.target, head.path, head.query, head.normalised_path,
            headers, headers, head.version, head.length, body, fields,
        )  # fmt: skip
    return head, probe


class _Masked(Request):
    """A request of which the target was recorded with something masked in it: it raises where that is looked at."""

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name in ("target", "path", "query", "normalised_path") and found and MASKED.search(found):
            raise NotKnown("values that are masked")
        return found


def _fillers(tags: frozenset[str], present: set[bytes]) -> Iterator[bytes]:
    """Fields in the place of those that were not recorded, as many as the tags count."""
    counted = dict(tag.split(":", 1) for tag in tags if re.fullmatch("(headers|cookies):[0-9]{1,4}", tag))
    if b"cookie" not in present and int(counted.get("cookies", 0)):
        yield b"cookie: " + b"; ".join(b"%d=" % number for number in range(int(counted["cookies"])))
    for number in range(int(counted.get("headers", 0)) - len(present - {b"cookie"})):
        yield b"x-not-recorded-%d: " % number


class _Fields(Mapping[bytes, tuple[bytes, ...]]):
    """The header fields, of which only some were recorded."""

    def __init__(self, recorded: Mapping[bytes, tuple[bytes, ...]]) -> None:
        self._recorded = recorded

    def __getitem__(self, name: bytes) -> tuple[bytes, ...]:
        if name not in self._recorded:
            raise NotKnown(f"header {name.decode('latin-1')}")
        values = self._recorded[name]
        if not values:
            raise KeyError(name)
        return values

    def __iter__(self) -> Iterator[bytes]:
        raise NotKnown("all headers")

    def __len__(self) -> int:
        raise NotKnown("all headers")


class _Unknown:
    """Something that was not recorded; with a size it has that, and no more."""

    def __init__(self, what: str, size: int | None = None) -> None:
        self._what, self._size = what, size

    def __getattr__(self, name: str) -> Any:
        raise NotKnown(self._what)

    def __iter__(self) -> Iterator[Any]:
        raise NotKnown(self._what)

    def __len__(self) -> int:
        if self._size is None:
            raise NotKnown(self._what)
        return self._size


# -- the connection ----------------------------------------------------------------------------------------------------


def _connections(values: Values) -> tuple[Connection, Connection]:
    """The connection with something in the place of what is not known of the client, and as one that raises there."""
    facts = attributes(values, _CONNECTION, whole=True)
    verdict = facts.pop("verification")
    connection = Connection(**facts)
    if not verdict.presented:
        return connection, connection
    numbers = attributes(values, f"{_CONNECTION}.verification", whole=True)
    errors = attributes(values, f"{_CLIENT}.verification", whole=True)
    verification = evolve(verdict, **numbers, **errors)
    known, names = _known(values), attributes(values, f"{_CLIENT}.sans")
    client = evolve(_NOBODY, **known, verification=verification, sans=AlternativeNames(**names))
    chains = {
        name: _Unknown("certificate chain", len(known[name])) if known[name] else ()
        for name in ("chain_sent", "chain_verified")
        if name in known
    }
    held = known | chains | {"verification": verification, "sans": _Partial("certificate sans", names)}
    probe: Any = _Partial("certificate", held)
    return evolve(connection, client=client), evolve(connection, client=probe)


def _known(values: Values) -> dict[str, Any]:
    """The attributes of the client that an event holds; ``null`` is a value only where a certificate may lack it."""
    rows = ATTRIBUTES[_CLIENT]
    found = attributes(values, _CLIENT)
    return {name: value for name, value in found.items() if value is not None or rows[name].optional}


class _Partial:
    """A value of which only some attributes were recorded."""

    def __init__(self, what: str, known: Mapping[str, Any]) -> None:
        self._what, self._known = what, known

    def __getattr__(self, name: str) -> Any:
        if name not in self._known:
            raise NotKnown(f"{self._what} {name}")
        return self._known[name]
