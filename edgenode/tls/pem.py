"""The blocks of a PEM file, as RFC 7468 writes them.

The law: no block is passed over in silence. Each has an end of its own label, holds base64 alone, and is of a kind
that belongs into the file; anything else is an error with its line. Text between the blocks is explanation.
"""

from __future__ import annotations

import binascii
import io
import pathlib
import re
from collections.abc import Collection, Iterator

from attrs import field, frozen

from edgenode.model.errors import InvalidValue

CERTIFICATE = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "X.509 CERTIFICATE"})
"""The labels of a certificate: the first is to be written, and all may be read (RFC 7468, section 5.1)."""

REVOCATION_LIST = frozenset({"X509 CRL", "CRL"})
"""The labels of a revocation list likewise (section 6)."""

PRIVATE_KEY = frozenset(
    {"PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY"}
)
PARAMETERS = frozenset({"EC PARAMETERS", "DH PARAMETERS"})
"""What ``openssl ecparam -genkey`` writes before a key, and what other servers want behind a certificate."""

_KINDS = {
    **dict.fromkeys(CERTIFICATE, "a certificate"),
    **dict.fromkeys(REVOCATION_LIST, "a revocation list"),
    **dict.fromkeys(PRIVATE_KEY, "a private key"),
    **dict.fromkeys(PARAMETERS, "a block with parameters of keys"),
    "PUBLIC KEY": "a public key",
    "CERTIFICATE REQUEST": "a request for a certificate",
    "NEW CERTIFICATE REQUEST": "a request for a certificate",
    "ATTRIBUTE CERTIFICATE": "an attribute certificate",
    "PKCS7": "a PKCS #7 bundle",
    "CMS": "a CMS bundle",
    "OPENSSH PRIVATE KEY": "a private key of OpenSSH",
    "TRUSTED CERTIFICATE": "a certificate of OpenSSL's own kind, TRUSTED CERTIFICATE,",
}
_HINTS = {
    "TRUSTED CERTIFICATE": ": openssl x509 writes it as CERTIFICATE",
    "PKCS7": ": openssl pkcs7 -print_certs writes its certificates",
}

_BOUNDARY = re.compile(
    rb"-----(BEGIN|END) ([!-,.-~]+(?:[ -][!-,.-~]+)*)-----|-----(?:BEGIN|END)\b",
)
"""A boundary with its label (RFC 7468, section 3), or what began as one."""

_SPACE = b" \t\v\f\r\n"

_PIECE = 1 << 20
"""Bytes that are looked at in one go, for that long all other threads wait: revocation lists are large."""


@frozen
class Block:
    """One block of a file.

    :ivar label: such as ``CERTIFICATE``.
    :ivar line: of its beginning, from 1.
    """

    label: str
    line: int
    _data: bytes = field(repr=False)
    _begin: int = field(repr=False)
    _end: int = field(repr=False)

    def read(self) -> bytes:
        """What it holds.

        :raises ValueError: if that is not base64.
        """
        decoded, text = io.BytesIO(), b""
        try:
            for at in range(self._begin, self._end, _PIECE):
                text += self._data[at : min(at + _PIECE, self._end)].translate(None, _SPACE)
                whole = len(text) - (len(text) % 4 or 4)
                if b"=" in text[:whole]:  # padding stands at the end alone
                    raise binascii.Error
                decoded.write(binascii.a2b_base64(text[:whole], strict_mode=True))
                text = text[whole:]
            decoded.write(binascii.a2b_base64(text, strict_mode=True))
            return decoded.getvalue()
        except binascii.Error:
            raise ValueError("what stands between its lines is not base64") from None


def blocks(
    path: pathlib.Path, data: bytes, wanted: Collection[str], ignored: Collection[str] = ()
) -> tuple[Block, ...]:
    """The blocks of a file that are wanted, in order.

    :param path: of the file, for the sentences.
    :param wanted: their labels.
    :param ignored: labels that may stand there too.
    :raises InvalidValue: with the file and the line, for any other block, and for one without beginning or end.
    """
    found = tuple(_split(path, data))
    for block in found:
        if block.label not in wanted and block.label not in ignored:
            hint = _HINTS.get(block.label, "")
            raise InvalidValue(f"{path}, line {block.line}: {kind_of(block.label)} does not belong here{hint}")
    return tuple(block for block in found if block.label in wanted)


def _split(path: pathlib.Path, data: bytes) -> Iterator[Block]:
    """All blocks, each with its end."""
    begun: re.Match[bytes] | None = None
    line, counted = 1, 0
    for boundary in _boundaries(data):
        pieces = range(counted, boundary.start(), _PIECE)
        line += sum(data.count(b"\n", at, min(at + _PIECE, boundary.start())) for at in pieces)
        counted = boundary.start()
        if begun is None and boundary[1] == b"BEGIN":
            begun, began = boundary, line
        elif begun is not None and boundary[1] == b"END" and boundary[2] == begun[2]:
            yield Block(_label(begun), began, data, begun.end(), boundary.start())
            begun = None
        elif begun is not None:
            break
        else:
            raise InvalidValue(f"{path}, line {line}: an end without a beginning, or half of one")
    if begun is not None:
        raise InvalidValue(f"{path}, line {began}: {kind_of(_label(begun))} without an end")


def _boundaries(data: bytes) -> Iterator[re.Match[bytes]]:
    at = 0
    while at < len(data):
        dashes = data.find(b"-----", at, at + _PIECE)  # the expression alone takes far longer to get there
        boundary = _BOUNDARY.match(data, dashes) if dashes >= 0 else None
        if boundary is not None:
            yield boundary
            at = boundary.end()
        else:
            at = dashes + 1 if dashes >= 0 else at + _PIECE - 4


def _label(begun: re.Match[bytes]) -> str:
    return begun[2].decode("ascii", "backslashreplace")


def kind_of(label: str) -> str:
    """What a block with a label holds, in words."""
    return _KINDS.get(label, f"a block of an unknown kind, {label},")


def der_length(data: bytes) -> int:
    """How many bytes the DER value has that begins a file, by its own account (X.690, section 8.1.3)."""
    first, size = data[1] if len(data) > 1 else 0, 0
    if first & 0x80:
        size, first = first & 0x7F, int.from_bytes(data[2 : 2 + (first & 0x7F)], "big")
    return 2 + size + first
