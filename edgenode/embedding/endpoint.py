"""The endpoint ``edgenode:FILE:listener=NAME``: a listener of a configuration for any Twisted factory.

Law: a client of such a protocol is judged as the node's own clients are: the server group is chosen by the ClientHello,
its TLS policy verifies the client in the handshake, the verdict is checked again before the protocol is built, and a
client whose certificate expires or is revoked is disconnected. Every problem of the file is reported before the port is
bound. Once a port is stopped and its last connection over, nothing of it is left in the reactor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet import defer, interfaces
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, DeferredList, DeferredLock
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
from edgenode.node.extensions import Extensions, keeping
from edgenode.node.state_use import StateUse
from edgenode.node.watch import Watch
from edgenode.observe.event_log import EventLog
from edgenode.proxy.listener.context import ListenerContext
from edgenode.proxy.listener.port import Port

_log = Logger()


@implementer(interfaces.IStreamServerEndpoint)
class EdgeEndpoint:
    """A listener of a configuration, for a protocol of one's own.

    :param reactor: a reactor with descriptors, timers and a thread pool.
    :param source: the configuration, or the path of its file, which is then read whenever somebody listens.
    :param listener: the name of the listener; may be left out if there is only one.
    :param alpn: the ALPN protocols, the preferred first, in place of those that the factory names; as text with commas
        between them. A client that offers only others is refused; with none nothing is negotiated.
    """

    def __init__(
        self,
        reactor: Any,
        source: Configuration | str | os.PathLike[str],
        listener: str | None = None,
        alpn: str | Sequence[bytes] | None = None,
    ) -> None:
        self._reactor = reactor
        self._source = source
        self._listener = listener
        if isinstance(alpn, str):
            alpn = [name.strip().encode("ascii") for name in alpn.split(",") if name.strip()]
        self._alpn = alpn
        self._ports: list[EdgePort] = []
        self._changing = DeferredLock()

    def listen(self, protocolFactory: interfaces.IProtocolFactory) -> Deferred[interfaces.IListeningPort]:
        """Listen with a factory; without ``alpn`` the protocols are those that it names
        (``IProtocolNegotiationFactory``).

        :return: fires at once, for this may need root and be the last moment to have it, with an :class:`EdgePort`;
            fails with :class:`~edgenode.model.errors.ConfigurationError` with all problems of the file, or with
            ``CannotListenError``.
        """
        return defer.execute(self._listen, protocolFactory)

    def _listen(self, factory: interfaces.IProtocolFactory) -> interfaces.IListeningPort:
        configuration = self._load(self._source)
        self._warn(configuration)
        port = EdgePort(configuration, self._chosen(configuration), factory, self._reactor, self._alpn)
        port.startListening()
        self._ports.append(port)
        port.when_over().addCallback(lambda _: self._ports.remove(port))
        return port

    def reload(self, source: Configuration | str | os.PathLike[str] | None = None) -> Deferred[Configuration]:
        """Go on with another configuration: handshakes from now on are by the new one, and open connections are judged
        again by it. One that cannot be is ended: its server group is gone, or ``mtls`` was or is ``off``, or
        ``minimum-version`` or ``ciphers`` are others. Calls take their turns.

        :param source: as in the constructor; what is left out is the same, so that a file is read again.
        :return: fires with the configuration once it is in use; fails with
            :class:`~edgenode.model.errors.ConfigurationError` if it cannot be used, and then nothing has changed.
        """
        # One after the other, reading included, or what was read first could be what is taken last.
        return self._changing.run(lambda: Deferred.fromCoroutine(self._reload(source)))

    async def _reload(self, source: Configuration | str | os.PathLike[str] | None) -> Configuration:
        if source is None:
            source = self._source
        pool = self._reactor.getThreadPool()
        configuration = await deferToThreadPool(self._reactor, pool, self._load, source)
        self._chosen(configuration)
        renewed: set[EdgePort] = set()
        while behind := [port for port in self._ports if port not in renewed]:  # one may have come meanwhile
            for port in behind:
                await port.reload(configuration)
            renewed.update(behind)
        self._warn(configuration)
        self._source = source
        return configuration

    def when_over(self) -> Deferred[None]:
        """Fires once none of its ports listens, and all their connections are over; at once if that is so."""
        return DeferredList([port.when_over() for port in self._ports]).addCallback(lambda _: None)

    def _load(self, source: Configuration | str | os.PathLike[str]) -> Configuration:
        return source if isinstance(source, Configuration) else Configuration.load(source, requests=False)

    def _warn(self, configuration: Configuration) -> None:
        for warning in () if isinstance(self._source, Configuration) else configuration.warnings:
            _log.warn("{path}: {problem}", path=str(self._source), problem=str(warning))

    def _chosen(self, configuration: Configuration) -> str:
        names = [*configuration.listeners]
        name = names[0] if self._listener is None and len(names) == 1 else self._listener
        if name in names:
            if configuration.listeners[name].tls != "yes":
                sentence = "the endpoint speaks TLS, and this is for the node's own HTTP"
                raise ConfigurationError([Problem(f"listener {name}", "tls", sentence)])
            return name
        sentence = f"the endpoint needs listener=NAME, with a name of: {', '.join(names)}"
        section = "" if self._listener is None else f"listener {self._listener}"
        raise ConfigurationError([Problem(section, "", sentence)])


@implementer(interfaces.IListeningPort)
class EdgePort:
    """The port of an endpoint.

    :param configuration: the configuration, whose certificates and trust stores are read anew when they change.
    :param name: the listener.
    :param factory: builds the protocols.
    :param alpn: the ALPN protocols; ``None`` for those that the factory names.
    :ivar factory: builds the protocols.
    :ivar reactor: the reactor.
    :raises ConfigurationError: if its events cannot be written.
    """

    def __init__(
        self,
        configuration: Configuration,
        name: str,
        factory: interfaces.IProtocolFactory,
        reactor: Any,
        alpn: Sequence[bytes] | None = None,
    ) -> None:
        self._name = name
        self.factory = factory
        self.reactor = reactor
        if alpn is None and interfaces.IProtocolNegotiationFactory.providedBy(factory):
            alpn = factory.acceptableProtocols()
        self._protocols: Sequence[bytes] = tuple(alpn or ())
        try:
            self._events = EventLog(configuration.edge.events, reactor)
        except OSError as error:
            raise _unwritable(configuration, error) from error
        self._assembly = Assembly.for_protocol(configuration, name, self._protocols)
        self._extensions = Extensions(configuration)
        self._state = StateUse(reactor, self._events.tell)
        self._deadlines = Deadlines(reactor)
        speak = partial(ProtocolTransport, self)
        context = self._context(self._assembly)
        self._port = Port(configuration.listeners[name], context, Poller(reactor), self._deadlines, speak)
        self._changing = DeferredLock()
        self._watch = Watch(reactor, lambda: self._assembly.configuration, self._change)
        self._shutdown: Any = None
        self._is_over = False
        self._waiting: list[Deferred[None]] = []

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
        self._shutdown = self.reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._state.start(self._assembly.configuration)
        self._extensions.start()
        self.factory.doStart()
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
            self.reactor.removeSystemEventTrigger(self._shutdown)
            self._stop()
        return defer.succeed(None)

    def when_over(self) -> Deferred[None]:
        """Fires once it does not listen any more, and its last connection is over; at once if that is so."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        if self._is_over:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def cut(self) -> None:
        """End every connection now."""
        self._port.abort()

    def getHost(self) -> IPv4Address | IPv6Address:
        """The address it listens on."""
        return self._port.getHost()

    def _stop(self) -> None:
        self._shutdown = None
        self._port.stopListening().addCallback(self._over)
        self.factory.doStop()

    def _over(self, _: None) -> None:
        self._watch.stop()
        self._deadlines.stop()
        self._state.stop().addCallback(self._close_events).addCallback(self._ended)

    def _close_events(self, _: object) -> Deferred[Any]:
        self._events.close()
        return self._extensions.stop()

    def _ended(self, _: object) -> None:
        self._is_over = True
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def reload(self, configuration: Configuration) -> Deferred[Configuration]:
        """Go on with another configuration, see :meth:`EdgeEndpoint.reload`.

        :return: fails with :class:`~edgenode.model.errors.ConfigurationError` if it has no such listener, or another
            address for it, and then nothing has changed.
        """
        return self._change(lambda _: configuration)

    def _change(self, change: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        """Go on with what a function, called in a thread, makes of the configuration."""
        return self._changing.run(lambda: Deferred.fromCoroutine(self._changed(change)))

    async def _changed(self, change: Callable[[Configuration], Configuration]) -> Configuration:
        before = self._assembly

        def make(configuration: Configuration) -> Assembly:
            _check(configuration, self._name, before.configuration)
            configuration = keeping(configuration, before.configuration)
            return Assembly.for_protocol(configuration, self._name, self._protocols, before)

        assembly = await before.successor(self.reactor, change, make)
        if assembly is not before and not self._is_over:
            configuration = assembly.configuration
            try:
                self._events.reopen(configuration.edge.events)
            except OSError as error:
                raise _unwritable(configuration, error) from error
            self._assembly = assembly
            self._extensions.renew(configuration)
            self._state.start(configuration)
            self._port.renew(configuration.listeners[self._name], self._context(assembly))
        return assembly.configuration

    def _context(self, assembly: Assembly) -> ListenerContext:
        return assembly.context(self._name, self._extensions.events(self._events, assembly.configuration))


def _check(configuration: Configuration, name: str, before: Configuration) -> None:
    """:raises ConfigurationError: if a port cannot go on with this configuration."""
    problems = []
    listener = configuration.listeners.get(name)
    if listener is None:
        problems.append(Problem(f"listener {name}", "", "is in use by an endpoint, and is missing now"))
    elif listener.endpoint.place(name) != before.listeners[name].endpoint.place(name):
        sentence = "is another than that of the port in use, which a reload keeps: stop it, and listen again"
        problems.append(Problem(f"listener {name}", "endpoint", sentence))
    if problems:
        raise ConfigurationError(problems)


def _unwritable(configuration: Configuration, error: OSError) -> ConfigurationError:
    sentence = f"cannot write {configuration.edge.events}: {error.strerror}"
    return ConfigurationError([Problem("edge", "events", sentence)])
