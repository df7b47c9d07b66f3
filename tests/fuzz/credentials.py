"""Any bytes are a certificate, a revocation list or a private key, or refused with a sentence: no reader raises."""

from __future__ import annotations

import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.utils import CryptographyDeprecationWarning

from edgenode.model.errors import Problem
from edgenode.model.settings import File
from edgenode.tls import certificates, expiry, truststores
from edgenode.tls.certificates import Certificate
from edgenode.tls.truststores import TrustStore
from tests.support.certificates import (
    CLIENT,
    SERVER,
    constrained_to_an_address,
    entry,
    key_identifier,
    list_of_version_3,
    make_authority,
    new_key,
    now,
    pem,
)

_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-credentials-"))
_AUTHORITY = make_authority("CA", extensions=[x509.NameConstraints([x509.DNSName("a.test")], None)])
_LEAF = _AUTHORITY.issue("leaf", sans=["DNS:a.test", "IP:192.0.2.1", "URI:a:b", "email:a@b.test"], eku=(CLIENT, SERVER))
_INTERNAL = re.compile(r"ParseError|asn1|Traceback|Exception|object at 0x|<class|[a-z]Error\b|_[a-z]+_")


def check(data: bytes) -> None:
    """Load it as everything that a file may hold, as DER and as PEM."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for label, der in (("CERTIFICATE", False), ("X509 CRL", False), ("X509 CRL", True), ("PRIVATE KEY", False)):
            file = _written("odd", data if der else pem(label, data))
            for loaded, problems in _loads(label, file):
                errors = [problem.sentence for problem in problems if not problem.warning]
                assert (loaded is None) == bool(errors)
                assert not [sentence for sentence in errors if _INTERNAL.search(sentence.replace(str(_FOLDER), ""))]


def _loads(label: str, file: File) -> Iterator[tuple[object, tuple[Problem, ...]]]:
    authority, chain = _written("ca", _AUTHORITY.pem), _written("chain", _LEAF.pem)
    key = _written("key", _LEAF.key_pem())
    if label == "CERTIFICATE":
        loaded = truststores.load("odd", TrustStore(authorities=(authority, file)))
        yield loaded
        if loaded[0] is not None:
            list(expiry.expiry_warnings(loaded[0], now()))
        own = certificates.load("odd", Certificate(chain=file, key=key))
        yield own
        if own[0] is not None:
            certificates.check_for_origin(own[0])
            list(expiry.expiry_warnings(own[0], now()))
        yield certificates.load("odd", Certificate(chain=chain, key=key, authorities=(authority, file)))
    elif label == "X509 CRL":
        loaded = truststores.load("odd", TrustStore(authorities=(authority,), crl=(file,)))
        yield loaded
        if loaded[0] is not None:
            list(expiry.expiry_warnings(loaded[0], now()))
    else:
        yield certificates.load("odd", Certificate(chain=chain, key=file))


def _written(name: str, data: bytes) -> File:
    path = _FOLDER / name
    path.write_bytes(data)
    path.chmod(0o600)
    return File(path)


def seeds() -> Iterator[bytes]:
    """Certificates, lists and keys, in DER."""
    indirect = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    lists = (
        _AUTHORITY.crl(),
        _AUTHORITY.crl([_LEAF], extensions=[x509.CRLNumber(4)]),
        _AUTHORITY.crl([entry(_LEAF, issuer=_AUTHORITY)], critical=[indirect]),
        _AUTHORITY.crl([_LEAF], critical=[x509.DeltaCRLIndicator(1)], extensions=[key_identifier(_AUTHORITY)]),
    )
    yield from (each.public_bytes(Encoding.DER) for each in lists)
    yield list_of_version_3(_AUTHORITY)
    yield from (_AUTHORITY.der, _LEAF.der, constrained_to_an_address().der, make_authority("C=DE,O=A+OU=B").der)
    for kind in ("ec", "rsa", "ed25519"):
        yield new_key(kind).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    yield _LEAF.key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    yield make_authority("Other", key=new_key("ed25519")).der
