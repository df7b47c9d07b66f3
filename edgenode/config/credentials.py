"""The files behind a configuration: certificates, private keys, authorities and revocation lists, read and judged.

The module owns who uses which certificate for what; ``edgenode.tls`` owns the reading. Its law: what would only show in
a handshake is found when the configuration is loaded.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen
from cryptography import x509

from edgenode.errors import Problem
from edgenode.tls import certificates, truststores
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.policies import check_group
from edgenode.tls.truststores import LoadedTrustStore

if TYPE_CHECKING:
    from edgenode.config.configuration import Configuration


@frozen
class Credentials:
    """What was read from the files of a configuration.

    :ivar certificates: the certificates by the name of their section.
    :ivar trust_stores: the trust stores likewise.
    """

    certificates: Mapping[str, LoadedCertificate] = field(factory=dict)
    trust_stores: Mapping[str, LoadedTrustStore] = field(factory=dict)


def load(configuration: Configuration, now: datetime.datetime) -> tuple[Credentials, list[Problem]]:
    """Read all files.

    :param now: the time to judge validity by, UTC.
    :returns: what could be read, and every problem, warnings too.
    """
    problems: list[Problem] = []
    loaded: dict[str, LoadedCertificate] = {}
    for name, certificate in configuration.certificates.items():
        read, found = certificates.load(name, certificate, now)
        problems += found
        if read is not None:
            loaded[name] = read
    stores: dict[str, LoadedTrustStore] = {}
    for name, trust_store in configuration.trust_stores.items():
        store, found = truststores.load(name, trust_store, now)
        problems += found
        if store is not None:
            stores[name] = store
    credentials = Credentials(loaded, stores)
    for check in (_origins, _server_groups, _host_names):
        problems += check(configuration, credentials)
    return credentials, list(dict.fromkeys(problems))


def _origins(configuration: Configuration, credentials: Credentials) -> Iterator[Problem]:
    for origin in configuration.origins.values():
        if origin.certificate is not None and origin.certificate in credentials.certificates:
            yield from certificates.check_for_origin(credentials.certificates[origin.certificate])


def _server_groups(configuration: Configuration, credentials: Credentials) -> Iterator[Problem]:
    for name, group in configuration.server_groups.items():
        own = [credentials.certificates[each] for each in group.certificate if each in credentials.certificates]
        stores = [credentials.trust_stores[each] for each in group.trust_store if each in credentials.trust_stores]
        read = {"certificate": len(own) == len(group.certificate), "trust-store": len(stores) == len(group.trust_store)}
        yield from (problem for problem in check_group(name, group, own, stores) if read.get(problem.key, True))


def _host_names(configuration: Configuration, credentials: Credentials) -> Iterator[Problem]:
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
