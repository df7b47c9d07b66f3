"""The certificates of a measurement: two authorities, the edge's and the origin's, each with a server and clients."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAY = datetime.timedelta(days=1)
_SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
_CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@frozen
class _Issued:
    """A certificate, and its key (P-256)."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, folder: pathlib.Path, name: str) -> None:
        """Write ``NAME.crt``, ``NAME.key``, and both as ``NAME.pem``."""
        certificate = self.certificate.public_bytes(Encoding.PEM)
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for ending, content in (("crt", certificate), ("key", key), ("pem", certificate + key)):
            file = folder / f"{name}.{ending}"
            file.touch(0o600)
            file.write_bytes(content)


def write(folder: pathlib.Path) -> None:
    """Make all: ``edge-srv``, and ``client`` and ``other`` who may ask it; ``origin-srv``, and ``edge-cli`` alike."""
    edge, origin = _authority("edge-ca"), _authority("origin-ca")
    issued = {
        "edge-ca": edge,
        "origin-ca": origin,
        "edge-srv": _leaf(edge, "localhost", _SERVER),
        "client": _leaf(edge, "client-1", _CLIENT),
        "other": _leaf(edge, "client-2", _CLIENT),
        "origin-srv": _leaf(origin, "localhost", _SERVER),
        "edge-cli": _leaf(origin, "edge-1", _CLIENT),
    }
    for name, each in issued.items():
        each.write(folder, name)


def _authority(name: str) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(authority=True), critical=True)
    )
    return _Issued(builder.sign(key, SHA256()), key)


def _leaf(issuer: _Issued, name: str, purpose: x509.ExtendedKeyUsage) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if purpose is _SERVER:
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    known = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(name, issuer.certificate.subject.rfc4514_string().removeprefix("CN="), key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(purpose, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), critical=False)
    )
    return _Issued(builder.sign(issuer.key, SHA256()), key)


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    subject, authority = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (name, issuer))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
