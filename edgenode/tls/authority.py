"""A certificate authority in a folder, for development, demonstration and tests; the node itself issues nothing.

The folder is the whole state: ``ca.pem`` and ``ca.key``, ``ca.crl.pem``, ``issuers.pem`` if the authority is an
intermediate, ``issued.json`` with every certificate ever issued, and ``NAME.pem`` with ``NAME.key`` for each of them.
The law: a private key is never readable by others, not even for a moment, and nothing is overwritten silently.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import pathlib
import re
from collections.abc import Iterable

from attrs import asdict, evolve, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgenode.tls.problems import in_words

USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
AUTHORITY_DAYS = 3650
LEAF_DAYS = 825
CRL_DAYS = 30
SKEW = datetime.timedelta(minutes=5)
"""How far in the past validity begins, for peers whose clocks are slow."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


class PkiError(Exception):
    """What was asked for cannot be done; its text is one sentence for the user."""


@frozen
class Entry:
    """One certificate that was issued.

    :ivar name: the stem of its files, and its common name.
    :ivar serial: the serial number, hexadecimal.
    :ivar usage: ``server``, ``client`` or ``intermediate``.
    :ivar revoked: when it was revoked, ISO 8601, UTC; ``None`` if it was not.
    """

    name: str
    serial: str
    usage: str
    revoked: str | None = None


@frozen
class Authority:
    """A certificate authority in a folder.

    :ivar folder: where it lives.
    :ivar certificate: its own certificate.
    :ivar key: its private key.
    """

    folder: pathlib.Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(
        cls,
        folder: pathlib.Path,
        name: str = "edgenode development CA",
        days: int = AUTHORITY_DAYS,
        issuer: Authority | None = None,
    ) -> Authority:
        """Make a new authority, a root or with ``issuer`` an intermediate, and its first, empty revocation list.

        :param folder: created if it does not exist.
        :raises PkiError: if the folder holds an authority already.
        """
        if (folder / "ca.pem").exists() or (folder / "ca.key").exists():
            raise PkiError(f"{folder} already holds an authority")
        folder.mkdir(parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, issuer, days, authority=True)
        certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        _write_key(folder / "ca.key", key)
        (folder / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        if issuer is not None:
            # What its leaves must send: itself, and the intermediates above it, without the root.
            (folder / "issuers.pem").write_bytes(certificate.public_bytes(Encoding.PEM) + issuer._issuers())
            issuer._remember(Entry(name, f"{certificate.serial_number:X}", "intermediate"))
        authority = cls(folder, certificate, key)
        authority.write_crl()
        return authority

    @classmethod
    def open(cls, folder: pathlib.Path) -> Authority:
        """Open an authority that exists.

        :raises PkiError: if there is none, or it cannot be read.
        """
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        except FileNotFoundError:
            raise PkiError(f"{folder} holds no authority; make one with: pki ca {folder}") from None
        except Exception as error:
            raise PkiError(f"the authority in {folder} cannot be read: {in_words(error)}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"the authority in {folder} has no ECDSA key")
        return cls(folder, certificate, key)

    def issue(
        self, usage: str, name: str, sans: Iterable[str] = (), days: int = LEAF_DAYS
    ) -> tuple[pathlib.Path, pathlib.Path]:
        """Issue a certificate with a new key.

        :param usage: ``server`` (EKU serverAuth) or ``client`` (EKU clientAuth).
        :param name: the common name and the stem of the files.
        :param sans: subject alternative names, ``DNS:name`` or ``IP:address``; a server without any gets its own name.
        :return: the paths of the chain and of the key.
        :raises PkiError: if the name is unfit, or in use by a certificate that is not revoked.
        """
        self._check_name(name)
        names = [*map(_general_name, sans)]
        if usage == "server" and not names:
            try:
                names = [_general_name(f"IP:{name}")]
            except PkiError:
                names = [_general_name(f"DNS:{name}")]
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, self, days, authority=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[usage]]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        self._remember(Entry(name, f"{certificate.serial_number:X}", usage))
        chain, key_path = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        _write_key(key_path, key)
        chain.write_bytes(certificate.public_bytes(Encoding.PEM) + self._issuers())
        return chain, key_path

    def revoke(self, name: str) -> pathlib.Path:
        """Revoke the certificate of that name and write the revocation list anew; its path.

        :raises PkiError: if there is no such certificate, or it is revoked already.
        """
        entries = self.issued()
        if not any(entry.name == name for entry in entries):
            raise PkiError(f"{self.folder} has issued nothing named {name}")
        if all(entry.revoked for entry in entries if entry.name == name):
            raise PkiError(f"{name} is revoked already")
        date = _now().isoformat()
        self._write_issued(
            evolve(entry, revoked=date) if entry.name == name and not entry.revoked else entry for entry in entries
        )
        return self.write_crl()

    def write_crl(self, days: int = CRL_DAYS) -> pathlib.Path:
        """Write the revocation list, ``ca.crl.pem``, good for a number of days from now; its path."""
        now = _now()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - SKEW).next_update(now + _span(days))
        builder = builder.add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        builder = builder.add_extension(_key_identifier(self.certificate), critical=False)
        for entry in self.issued():
            if entry.revoked is not None:
                revoked = x509.RevokedCertificateBuilder().serial_number(int(entry.serial, 16))
                date = datetime.datetime.fromisoformat(entry.revoked)
                builder = builder.add_revoked_certificate(revoked.revocation_date(date).build())
        path = self.folder / "ca.crl.pem"
        _replace(path, builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path

    def issued(self) -> tuple[Entry, ...]:
        """Every certificate ever issued, the oldest first.

        :raises PkiError: if the list cannot be read.
        """
        path = self.folder / "issued.json"
        try:
            return tuple(Entry(**entry) for entry in json.loads(path.read_bytes()))
        except FileNotFoundError:
            return ()
        except Exception as error:
            raise PkiError(f"{path} cannot be read: {in_words(error)}") from error

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name in ("ca", "issuers", "ca.crl"):
            raise PkiError(f"{name!r} cannot name a certificate: letters, digits, dots, dashes and underscores can")
        if any(entry.name == name and not entry.revoked for entry in self.issued()):
            raise PkiError(f"{self.folder} has issued {name} already; revoke it first, or choose another name")

    def _issuers(self) -> bytes:
        path = self.folder / "issuers.pem"
        return path.read_bytes() if path.exists() else b""

    def _remember(self, entry: Entry) -> None:
        self._write_issued((*self.issued(), entry))

    def _write_issued(self, entries: Iterable[Entry]) -> None:
        text = json.dumps([asdict(entry) for entry in entries], indent=1)
        _replace(self.folder / "issued.json", f"{text}\n".encode())


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: Authority | None, days: int, *, authority: bool
) -> x509.CertificateBuilder:
    if not 1 <= len(name) <= 64:
        raise PkiError(f"a name has 1 to 64 characters, not {len(name)}")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public, now = key.public_key(), _now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + _span(days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(_key_usage(authority=authority), critical=True)
    )
    return builder.add_extension(_key_identifier(issuer.certificate), critical=False) if issuer else builder


def _key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    try:
        if kind == "DNS" and value:
            return x509.DNSName(value)
        if kind == "IP":
            return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError as error:
        raise PkiError(f"{text!r} is no subject alternative name: {error}") from error
    raise PkiError(f"{text!r} is no subject alternative name; write DNS:name or IP:address")


def _span(days: int) -> datetime.timedelta:
    if not 1 <= days <= 36500:
        raise PkiError(f"a validity has 1 to 36500 days, not {days}")
    return datetime.timedelta(days=days)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def _write_key(path: pathlib.Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.unlink(missing_ok=True)
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Created with its final mode: a chmod afterwards would leave it open to a reader in between.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def _replace(path: pathlib.Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    temporary.replace(path)
