"""``[certificate]``: a certificate chain and its private key, ours to present; read and checked when loaded.

The law: a certificate that cannot work is an error of the configuration that names the file and the reason, never a
handshake that fails later; and no message of this module contains anything of a private key or its passphrase.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import stat
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, TypeVar

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto
from OpenSSL._util import ffi, lib

from edgenode.model.errors import InvalidValue, Problem
from edgenode.model.settings import File, Secret, setting
from edgenode.tls import pem
from edgenode.tls.identity import describe
from edgenode.tls.names import distinguished_name
from edgenode.tls.problems import Problems

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

LEAST_RSA_BITS = 2048
CURVES = ("secp256r1", "secp384r1", "secp521r1")

_E = TypeVar("_E", bound=x509.ExtensionType)

_LONGEST_PASSPHRASE = 1023
"""What cryptography takes."""

# A group may read: a node that has given up root reads its key anew, when it changes, as a member of one.
TOO_OPEN = stat.S_IWGRP | stat.S_IRWXO
"""What the permissions of a file with a secret should not have."""


@frozen
class Certificate:
    """A certificate chain and its private key, presented by a server group to clients or by the node to an origin."""

    kind: ClassVar[str] = "certificate"

    chain: File = setting("PEM: the leaf first, then the intermediates in order. RSA and ECDSA keys are supported.")
    key: File = setting(
        "PEM: the private key of the leaf. Only its owner, and at most one group, should be able to read it."
    )
    passphrase: Secret | None = setting("The passphrase of the private key.", None)
    passphrase_file: File | None = setting(
        "A file whose first line is the passphrase of the private key: for ``LoadCredential=`` of systemd, "
        "or a secret of a container. Its permissions should be those of the key.",
        None,
    )
    authorities: tuple[File, ...] = setting(
        "PEM: CA certificates that must include the issuer. Only checked when the file is loaded, never sent.", ()
    )

    def __attrs_post_init__(self) -> None:
        if self.passphrase is not None and self.passphrase_file is not None:
            sentence = "there is one passphrase: passphrase and passphrase-file exclude each other"
            raise InvalidValue(sentence, which="passphrase-file")


@frozen
class LoadedCertificate:
    """A certificate that was read and found in order.

    :ivar name: the name of its section.
    :ivar leaf: the certificate itself.
    :ivar chain: the intermediates sent behind it, in order.
    :ivar key: the private key of the leaf.
    :ivar authorities: the CA bundle its issuer was looked for in; empty if none was given.
    """

    name: str
    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey = field(repr=False, eq=False)  # the leaf says which it is
    authorities: tuple[x509.Certificate, ...] = ()

    @property
    def not_after(self) -> datetime.datetime:
        """When the first certificate of the chain expires, UTC."""
        return min(each.not_valid_after_utc for each in (self.leaf, *self.chain))

    def is_valid(self, now: datetime.datetime) -> bool:
        """Whether the whole chain is, at a time, UTC."""
        return not any(validity_fault(each, now) for each in (self.leaf, *self.chain))

    @property
    def key_type(self) -> str:
        """``RSA``, ``ECDSA`` or ``Ed25519``: a TLS server holds one certificate of each."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return "RSA"
        return "ECDSA" if isinstance(self.key, ec.EllipticCurvePrivateKey) else "Ed25519"


def load(
    name: str, certificate: Certificate, now: datetime.datetime | None = None
) -> tuple[LoadedCertificate | None, tuple[Problem, ...]]:
    """Read a certificate's files and check all that can be checked without a peer.

    :param name: the name of its section, for the problems.
    :param now: the time to judge validity by, UTC; the clock's if absent.
    :return: the certificate, ``None`` if there is any error, and every problem found, warnings too.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    problems = Problems(f"{certificate.kind} {name}")
    chain: tuple[x509.Certificate, ...] = ()
    with problems.reading("chain", certificate.chain):
        chain = read_certificates(certificate.chain, beside_keys=True)
        problems.error("chain", *_chain_faults(certificate.chain, chain))
        problems.warn("chain", *_date_faults(certificate.chain, chain, now))
    authorities: list[x509.Certificate] = []
    for path in certificate.authorities:
        authorities += problems.attempt("authorities", read_certificates, path) or ()
    bundle = ", ".join(map(str, certificate.authorities))
    with problems.reading("authorities", bundle):
        if authorities and chain and not any(signed_by(chain[-1], authority) for authority in authorities):
            problems.error("authorities", f"{bundle} lacks the issuer of {certificate.chain}: {_issuer(chain[-1])}")
    key = None
    with problems.reading("passphrase-file", certificate.passphrase_file):
        passphrase = _passphrase(certificate)
        with problems.reading("key", certificate.key):
            key = _read_key(certificate.key, passphrase)
            problems.error("key", *_key_faults(certificate, key, chain[0] if chain else None))
        for word, file in (("key", certificate.key), ("passphrase-file", certificate.passphrase_file)):
            if key is not None and file is not None and os.stat(file).st_mode & TOO_OPEN:
                problems.warn(word, f"{file} is open to others than its owner and group; chmod 600 or 640 it")
    if problems.fatal or key is None:
        return None, problems.found
    return LoadedCertificate(name, chain[0], tuple(chain[1:]), key, tuple(authorities)), problems.found


def check_for_origin(loaded: LoadedCertificate) -> tuple[Problem, ...]:
    """What is wrong with a certificate as one that is presented to an origin.

    The EKU clientAuth must be there (RFC 5280, section 4.2.1.12).
    """
    problems = Problems(f"{Certificate.kind} {loaded.name}")
    subject = _subject(loaded.leaf)
    usages: x509.ExtendedKeyUsage | tuple[()] = ()
    with problems.reading("chain", f"the extensions of {subject} cannot be read"):
        usages = extension(loaded.leaf, x509.ExtendedKeyUsage) or ()
    if not problems.found and ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
        problems.error("chain", f"{subject} is presented to an origin but lacks the extended key usage clientAuth")
    return problems.found


def read_certificates(path: pathlib.Path, *, beside_keys: bool = False) -> tuple[x509.Certificate, ...]:
    """All certificates of a PEM file, at least one; as :func:`read_placed`."""
    return tuple(read_placed(path, beside_keys=beside_keys).values())


def read_placed(path: pathlib.Path, *, beside_keys: bool = False) -> dict[str, x509.Certificate]:
    """All certificates of a PEM file, at least one, each by its place: ``PATH, line 1``.

    :param beside_keys: whether private keys and parameters of keys may stand in the file too.
    :raises InvalidValue: naming the file and the line, if it cannot be read, holds anything else, or no certificate.
    """
    data = read(path)
    found = pem.blocks(path, data, pem.CERTIFICATE, pem.PRIVATE_KEY | pem.PARAMETERS if beside_keys else ())
    if not found:
        hint = "; it may be DER, which openssl x509 -inform der writes as PEM" if data.startswith(b"\x30") else ""
        raise InvalidValue(f"{path} holds no PEM certificate{hint}")
    return {f"{path}, line {block.line}": _certificate(path, block) for block in found}


def _certificate(path: pathlib.Path, block: pem.Block) -> x509.Certificate:
    """The certificate of a block, as far as both libraries can read all of it that is asked of it later."""
    where = Problems("")
    with where.reading("", f"{path}, line {block.line}: a malformed certificate"):
        certificate = x509.load_der_x509_certificate(block.read())
        describe(certificate.public_bytes(Encoding.DER))
        crypto.X509.from_cryptography(certificate)
        return certificate
    raise InvalidValue(where.found[0].sentence)


def read(path: pathlib.Path) -> bytes:
    """The content of a regular file; a named pipe or a device is not waited for.

    :raises InvalidValue: naming the file and the reason, if it cannot be read.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidValue(f"{path} cannot be read: it is no regular file")
            return file.read()
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}") from error


def _without_waiting(path: str, flags: int) -> int:
    """Open a file without blocking: a named pipe would wait for its writer, and with it every reload and shutdown."""
    return os.open(path, flags | os.O_NONBLOCK)


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether a certificate names another as its issuer and bears its signature.

    The issuer's right to sign, and all dates, are not looked at.
    """
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # not its signature; or a key, a curve or an algorithm that the library does not know
        return False
    return True


def extension(
    of: x509.Certificate | x509.CertificateRevocationList | x509.RevokedCertificate, kind: type[_E]
) -> _E | None:
    """The value of an extension; ``None`` if it is not there.

    :raises ValueError: if the extensions cannot be read.
    """
    try:
        return of.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def validity_fault(certificate: x509.Certificate, now: datetime.datetime) -> str | None:
    """What is wrong with a certificate's dates at a time, UTC; ``None`` if it is valid."""
    if now > certificate.not_valid_after_utc:
        return f"{_subject(certificate)} expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"{_subject(certificate)} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _date_faults(path: pathlib.Path, chain: Sequence[x509.Certificate], now: datetime.datetime) -> Iterator[str]:
    """A node that does not start serves nobody; one with an expired certificate serves whoever does not look at it."""
    for certificate in chain:
        if fault := validity_fault(certificate, now):
            yield f"{path}: {fault}; whoever verifies it refuses every connection"


def _chain_faults(path: pathlib.Path, chain: Sequence[x509.Certificate]) -> Iterator[str]:
    for certificate, following in pairwise(chain):
        if not signed_by(certificate, following):
            yield (
                f"{path} is not in order: {_subject(certificate)} is issued by {_issuer(certificate)}, "
                f"but {_subject(following)} comes next"
            )


def _passphrase(certificate: Certificate) -> bytes | None:
    if certificate.passphrase_file is None:
        return certificate.passphrase.encode() if certificate.passphrase else None
    line = read(certificate.passphrase_file).partition(b"\n")[0].removesuffix(b"\r")
    if not 0 < len(line) <= _LONGEST_PASSPHRASE:
        raise InvalidValue(
            f"{certificate.passphrase_file}: its first line is no passphrase, 1 to {_LONGEST_PASSPHRASE} bytes"
        )
    return line


def _read_key(path: pathlib.Path, passphrase: bytes | None) -> PrivateKey:
    data = read(path)
    found = pem.blocks(path, data, pem.PRIVATE_KEY, pem.CERTIFICATE | pem.PARAMETERS)
    if len(found) > 1:
        raise InvalidValue(f"{path} holds more than one private key")
    try:
        # The library holds up all threads meanwhile: to open a key takes as long as whoever locked it has chosen, and
        # to look whether RSA's numbers are prime 70 ms, or a second of 4096 bits.
        if passphrase and [block.label for block in found] == ["ENCRYPTED PRIVATE KEY"]:
            key = load_der_private_key(_opened(data, passphrase), None, unsafe_skip_rsa_key_validation=True)
        else:
            key = load_pem_private_key(data, passphrase, unsafe_skip_rsa_key_validation=True)
    except TypeError as error:
        reason = "it is not encrypted, but a passphrase is given" if passphrase else "it needs a passphrase"
        raise InvalidValue(f"{path} cannot be used: {reason}") from error
    except (ValueError, crypto.Error) as error:
        # The library's own words are kept out: they may quote the file.
        reason = "wrong passphrase, or not a PEM private key" if passphrase else "it is not a PEM private key"
        raise InvalidValue(f"{path} cannot be used: {reason}") from error
    except Exception as error:
        raise InvalidValue(f"{path} cannot be used: the kind of its key is not supported") from error
    if not isinstance(key, PrivateKey):
        raise InvalidValue(f"{path} cannot be used: only RSA, ECDSA and Ed25519 keys are supported")
    if isinstance(key, rsa.RSAPrivateKey) and not _signs(key):
        raise InvalidValue(f"{path} cannot be used: its numbers do not belong together")
    return key


def _opened(data: bytes, passphrase: bytes) -> bytes:
    """A key without its encryption, DER: OpenSSL lets other threads go on while it hashes the passphrase.

    :raises crypto.Error: if it is the wrong one.
    """
    key = crypto.load_privatekey(crypto.FILETYPE_PEM, data, passphrase)
    output = ffi.gc(lib.BIO_new(lib.BIO_s_mem()), lib.BIO_free)  # pyOpenSSL's own way to write it is deprecated
    start = ffi.new("char **")
    if not lib.i2d_PrivateKey_bio(output, key._pkey):
        raise ValueError
    size = lib.BIO_get_mem_data(output, start)
    return bytes(ffi.buffer(start[0], size))


def _signs(key: rsa.RSAPrivateKey) -> bool:
    """Whether what a key signs is what its public key verifies: all that is asked of it later."""
    padding, digest = PKCS1v15(), SHA256()
    try:
        key.public_key().verify(key.sign(b"", padding, digest), b"", padding, digest)
    except Exception:
        return False
    return True


def _key_faults(certificate: Certificate, key: PrivateKey, leaf: x509.Certificate | None) -> Iterator[str]:
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < LEAST_RSA_BITS:
        yield f"{certificate.key} has {key.key_size} bits; RSA needs at least {LEAST_RSA_BITS}"
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name not in CURVES:
        yield f"{certificate.key} is on the curve {key.curve.name}; supported are {', '.join(CURVES)}"
    if leaf is None:
        return
    try:
        other = leaf.public_key() != key.public_key()
    except (ValueError, UnsupportedAlgorithm):  # what cannot be read is no key of ours
        other = True
    if other:
        yield f"{certificate.key} is not the key of the first certificate in {certificate.chain}, {_subject(leaf)}"


def _subject(certificate: x509.Certificate) -> str:
    return distinguished_name(certificate.subject) or "a certificate without a subject"


def _issuer(certificate: x509.Certificate) -> str:
    return distinguished_name(certificate.issuer)
