"""The endpoint ``edgenode:FILE:listener=NAME``: a listener of a configuration for any Twisted factory.

Law: a client of such a protocol is judged as the node's own clients are: the server group is chosen by the ClientHello,
its TLS policy verifies the client in the handshake, the verdict is checked again before the protocol is built, and a
client whose certificate expires or is revoked is disconnected. Every problem of the file is reported before the port is
bound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet import defer, interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from zope.interface import implementer

from edgenode.config.load import Configuration
from edgenode.embedding.protocol_transport import ProtocolTransport
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.model.exchange import Address
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.assembly import Assembly
from edgenode.node.events import EventLog
from edgenode.node.watch import Watch
from edgenode.proxy.listener.port import Port

_log = Logger()


@implementer(interfaces.IStreamServerEndpoint)
class EdgeEndpoint:
    """A listener of a configuration file, for a protocol of one's own.

    :param reactor: a reactor with descriptors, timers and a thread pool.
    :param path: the configuration file; it is read when somebody listens.
    :param listener: the name of the listener; may be left out if the file has only one.
    """

    def __init__(self, reactor: Any, path: str, listener: str | None = None) -> None:
        self._reactor = reactor
        self._path = path
        self._listener = listener

    def listen(self, protocolFactory: interfaces.IProtocolFactory) -> Deferred[interfaces.IListeningPort]:
        """Listen with a factory; the ALPN protocols are those that it names (``IProtocolNegotiationFactory``).

        :return: fires at once, for this may need root and be the last moment to have it; fails with
            :class:`~edgenode.model.errors.ConfigurationError` with all problems of the file, or with
                ``CannotListenError``.
        """
        return defer.execute(self._listen, protocolFactory)

    def _listen(self, factory: interfaces.IProtocolFactory) -> interfaces.IListeningPort:
        configuration = Configuration.load(self._path)
        for warning in configuration.warnings:
            _log.warn("{path}: {problem}", path=self._path, problem=str(warning))
        port = EdgePort(configuration, self._chosen(configuration), factory, self._reactor)
        port.startListening()
        return port

    def _chosen(self, configuration: Configuration) -> str:
        names = [*configuration.listeners]
        if self._listener is None and len(names) == 1:
            return names[0]
        if self._listener in names:
            return self._listener
        sentence = f"the endpoint needs listener=NAME, with a name of: {', '.join(names)}"
        section = "" if self._listener is None else f"listener {self._listener}"
        raise ConfigurationError([Problem(section, "", sentence)])


@implementer(interfaces.IListeningPort)
class EdgePort:
    """The port of an endpoint.

    :param configuration: the configuration, whose certificates and trust stores are read anew when they change.
    :param name: the listener.
    :param factory: builds the protocols.
    :raises ConfigurationError: if its events cannot be written.
    """

    def __init__(
        self, configuration: Configuration, name: str, factory: interfaces.IProtocolFactory, reactor: Any
    ) -> None:
        self._name = name
        self._factory = factory
        self._reactor = reactor
        named = factory.acceptableProtocols() if interfaces.IProtocolNegotiationFactory.providedBy(factory) else ()
        self._protocols: Sequence[bytes] = tuple(named)
        try:
            self._events = EventLog(configuration.edge.events, reactor)
        except OSError as error:
            sentence = f"cannot write {configuration.edge.events}: {error.strerror}"
            raise ConfigurationError([Problem("edge", "events", sentence)]) from error
        self._assembly = Assembly.for_protocol(configuration, name, self._protocols)
        context = self._assembly.context(name, self._events)
        speak = partial(ProtocolTransport, factory, reactor)
        self._port = Port(configuration.listeners[name], context, Poller(reactor), Deadlines(reactor), speak)
        self._watch = Watch(reactor, lambda: self._assembly.configuration, self._change)
        self._shutdown: Any = None

    def startListening(self) -> None:
        """Accept connections.

        :raises CannotListenError: if the address cannot be had.
        """
        try:
            self._port.startListening()
        except BaseException:
            self._events.close()
            raise
        # Before the reactor cuts all connections at its end: then each of them still has its event.
        self._shutdown = self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._factory.doStart()
        self._watch.start()
        host = self.getHost()
        groups = ", ".join(self._assembly.configuration.listeners[self._name].server_groups)
        _log.info(
            "listener {name} on {address}: {groups}",
            name=self._name,
            address=Address(host.host, host.port),
            groups=groups,
        )

    def stopListening(self) -> Deferred[None]:
        """Accept no more. As with every port of Twisted's, open connections go on; they are watched to their end."""
        if self._shutdown is not None:
            self._reactor.removeSystemEventTrigger(self._shutdown)
            self._stop()
        return defer.succeed(None)

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address it listens on."""
        return self._port.getHost()

    def _stop(self) -> None:
        self._shutdown = None
        self._port.stopListening().addCallback(self._over)
        self._factory.doStop()

    def _over(self, _: None) -> None:
        self._watch.stop()
        self._events.close()

    def _change(self, change: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        """Go on with other certificates and trust stores, on open connections too."""
        before = self._assembly

        def assemble() -> Assembly:
            configuration = change(before.configuration)
            if configuration is before.configuration:
                return before
            return Assembly.for_protocol(configuration, self._name, self._protocols, before)

        def succeed(assembly: Assembly) -> Configuration:
            if assembly is not before:
                self._assembly = assembly
                listener = assembly.configuration.listeners[self._name]
                self._port.renew(listener, assembly.context(self._name, self._events))
            return assembly.configuration

        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), assemble).addCallback(succeed)
