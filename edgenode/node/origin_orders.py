"""What ``edgenode origins`` has a running node do: tell of its origins, drain a server, and take that back.

Law: a server that is drained gets no new request but from clients that its sticky cookie binds to it, until that is
taken back; a reload does not take it back, a restart does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from attrs import asdict

from edgenode.config.notation import suggestion
from edgenode.model.errors import InvalidValue
from edgenode.node.control import Report
from edgenode.proxy.origin.balancing import Balanced
from edgenode.proxy.origin.pool import OriginPool
from edgenode.tls.names import distinguished_name


def obey(order: Mapping[str, str], pools: Mapping[str, OriginPool]) -> Report:
    """Do what an order says.

    :param order: its arguments: ``do``, which is ``list``, ``drain`` or ``undrain``; and ``origin`` and ``server``.
    :param pools: of the origins, by their names.
    """
    try:
        what, name = order.get("do", ""), order.get("origin", "")
        if name and name not in pools:
            raise InvalidValue(f"there is no origin {name!r}{suggestion(name, pools)}")
        if what == "list":
            listed = [described(pool) for each, pool in pools.items() if name in ("", each)]
            return Report(True, json.dumps(listed))
        if what not in ("drain", "undrain") or not name:
            raise InvalidValue("an order says list, drain or undrain, and of the latter two which origin")
        return Report(True, _drain(pools[name], order.get("server", ""), what == "drain"))
    except InvalidValue as problem:
        return Report(False, problem.sentence)


def _drain(pool: OriginPool, text: str, drain: bool) -> str:
    known = {each.text: each for each in pool.balancer.servers}
    found = [each for each in known.values() if text in (each.text, str(each.server))]
    if not found:
        raise InvalidValue(f"origin {pool.name} has no server {text!r}{suggestion(text, known)}")
    for each in found:
        each.draining = drain
    left = [each for each in known.values() if not each.draining]
    if not drain:
        return f"{text} has its share again"
    sentence = f"{text} gets no new requests; under way: {sum(each.active for each in found)}"
    return sentence if left else f"{sentence}; no server is left"


def described(pool: OriginPool) -> Mapping[str, object]:
    """An origin, as JSON has it."""
    now = pool.deadlines.clock()
    return {
        "name": pool.name,
        "balance": pool.origin.balance,
        "queued": pool.queued,
        "certificate": None if pool.certificate is None else distinguished_name(pool.certificate.leaf.subject),
        "trial": None if pool.standing.trial is None else asdict(pool.standing.trial),
        "servers": [{**_server(each, now), **_known(each, pool)} for each in pool.balancer.servers],
    }


def _known(server: Balanced, pool: OriginPool) -> Mapping[str, object]:
    """What health checks and handshakes have found: ``None`` for nothing yet."""
    check, handshake = pool.standing.checks.get(server.text), pool.standing.handshakes.get(server.text)
    return {"check": check and asdict(check), "handshake": handshake and asdict(handshake)}


def _server(server: Balanced, now: float) -> Mapping[str, object]:
    return {
        "address": server.text,
        "state": state_of(server, now),
        "weight": round(server.weight, 2),
        "backup": server.server.backup,
        "active": server.active,
        "open": server.open,
        "idle": len(server.idle),
    }


def state_of(server: Balanced, now: float) -> str:
    """How a server is, in a word: ``up``, ``draining``, ``down`` by its health checks, ``out`` while it is passed over
    for its failures, ``trial`` when a next request tries it."""
    if server.draining:
        return "draining"
    if not server.healthy:
        return "down"
    if server.out_until:
        return "out" if server.out_until > now else "trial"
    return "up"
