"""What no section can see by itself: whether the sections of a configuration make sense together.

The module owns the judgement on sections that were each read without fault. Its law: a check reports and never repairs;
what cannot work, or is weaker than it looks, is an error, and what only is of no use is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from edgenode.config import schema
from edgenode.config.checks.actions import actions, clamped_modes
from edgenode.config.checks.doubts import lints
from edgenode.config.checks.feeds import named_lists, wrong_lists
from edgenode.config.checks.rules import unknowable, unknown_names, with_inner
from edgenode.model.errors import InvalidValue, Problem
from edgenode.policy.actions import PREDEFINED
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.proxy.listener.listener import Endpoint, Listener
from edgenode.proxy.routing import PathMap
from edgenode.rules.categories import value_of
from edgenode.rules.formulas import needs_of
from edgenode.rules.language import evaluating
from edgenode.rules.lowering import Lowering
from edgenode.rules.matching.contradictions import BEGINNING
from edgenode.rules.sections import Section
from edgenode.tls.servergroups import ServerGroup

if TYPE_CHECKING:
    from edgenode.config.configuration import Configuration

_EVERY_PATH = frozenset({"/", "^/", ".*", "^.*", "^.*$", "/.*", "^/.*", "^/.*$"})
"""The usual ways to write a path expression that matches any path."""

_EXPRESSIONS = ("path", "uri")
"""The categories whose entries are told to be within others by how their expressions begin."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DNS_NAME = r"[0-9A-Za-z_](?:[0-9A-Za-z._-]{0,252}[0-9A-Za-z])?"
_SERVER_NAME = re.compile(rf"{_DNS_NAME}|[0-9A-Fa-f:.]+")
_AUTHORITY = re.compile(rf"(?:{_DNS_NAME}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")

_ONLY_WITH_MTLS = ("trust-store", "mtls-refusal", "verify-depth", "required-eku")


def _names(configuration: Configuration) -> Iterator[Problem]:
    """Names that are sent to others must be what those can read."""
    name = configuration.edge.name
    if not _TOKEN.fullmatch(name):
        yield Problem(
            "edge", "name", "expected ASCII letters, digits and !#$%&'*+-.^_`|~ (RFC 9110, section 5.6.2)", name, 0
        )
    for origin_name, origin in configuration.origins.items():
        header = f"origin {origin_name}"
        for server in origin.servers:
            if not _SERVER_NAME.fullmatch(server.host):
                yield Problem(header, "servers", "expected a host name or an IP address", server.host, 0)
        if origin.server_name is not None and not _SERVER_NAME.fullmatch(origin.server_name):
            yield Problem(header, "server-name", "expected a host name or an IP address", origin.server_name, 0)
        if not _AUTHORITY.fullmatch(origin.host):
            yield Problem(header, "host", "expected client, server, or a host with or without a port", origin.host, 0)


_MAY_BE_ZERO = ("drain-timeout", "idle-timeout", "fail-timeout")


def _timeouts(configuration: Configuration) -> Iterator[Problem]:
    """A timeout of nothing would refuse everybody."""
    for header, section in configuration.written():
        for setting in schema.settings(type(section)).values():
            key = setting.key
            if key.endswith("-timeout") and key not in _MAY_BE_ZERO and getattr(section, setting.attribute) == 0:
                yield Problem(header, key, "a timeout of 0 would leave no time at all")


def _endpoints(configuration: Configuration) -> Iterator[Problem]:
    taken: dict[tuple[str, int, str], str] = {}
    for name, listener in configuration.listeners.items():
        place = listener.endpoint.place(name)
        if place in taken:
            yield Problem(f"listener {name}", "endpoint", f"[listener {taken[place]}] has the same endpoint")
        else:
            yield from _overlaps(name, listener.endpoint, taken)
        taken.setdefault(place, name)


def _overlaps(name: str, endpoint: Endpoint, taken: Mapping[tuple[str, int, str], str]) -> Iterator[Problem]:
    """The system gives an address and port to one socket; all addresses are any of them, and :: is IPv4 too."""
    for (interface, port, inherited), other in taken.items():
        both = {interface, endpoint.interface}
        of_all = "::" in both or ("0.0.0.0" in both and not any(":" in each for each in both))
        if of_all and port == endpoint.port != 0 and not inherited and not endpoint.inherited:
            sentence = f"[listener {other}] listens on port {port} too, and one of them on all addresses"
            yield Problem(f"listener {name}", "endpoint", sentence)


def _hosts(configuration: Configuration) -> Iterator[Problem]:
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
            if group is not None and not group.hosts and group_name != default:
                sentence = f'"{group_name}" is never served: it has no hosts, and is not the default-server-group'
                yield Problem(header, "server-groups", sentence, warning=True)


def _without_mtls(configuration: Configuration) -> Iterator[Problem]:
    for name, group in configuration.server_groups.items():
        for key in _ONLY_WITH_MTLS if group.mtls == "off" else ():
            setting = schema.settings(ServerGroup)[key]
            if getattr(group, setting.attribute) != setting.default:
                sentence = "has no effect while mtls is off: no client certificate is asked for"
                yield Problem(f"server-group {name}", key, sentence, warning=True)


def covers(earlier: Section, later: Section) -> bool:
    """Whether all that ``later`` matches is certainly matched by ``earlier``, as far as their texts tell."""
    if _matches_every_path(earlier):
        return True
    wanted, items = _items(earlier), _items(later)
    alternatives = [items] if later.relation == "and" else [frozenset({item}) for item in items]
    enough = all if earlier.relation == "and" else any
    return all(enough(any(_implies(given, item) for given in each) for item in wanted) for each in alternatives)


def _items(section: Section) -> frozenset[tuple[str, ...]]:
    case = "" if section.match_case else "in either case"
    entries = {(entry.category, entry.name, entry.value, case) for entry in section.entries}
    expression = {("expression", str(section.expression))} if section.expression is not None else set()
    return frozenset(entries | {("sections", name) for name in section.sections} | expression)


def _implies(given: tuple[str, ...], item: tuple[str, ...]) -> bool:
    """Whether what satisfies one item satisfies another: the same, or an expression for texts that begin alike."""
    if given == item:
        return True
    alike = (*given[:2], *given[3:]) == (*item[:2], *item[3:]) and given[0] in _EXPRESSIONS
    beginning = BEGINNING.fullmatch(item[2]) if alike else None
    longer = BEGINNING.match(given[2]) if alike and "|" not in given[2] else None
    return beginning is not None and longer is not None and longer[1].startswith(beginning[1])


def _matches_every_path(section: Section) -> bool:
    vain = [entry.category == "path" and entry.value in _EVERY_PATH for entry in section.entries]
    if section.relation == "or":
        return any(vain)
    return all(vain) and not section.sections and section.expression is None


def _of_no_use(configuration: Configuration) -> Iterator[Problem]:
    """Keys that say something which cannot come about."""
    for name, store in configuration.trust_stores.items():
        if store.crl_stale != "refuse" and not store.crl:
            sentence = "has no effect without crl: there is no list to be out of date"
            yield Problem(f"trust-store {name}", "crl-stale", sentence, warning=True)
    for name, listener in configuration.listeners.items():
        for kind, most, each in (
            ("connections", listener.max_connections, listener.max_connections_per_client),
            ("requests", listener.max_requests, listener.max_requests_per_client),
        ):
            key = f"max-{kind}-per-client"
            written = each != schema.settings(Listener)[key].default
            if written and most is not None and each is not None and each > most:
                sentence = f"has no effect: it is more than max-{kind}, {most}"
                yield Problem(f"listener {name}", key, sentence, warning=True)


def _path_maps(configuration: Configuration) -> Iterator[Problem]:
    for name, policy in configuration.security_policies.items():
        earlier: list[str] = []
        for path_map_name in policy.path_maps:
            path_map = configuration.path_maps.get(path_map_name)
            if path_map is None:
                continue
            hiding = [other for other in earlier if covers(configuration.path_maps[other], path_map)]
            reason = f'"{hiding[0]}" before it matches the same requests' if hiding else ""
            if path_map.empty and path_map.relation == "or":
                reason = "an or without entries and sections matches nothing"
            if reason:
                sentence = f'"{path_map_name}" can never be reached: {reason}'
                yield Problem(f"security-policy {name}", "path-maps", sentence, warning=True)
            earlier.append(path_map_name)


def _origins(configuration: Configuration) -> Iterator[Problem]:
    for name, origin in configuration.origins.items():
        header = f"origin {name}"
        protocols = {server.tls for server in origin.servers}
        if len(protocols) > 1:
            yield Problem(header, "servers", "http and https servers cannot be mixed in one origin")
        if protocols == {False}:
            for key, value in (("certificate", origin.certificate), ("trust-store", origin.trust_store)):
                if value is not None:
                    yield Problem(header, key, "has no meaning over http; the servers would have to be https")
        if True in protocols and not origin.verify:
            yield Problem(header, "verify", "neither certificate nor name of this origin is verified", warning=True)
        if "off" in origin.next_upstream and len(origin.next_upstream) > 1:
            yield Problem(header, "next-upstream", '"off" stands alone')


def _filters(configuration: Configuration) -> Iterator[Problem]:
    for name, filter in configuration.global_filters.items():
        if not filter.tags and filter.action is None:
            yield Problem(f"global-filter {name}", "", "has neither tags nor an action, and so no effect", warning=True)
    for header, section in _rule_lists(configuration):
        if section.empty and not header.startswith("path-map"):
            matches = "every request" if section.relation == "and" else "nothing"
            yield Problem(header, "", f"has neither entries nor sections, and so matches {matches}", warning=True)


def _rule_lists(configuration: Configuration) -> Iterator[tuple[str, Section]]:
    for header, section in configuration.written():
        if isinstance(section, Section):
            yield header, section


def _compiled(configuration: Configuration) -> Iterator[Problem]:
    """What only shows when rules are compiled: circles, and expressions that are too large together."""
    rule_lists, filters = dict(_rule_lists(configuration)), configuration.global_filters
    if not all(name in configuration.sections for section in rule_lists.values() for name in section.sections):
        return
    if not named_lists(configuration) <= configuration.lists.keys() or any(wrong_lists(configuration)):
        return
    sound = not any(actions(configuration))
    lowering = configuration.lowering
    for header, section in rule_lists.items():
        try:
            lowering.formula(section, header)
        except InvalidValue as problem:
            sound = False
            yield Problem(header, "sections", problem.sentence)
    if not sound or any(
        filter.action not in (None, *PREDEFINED, *configuration.actions) for filter in filters.values()
    ):
        return
    try:
        configuration.compile()
    except InvalidValue as problem:
        if problem.which not in filters:
            yield Problem("", "", f"the global filters together: {problem.sentence}")
            return
        tags = filters[problem.which].tags
        shown = next((tag for tag in tags if f"({tag})" in problem.sentence), tags[0])
        yield Problem(f"global-filter {problem.which}", "tags", problem.sentence, shown, 0)


def _unlocated(configuration: Configuration) -> Iterator[Problem]:
    """Rules that ask where a client is, while nobody knows: whom they shall keep out would come in."""
    lowering = configuration.lowering
    for header, section in () if configuration.geo else _rule_lists(configuration):
        if isinstance(section, PathMap) or (isinstance(section, GlobalFilter) and section.active):
            entries = [entry for inner in with_inner(section, configuration.sections) for entry in inner.entries]
            tagged = any(entry.category == "tag" and entry.pattern.startswith("geo-") for entry in entries)
            if tagged or "geography" in _needs(section, lowering):
                sentence = "looks at where a client is, which nobody knows: no database is named in [geo]"
                yield Problem(header, "", sentence)


def _needs(section: Section, lowering: Lowering) -> frozenset[str]:
    if isinstance(section, GlobalFilter) and section.feed is not None:
        return evaluating.needs(value_of(section.feed.entry))
    return needs_of(lowering.formula(section, ""))


def _unused(configuration: Configuration) -> Iterator[Problem]:
    referred: set[tuple[str, str]] = {("list", name) for name in named_lists(configuration)}
    for _, section in configuration.written():
        for setting in schema.settings(type(section)).values():
            value = getattr(section, setting.attribute)
            names = value if isinstance(value, tuple) else (value,)
            referred.update((setting.notation.refers_to, name) for name in names if setting.notation.refers_to)
    for header, _ in configuration.written():
        kind, _, name = header.partition(" ")
        if kind not in ("edge", "geo", "listener", "global-filter") and (kind, name) not in referred:
            yield Problem(header, "", "nothing refers to this section", warning=True)


Check = Callable[["Configuration"], Iterator[Problem]]

CHECKS: tuple[Check, ...] = (
    _names,
    _timeouts,
    _endpoints,
    _hosts,
    _without_mtls,
    _of_no_use,
    _path_maps,
    _origins,
    _filters,
    actions,
    clamped_modes,
    unknowable,
    wrong_lists,
    _compiled,
)
"""Every check between sections; each leaves out what could not be read, which has been reported."""

CHECKS_OF_THE_WHOLE: tuple[Check, ...] = (unknown_names, lints, _unlocated, _unused)
"""What can be told only once every section could be read."""
