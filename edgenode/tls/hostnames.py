"""Whether an origin's certificate is valid for the name that it was connected to by (RFC 9525).

The law: only a match lets pass, and each name counts by itself: an odd one matches nothing, and spoils no other. Names
are read from the certificate's own bytes, for libraries give up all of them, or the whole certificate, over one that
is odd. (Twisted's own check lets a certificate without names pass for every name, because service-identity raises an
exception that Twisted does not expect; here every exception refuses.)
"""

from __future__ import annotations

import ipaddress

from OpenSSL import SSL
from service_identity.hazmat import DNS_ID, DNSPattern

from edgenode.model.errors import OriginError, printable
from edgenode.tls.der import elements, extension_values, fields, only
from edgenode.tls.identity import der_of

_SUBJECT_ALT_NAME = b"\x55\x1d\x11"
"""The object identifier 2.5.29.17, DER."""

_DNS, _IP = 0x82, 0x87
"""The tags of dNSName and iPAddress in a GeneralName (RFC 5280, section 4.2.1.6); no other names a host."""

_TOLD, _LONGEST = 8, 100
"""How many names an error tells, and characters of each."""


def verify_origin(connection: SSL.Connection, server_name: str) -> None:
    """Check the name of the origin at the other end.

    To be called after the handshake and before a byte of a request is sent. The handshake verifies the chain; this
    checks the name alone: in subject alternative names only, never in the common name.

    :param connection: the TLS connection to the origin.
    :param server_name: the DNS name, or the IP address (IPv6 without brackets), that must be in the certificate.
    :raises OriginError: 502 ``certificate``, if it is not, or if it cannot be told.
    """
    try:
        certificate = connection.get_peer_certificate()
        if certificate is None:
            raise OriginError(502, "certificate", "the origin presented no certificate")
        names = _names(der_of(certificate))
    except OriginError:
        raise
    except Exception as error:
        reason = "the origin's certificate does not fit: its names cannot be read"
        raise OriginError(502, "certificate", reason) from error
    if not any(_matches(tag, name, server_name) for tag, name in names):
        found = list(map(_told, names[:_TOLD])) + [f"{len(names) - _TOLD} more"] * (len(names) > _TOLD)
        said = f"{', '.join(found)}; not {server_name}" if found else "no host"
        raise OriginError(502, "certificate", f"the origin's certificate does not fit: it names {said}")


def _matches(tag: int, name: bytes, server_name: str) -> bool:
    """Whether a name of a certificate is that of the server, or a wildcard for it (RFC 9525, section 6.3)."""
    try:
        address = ipaddress.ip_address(server_name).packed
    except ValueError:
        pass
    else:
        return tag == _IP and name == address
    try:
        pattern = DNSPattern.from_bytes(name)
        return tag == _DNS and len(pattern.pattern) == len(name) and DNS_ID(server_name).verify(pattern)
    except Exception:  # what is no name of a host matches none; service-identity has no one class of exception for it
        return False


def _told(found: tuple[int, bytes]) -> str:
    """A name of a certificate in words."""
    tag, name = found
    if tag == _IP:
        return str(ipaddress.ip_address(name)) if len(name) in (4, 16) else f"an address of {len(name)} bytes"
    text = printable(name[:_LONGEST].decode("ascii", "backslashreplace"))
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text or "an empty name"
    return f"{text} as a DNS name"


def _names(certificate: bytes) -> list[tuple[int, bytes]]:
    """The names of hosts in a certificate, DER, each with its tag, in their order.

    :raises ValueError: if they cannot be found, or stand in two places.
    """
    values = extension_values(fields(certificate), _SUBJECT_ALT_NAME)
    if not values:
        return []
    (value,) = values  # RFC 5280, section 4.2: no extension twice
    return [(name.tag, name.content) for name in elements(only(value)) if name.tag in (_DNS, _IP)]
