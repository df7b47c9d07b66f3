"""Whether an origin's certificate is valid for the name that it was connected to by (RFC 9525).

The law: any doubt is a refusal. Twisted's own check lets a certificate without subject alternative names pass for every
name, because service-identity raises an exception that Twisted does not expect; here every exception refuses.
"""

from __future__ import annotations

import ipaddress

from OpenSSL import SSL
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from edgenode.model.errors import OriginError


def verify_origin(connection: SSL.Connection, server_name: str) -> None:
    """Check the name of the origin at the other end.

    To be called after the handshake and before a byte of a request is sent. The handshake verifies the chain; this
    checks the name alone: in subject alternative names only, never in the common name.

    :param connection: the TLS connection to the origin.
    :param server_name: the DNS name, or the IP address (IPv6 without brackets), that must be in the certificate.
    :raises OriginError: 502 ``certificate``, if it is not, or if it cannot be told.
    """
    try:
        certificate = connection.get_peer_certificate(as_cryptography=True)
        if certificate is None:
            raise OriginError(502, "certificate", "the origin presented no certificate")
        try:
            address = str(ipaddress.ip_address(server_name))
        except ValueError:
            verify_certificate_hostname(certificate, server_name)
        else:
            verify_certificate_ip_address(certificate, address)
    except OriginError:
        raise
    except Exception as error:
        reason = f"the origin's certificate is not for {server_name}: {type(error).__name__}"
        raise OriginError(502, "certificate", reason) from error
