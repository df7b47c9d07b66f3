"""A small PKI in memory for tests: authorities, leaves of every good and bad kind, and revocation lists.

Keys are P-256 unless asked otherwise: a key and a signature take well under a millisecond. Nothing here is shared with
:mod:`edgenode.tls.authority`, so that a mistake there cannot hide in the tests.
"""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


SERVER = ExtendedKeyUsageOID.SERVER_AUTH


DAY = datetime.timedelta(days=1)


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def now() -> datetime.datetime:
    """The time, UTC, without a fraction: X.509 has none."""
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def new_key(kind: str = "ec") -> Key:
    """A private key: ``ec`` (P-256), ``rsa`` (2048), ``rsa1024``, ``ed25519``."""
    match kind:
        case "ec":
            return ec.generate_private_key(ec.SECP256R1())
        case "rsa":
            return rsa.generate_private_key(65537, 2048)
        case "rsa1024":
            return rsa.generate_private_key(65537, 1024)  # noqa: S505  # one that has to be refused
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(kind)


def name(text: str) -> x509.Name:
    """A distinguished name with a common name only; anything with ``=`` is read as RFC 4514."""
    if "=" in text:
        return x509.Name.from_rfc4514_string(text)
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def general_name(text: str) -> x509.GeneralName:
    """A subject alternative name written ``DNS:name``, ``IP:address``, ``URI:uri`` or ``email:mailbox``."""
    kind, _, value = text.partition(":")
    match kind:
        case "DNS":
            return x509.DNSName(value)
        case "IP":
            return x509.IPAddress(ipaddress.ip_address(value))
        case "URI":
            return x509.UniformResourceIdentifier(value)
        case "email":
            return x509.RFC822Name(value)
    raise ValueError(text)


@frozen(slots=False, eq=False)
class Issued:
    """A certificate with its private key, and whoever issued it.

    :ivar certificate: the certificate.
    :ivar key: its private key.
    :ivar issuer: its issuer, ``None`` if it is self-signed.
    """

    certificate: x509.Certificate
    key: Key
    issuer: Issued | None = field(default=None, repr=False)

    @cached_property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def pem(self) -> bytes:
        """The certificate, PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def intermediates(self) -> tuple[Issued, ...]:
        """The issuers between this certificate and its root, neither included."""
        if self.issuer is None or self.issuer.issuer is None:
            return ()
        return (self.issuer, *self.issuer.intermediates)

    def key_pem(self, passphrase: bytes | None = None) -> bytes:
        """The private key, PEM (PKCS #8)."""
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    def issue(self, subject: str = "client", **options: Any) -> Issued:
        """A certificate signed by this one; options as of :func:`make`: ``sans``, ``eku``, ``not_after``, ..."""
        return make(subject, issuer=self, **options)

    def crl(
        self,
        revoked: Iterable[Issued | x509.RevokedCertificate] = (),
        *,
        critical: Sequence[x509.ExtensionType] = (),
        extensions: Sequence[x509.ExtensionType] = (),
        last_update: datetime.datetime | None = None,
        next_update: datetime.datetime | None = None,
        key: Key | None = None,
    ) -> x509.CertificateRevocationList:
        """A revocation list of this authority; ``key`` signs it with another's key, as a forger would.

        :param revoked: certificates, or what :func:`entry` makes of them.
        """
        last_update = last_update or now() - DAY
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(last_update)
            .next_update(next_update or now() + 30 * DAY)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(entry(each) if isinstance(each, Issued) else each)
        for extension in (*critical, *extensions):
            builder = builder.add_extension(extension, critical=extension in critical)
        return builder.sign(key or self.key, hashes.SHA256())

    def write(
        self, folder: pathlib.Path, stem: str, *, passphrase: bytes | None = None
    ) -> tuple[pathlib.Path, pathlib.Path]:
        """Write ``STEM.pem`` (the chain without its root) and ``STEM.key`` (mode 0600).

        :return: the paths of the chain and of the key.
        """
        chain = write_pem(
            folder / f"{stem}.pem", [self.certificate, *(issuer.certificate for issuer in self.intermediates)]
        )
        key = folder / f"{stem}.key"
        key.write_bytes(self.key_pem(passphrase))
        key.chmod(0o600)
        return chain, key


def entry(
    issued: Issued,
    *,
    issuer: Issued | None = None,
    extensions: Sequence[x509.ExtensionType] = (),
    critical: bool = False,
) -> x509.RevokedCertificate:
    """An entry of a revocation list; ``issuer`` says whose certificate it is, as in an indirect list."""
    builder = x509.RevokedCertificateBuilder().serial_number(issued.certificate.serial_number)
    builder = builder.revocation_date(now() - DAY)
    if issuer is not None:
        names = [x509.DirectoryName(issuer.certificate.subject)]
        builder = builder.add_extension(x509.CertificateIssuer(names), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.build()


def write_pem(
    path: pathlib.Path, parts: Sequence[x509.Certificate | x509.CertificateRevocationList | Issued]
) -> pathlib.Path:
    """Write certificates or revocation lists into one PEM file."""
    objects = (part.certificate if isinstance(part, Issued) else part for part in parts)
    path.write_bytes(b"".join(part.public_bytes(serialization.Encoding.PEM) for part in objects))
    return path


def make(
    subject: str,
    *,
    issuer: Issued | None = None,
    authority: bool = False,
    path_length: int | None = None,
    eku: Sequence[x509.ObjectIdentifier] | None = (CLIENT,),
    sans: Sequence[str] = (),
    not_before: datetime.datetime | None = None,
    not_after: datetime.datetime | None = None,
    key: Key | None = None,
    key_usage: bool | None = True,
    extensions: Sequence[x509.ExtensionType] = (),
) -> Issued:
    """Make a certificate.

    :param subject: a common name, or a distinguished name as RFC 4514.
    :param issuer: the issuer; self-signed without one.
    :param authority: whether it is a CA (basicConstraints, keyCertSign and cRLSign).
    :param path_length: the pathLenConstraint of a CA.
    :param eku: the extended key usages of a leaf, ``None`` for no such extension.
    :param sans: subject alternative names, see :func:`general_name`; none for no such extension.
    :param key_usage: whether a CA's keyUsage has keyCertSign; ``None`` for no such extension.
    :param extensions: further extensions, not critical.
    """
    key = key or new_key()
    public = key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - DAY)
        .not_valid_after(not_after or now() + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if authority and key_usage is not None:
        builder = builder.add_extension(_authority_usage(key_usage), critical=True)
    if not authority and eku is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(general_name, sans)), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signer = issuer.key if issuer else key
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Issued(builder.sign(signer, digest), key, issuer)


def make_authority(subject: str = "Test CA", **options: Any) -> Issued:
    """A self-signed CA, or with ``issuer`` an intermediate."""
    return make(subject, authority=True, **options)


def _authority_usage(key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
