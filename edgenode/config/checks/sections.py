"""Whether the sections of a configuration, each read without a fault, are valid together.

Law: a check reports and never repairs; what cannot work, or is weaker than it looks, is an error, and what only has no
effect is a warning.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping

from edgenode.config import schema
from edgenode.config.checks.feeds import named_lists
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.config.edge import TOKEN
from edgenode.model.errors import Problem
from edgenode.policy.ratelimits import RateLimit
from edgenode.proxy.listener.listener import Endpoint, Listener
from edgenode.proxy.origin.origin import Origin
from edgenode.tls.policies import TLSPolicy
from edgenode.tls.servergroups import ServerGroup

_DNS_NAME = r"[0-9A-Za-z_](?:[0-9A-Za-z._-]{0,252}[0-9A-Za-z])?"
_SERVER_NAME = re.compile(rf"{_DNS_NAME}|[0-9A-Fa-f:.]+")
_AUTHORITY = re.compile(rf"(?:{_DNS_NAME}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")

_BASE_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")

_ONLY_WITH_MTLS = ("trust-store", "mtls-refusal", "verify-depth", "max-chain-size", "required-eku")


def names(configuration: Sections) -> Iterator[Problem]:
    """Names that are sent to others and are no valid token, host name or authority."""
    name = configuration.edge.name
    if not TOKEN.fullmatch(name):
        yield Problem(
            "edge", "name", "expected ASCII letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)", name, 0
        )
    for origin_name, origin in configuration.origins.items():
        header = f"origin {origin_name}"
        for server in origin.servers:
            if not _SERVER_NAME.fullmatch(server.name):
                yield Problem(header, "servers", "expected a host name or an IP address", server.host, 0)
        if origin.server_name is not None and not _SERVER_NAME.fullmatch(origin.server_name):
            yield Problem(header, "server-name", "expected a host name or an IP address", origin.server_name, 0)
        if origin.base_path is not None and not _BASE_PATH.fullmatch(origin.base_path):
            sentence = "expected a path such as /app/v1, without %, empty segments and dot segments"
            yield Problem(header, "base-path", sentence, origin.base_path, 0)
        if not _AUTHORITY.fullmatch(origin.host):
            yield Problem(header, "host", "expected client, server, or a host with or without a port", origin.host, 0)


_MAY_BE_ZERO = ("drain-timeout", "idle-timeout", "fail-timeout")


def timeouts(configuration: Sections) -> Iterator[Problem]:
    """Timeouts of 0, which would refuse every client."""
    for header, section in configuration.written():
        for setting in schema.settings(type(section)).values():
            key = setting.key
            if key.endswith("-timeout") and key not in _MAY_BE_ZERO and getattr(section, setting.attribute) == 0:
                yield Problem(header, key, "a timeout of 0 would leave no time at all")


def endpoints(configuration: Sections) -> Iterator[Problem]:
    """Listeners with the same endpoint."""
    taken: dict[tuple[str, int, str], str] = {}
    for name, listener in configuration.listeners.items():
        place = listener.endpoint.place(name)
        if place in taken:
            yield Problem(f"listener {name}", "endpoint", f"[listener {taken[place]}] has the same endpoint")
        else:
            yield from _overlaps(name, listener.endpoint, taken)
        taken.setdefault(place, name)


def without_tls(configuration: Sections) -> Iterator[Problem]:
    """Server groups that are served without TLS and ask for client certificates, and with TLS and have none of their
    own."""
    served: dict[str, set[bool]] = {}
    for name, listener in configuration.listeners.items():
        plain, only_redirects = listener.tls != "yes", listener.redirect_to_https is not None
        for group_name in listener.server_groups:
            group = configuration.server_groups.get(group_name)
            if plain and not only_redirects and group is not None and group.mtls != "off":
                sentence = f'"{group_name}" has mtls = {group.mtls}, and without TLS no client shows a certificate'
                yield Problem(f"listener {name}", "server-groups", sentence, group_name, 0)
            served.setdefault(group_name, set()).add(plain)
    for group_name, group in configuration.server_groups.items():
        if not group.certificate and served.get(group_name, {False}) != {True}:
            yield Problem(f"server-group {group_name}", "certificate", "this key is required")


def _overlaps(name: str, endpoint: Endpoint, taken: Mapping[tuple[str, int, str], str]) -> Iterator[Problem]:
    """Listeners on one port of which one has all addresses: only one socket can have it, and ``::`` includes IPv4."""
    for (interface, port, inherited), other in taken.items():
        if endpoint.overlaps(Endpoint(port, interface, inherited=inherited)):
            sentence = f"[listener {other}] listens on port {port} too, and one of them on all addresses"
            yield Problem(f"listener {name}", "endpoint", sentence)


def hosts(configuration: Sections) -> Iterator[Problem]:
    """Hosts that are served by two server groups of a listener, or by none."""
    for name, listener in configuration.listeners.items():
        header, default = f"listener {name}", listener.default_server_group
        if default is not None and default not in listener.server_groups:
            yield Problem(
                header, "default-server-group", f'"{default}" is not among the server-groups of this listener'
            )
        taken: dict[str, str] = {}
        for group_name in listener.server_groups:
            group = configuration.server_groups.get(group_name)
            for host in group.hosts if group is not None else ():
                if host in taken:
                    sentence = f'"{group_name}" and "{taken[host]}" both serve the host {host}'
                    yield Problem(header, "server-groups", sentence)
                taken.setdefault(host, group_name)
        for group_name, why in _unreachable(configuration, listener):
            sentence = f'"{group_name}" is never served: {why}, and it is not the default-server-group'
            yield Problem(header, "server-groups", sentence, warning=True)


def _unreachable(configuration: Sections, listener: Listener) -> Iterator[tuple[str, str]]:
    """The server groups of a listener that no client can reach, and why."""
    groups = {name: configuration.server_groups.get(name) for name in listener.server_groups}
    plain = listener.tls != "yes"
    reached = {
        _policy(group)
        for name, group in groups.items()
        if group is not None
        and (plain or name == listener.default_server_group or _has_handshakes(group, listener.endpoint))
    }
    for name, group in groups.items():
        if group is None or name in (listener.default_server_group, listener.only_group):
            continue
        if not group.hosts:
            yield name, "it has no hosts"
        elif _policy(group) not in reached:
            # With the same policy it is reached by the Host of a request on another group's connection.
            yield name, f"its hosts are addresses, and nobody connects to them at {listener.endpoint}"


def _policy(group: ServerGroup) -> tuple[TLSPolicy, frozenset[str]]:
    return TLSPolicy.of(group, ()), frozenset(group.trust_store if group.mtls != "off" else ())


def _has_handshakes(group: ServerGroup, endpoint: Endpoint) -> bool:
    """Whether a client can name it in a handshake or, as no address is named there, connect to its address."""
    return any(not _is_address(host) or _may_be(host, endpoint.interface) for host in group.hosts)


def _is_address(host: str) -> bool:
    return host.startswith("[") or host.rpartition(".")[2].isdigit()


def _may_be(host: str, interface: str) -> bool:
    """Whether a connection to an interface may have arrived at an address; ``::`` takes IPv4 as well."""
    if interface in ("", "::") or (interface == "0.0.0.0" and not host.startswith("[")):
        return True
    return host.strip("[]") == str(ipaddress.ip_address(interface))


def security_policies(configuration: Sections) -> Iterator[Problem]:
    """Server groups whose requests nobody judges or forwards."""
    for name, group in configuration.server_groups.items():
        if not group.security_policy:
            yield Problem(f"server-group {name}", "security-policy", "this key is required")


def without_mtls(configuration: Sections) -> Iterator[Problem]:
    """Keys of client certificates where none is asked for."""
    for name, group in configuration.server_groups.items():
        for key in _ONLY_WITH_MTLS if group.mtls == "off" else ():
            setting = schema.settings(ServerGroup)[key]
            if getattr(group, setting.attribute) != setting.default:
                sentence = "has no effect while mtls is off: no client certificate is asked for"
                yield Problem(f"server-group {name}", key, sentence, warning=True)


def keys_without_effect(configuration: Sections) -> Iterator[Problem]:
    """Keys that have no effect beside the others of their section."""
    for name, store in configuration.trust_stores.items():
        for key, given in (("crl-stale", store.crl_stale != "refuse"), ("crl-max-age", store.crl_max_age > 0)):
            if given and not store.crl:
                sentence = "has no effect without crl: there is no list to be out of date"
                yield Problem(f"trust-store {name}", key, sentence, warning=True)
    for name, listener in configuration.listeners.items():
        for network in listener.proxy_protocol:
            if network.endswith("/0"):
                sentence = "everybody can say that a connection is anybody's: name the networks of the balancers"
                yield Problem(f"listener {name}", "proxy-protocol", sentence, network, 0, warning=True)
        for kind, most, each in (
            ("connections", listener.max_connections, listener.max_connections_per_client),
            ("requests", listener.max_requests, listener.max_requests_per_client),
        ):
            key = f"max-{kind}-per-client"
            written = each != schema.settings(Listener)[key].default
            if written and most is not None and each is not None and each > most:
                sentence = f"has no effect: it is more than max-{kind}, {most}"
                yield Problem(f"listener {name}", key, sentence, warning=True)


def origins(configuration: Sections) -> Iterator[Problem]:
    """Keys of an origin that contradict one another."""
    for name, origin in configuration.origins.items():
        header = f"origin {name}"
        protocols = {server.tls for server in origin.servers}
        schemes = sorted({server.scheme for server in origin.servers})
        if len(schemes) > 1:
            yield Problem(header, "servers", f"{' and '.join(schemes)} servers cannot be mixed in one origin")
        if protocols == {False}:
            for key, value in (("certificate", origin.certificate), ("trust-store", origin.trust_store)):
                if value is not None:
                    tls = "tls" if origin.stream else "https"
                    yield Problem(header, key, f"has no meaning over {schemes[0]}; the servers would have to be {tls}")
        if True in protocols and not origin.verify:
            yield Problem(header, "verify", "neither certificate nor name of this origin is verified", warning=True)
        if origin.proxy_protocol != "off" and origin.protocol != "http/1.1":
            sentence = "a connection that begins with a PROXY header is one client's, and HTTP/2 would share it"
            yield Problem(header, "proxy-protocol", f"{sentence}: protocol = http/1.1")
        if origin.proxy_protocol != "off" and any(server.starttls for server in origin.servers):
            yield Problem(header, "proxy-protocol", "no mail server takes a PROXY header behind starttls://")
        check = configuration.health_checks.get(origin.health_check or "")
        if check is not None and check.type == "grpc" and (origin.protocol == "http/1.1" or origin.stream):
            sentence = f"[health-check {origin.health_check}] has type = grpc, which needs protocol = h2 or auto"
            yield Problem(header, "health-check", sentence, origin.health_check, 0)
        if check is not None and check.type == "http" and origin.stream:
            sentence = f"no HTTP is spoken to {origin.servers[0]}: [health-check {origin.health_check}] has type = http"
            yield Problem(header, "health-check", sentence, origin.health_check, 0)
        if "off" in origin.next_upstream and len(origin.next_upstream) > 1:
            yield Problem(header, "next-upstream", '"off" stands alone')


_ONLY_WITH_HTTP = (
    "host", "protocol", "max-streams", "ping-interval", "ping-timeout", "continue-timeout", "idle-timeout", "max-idle",
    "max-header-size", "sticky-cookie",
)  # fmt: skip


def without_http(configuration: Sections) -> Iterator[Problem]:
    """Keys of HTTP where none is spoken."""
    keys = schema.settings(Origin)
    for name, origin in configuration.origins.items():
        for key in _ONLY_WITH_HTTP if origin.stream else ():
            if getattr(origin, keys[key].attribute) != keys[key].default:
                sentence = f"has no effect: no HTTP is spoken to {origin.servers[0]}"
                yield Problem(f"origin {name}", key, sentence, warning=True)


def unused(formulas: Formulas) -> Iterator[Problem]:
    """Sections that nothing refers to."""
    configuration = formulas.configuration
    referred: set[tuple[str, str]] = {("list", name) for name in named_lists(configuration)}
    for _, section in configuration.written():
        for setting, value in schema.values_of(section).values():
            names = value if isinstance(value, tuple) else (value,)
            referred.update((setting.notation.refers_to, name) for name in names if setting.notation.refers_to)
        if isinstance(section, RateLimit):
            referred.update(("action", name) for name in section.action_names())
    for header, section in configuration.written():
        kind, _, name = header.partition(" ")
        everywhere, by_name = getattr(section, "global_", not name or kind in _OF_THEMSELVES), (kind, name) in referred
        if not everywhere and not by_name:
            yield Problem(header, "", "nothing refers to this section", warning=True)
        if everywhere and by_name and hasattr(section, "global_"):
            sentence = "holds everywhere, also where no path map names it: global = no"
            yield Problem(header, "global", sentence, warning=True)
    challenge = configuration.challenge
    if challenge != type(challenge)() and formulas.tokens is None:
        yield Problem(challenge.kind, "", "has no effect: nothing takes an action of type challenge", warning=True)
    if formulas.tokens is not None and not challenge.keys and configuration.state_settings.url is not None:
        sentence = "without it each node has a secret of its own, and does not accept what was solved at another"
        yield Problem(challenge.kind, "keys", sentence, warning=True)


_OF_THEMSELVES = ("listener", "global-filter", "stage", "sink", "exporter", "alert", "jwt")
"""The kinds of section with a name that have an effect though nothing refers to them."""
