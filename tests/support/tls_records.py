"""TLS 1.3 records written by hand, on a connection whose handshake OpenSSL has done (RFC 8446, section 5.2)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
KEY_UPDATE = b"\x18\0\0\1\1"
"""KeyUpdate with update_requested (RFC 8446, section 4.6.3): the other side has to answer with one of its own."""


class Secrets(dict[bytes, bytes]):
    """The secrets of connections, as their contexts' keylog callback: by label, those of the last connection."""

    def __call__(self, connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.split()
        self[label] = bytes.fromhex(secret.decode())


class Writer:
    """The client's side of a connection.

    :param tls: its handshake is done.
    :param secrets: what was logged in it.
    """

    def __init__(self, tls: SSL.Connection, secrets: Secrets) -> None:
        assert tls.get_cipher_name() == "TLS_AES_256_GCM_SHA384"
        self._secret = secrets[b"CLIENT_TRAFFIC_SECRET_0"]
        self._key()

    def _expand(self, label: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA384(), size, info).derive(self._secret)

    def _key(self) -> None:
        self._aead, self._iv, self._number = AESGCM(self._expand(b"key", 32)), self._expand(b"iv", 12), 0

    def record(self, kind: int, data: bytes) -> bytes:
        """A record as it goes over the wire."""
        inner = data + bytes([kind])
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._aead.encrypt(nonce, inner, head)

    def key_update(self) -> bytes:
        """A KeyUpdate; what follows is under the next key."""
        record = self.record(HANDSHAKE, KEY_UPDATE)
        self._secret = self._expand(b"traffic upd", 48)
        self._key()
        return record
