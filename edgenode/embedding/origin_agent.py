"""An origin of a configuration for other Twisted programs: ``OriginAgent.of("edgenode.ini", "shop", reactor)``.

Law: the origin's identity, trust and limits are those of the configuration in use now; a reload cuts no request.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, Self

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.internet.task import deferLater

from edgenode.config.load import Configuration, load_origin
from edgenode.model.errors import ConfigurationError, Problem
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.node.assembly import Assembly
from edgenode.node.service import EdgeService
from edgenode.node.watch import Watch
from edgenode.proxy.origin import agent
from edgenode.proxy.origin.pool import OriginPool

Source = Configuration | str | os.PathLike[str]


class OriginAgent(agent.OriginAgent):
    """The agent of one origin, as :class:`twisted.web.iweb.IAgent` has it: for treq's ``HTTPClient`` and the like.

    ``OriginAgent(pool)`` speaks over a pool that is another's; :meth:`of` makes one of a configuration or of a service.

    :param pool: the connections to the origin; or what gives those of now.
    :param hosts: further authorities by which it may be asked, such as ``www.shop.example``.
    """

    def __init__(self, pool: OriginPool | Callable[[], OriginPool], hosts: Iterable[str] = ()) -> None:
        super().__init__(pool, hosts)
        self._held: _Held | None = None

    @classmethod
    def of(cls, source: Source | EdgeService, origin: str, reactor: Any = None, hosts: Iterable[str] = ()) -> Self:
        """The agent of an origin by its name.

        :param source: a configuration; or the path of its file, which is read now and blocks, and of which only the
            origin's sections have to be right: its own, and those of its certificate and its trust store. Their files
            are read again when they change. Of an :class:`~edgenode.node.service.EdgeService` the
            agent uses the connections, and follows its reloads.
        :param origin: the name of its section.
        :param reactor: a reactor with descriptors, timers and a thread pool; a service has its own.
        :raises ConfigurationError: if the configuration cannot be used, or has no such origin.
        """
        if isinstance(source, EdgeService):
            service = source
            _check(service.configuration, origin)
            return cls(lambda: service.pools[origin], hosts)
        held = _Held(_loaded(source, origin), source, origin, reactor)
        made = cls(lambda: held.pool, hosts)
        made._held = held
        return made

    def reload(self, source: Source | None = None) -> Deferred[None]:
        """Go on with another configuration; requests under way end as they have begun.

        :param source: what is left out is the same, so that a file is read again, in a thread.
        :return: fails with :class:`~edgenode.model.errors.ConfigurationError` if it cannot be used, or has no such
            origin, and then nothing has changed.
        :raises RuntimeError: if the agent is not one of a configuration.
        """
        if self._held is None:
            raise RuntimeError("the configuration is another's")
        return self._held.reload(source)

    def closeCachedConnections(self) -> Deferred[None]:
        """Close the connections that are not in use; the agent can be used further. Fires when they are closed."""
        self.pool.close_idle()
        return deferLater(self.pool.reactor, 0)

    def close(self) -> Deferred[None]:
        """End: requests under way fail, further ones too, and nothing of it is left in the reactor when this fires.

        An agent whose connections are another's leaves them alone.
        """
        return succeed(None) if self._held is None else self._held.close()


class _Held:
    """What an agent has of its configuration.

    :ivar pool: the connections to the origin.
    """

    def __init__(self, configuration: Configuration, source: Source, origin: str, reactor: Any) -> None:
        _check(configuration, origin)
        self._source = source
        self._origin = origin
        self._reactor: Any = Poller(reactor)
        self._deadlines = Deadlines(self._reactor)
        self._assembly = Assembly.for_origins(configuration, (origin,), self._reactor, self._deadlines)
        self._changing = DeferredLock()
        self._retired: list[OriginPool] = []
        self._closed = False
        self._watch = Watch(reactor, lambda: self._assembly.configuration, self._change)
        self._watch.start()

    @property
    def pool(self) -> OriginPool:
        return self._assembly.pools[self._origin]

    def reload(self, source: Source | None) -> Deferred[None]:
        return self._changing.run(lambda: Deferred.fromCoroutine(self._reloaded(source)))

    async def _reloaded(self, source: Source | None) -> None:
        chosen = self._source if source is None else source
        await self._changed(lambda _: _loaded(chosen, self._origin))
        self._source = chosen

    def close(self) -> Deferred[None]:
        self._closed = True
        self._watch.stop()
        for pool in (self.pool, *self._retired):
            pool.abort("the agent is closed")
        self._retired.clear()
        self._deadlines.stop()
        return deferLater(self._reactor, 0)

    def _change(self, change: Callable[[Configuration], Configuration]) -> Deferred[Configuration]:
        return self._changing.run(lambda: Deferred.fromCoroutine(self._changed(change)))

    async def _changed(self, change: Callable[[Configuration], Configuration]) -> Configuration:
        before = self._assembly

        def make(configuration: Configuration) -> Assembly:
            _check(configuration, self._origin)
            return Assembly.for_origins(configuration, (self._origin,), self._reactor, self._deadlines, before)

        assembly = await before.successor(self._reactor, change, make)
        pool, self._assembly = self.pool, assembly
        if self._closed:
            self.pool.abort("the agent is closed")
        elif self.pool is not pool:
            pool.close()
            self._retired = [each for each in (*self._retired, pool) if each.open]
        return assembly.configuration


def _loaded(source: Source, origin: str) -> Configuration:
    return source if isinstance(source, Configuration) else load_origin(source, origin)


def _check(configuration: Configuration, origin: str) -> None:
    if origin not in configuration.origins:
        names = ", ".join(configuration.origins)
        raise ConfigurationError([Problem(f"origin {origin}", "", f"there is no such origin; there is: {names}")])
