"""What DNS says of a name, and for how long: its addresses (A, AAAA), and the servers of a service (SRV, RFC 2782).

The system's resolver tells neither how long an answer holds nor of services, so the name servers are asked by
``twisted.names``. As with the system's, ``/etc/hosts`` comes first, and ``/etc/resolv.conf`` has the name servers and
the domains in which a short name is looked for; both are read anew for every name.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.names import dns, error, hosts
from twisted.names.client import Resolver as Client
from twisted.python.filepath import FilePath

from edgenode.model.errors import InvalidValue
from edgenode.proxy.origin.server import is_address

HOSTS = "/etc/hosts"
RESOLV_CONF = "/etc/resolv.conf"

MOST_RECORDS = 128
"""Records of one answer that are used; the name servers are the configuration's or the system's, but not what they
pass on."""

_MOST_TARGETS = 32
_TIMEOUTS = (1, 2)
"""Seconds that each name server has for its answer, in turns."""

_OF_HOSTS = 30.0
"""Seconds for which an entry of ``/etc/hosts`` holds."""

_NAME_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9.]+)(?::(\d{1,5}))?")


@frozen
class NameServer:
    """A name server: ``192.0.2.53``, ``[2001:db8::53]``, either with ``:PORT``.

    :ivar host: its address; IPv6 without brackets.
    """

    host: str
    port: int = 53

    @classmethod
    def from_text(cls, text: str) -> NameServer:
        """Read one.

        :raises InvalidValue: if it is none.
        """
        match = _NAME_SERVER.fullmatch(text)
        host, port = match.groups() if match else ("", "")
        try:
            address = ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            raise InvalidValue("expected the address of a name server, with :PORT if it is not 53", 0) from None
        if port and not 0 < int(port) < 65536:
            raise InvalidValue("a port is a number from 1 to 65535", text.rindex(port))
        return cls(str(address), int(port or 53))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == 53 else f"{host}:{self.port}"


class Unresolved(Exception):
    """A name has no answer; the text says why."""


@frozen
class Place:
    """Where a server of a name is.

    :ivar port: of a service; 0 if a name alone was asked for.
    :ivar weight: its share among those of its priority.
    :ivar backup: whether others have priority.
    """

    address: str
    port: int = 0
    weight: int = 1
    backup: bool = False


@frozen
class Places:
    """The answer to a name.

    :ivar places: at least one.
    :ivar ttl: how long it holds; seconds.
    :ivar missing: what has failed, if that may be why there are no more of them, in words; else empty.
    """

    places: tuple[Place, ...]
    ttl: float
    missing: str = ""


@frozen
class _Records:
    """The records of one type.

    :ivar failed: why there are none, unless there are none.
    """

    found: tuple[Any, ...]
    ttl: float
    failed: str = ""


@frozen
class _System:
    """What the files of the system say."""

    name_servers: tuple[NameServer, ...]
    search: tuple[str, ...]
    dots: int
    hosts: tuple[str, ...]


class Names:
    """Asks name servers.

    :param reactor: for UDP and TCP, timers and threads.
    :param name_servers: whom to ask; those of the system if there are none, and then ``/etc/hosts`` is looked at first.
    """

    def __init__(self, reactor: Any, name_servers: Sequence[NameServer] = ()) -> None:
        self._reactor = reactor
        self._name_servers = tuple(name_servers)

    async def addresses(self, name: str) -> Places:
        """Where a host is: all its addresses, those of IPv6 only if there is a way to them.

        :raises Unresolved: if it has none that is known.
        """
        system = await self._system(name)
        if system.hosts:
            return Places(tuple(map(Place, system.hosts)), _OF_HOSTS)
        both = await self._first(name, system, lambda client, each: _both(client, each))
        found = _reachable([*dict.fromkeys(record.payload.dottedQuad() for record in both[0].found),
                            *dict.fromkeys(_ipv6(record.payload) for record in both[1].found)])  # fmt: skip
        failed = "; ".join(each.failed for each in both if each.failed)
        if not found:
            raise Unresolved(f"{name} has no address{failed and f': {failed}'}")
        return Places(tuple(map(Place, found)), min(each.ttl for each in both), failed)

    async def service(self, service: str, name: str) -> Places:
        """Where the servers of a service are.

        :param service: with a dot as in DNS, such as ``_https._tcp``; else the ``_`` and ``._tcp`` are added.
        :raises Unresolved: if it has none that is known.
        """
        owner = f"{service if '.' in service else f'_{service}._tcp'}.{name}"
        system = await self._system(owner)
        (records,) = await self._first(owner, system, lambda client, each: _one(client, each))
        targets = sorted((each.payload for each in records.found), key=lambda each: each.priority)[:_MOST_TARGETS]
        targets = [each for each in targets if each.target.name.strip(b".")]  # "." says that there is no such service
        if not targets:
            raise Unresolved(f"{owner} has no servers{records.failed and f': {records.failed}'}")
        places, ttl, missing, first = list[Place](), records.ttl, "", targets[0].priority
        for target in targets:
            try:
                found = await self.addresses(target.target.name.decode("ascii") + ".")
            except UnicodeDecodeError:
                missing = f"a server of {owner} has a name that no host has"
                continue
            except Unresolved as problem:
                missing = str(problem)
                continue
            ttl, missing, backup = min(ttl, found.ttl), missing or found.missing, target.priority != first
            places += [Place(each.address, target.port, max(1, target.weight), backup) for each in found.places]
        if not places:
            raise Unresolved(missing)
        return Places((*dict.fromkeys(places),)[:MOST_RECORDS], ttl, missing)

    async def _system(self, name: str) -> _System:
        if self._name_servers:
            return _System(self._name_servers, (), 1, ())
        return await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _read_system, name)

    async def _first(
        self, name: str, system: _System, ask: Callable[[Client, str], Deferred[tuple[_Records, ...]]]
    ) -> tuple[_Records, ...]:
        """What is said of the first of the names that a name may stand for of which something is said."""
        servers = [(each.host, each.port) for each in system.name_servers]
        client = Client(servers=servers, timeout=_TIMEOUTS, reactor=self._reactor)
        try:
            for each in _candidates(name, system):
                records = await ask(client, each)
                if any(one.found or one.failed for one in records):
                    return records
            return records
        finally:
            for connection in tuple(client.connections):
                connection.transport.loseConnection()


def _candidates(name: str, system: _System) -> list[str]:
    """Which names a name may stand for: resolv.conf(5), ``search`` and ``ndots``."""
    if name.endswith("."):
        return [name[:-1]]
    longer = [f"{name}.{domain}" for domain in system.search]
    return [name, *longer] if name.count(".") >= system.dots else [*longer, name]


def _read_system(name: str) -> _System:
    """Read the system's files; this blocks."""
    found = hosts.searchFileForAll(FilePath(HOSTS), name.rstrip(".").encode("ascii"))
    servers, search, dots = list[NameServer](), tuple[str, ...](), 1
    try:
        with open(RESOLV_CONF, encoding="ascii", errors="replace") as file:
            lines = file.readlines()
    except OSError:
        lines = []
    for words in map(str.split, lines):
        match words:
            case ["nameserver", address, *_]:
                host = address.partition("%")[0]
                if is_address(host):
                    servers.append(NameServer(host))
            case ["search" | "domain", *domains]:
                search = tuple(each.rstrip(".") for each in domains[:6] if each.strip("."))
            case ["options", *options]:
                for option in options:
                    key, _, number = option.partition(":")
                    if key == "ndots" and number.isdecimal():
                        dots = min(int(number[:3]), 15)
    return _System(tuple(servers) or (NameServer("127.0.0.1"),), search, dots, tuple(found))


def _both(client: Client, name: str) -> Deferred[tuple[_Records, ...]]:
    """The records of both families; they are asked for at once."""
    families = [maybeDeferred(each, name, _TIMEOUTS) for each in (client.lookupAddress, client.lookupIPV6Address)]

    async def both() -> tuple[_Records, ...]:
        asked = [Deferred.fromCoroutine(_records(*each)) for each in zip(families, (dns.A, dns.AAAA), strict=True)]
        return tuple([await each for each in asked])

    return Deferred.fromCoroutine(both())


def _one(client: Client, name: str) -> Deferred[tuple[_Records, ...]]:
    async def one() -> tuple[_Records, ...]:
        return (await _records(maybeDeferred(client.lookupService, name, _TIMEOUTS), dns.SRV),)

    return Deferred.fromCoroutine(one())


async def _records(asked: Deferred[Any], type: int) -> _Records:
    """The records of a type that an answer has; an alias on the way to them counts for their time alone."""
    try:
        answers, _, _ = await asked
    except error.DNSNameError:
        return _Records((), float("inf"))
    except CancelledError:
        raise
    except Exception as problem:  # of twisted.names, of sockets, of a name that cannot be asked for
        return _Records((), float("inf"), _words(problem))
    records = [each for each in answers if each.type == type and each.payload is not None][:MOST_RECORDS]
    return _Records(tuple(records), min((float(each.ttl) for each in answers), default=float("inf")))


def _words(problem: Exception) -> str:
    if isinstance(problem, defer.TimeoutError | error.DNSQueryTimeoutError):
        return "no name server answers"
    if isinstance(problem, error.DomainError):
        return f"the name server says {type(problem).__name__.removeprefix('DNS').removesuffix('Error').lower()}"
    return f"{type(problem).__name__}: {problem}"


def _ipv6(payload: Any) -> str:
    return socket.inet_ntop(socket.AF_INET6, payload.address)


def _reachable(addresses: list[str]) -> list[str]:
    """Without those of IPv6 to which there is no way, unless there are no others (RFC 6724, section 6, rule 1)."""
    reachable = [each for each in addresses if ":" not in each or _has_way(each)]
    return (reachable or addresses)[:MOST_RECORDS]


def _has_way(address: str) -> bool:
    """Whether the system knows a way; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError:
        return False
    return True
