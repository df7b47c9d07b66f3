"""The listener of ``[admin]`` while a node runs: metrics, readiness and liveness.

Law: its socket is bound before the node gives root up; a reload that wants another one which cannot be had changes
nothing. It answers until the node's last request is over, so that whoever watches sees the node drain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from edgenode.model.errors import Problem
from edgenode.net.deadlines import Deadlines
from edgenode.node.observation import Running
from edgenode.observe.admin import Admin
from edgenode.observe.admin_server import AdminServer, Answer, Route
from edgenode.observe.admin_socket import AdminSocket, sentence
from edgenode.observe.metrics.collectors import Values, gather
from edgenode.observe.metrics.loop_delay import LoopDelay
from edgenode.observe.status import Status

_log = Logger()


class Told(Running, Protocol):
    """A node that can be told of."""

    @property
    def unready(self) -> str:
        """Why it does not serve, in words; empty if it does."""


class AdminUse:
    """The listener of ``[admin]``, if there is one.

    :param node: what it tells of.
    """

    def __init__(self, node: Told, reactor: Any, deadlines: Deadlines) -> None:
        self._node = node
        self._reactor = reactor
        self._deadlines = deadlines
        self._loop_delay = LoopDelay(reactor)
        self._one_scrape = DeferredLock()
        self._open: tuple[AdminSocket, AdminServer] | None = None
        self._next: AdminSocket | None = None
        self._routes: dict[str, Route] = {"/metrics": self._metrics, "/ready": self._ready, "/live": _live}

    @property
    def socket(self) -> AdminSocket | None:
        """Its socket; ``None`` if it does not listen."""
        return None if self._open is None else self._open[0]

    def open(self, section: Admin) -> None:
        """Listen, unless it does.

        :raises CannotListenError: if the address, or the file, cannot be had.
        """
        if self._open is None and section.endpoint is not None:
            self._serve(AdminSocket(section, self._reactor))

    def prepare(self, section: Admin) -> Iterator[Problem]:
        """Bind what another section wants besides what is there: :meth:`renew` or :meth:`discard` comes next.

        :returns: why it cannot be had, if it cannot.
        """
        if section.endpoint is None or self._has(section):
            return
        try:
            self._next = AdminSocket(section, self._reactor)
        except CannotListenError as error:
            yield Problem(Admin.kind, "endpoint", sentence(error))

    def discard(self) -> None:
        """Everything stays as it was."""
        prepared, self._next = self._next, None
        if prepared is not None:
            prepared.close()

    def renew(self, section: Admin) -> None:
        """Go on as another section says, which was prepared."""
        prepared, self._next = self._next, None
        if self._open is not None and self._has(section):
            self._open[0].chmod(section)
            return
        self.close()
        if prepared is not None:
            self._serve(prepared)

    def close(self) -> None:
        """Listen no more, and cut who still waits for an answer."""
        if self._open is not None:
            socket, server = self._open
            self._open = None
            server.stop()
            socket.close()
            self._loop_delay.stop()

    def _has(self, section: Admin) -> bool:
        endpoint = section.endpoint
        return self._open is not None and endpoint is not None and self._open[0].endpoint.place == endpoint.place

    def _serve(self, socket: AdminSocket) -> None:
        _log.info("[admin] on {where}", where=str(socket.endpoint))
        self._open = socket, AdminServer(socket.socket, self._routes, self._reactor, self._deadlines)
        self._loop_delay.start()

    # -- what is answered --------------------------------------------------------------------------------------------

    def _metrics(self, accept: str) -> Deferred[Answer]:
        """One scrape at a time, and in a thread: there may be thousands of series."""
        return self._one_scrape.run(self._scrape, accept)

    def _scrape(self, accept: str) -> Deferred[Answer]:
        return self._node.status().addCallback(self._tell, accept)

    def _tell(self, status: Status, accept: str) -> Deferred[Answer]:
        node = self._node
        node.meter.settle()  # here, for the rest is done in a thread
        values = partial(gather, node.meter, status, self._loop_delay, ready=not node.unready)
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _told, values, accept)

    def _ready(self, accept: str) -> Answer:
        why = self._node.unready
        return Answer(503, f"not ready: {why}\n".encode()) if why else Answer(200, b"ready\n")


def _live(accept: str) -> Answer:
    """Whoever is answered knows that the event loop turns."""
    return Answer(200, b"alive\n")


def _told(gather: Callable[[], Values], accept: str) -> Answer:
    from edgenode.observe.metrics.exposition import exposition  # only who has [admin] needs the package

    content_type, body = exposition(gather(), accept)
    return Answer(200, body, content_type)
