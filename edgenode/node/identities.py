"""Which certificate of ours an origin is presented: the one of the configuration; or, while the origin has not accepted
that, the one before.
"""

from __future__ import annotations

from OpenSSL import SSL

from edgenode.config.load import Configuration
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.rotation import Candidate
from edgenode.tls.certificates import LoadedCertificate
from edgenode.tls.policies import client_context
from edgenode.tls.truststores import LoadedTrustStore


def of_origin(configuration: Configuration, name: str) -> tuple[LoadedCertificate | None, LoadedTrustStore | None]:
    """What the configuration says that an origin is presented, and by whom its servers are verified."""
    origin, credentials = configuration.origins[name], configuration.credentials
    certificate = None if origin.certificate is None else credentials.certificates[origin.certificate]
    return certificate, None if origin.trust_store is None else credentials.trust_stores[origin.trust_store]


def context_of(
    origin: Origin, certificate: LoadedCertificate | None, trust_store: LoadedTrustStore | None
) -> SSL.Context:
    """The TLS context for connections to an origin."""
    return client_context(
        minimum_version=origin.minimum_version,
        certificate=certificate,
        trust_store=trust_store,
        verify=origin.verify,
        protocols=origin.offered,
    )


def same(one: LoadedCertificate | None, other: LoadedCertificate | None) -> bool:
    """Whether it makes no difference which of two is presented: the names of their sections do not count."""
    if one is None or other is None:
        return one is other
    return (one.leaf, one.chain) == (other.leaf, other.chain)


def stays(known: OriginPool, origin: Origin, certificate: LoadedCertificate | None) -> bool:
    """Whether the certificate of a pool stays in use until the servers have accepted another.

    Not where all servers are others, which know neither; and where none shall be presented any longer, none is. One
    server that stays is enough, whatever its parameters: it may have refused the other certificate.

    :param known: the pool until now.
    :param origin: what the origin is from now on.
    :param certificate: what it shall be presented.
    """
    here, there = known.origin, origin
    if certificate is None or (here.server_name, here.stream) != (there.server_name, there.stream):
        return False
    return not {*map(str, here.servers)}.isdisjoint(map(str, there.servers))


def candidate(configuration: Configuration, pool: OriginPool) -> Candidate | None:
    """The certificate that the servers of a pool have yet to accept; ``None`` if there is none."""
    certificate, trust_store = of_origin(configuration, pool.name)
    if pool.context is None or certificate is None or same(pool.certificate, certificate):
        return None
    return Candidate(certificate, context_of(configuration.origins[pool.name], certificate, trust_store))
