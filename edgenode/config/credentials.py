"""The files behind a configuration: certificates, private keys, authorities and revocation lists, read and judged; and
databases of addresses, which are files that change likewise.

The module owns who uses which certificate for what; ``edgenode.tls`` owns the reading. Its law: what would only show in
a handshake is found when the configuration is loaded.
"""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Collection, Iterator, Mapping

import attrs
from attrs import field, frozen
from cryptography import x509

from edgenode.config import schema
from edgenode.config.data import Sections
from edgenode.config.file_signatures import Signature, file_state
from edgenode.feeds import geo
from edgenode.feeds.geo import Databases, Geo
from edgenode.model.errors import Problem
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

    def renewed(self, read: Mapping[str, tuple[Signature, Loaded]]) -> Credentials:
        """The same with some sections read anew, by their header."""
        loaded = [each for _, each in read.values()]
        return Credentials(
            {**self.certificates, **{each.name: each for each in loaded if isinstance(each, LoadedCertificate)}},
            {**self.trust_stores, **{each.name: each for each in loaded if isinstance(each, LoadedTrustStore)}},
            next((each for each in loaded if isinstance(each, Databases)), self.databases),
            {**self.signatures, **{header: signature for header, (signature, _) in read.items()}},
        )


def load(configuration: Sections, now: datetime.datetime) -> tuple[Credentials, list[Problem]]:
    """Read all files.

    :param now: the time to judge validity by, UTC.
    :returns: what could be read, and every problem, warnings too.
    """
    read, problems = _read(configuration, None, now)
    credentials = Credentials().renewed(read)
    problems += getting_old(credentials, now, past=False)
    problems += _checked(configuration, credentials)
    return credentials, list(dict.fromkeys(problems))


def getting_old(credentials: Credentials, now: datetime.datetime, *, past: bool = True) -> list[Problem]:
    """Warnings about what is past its date, or soon will be.

    :param now: UTC.
    :param past: whether also about what has expired: loading it reports that already.
    """
    dated: tuple[LoadedCertificate | LoadedTrustStore, ...] = (
        *credentials.certificates.values(),
        *credentials.trust_stores.values(),
    )
    return [problem for loaded in dated for problem in expiry.expiry_warnings(loaded, now, past=past)]


def signatures(configuration: Sections) -> dict[str, Signature]:
    """The signatures of the files that sections name, as they are now, by the header of the section."""
    return {header: _signature(section) for header, section in _sections(configuration)}


def refresh(
    configuration: Sections, running: Credentials, headers: Collection[str], now: datetime.datetime
) -> tuple[Credentials, list[Problem]]:
    """Read the files of some sections anew. What is broken, or does not go with the rest, stays as it was.

    :param running: what is in use.
    :param headers: of the sections.
    :param now: the time to judge validity by, UTC.
    :returns: what can be used, and every problem, warnings too.
    """
    read, problems = _read(configuration, headers, now)
    credentials = running
    while read:
        credentials = running.renewed(read)
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
    configuration: Sections, headers: Collection[str] | None, now: datetime.datetime
) -> tuple[dict[str, tuple[Signature, Loaded]], list[Problem]]:
    """Read the files of sections, of all of them for ``None``: what could be read, by header, and every problem."""
    read: dict[str, tuple[Signature, Loaded]] = {}
    problems: list[Problem] = []
    for header, section in _sections(configuration):
        if headers is None or header in headers:
            signature = _signature(section)  # before they are read: what is written meanwhile shows at the next look
            loaded, found = _loaded(header.partition(" ")[2], section, now)
            problems += found
            if loaded is not None:
                read[header] = signature, loaded
    return read, problems


def _loaded(
    name: str, section: Certificate | TrustStore | Geo, now: datetime.datetime
) -> tuple[Loaded | None, tuple[Problem, ...]]:
    if isinstance(section, Certificate):
        return certificates.load(name, section, now)
    return geo.load(section) if isinstance(section, Geo) else truststores.load(name, section, now)


def _signature(section: Certificate | TrustStore | Geo) -> Signature:
    values = (getattr(section, attribute.name) for attribute in attrs.fields(type(section)))
    paths = (path for value in values for path in (value if isinstance(value, tuple) else (value,)))
    return tuple(file_state(path) for path in paths if isinstance(path, pathlib.Path))


def _checked(configuration: Sections, credentials: Credentials) -> list[Problem]:
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
