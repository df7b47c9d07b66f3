"""The files behind a configuration: certificates, private keys, authorities and revocation lists, read and judged; and
databases of addresses, which are files that change likewise.

The module owns who uses which certificate for what; ``edgenode.tls`` owns the reading. Its law: what would only show in
a handshake is found when the configuration is loaded.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import attrs
from attrs import field, frozen
from cryptography import x509

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.config.file_signatures import Signature, file_state
from edgenode.feeds import geo
from edgenode.feeds.geo import Databases, Geo
from edgenode.model.errors import Problem
from edgenode.model.exchange import Geography
from edgenode.tls import certificates, expiry, truststores
from edgenode.tls.certificates import Certificate, LoadedCertificate
from edgenode.tls.policies import check_group
from edgenode.tls.truststores import LoadedTrustStore, TrustStore

Loaded = LoadedCertificate | LoadedTrustStore | Databases


@frozen
class Credentials:
    """What was read from the files of a configuration.

    :ivar certificates: the certificates by the name of their section.
    :ivar trust_stores: the trust stores likewise.
    :ivar databases: those of addresses; ``None`` if there are none.
    :ivar signatures: of their files right before they were read, by the header of their section.
    """

    certificates: Mapping[str, LoadedCertificate] = field(factory=dict)
    trust_stores: Mapping[str, LoadedTrustStore] = field(factory=dict)
    databases: Databases | None = None
    signatures: Mapping[str, Signature] = field(factory=dict, eq=False, repr=False)

    @property
    def locate(self) -> Callable[[str], Geography] | None:
        """Says where an address is; ``None`` if there are no databases."""
        return None if self.databases is None else self.databases.locate

    def renewed(self, read: Iterable[tuple[str, Signature, Loaded]]) -> Credentials:
        """The same with some sections read anew."""
        certificates, trust_stores = dict(self.certificates), dict(self.trust_stores)
        databases, signatures = self.databases, dict(self.signatures)
        for header, signature, loaded in read:
            signatures[header] = signature
            if isinstance(loaded, LoadedCertificate):
                certificates[loaded.name] = loaded
            elif isinstance(loaded, LoadedTrustStore):
                trust_stores[loaded.name] = loaded
            else:
                databases = loaded
        return Credentials(certificates, trust_stores, databases, signatures)


def load(configuration: Sections, now: datetime.datetime) -> tuple[Credentials, list[Problem]]:
    """Read all files.

    :param now: the time to judge validity by, UTC.
    :returns: what could be read, and every problem, warnings too.
    """
    problems: list[Problem] = []
    read: list[tuple[str, Signature, Loaded]] = []
    for header, section in _sections(configuration):
        signature = _signature(section)
        loaded, found = _read(header, section, now)
        problems += found
        if loaded is not None:
            if not isinstance(loaded, Databases):
                problems += expiry.expiry_warnings(loaded, now, past=False)
            read.append((header, signature, loaded))
    credentials = Credentials().renewed(read)
    problems += _checked(configuration, credentials)
    return credentials, list(dict.fromkeys(problems))


def getting_old(credentials: Credentials, now: datetime.datetime) -> list[Problem]:
    """Warnings about what is past its date, or soon will be.

    :param now: UTC.
    """
    every: tuple[LoadedCertificate | LoadedTrustStore, ...] = (
        *credentials.certificates.values(),
        *credentials.trust_stores.values(),
    )
    return [problem for loaded in every for problem in expiry.expiry_warnings(loaded, now)]


def changed(configuration: Sections, credentials: Credentials) -> dict[str, Signature]:
    """The headers of the sections whose files are others than those that were read, with their signatures now."""
    known = credentials.signatures
    now = {header: _signature(section) for header, section in _sections(configuration) if header in known}
    return {header: signature for header, signature in now.items() if signature != known[header]}


def refresh(
    configuration: Sections, running: Credentials, headers: Collection[str], now: datetime.datetime
) -> tuple[Credentials, list[Problem]]:
    """Read the files of some sections anew. What is broken, or does not go with the rest, stays as it was.

    :param running: what is in use.
    :param headers: of the sections.
    :param now: the time to judge validity by, UTC.
    :returns: what can be used, and every problem, warnings too.
    """
    problems: list[Problem] = []
    read: dict[str, tuple[str, Signature, Loaded]] = {}
    for header, section in _sections(configuration):
        if header in headers:
            signature = _signature(section)
            loaded, found = _read(header, section, now)
            problems += found
            if loaded is not None:
                read[header] = header, signature, loaded
    credentials = running
    while read:
        credentials = running.renewed(read.values())
        unfit = _checked(configuration, credentials)
        problems += unfit
        blamed = {header for problem in unfit if not problem.warning for header in _blamed(configuration, problem)}
        if not blamed:
            break
        # Each round takes out one at least, or all, so that this ends, at the latest with what is running.
        read = {header: each for header, each in read.items() if header not in blamed} if blamed & set(read) else {}
        credentials = running
    return credentials, list(dict.fromkeys(problems))


def _sections(configuration: Sections) -> Iterator[tuple[str, Certificate | TrustStore | Geo]]:
    if configuration.geo:
        yield configuration.geo.kind, configuration.geo
    for name, certificate in configuration.certificates.items():
        yield f"{certificate.kind} {name}", certificate
    for name, trust_store in configuration.trust_stores.items():
        yield f"{trust_store.kind} {name}", trust_store


def _read(
    header: str, section: Certificate | TrustStore | Geo, now: datetime.datetime
) -> tuple[Loaded | None, tuple[Problem, ...]]:
    name = header.partition(" ")[2]
    if isinstance(section, Certificate):
        return certificates.load(name, section, now)
    if isinstance(section, Geo):
        return geo.load(section)
    return truststores.load(name, section, now)


def _signature(section: Certificate | TrustStore | Geo) -> Signature:
    values = (getattr(section, attribute.name) for attribute in attrs.fields(type(section)))
    paths = (path for value in values for path in (value if isinstance(value, tuple) else (value,)))
    return tuple(file_state(path) for path in paths if isinstance(path, pathlib.Path))


def _checked(configuration: Sections, credentials: Credentials) -> list[Problem]:
    """What does not go together."""
    checks = (_origins, _server_groups, _host_names)
    return [problem for check in checks for problem in check(configuration, credentials)]


def _blamed(configuration: Sections, problem: Problem) -> Iterator[str]:
    """The sections with files that a problem between sections may come from: by its key, if that names them."""
    yield problem.section
    section = dict(configuration.written()).get(problem.section)
    settings = {} if section is None else schema.settings(type(section))
    naming = {key: each for key, each in settings.items() if each.notation.refers_to in ("certificate", "trust-store")}
    for setting in [naming[problem.key]] if problem.key in naming else naming.values():
        names = getattr(section, setting.attribute) or ()
        for name in names if isinstance(names, tuple) else (names,):
            yield f"{setting.notation.refers_to} {name}"


def _origins(configuration: Sections, credentials: Credentials) -> Iterator[Problem]:
    for name, origin in configuration.origins.items():
        store = configuration.trust_stores.get(origin.trust_store or "")
        if store is not None and store.verification == "strict":
            sentence = (
                f'"{origin.trust_store}" says verification = strict, which is asked of clients and not of origins'
            )
            yield Problem(f"origin {name}", "trust-store", sentence)
        if origin.certificate is not None and origin.certificate in credentials.certificates:
            yield from certificates.check_for_origin(credentials.certificates[origin.certificate])


def _server_groups(configuration: Sections, credentials: Credentials) -> Iterator[Problem]:
    for name, group in configuration.server_groups.items():
        own = [credentials.certificates[each] for each in group.certificate if each in credentials.certificates]
        stores = [credentials.trust_stores[each] for each in group.trust_store if each in credentials.trust_stores]
        read = {"certificate": len(own) == len(group.certificate), "trust-store": len(stores) == len(group.trust_store)}
        yield from (problem for problem in check_group(name, group, own, stores) if read.get(problem.key, True))


def _host_names(configuration: Sections, credentials: Credentials) -> Iterator[Problem]:
    for name, group in configuration.server_groups.items():
        for certificate in group.certificate:
            if certificate not in credentials.certificates:
                continue
            named = _names(credentials.certificates[certificate].leaf)
            for host in group.hosts:
                if host not in named and f"*.{host.partition('.')[2]}" not in named:
                    sentence = f'the certificate "{certificate}" does not name the host {host}; clients will refuse it'
                    yield Problem(f"server-group {name}", "certificate", sentence, warning=True)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    """The hosts that a certificate is for, as ``hosts`` writes them: RFC 6125, subject alternative names only."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    written = (f"[{address}]" if address.version == 6 else str(address) for address in addresses)
    return frozenset([*(name.lower() for name in names.get_values_for_type(x509.DNSName)), *written])
