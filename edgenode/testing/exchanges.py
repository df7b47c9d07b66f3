"""Exchanges for a pipeline or a stage, from as much as a test wants to say of a request."""

from __future__ import annotations

import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from OpenSSL import crypto

from edgenode.model.exchange import Address, Body, ClientIdentity, Connection, Exchange, Verification
from edgenode.proxy.listener.limits import HeadLimits
from edgenode.proxy.listener.speakers import read_request_head
from edgenode.testing.certificates import Issued
from edgenode.tls.identity import identity_of

_LIMITS = HeadLimits(target=8 * 1024, head=32 * 1024, headers=100)


def identity(certificate: Issued, verification: Verification | None = None) -> ClientIdentity:
    """What the node knows of a client that presents a certificate.

    :param verification: the verdict on it; that it is verified if absent.
    """
    verdict = verification or Verification(presented=True, verified=True)
    return identity_of(crypto.X509.from_cryptography(certificate.certificate), verdict)


def exchange_of(
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | None = None,
    *,
    client: ClientIdentity | None = None,
    address: str = "192.0.2.1",
) -> Exchange:
    """An exchange, whose request is read as the node would read it from a client.

    :param url: with scheme and host.
    :param body: the whole body; ``None`` for none.
    :param client: see :func:`identity`.
    :param address: where the client comes from.
    :raises ClientError: if the node would refuse to read such a request.
    """
    parts = urlsplit(url)
    target = url.partition("://")[2].removeprefix(parts.netloc) or "/"
    lines = [f"{method} {target} HTTP/1.1", f"host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    found = None if body is None else Body(body, len(body))
    request = read_request_head(head, _LIMITS, parts.scheme.encode("ascii")).with_body(found)
    tls = "TLSv1.3" if parts.scheme == "https" else ""
    port = parts.port or (443 if tls else 80)
    places = Address(address, 50000), Address("198.51.100.1", port)
    connection = Connection(*places, parts.hostname, tls_version=tls, client=client)
    return Exchange(connection, request, address, time=time.time())
