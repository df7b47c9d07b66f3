"""Pools to the origins of tests, made without a configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds, Word
from edgenode.net.deadlines import Deadlines
from edgenode.net.poller import Poller
from edgenode.proxy.origin.agent import OriginAgent
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.origin import Origin as OriginSection
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.server import Server
from edgenode.proxy.origin.stream import StreamOpening
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import client_context
from edgenode.tls.truststores import LoadedTrustStore
from tests.support.certificates import Issued
from tests.support.handshakes import loaded, trusted
from tests.support.node import PKI


def beneath(error: BaseException | None) -> OriginError:
    """The origin's error that an agent's exception carries."""
    told = OriginError.of(error)
    assert told is not None, repr(error)
    assert error is not None
    assert error.__cause__ is told
    return told


def agent_to(pool: OriginPool) -> OriginAgent:
    """An agent that may ask the origin as ``shop.example`` too."""
    return OriginAgent(pool, ["shop.example", "shop.example:8443"])


@contextlib.contextmanager
def pool_to(
    pki: PKI,
    *ports: int | str,
    certificate: Issued | None = None,
    trust_store: LoadedTrustStore | None = None,
    tls: bool = True,
    stream: bool = False,
    weights: Sequence[int] = (),
    server: Server | None = None,
    **settings: Any,
) -> Iterator[OriginPool]:
    """A pool to servers on this host, or elsewhere if written ``host:port``; nothing of it is left at the end.

    :param certificate: the client certificate; ``edge as a client`` if absent.
    :param trust_store: whom to believe; the authority of the servers if absent.
    :param stream: whether the servers take no HTTP.
    :param server: one that is no port.
    :param settings: keys of ``[origin]``.
    """
    from twisted.internet import reactor  # only now: pytest-twisted installs it

    servers = [] if server is None else [server]
    for number, port in enumerate(ports):
        host, _, end = str(port).rpartition(":")
        servers.append(Server(tls, host or "127.0.0.1", int(end), weights[number] if weights else 1, stream))
    values = {"server_name": Word("origin.test"), "read_timeout": Seconds(5.0), "max_fails": 0, **settings}
    section = OriginSection(servers=tuple(servers), **values)
    context = client_context(
        minimum_version=section.minimum_version,
        certificate=loaded("edge", certificate or pki.servers.issue("edge as a client")),
        trust_store=trust_store or trusted(pki.servers),
        verify=section.verify,
        protocols=section.offered,
    )
    polled = Poller(reactor)
    pool = OriginPool(
        "origin",
        section,
        context if tls else None,
        verify_origin if section.verify else None,
        polled,
        Deadlines(polled),
        StreamOpening if section.stream else TLSOpening,
    )
    try:
        yield pool
    finally:
        pool.abort()
        assert pool.open == 0
