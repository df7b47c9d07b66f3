"""A program that uses everything on one reactor: ``python -m tests.embedding.reactor_program NAME FOLDER``.

A node in front of an origin, a protocol on the endpoint ``edgenode:``, a filtered site on that and on TCP of Twisted's,
and an agent of the node's origin; each is asked, reloaded, and ended, and nothing may be left in the reactor.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from twisted.application.reactors import installReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site


class Echo(Protocol):
    """Says who is there, and echoes."""

    def connectionMade(self) -> None:
        """Greet."""
        transport: Any = self.transport
        transport.write(f"{transport.client and transport.client.subject}\n".encode())

    def dataReceived(self, data: bytes) -> None:
        """Echo."""
        transport: Any = self.transport
        transport.write(data)


class Slowly(Resource):
    """Answers later, with as many bytes as asked for."""

    isLeaf = True

    def render(self, request: Any) -> int:
        """Answer."""
        from twisted.internet import reactor

        size = int(request.args.get(b"size", [b"5"])[0])
        deferLater(reactor, 0.01, self._answer, request, size)
        return NOT_DONE_YET

    @staticmethod
    def _answer(request: Any, size: int) -> None:
        request.write(b"x" * size)
        request.finish()


async def main(reactor: Any, folder: pathlib.Path) -> None:
    """Use everything."""
    from treq.client import HTTPClient

    from edgenode import Configuration, EdgeEndpoint, EdgeService, FilteredResource, OriginAgent
    from edgenode.testing import Sandbox
    from tests.support.clients import Client

    sandbox = Sandbox.make(folder)
    alice = sandbox.clients.issue("alice")
    listener = "[listener public]\nendpoint = tcp:0:interface=127.0.0.1\nserver-groups = www, partners\n"
    filter = "[global-filter no]\npath = ^/no\naction = block\n"
    pipeline = sandbox.configuration(filter).pipeline("all")

    def configuration(more: str = "") -> Configuration:
        origin = f"[origin app]\nservers = http://127.0.0.1:{number}\n"
        return sandbox.configuration(f"{listener}\n{origin}\n{filter}\n{more}")

    def asked(port: int, *paths: str) -> list[tuple[int, int]]:
        with Client(port, "www.test", chain=(alice,)) as client:
            answers = [client.ask(f"GET {path} HTTP/1.1\r\nHost: www.test\r\n\r\n".encode()) for path in paths]
        return [(answer.status, len(answer.body)) for answer in answers]

    def echoed(port: int) -> bytes:
        data, received = b"x" * 1_000_000, b""
        with Client(port, "www.test", chain=(alice,)) as client:
            greeting = b"CN=alice\n"
            client.send(data[:500_000])
            while len(received) < len(greeting) + 500_000:
                received += client.receive()
            assert received.startswith(greeting)
        return received

    tcp = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(
        Site(FilteredResource(pipeline, Slowly()))
    )
    number = tcp.getHost().port
    service = EdgeService(configuration(), reactor)
    service.privilegedStartService()
    service.startService()
    port = service.ports["public"].getHost().port
    paths = ("/", "/?size=300000", "/no")
    told = await deferToThread(asked, port, *paths)
    assert told == [(200, 5), (200, 300000), (403, 11)], told
    await service.reload(configuration("[global-filter other]\npath = ^/other\naction = block\n"))
    assert await deferToThread(asked, port, "/other") == [(403, 11)], "the node, reloaded"

    lines = EdgeEndpoint(reactor, configuration())
    listening: Any = await lines.listen(Factory.forProtocol(Echo))
    await deferToThread(echoed, listening.getHost().port)
    await lines.reload(configuration())
    await listening.stopListening()
    await lines.when_over()

    site = EdgeEndpoint(reactor, configuration())
    listening = await site.listen(Site(FilteredResource(pipeline, Slowly())))
    assert await deferToThread(asked, listening.getHost().port, *paths) == [(200, 5), (200, 300000), (403, 11)], "site"
    await listening.stopListening()
    await site.when_over()

    agent = OriginAgent.of(configuration(), "app", reactor)
    response = await HTTPClient(agent).get(f"http://127.0.0.1:{number}/?size=70000")
    assert len(await response.content()) == 70000, "the agent"
    await agent.close()

    await service.stopService()
    await tcp.stopListening()
    await deferLater(reactor, 0.1)
    calls = [call for call in reactor.getDelayedCalls() if call.active()]
    left = [*_open(reactor), *calls]
    assert not left, left
    sys.stdout.write(f"{type(reactor).__name__} is fine\n")


def _open(reactor: Any) -> list[Any]:
    """What is still read or written, besides the reactor's own."""
    both = {*reactor.getReaders(), *reactor.getWriters()}
    return [each for each in both if not type(each).__name__.endswith("Waker")]


if __name__ == "__main__":
    installReactor(sys.argv[1])
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(main(reactor, pathlib.Path(sys.argv[2]))))
