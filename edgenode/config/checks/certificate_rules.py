"""Warnings about rules on client certificates: nobody is asked for one, or the wrong clients are refused.

Its law is that of :mod:`edgenode.config.checks.rule_warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgenode.config.checks.evidence import problem_at, shown
from edgenode.config.compiled_rules import Formulas
from edgenode.config.data import Sections
from edgenode.model.errors import Problem
from edgenode.policy.actions import Block, Close, Redirect
from edgenode.rules.formulas import Computed, Evidence, Formula, Leaf, every, needs_of
from edgenode.rules.matching.contradictions import Conjunction, Literal

_VERIFIED = "cf.tls_client_auth.cert_verified"
_SUCCESS = (
    *(("edge.tls_client_auth.verification", sought) for sought in (b"SUCCESS", "SUCCESS", "^SUCCESS", "^SUCCESS$")),
    ("edge.tags[*]", "mtls:verified"),
)
"""What says the same in other words, by its subject."""

_VERDICTS = frozenset(
    (
        *(f"cf.tls_client_auth.cert_{word}" for word in ("presented", "verified", "revoked")),
        *(f"edge.tls_client_auth.{word}" for word in ("verification", "reason", "first_error", "last_error", "depth")),
        "edge.tls_client_auth.errors[*]",
    )
)
"""Subjects that tell of the verdict, and not whose certificate it is."""

_FAULTS = tuple(key.removesuffix("[*]") for key in _VERDICTS - {"cf.tls_client_auth.cert_presented"})
_TAGS = ("mtls:verified", "mtls:failed", "mtls:revoked")


def without_mtls(formulas: Formulas) -> Iterator[Problem]:
    """Rules on client certificates where nobody is asked for one."""
    configuration = formulas.configuration
    served = _served(configuration)
    asking = {name for name in served if configuration.server_groups[name].mtls != "off"}
    for header, formula in formulas.judged.items():
        if "certificate" not in needs_of(formula):
            continue
        groups = _groups_of(configuration, header) & served
        if not groups & asking:
            yield Problem(header, "", "looks at client certificates, and no server group that it serves asks for one")
            continue
        for host, evidence in _hosts_with_certificates(formulas.apart.get(header, ())):
            off = [name for name in groups if _serves(configuration, name, host)]
            if off and not asking & set(off):
                sentence = f"looks at client certificates of {host}, and mtls of [server-group {off[0]}] is off"
                yield problem_at(header, evidence, sentence)


def _groups_of(configuration: Sections, header: str) -> set[str]:
    """The server groups whose requests a rule list is for."""
    kind, _, name = header.partition(" ")
    return {
        group_name
        for group_name in configuration.server_groups
        if kind != "path-map" or name in configuration.path_maps_of(group_name)
    }


def _hosts_with_certificates(several: tuple[Conjunction, ...]) -> Iterator[tuple[str, Evidence]]:
    """The hosts for which something is asked of certificates, each once."""
    seen = set()
    for each in several:
        if not any("certificate" in (part.subject.needs if isinstance(part, Literal) else part.needs) for part in each):
            continue
        for part in each:
            if isinstance(part, Literal) and part.positive and part.subject.key == "http.host":
                hosts = (sought.decode("latin-1") for sought in part.soughts if isinstance(sought, bytes))
                for host in hosts if part.match == "equal" else ():
                    if host not in seen:
                        seen.add(host)
                        yield host, part.evidence


def _serves(configuration: Sections, group: str, host: str) -> bool:
    hosts = configuration.server_groups[group].hosts
    return host in hosts or f"*.{host.partition('.')[2]}" in hosts


def passing_if_verified(formulas: Formulas) -> Iterator[Problem]:
    """Rules of the form ``not verified and fingerprint ne X``: a verified certificate that is not X is let in."""
    actions = formulas.actions
    for header, filter in formulas.filters:
        if not isinstance(actions.get(filter.action or ""), Block | Close | Redirect):
            continue
        for each in formulas.apart.get(header, ()):
            against = [part for part in each if isinstance(part, Literal) and not part.positive]
            unverified = any(_says_verified(part) for part in against)
            other = [part for part in against if _says_who(part)]
            if unverified and other:
                said = shown(other[0].evidence)
                sentence = f"lets every verified certificate pass, whatever {said} says: join the two by or"
                yield Problem(header, "", sentence)
                break


def unjudged_certificates(formulas: Formulas) -> Iterator[Problem]:
    """Server groups that leave all certificates to the rules, where neither rules nor origins hear of the verdict."""
    configuration = formulas.configuration
    groups = {name: configuration.server_groups[name] for name in _served(configuration)}
    lax = [name for name, each in groups.items() if each.mtls == "optional-no-ca"]
    for name in lax if not any(map(_asks_for_verdict, formulas.judged.values())) else ():
        if set(groups[name].certificate_headers) == {"none"}:
            sentence = (
                "optional-no-ca refuses no certificate, be it expired or revoked, and no rule asks whether one is "
                "verified: block where not cf.tls_client_auth.cert_verified, or use optional or on"
            )
            yield Problem(f"server-group {name}", "mtls", sentence)


def _served(configuration: Sections) -> set[str]:
    return {name for listener in configuration.listeners.values() for name in listener.server_groups}


def _asks_for_verdict(formula: Formula) -> bool:
    for part in every(formula):
        if isinstance(part, Computed) and "certificate" in part.needs:
            return True
        if isinstance(part, Leaf):
            key, sought = part.predicate.subject.key, part.predicate.sought
            if sought in _TAGS or any(word in key for word in _FAULTS):
                return True
    return False


def _says_verified(literal: Literal) -> bool:
    key = literal.subject.key
    return key == _VERIFIED or any((key, sought) in _SUCCESS for sought in literal.soughts)


def _says_who(literal: Literal) -> bool:
    subject = literal.subject
    return (
        "certificate" in subject.needs and subject.key not in _VERDICTS and literal.match in ("equal", "regex", "range")
    )
