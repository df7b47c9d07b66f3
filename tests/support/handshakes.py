"""TLS handshakes in memory: two ``SSL.Connection`` without a socket, and server groups to shake hands with."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import define, field
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib

from edgenode.model.exchange import ClientIdentity, Verification
from edgenode.model.settings import Word
from edgenode.tls import certificates, truststores
from edgenode.tls.crl import RevocationList
from edgenode.tls.identity import identify
from edgenode.tls.policies import server_context
from edgenode.tls.servergroups import ServerGroup
from edgenode.tls.verification import Record
from tests.support.certificates import SERVER, Issued, make_authority

VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
ALERTS = {40: "handshake_failure", 42: "bad_certificate", 43: "unsupported_certificate", 44: "certificate_revoked",
          45: "certificate_expired", 48: "unknown_ca", 70: "protocol_version", 80: "internal_error",
          100: "no_renegotiation",
    116: "certificate_required", 120: "no_application_protocol"}  # fmt: skip


def server_group(mtls: str = "on", **options: Any) -> ServerGroup:
    """A server group; one trust store is named unless it asks for no certificate."""
    if mtls != "off":
        options.setdefault("trust_store", ("store",))
    return ServerGroup(certificate=("server",), mtls=mtls, security_policy="all", **options)


@functools.cache
def server_certificate() -> certificates.LoadedCertificate:
    """The certificate of a server, of an authority of its own."""
    return loaded("server", make_authority("Servers").issue("server", eku=[SERVER]))


def loaded(name: str, issued: Issued) -> certificates.LoadedCertificate:
    """A certificate as if it had been loaded, with its intermediates."""
    chain = tuple(issuer.certificate for issuer in issued.intermediates)
    return certificates.LoadedCertificate(name, issued.certificate, chain, issued.key)


def listed(crl: x509.CertificateRevocationList) -> RevocationList:
    """A revocation list as if it had been loaded."""
    return RevocationList.read(crl.public_bytes(Encoding.DER))


def trusted(
    *authorities: Issued,
    crls: Iterable[x509.CertificateRevocationList] = (),
    check: str = "chain",
    advertise: bool = True,
    verification: str = "openssl",
    tags: Sequence[str] = (),
    stale: str = "refuse",
) -> truststores.LoadedTrustStore:
    """A trust store as if it had been loaded."""
    section = truststores.TrustStore(
        authorities=(),
        crl_check=check,
        advertise=advertise,
        verification=verification,
        tags=tuple(map(Word, tags)),
        crl_stale=stale,
    )
    certificates_ = tuple(authority.certificate for authority in authorities)
    return truststores.LoadedTrustStore("store", certificates_, tuple(map(listed, crls)), section)


def client(
    *,
    version: str = "1.3",
    chain: Sequence[Issued] = (),
    alpn: Sequence[bytes] = (),
    ciphers: bytes | None = None,
    tickets: bool = True,
) -> SSL.Context:
    """A client that believes every server, and presents a chain, the leaf first, if it is given one."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(VERSIONS[version])
    context.set_max_proto_version(VERSIONS[version])
    if ciphers is not None:
        context.set_cipher_list(ciphers)
    if not tickets:
        context.set_options(SSL.OP_NO_TICKET)
    if alpn:
        context.set_alpn_protos(list(alpn))
    if chain:
        context.use_certificate(chain[0].certificate)
        context.use_privatekey(chain[0].key)
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer.certificate)
    return context


@define
class Pair:
    """Both ends of a handshake, pumped until nothing moves.

    :ivar server_error: what the server's end raised, if it did; likewise ``client_error``.
    :ivar alerts: the alerts that the server sent, by name.
    """

    client: SSL.Connection
    server: SSL.Connection
    record: Record = field(factory=Record)
    server_error: BaseException | None = None
    client_error: BaseException | None = None
    alerts: list[str] = field(factory=list)

    @classmethod
    def of(
        cls,
        server: SSL.Context,
        client: SSL.Context,
        *,
        name: bytes | None = None,
        session: SSL.Session | None = None,
        record: Record | None = None,
    ) -> Pair:
        """Shake hands, as far as it goes."""
        pair = cls(SSL.Connection(client, None), SSL.Connection(server, None))
        if record is not None:
            pair.record = record
        pair.server.set_accept_state()
        pair.server.set_app_data(pair.record)
        pair.server.set_info_callback(pair._note)
        pair.client.set_connect_state()
        pair.client.set_app_data(Record())
        if name is not None:
            pair.client.set_tlsext_host_name(name)
        if session is not None:
            pair.client.set_session(session)
        pair._pump()
        return pair

    @property
    def done(self) -> bool:
        """Whether both ends are content, also after the client has heard the server's verdict (TLS 1.3)."""
        return self.server_error is None and self.client_error is None

    @property
    def verification(self) -> Verification:
        """The server's verdict on its client."""
        return self.record.verification(self.server.get_peer_certificate() is not None)

    def identity(self, tags: Mapping[bytes, tuple[str, ...]] = MappingProxyType({})) -> ClientIdentity:
        """The client's identity, who must have presented a certificate."""
        identity = identify(self.server, self.verification, tags, self.record.path)
        assert identity is not None
        return identity

    def _note(self, connection: SSL.Connection, where: int, number: int) -> None:
        if where == 0x4008:  # SSL_CB_WRITE_ALERT
            self.alerts.append(ALERTS.get(number & 0xFF, str(number & 0xFF)))

    def _pump(self) -> None:
        established = {self.client: False, self.server: False}
        for _ in range(12):
            for connection in (self.client, self.server):
                self._step(connection, established)
            self._carry(self.client, self.server)
            self._carry(self.server, self.client)

    def _step(self, connection: SSL.Connection, established: dict[SSL.Connection, bool]) -> None:
        mine = connection is self.client
        if (self.client_error if mine else self.server_error) is not None:
            return
        try:
            if not established[connection]:
                connection.do_handshake()
                established[connection] = True
            connection.recv(100)
        except SSL.WantReadError:
            pass
        except Exception as error:
            if mine:
                self.client_error = error
            else:
                self.server_error = error

    @staticmethod
    def _carry(source: SSL.Connection, target: SSL.Connection) -> None:
        try:
            target.bio_write(source.bio_read(1 << 16))
        except SSL.WantReadError:
            pass


def shake(
    group: ServerGroup, chain: Sequence[Issued], *stores: truststores.LoadedTrustStore, version: str = "1.3"
) -> Pair:
    """A handshake of a client that presents a chain, the leaf first, with a server group."""
    return Pair.of(server_context(group, [server_certificate()], stores), client(version=version, chain=chain))


def server(issued: Issued, version: str | None = None) -> SSL.Context:
    """A plain server that asks for no client certificate, as an origin may be."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    if version is not None:
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
    context.use_certificate(issued.certificate)
    context.use_privatekey(issued.key)
    for issuer in issued.intermediates:
        context.add_extra_chain_cert(issuer.certificate)
    return context


def resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake resumed a session; pyOpenSSL has no public word for it."""
    return bool(lib.SSL_session_reused(connection._ssl))
