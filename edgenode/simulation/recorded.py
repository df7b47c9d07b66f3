"""A recorded exchange: what an event tells, as something that rules can look at again.

Law: what an event does not hold is never taken for absent. There are two readings of each: one in which the unknown has
some value or other, so that everything that serves can run on it, and one that raises
:class:`~edgenode.rules.matching.certainty.NotKnown` wherever the unknown is looked at.
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
    Address,
    AlternativeNames,
    ClientIdentity,
    Connection,
    Exchange,
    Request,
    Verification,
)
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.proxy.streams import RequestHead
from edgenode.rules.matching.certainty import NotKnown

LONGEST_LINE = 1 << 20
"""Characters of a line that is read; a longer one is no event."""

_JUDGED = (404, 413, 421, 495, 496)
"""The refusals that are a judgement: the others say what became of the connection, or of the node."""

_LONG_AGO = datetime.datetime.fromtimestamp(0, datetime.UTC)
_LIMITS = HeadLimits(target=1 << 20, head=1 << 21, headers=10_000)
_TEXTS = (
    "subject", "issuer", "serial", "subject_legacy", "issuer_legacy", "issuer_serial", "fingerprint_sha1", "ski",
    "issuer_ski", "spki_sha256", "key_type", "signature_algorithm",
)  # fmt: skip
_NAMES = ("subject", "issuer", "subject_legacy", "issuer_legacy")
_CUT = 1024
"""Characters of a name, if it has so many, of which nobody knows whether they are all."""


_LONGEST_CHAIN = 1000
"""Certificates; no handshake has so many."""


class NoEvent(Exception):
    """A line is no event of ours; the text says why."""


class NotJudged(Exception):
    """An event tells of something that no rule has judged; the text says what."""


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
    :ivar received: bytes of the body that came; there may have been more.
    :ivar filter: the filter whose action was taken, empty if none was.
    :ivar unsure: what is not known that the route, or the verdict on the client, may depend on; empty for nothing.
    :ivar probe_connection: the connection that tells if it is asked for what is not known.
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
    filter: str
    unsure: str
    probe_connection: Connection
    probe_request: Request

    @classmethod
    def of(cls, line: str) -> Self:
        """Read an event.

        :raises NoEvent: if it is none.
        :raises NotJudged: if it tells of something that was not judged.
        """
        try:
            event = json.loads(line)
            return cls._read(event)
        except (NotJudged, NoEvent):
            raise
        except RecursionError:
            raise NoEvent("nested too deep") from None
        except json.JSONDecodeError as error:
            raise NoEvent(f"not JSON: {error.msg}") from None
        except KeyError as error:
            raise NoEvent(f"not an event of this version: {error.args[0]} is missing") from None
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise NoEvent(f"not an event of this version: {error}") from None
        except ClientError as error:
            raise NoEvent(f"a request that would be refused: {error}") from None

    @classmethod
    def _read(cls, event: Any) -> Self:
        if not isinstance(event, dict) or "request" not in event:
            raise NoEvent("not an event")
        if event["request"] is None:
            raise NotJudged("without a request")
        verdict = _verdict(event)
        when = datetime.datetime.fromisoformat(event["time"]).timestamp()
        head, probe = _requests(event)
        client = str(ipaddress.ip_address(event["client"]))
        place = {"id": str(event["id"]), "time": event["time"], "client": client}
        place |= {part: str(event["request"][part]) for part in ("method", "authority", "target")}
        connection, probed = _connections(event)
        unsure = "certificate" if connection.client is not None and "tags" not in event["certificate"] else ""
        listener, received, taken = str(event["listener"]), int(event["bytes"]["received"]), _filter(event)
        return cls(place, listener, when, client, connection, head, verdict, received, taken, unsure, probed, probe)

    def probe(self, exchange: Exchange) -> Exchange:
        """The exchange as it was routed, that tells if it is asked for what is not known."""
        return evolve(exchange, connection=self.probe_connection, request=self.probe_request)


def _verdict(event: Mapping[str, Any]) -> Verdict:
    error, action, status = event["error"], event["action"], int(event["status"])
    if error is not None and error["fault"] == "client":
        if error["status"] in _JUDGED:
            return Verdict("refused", error["status"])
        if not event["path_map"]:
            raise NotJudged("not judged")
    if action is None:
        return Verdict("forward")
    mode = event.get("mode", "block")
    forwarded = event["origin"] is not None or error is not None or status == 499
    return Verdict(str(action), 0 if forwarded else status, "" if mode == "block" else str(mode))


def _filter(event: Mapping[str, Any]) -> str:
    """The filter whose action was taken; of several that proposed it the first."""
    taken = event["action"]
    return next((str(why["filter"]) for why in event["reasons"] if taken and why["action"] == taken), "")


# -- the request -------------------------------------------------------------------------------------------------------


def _requests(event: Mapping[str, Any]) -> tuple[RequestHead, Request]:
    """The request with something in the place of what is not known, and as one that tells."""
    told = event["request"]
    method, target, authority = (told[part].encode("latin-1") for part in ("method", "target", "authority"))
    recorded = {
        name.lower().encode("ascii"): tuple(value.encode("latin-1") for value in values)
        for name, values in told.get("headers", {}).items()
    }
    length = told.get("length", int(event["bytes"]["received"]))
    lines = [b"%b %b HTTP/1.1" % (method, target), b"host: " + authority]
    lines += [
        b"%b: %b" % (name, value)
        for name, values in recorded.items()
        if name not in (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
        for value in values
    ]
    if length != 0:
        lines.append(b"transfer-encoding: chunked" if length is None else b"content-length: %d" % length)
    lines += _fillers(event["tags"], {line.partition(b":")[0] for line in lines[1:]})
    head = read_request_head(b"\r\n".join((*lines, b"", b"")), _LIMITS, told.get("scheme", "https").encode("ascii"))
    head.version = _version(told["version"])
    known = told.get("length", None) == 0
    body: Any = head.body if known else _Untold("body")
    fields: Any = _Fields(recorded)
    untold: Any = _Untold("all headers")
    return head, evolve(head.with_body(body), headers=untold, names=untold, fields=fields)


def _fillers(tags: list[str], present: set[bytes]) -> Iterator[bytes]:
    """Fields in the place of those that were not recorded, as many as the tags count."""
    counted = dict(tag.split(":", 1) for tag in tags if re.fullmatch("(headers|cookies):[0-9]{1,4}", tag))
    if b"cookie" not in present and int(counted.get("cookies", 0)):
        yield b"cookie: " + b"; ".join(b"%d=" % number for number in range(int(counted["cookies"])))
    for number in range(int(counted.get("headers", 0)) - len(present - {b"cookie"})):
        yield b"x-not-recorded-%d: " % number


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.removeprefix("HTTP/").partition(".")
    return int(major), int(minor or 0)


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


class _Untold:
    """Something that was not recorded; with a size it has that, and no more."""

    def __init__(self, what: str, size: int | None = None) -> None:
        self.__dict__["_what"], self.__dict__["_size"] = what, size

    def __getattr__(self, name: str) -> Any:
        raise NotKnown(self._what)

    def __iter__(self) -> Iterator[Any]:
        raise NotKnown(self._what)

    def __len__(self) -> int:
        if self._size is None:
            raise NotKnown(self._what)
        return int(self._size)

    def __bool__(self) -> bool:
        return len(self) > 0


# -- the connection ----------------------------------------------------------------------------------------------------


def _connections(event: Mapping[str, Any]) -> tuple[Connection, Connection]:
    tls, told = event["tls"], event["certificate"]
    peer, local = _address(event["peer"]), _address(event["local"])
    name = tls["server_name"]
    if name is not None and not isinstance(name, str):
        raise NoEvent("the server name is no text")
    connection = Connection(
        peer, local, name, str(tls["alpn"]), str(tls["version"]), str(tls["cipher"]), str(tls["fingerprint"])
    )
    if told["verify"] == "NONE":
        return connection, connection
    told = told | {"errors": told.get("errors", (told["first_error"], told["last_error"]))}
    client = _client(told)
    telling: Any = _Certificate(client, told)
    return evolve(connection, client=client), evolve(connection, client=telling)


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address.of(host.removeprefix("[").removesuffix("]"), int(port))


def _client(told: Mapping[str, Any]) -> ClientIdentity:
    """The client, with something in the place of what is not known."""
    verify = str(told["verify"])
    verification = Verification(
        presented=True,
        verified=verify == "SUCCESS",
        revoked=told["revoked"] is True,
        first_error=int(told["first_error"]),
        last_error=int(told["last_error"]),
        depth=int(told["depth"]),
        reason=verify.removeprefix("FAILED:") if verify != "SUCCESS" else "",
        errors=tuple(int(each) for each in told["errors"] if each),
    )
    texts = {name: str(told.get(name) or "") for name in _TEXTS}
    sans = told.get("sans") or {}
    return ClientIdentity(
        leaf=b"",
        chain_sent=_chain(told.get("chain_sent")),
        fingerprint_sha256=str(told["fingerprint"]),
        not_before=_moment(told.get("not_before")) or _LONG_AGO,
        not_after=_moment(told.get("not_after")) or _LONG_AGO,
        verification=verification,
        chain_verified=_chain(told.get("chain_verified")),
        tags=tuple(map(str, told.get("tags") or ())),
        sans=AlternativeNames(**{kind: tuple(map(str, names or ())) for kind, names in sans.items()}),
        key_bits=int(told.get("key_bits") or 0),
        extended_key_usages=tuple(map(str, told.get("extended_key_usages") or ())),
        crl_this_update=_moment(told.get("crl_this_update")),
        crl_next_update=_moment(told.get("crl_next_update")),
        **texts,
    )


def _chain(length: Any) -> tuple[bytes, ...]:
    """As many certificates, with something in the place of each."""
    number = int(length or 0)
    if not 0 <= number <= _LONGEST_CHAIN:
        raise NoEvent(f"a chain of {length} certificates")
    return (b"",) * number


def _moment(text: str | None) -> datetime.datetime | None:
    return None if text is None else datetime.datetime.fromisoformat(text)


class _Certificate:
    """A client's identity that tells if it is asked for what was not recorded."""

    def __init__(self, client: ClientIdentity, told: Mapping[str, Any]) -> None:
        self._client = client
        self._told = told

    def __getattr__(self, name: str) -> Any:
        told, client = self._told, self._client
        match name:
            case "verification":
                return client.verification
            case "fingerprint_sha256":
                return client.fingerprint_sha256
            case "chain_sent" | "chain_verified" if isinstance(told.get(name), int):
                return _Untold("certificate chain", told[name]) if told[name] else ()
            case "sans" if isinstance(told.get(name), dict):
                return _Names(client.sans, told[name])
        unread = name not in told or (told[name] is None and not name.startswith("crl_"))
        if unread or (name in _NAMES and len(told[name]) >= _CUT):
            raise NotKnown(f"certificate {name}")
        return getattr(client, name)


class _Names:
    """Subject alternative names, of which some kinds may not have been recorded."""

    def __init__(self, names: AlternativeNames, told: Mapping[str, Any]) -> None:
        self._names, self._told = names, told

    def __getattr__(self, kind: str) -> Any:
        if self._told.get(kind) is None:
            raise NotKnown(f"certificate sans {kind}")
        return getattr(self._names, kind)
