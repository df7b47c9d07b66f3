"""What a node's files are: its certificates and whom it trusts, its lists and how old they are. It takes its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attrs import field, frozen

from edgenode.config.credentials import Credentials
from edgenode.config.load import Configuration
from edgenode.feeds.contents import Fed
from edgenode.feeds.geo import Geo
from edgenode.node.feed_updates import status_of
from edgenode.observe.status import AuthorityStatus, CertificateStatus, CRLStatus, FeedStatus, TrustStoreStatus
from edgenode.policy.globalfilters import GlobalFilter
from edgenode.rules.feeds import without_query
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.names import distinguished_name
from edgenode.tls.truststores import LoadedTrustStore

_Users = Mapping[tuple[str, str], tuple[str, ...]]
"""The headers of the sections that name each certificate and each trust store."""

_LONGEST = 500
"""Characters of a problem."""


@frozen
class Inventory:
    """What changes with the files of a configuration only.

    :ivar certificates: its certificates.
    :ivar trust_stores: its trust stores.
    :ivar subjects: the subject of each certificate, by its name.
    """

    certificates: tuple[CertificateStatus, ...] = ()
    trust_stores: tuple[TrustStoreStatus, ...] = ()
    subjects: Mapping[str, str] = field(factory=dict)

    @classmethod
    def of(cls, credentials: Credentials, users: _Users) -> Inventory:
        """That of a configuration."""
        certificates = {
            name: _certificate(each, users.get(("certificate", name), ()))
            for name, each in credentials.certificates.items()
        }
        stores = (
            _trust_store(name, each, users.get(("trust-store", name), ()))
            for name, each in credentials.trust_stores.items()
        )
        subjects = {name: each.subject for name, each in certificates.items()}
        return cls(tuple(certificates.values()), tuple(stores), subjects)


@frozen
class Looked:
    """What one look has found, and at what.

    :ivar credentials: the certificates and trust stores that it has looked at.
    :ivar users: who names them.
    :ivar inventory: these.
    :ivar feeds: the lists, and the filters with a source.
    :ivar path_maps: the names of those that lead to each origin, by its name.
    """

    credentials: Credentials | None = None
    users: _Users = field(factory=dict)
    inventory: Inventory = Inventory()
    feeds: tuple[FeedStatus, ...] = ()
    path_maps: Mapping[str, tuple[str, ...]] = field(factory=dict)


def look(configuration: Configuration, before: Looked) -> Looked:
    """Look at the files of a configuration.

    :param before: what the last look has found.
    """
    credentials, users = configuration.credentials, _users(configuration)
    same = before.credentials is credentials and before.users == users
    inventory = before.inventory if same else Inventory.of(credentials, users)
    path_maps: dict[str, list[str]] = {}
    for name, each in configuration.path_maps.items():
        path_maps.setdefault(each.origin, []).append(name)
    leading = {name: tuple(each) for name, each in path_maps.items()}
    return Looked(credentials, users, inventory, tuple(_feeds(configuration)), leading)


def _users(configuration: Configuration) -> _Users:
    """The headers of the sections that name each certificate and each trust store."""
    named: list[tuple[str, str, str]] = []
    for name, group in configuration.server_groups.items():
        named += [("certificate", each, f"server-group {name}") for each in group.certificate]
        named += [("trust-store", each, f"server-group {name}") for each in group.trust_store]
    others: dict[str, Any] = {f"origin {name}": each for name, each in configuration.origins.items()}
    others[configuration.state_settings.kind] = configuration.state_settings
    others |= dict(configuration.fed())
    for header, section in others.items():
        for key in ("certificate", "trust_store"):
            each = getattr(section, key, None)
            if each is not None:
                named.append((key.replace("_", "-"), each, header))
    users: dict[tuple[str, str], tuple[str, ...]] = {}
    for kind, name, header in named:
        users[kind, name] = (*users.get((kind, name), ()), header)
    return users


def _certificate(loaded: LoadedCertificate, users: tuple[str, ...]) -> CertificateStatus:
    subject = distinguished_name(loaded.leaf.subject)
    return CertificateStatus(loaded.name, subject, loaded.not_after.timestamp(), users)


def _trust_store(name: str, loaded: LoadedTrustStore, users: tuple[str, ...]) -> TrustStoreStatus:
    authorities = tuple(
        AuthorityStatus(distinguished_name(each.subject), each.not_valid_after_utc.timestamp())
        for each in loaded.authorities
    )
    crls = []
    for each in loaded.crls:
        end = each.last_second(loaded.section.crl_max_age)
        due = None if end is None else end.timestamp()
        crls.append(CRLStatus(distinguished_name(each.issuer), each.begin.timestamp(), due, len(each.revoked)))
    return TrustStoreStatus(name, authorities, tuple(crls), users)


def _feeds(configuration: Configuration) -> Iterator[FeedStatus]:
    databases = configuration.credentials.databases
    for key, (built, count) in () if databases is None else databases.built.items():
        path = getattr(configuration.geo, key)
        yield FeedStatus(f"{Geo.kind} {key}", f"file:{path}", count, float(built), 0.0, "")
    for header, section in configuration.fed():
        if not section.sources or (isinstance(section, GlobalFilter) and not section.active):
            continue
        content = configuration.contents.read.get(header)
        confirmed, problem = _confirmed(configuration, header, section)
        yield FeedStatus(
            header,
            without_query(section.whence),
            None if content is None else content.size,
            confirmed,
            section.refresh if section.remote else 0.0,
            problem,
        )


def _confirmed(configuration: Configuration, header: str, section: Fed) -> tuple[float | None, str]:
    """When its content was last known to be its sources', and what was wrong the last time."""
    if section.remote:
        status = status_of(configuration, header, section)
        return status.confirmed or None, status.problem.partition("\n")[0][:_LONGEST]
    states = configuration.contents.signatures.get(header, ())
    times = [state[3] / 1e9 for state in states if isinstance(state, tuple) and len(state) > 3]
    return min(times, default=None), ""
