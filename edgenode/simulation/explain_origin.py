"""What an origin of a configuration would be sent, shown and asked: without asking it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgenode.config.load import Configuration
from edgenode.config.schema import values_of
from edgenode.model.errors import InvalidValue
from edgenode.proxy.origin.health_check import HealthCheck
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.server import Server
from edgenode.tls.names import distinguished_name


def explain_origin(configuration: Configuration, name: str) -> Mapping[str, Any]:
    """An origin, as JSON has it.

    :raises InvalidValue: if there is no such origin.
    """
    if name not in configuration.origins:
        raise InvalidValue(f"there is no [origin {name}]; there is {', '.join(configuration.origins)}")
    origin, credentials = configuration.origins[name], configuration.credentials
    tls = any(server.tls for server in origin.servers)
    certificate = None if origin.certificate is None else credentials.certificates[origin.certificate]
    store = None if origin.trust_store is None else credentials.trust_stores[origin.trust_store]
    check = None if origin.health_check is None else configuration.health_checks[origin.health_check]
    presented = None if certificate is None else distinguished_name(certificate.leaf.subject)
    return {
        "origin": name,
        "servers": [_server(each) for each in origin.servers],
        "balance": origin.balance,
        "path_maps": [each for each, section in configuration.path_maps.items() if section.origin == name],
        "protocol": "none" if origin.stream else origin.protocol,
        "host": origin.host,
        "tls": tls,
        "server_name": (origin.server_name or "the server's own host") if tls else None,
        "minimum_version": origin.minimum_version if tls else None,
        "verified": origin.verify if tls else False,
        "authorities": [distinguished_name(each.subject) for each in store.authorities] if store is not None else None,
        "presented": presented,
        "issuer": None if certificate is None else distinguished_name(certificate.leaf.issuer),
        "expires": None if certificate is None else f"{certificate.not_after:%Y-%m-%dT%H:%M:%SZ}",
        "health_check": None if check is None else _check(check),
        "policy": {
            "connect-timeout": origin.connect_timeout,
            "read-timeout": origin.read_timeout,
            "max-connections": origin.max_connections,
            "max-queued": origin.max_queued,
            "max-fails": origin.max_fails,
            "fail-timeout": origin.fail_timeout,
            "next-upstream": list(origin.next_upstream),
        },
        "set": _set(origin),
    }


def _set(origin: Origin) -> Mapping[str, str]:
    """The keys that are not as they would be without being set, as a file has them."""
    known, default = values_of(origin), values_of(Origin(servers=()))
    changed = {key: each for key, (each, value) in known.items() if key != "servers" and value != default[key][1]}
    return {key: each.notation.write(known[key][1]) for key, each in changed.items()}


def _server(server: Server) -> str:
    """A server with the words behind it; the port of a service is DNS's."""
    words = (
        f"{server.scheme}://{server.host}" if server.service else str(server),
        f"weight={server.weight}" if server.weight != 1 else "",
        f"service={server.service}" if server.service else "resolve" if server.resolve else "",
        "backup" if server.backup else "",
    )
    return " ".join(filter(None, words))


def _check(check: HealthCheck) -> str:
    about = check.service or "the server"
    asked = {"http": f"GET {check.path}", "tcp": "a connection", "grpc": f"gRPC health of {about}"}
    often = f"every {check.interval:g} s within {check.timeout:g} s"
    return f"{asked[check.type]}, {often}, rise {check.rise}, fall {check.fall}"


def origin_lines(told: Mapping[str, Any]) -> Iterator[str]:
    """It for people."""
    yield f"origin {told['origin']}: of the path maps {', '.join(told['path_maps']) or '-'}"
    yield f"  servers: {', '.join(told['servers'])}, {told['balance']}"
    yield f"  sent: protocol {told['protocol']}, Host {told['host']}"
    if told["tls"]:
        believed = "the system's authorities" if told["authorities"] is None else "; ".join(told["authorities"])
        name = told["server_name"]
        yield f"  TLS: {told['minimum_version']} or later, server name {name}"
        yield f"  verified: {f'as {name}, by {believed}' if told['verified'] else 'nothing'}"
        presented = told["presented"]
        until = f"{presented}, of {told['issuer']}, until {told['expires']}"
        yield f"  presented: {until if presented else 'nothing'}"
    yield f"  health check: {told['health_check'] or 'none'}"
    policy = (f"{key} {' '.join(each) if isinstance(each, list) else each}" for key, each in told["policy"].items())
    yield f"  policy: {', '.join(policy)}"
    besides = (f"{key} = {' '.join(text.split())}" for key, text in told["set"].items() if key not in told["policy"])
    yield f"  set: {'; '.join(besides) or 'nothing'}"
