"""What is judged of a stream, and where it then goes."""

from __future__ import annotations

from edgenode.model.decision import Decision
from edgenode.model.exchange import Exchange
from edgenode.proxy.judging import check_rewrite
from edgenode.proxy.listener.client_session import ClientSession
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.routing import ServedPathMap


def exchange_of(session: ClientSession) -> Exchange:
    """What is judged of a stream: its connection, with the verdict on the client as of now."""
    group = session.handshake_group
    facts, client = session.as_of_now(group), session.connection.peer.host
    return Exchange(
        facts, None, client, frozenset(), group.name, group.security_policy, "", group.locate(client), session.now()
    )


def pool_of(path_map: ServedPathMap, decision: Decision) -> OriginPool:
    """The origin of a stream: the path map's, unless an edge function has chosen another.

    :raises ClientError: 503, if it may not.
    """
    rewrite = decision.rewrite
    if rewrite is None or not rewrite.origin:
        return path_map.pool
    check_rewrite(rewrite, path_map)
    return path_map.pools[rewrite.origin]
