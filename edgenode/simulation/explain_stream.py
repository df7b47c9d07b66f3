"""What becomes of a stream that is no HTTP, as far as its connection tells: there is no request to be judged."""

from __future__ import annotations

from attrs import evolve

from edgenode.model.decision import NOTHING, Decision
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Connection
from edgenode.proxy.listener.listener import Listener
from edgenode.proxy.stream.judging import exchange_of
from edgenode.simulation.simulator import Judged, NetworkNeeded, SimulatedClient, Simulator


def facts_of(listener: Listener, connection: Connection, alpn: str | None) -> Connection:
    """The facts of a stream's connection, of which the node sees no more than its listener looks at.

    :param alpn: the protocol that the client offers; ``None`` for the listener's first.
    """
    if listener.tls == "no":
        return Connection(connection.peer, connection.local)
    if listener.tls == "passthrough":
        return evolve(connection, alpn=alpn or "", tls_version="", cipher="")
    return evolve(connection, alpn=next(iter(listener.application_protocols), "") if alpn is None else alpn)


def judge_stream(simulator: Simulator, client: SimulatedClient) -> Judged:
    """Judge a stream.

    :raises NetworkNeeded: if a stage waits for the network.
    """
    group = client.handshake_group
    simulator.state.at(client.now())
    exchange, refusal, path_map, decision = exchange_of(client), client.admit(), None, NOTHING
    if refusal is None:
        try:
            path_map = group.path_map(exchange)
        except ClientError as error:
            refusal = error
        else:
            exchange.path_map = path_map.name
            said = path_map.pipeline.judge(exchange)
            if not isinstance(said, Decision):
                said.addErrback(lambda _: None)
                said.cancel()
                raise NetworkNeeded("a stage of the pipeline asks the network; nothing can be said without it")
            decision = said
    return Judged(evolve(exchange, tags=frozenset()), group, path_map, refusal, decision)
