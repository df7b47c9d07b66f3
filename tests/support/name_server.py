"""A name server on this host, over UDP and TCP, whose answers a test changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from attrs import Factory, define
from twisted.internet import reactor as real
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns, error
from twisted.names.server import DNSServerFactory
from twisted.python.failure import Failure

from edgenode.proxy.origin.names import NameServer

reactor: Any = real


@define(eq=False)
class Zone:
    """What the server answers.

    :ivar records: by name and type; a name without any does not exist.
    :ivar broken: whether it answers SERVFAIL.
    :ivar asked: the names and types that were asked for.
    """

    server: NameServer
    records: dict[tuple[str, int], list[Any]] = Factory(dict)
    broken: bool = False
    asked: list[tuple[str, int]] = Factory(list)

    def addresses(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Have a name with these addresses."""
        self.records[name, dns.A] = [dns.Record_A(each, ttl) for each in addresses if ":" not in each]
        self.records[name, dns.AAAA] = [dns.Record_AAAA(each, ttl) for each in addresses if ":" in each]

    def service(self, name: str, *places: tuple[int, int, int, str], ttl: int = 300) -> None:
        """Have a service at these places: priority, weight, port and target."""
        self.records[name, dns.SRV] = [dns.Record_SRV(a, b, port, to.encode(), ttl) for a, b, port, to in places]

    def query(self, query: dns.Query, timeout: Any = None) -> Deferred[Any]:
        """Answer, as a resolver of ``twisted.names``."""
        name = query.name.name.decode()
        self.asked.append((name, query.type))
        if self.broken:
            return fail(error.DNSServerError())
        if not any(known == name for known, _ in self.records):
            return fail(error.DNSNameError())
        found = self.records.get((name, query.type), [])
        return succeed(([dns.RRHeader(name, query.type, dns.IN, each.ttl, each) for each in found], [], []))


class Answering(DNSServerFactory):
    """What speaks DNS for a zone; a failure is told as one, and not as a name that does not exist."""

    noisy = False

    def gotResolverError(self, failure: Failure, protocol: Any, message: dns.Message, address: Any) -> None:
        """Say so."""
        message.rCode = dns.ENAME if failure.check(error.DNSNameError) else dns.ESERVER
        message.answer = 1
        self.sendReply(protocol, message, address)


@contextlib.contextmanager
def name_server() -> Iterator[Zone]:
    """A name server that knows no names yet."""
    factory: Any = Answering()
    tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
    zone = Zone(NameServer("127.0.0.1", tcp.getHost().port))
    factory.resolver = zone
    udp = reactor.listenUDP(zone.server.port, dns.DNSDatagramProtocol(factory), interface="127.0.0.1")
    try:
        yield zone
    finally:
        tcp.stopListening()
        udp.stopListening()
