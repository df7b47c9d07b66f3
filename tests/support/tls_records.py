"""TLS records written by hand, on a connection whose handshake OpenSSL has done (RFC 8446, section 5.2; RFC 5288)."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL

ALERT, HANDSHAKE, APPLICATION_DATA = 21, 22, 23
TLS12_CIPHERS = b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
"""What :class:`Writer12` can write."""


class Secrets(dict[bytes, bytes]):
    """The secrets of connections, as their contexts' keylog callback: by label, those of the last connection."""

    def __call__(self, connection: SSL.Connection, line: bytes) -> None:
        label, _, secret = line.split()
        self[label] = bytes.fromhex(secret.decode())


class Writer:
    """One side of a TLS 1.3 connection.

    :param tls: its handshake is done.
    :param secrets: what was logged in it.
    :param side: ``CLIENT`` or ``SERVER``.
    :param number: the records that OpenSSL has written since the handshake: a server's session tickets.
    """

    def __init__(self, tls: SSL.Connection, secrets: Secrets, side: bytes = b"CLIENT", number: int = 0) -> None:
        assert tls.get_cipher_name() == "TLS_AES_256_GCM_SHA384"
        self._secret = secrets[side + b"_TRAFFIC_SECRET_0"]
        self._key()
        self._number = number

    def _expand(self, label: bytes, size: int) -> bytes:
        info = size.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
        return HKDFExpand(SHA384(), size, info).derive(self._secret)

    def _key(self) -> None:
        self._aead, self._iv, self._number = AESGCM(self._expand(b"key", 32)), self._expand(b"iv", 12), 0

    def record(self, kind: int, data: bytes, padding: int = 0) -> bytes:
        """A record as it goes over the wire, with so many bytes of padding in it."""
        inner = data + bytes([kind]) + bytes(padding)
        head = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (int.from_bytes(self._iv, "big") ^ self._number).to_bytes(12, "big")
        self._number += 1
        return head + self._aead.encrypt(nonce, inner, head)

    def key_update(self, requested: bool = True) -> bytes:
        """A KeyUpdate (RFC 8446, section 4.6.3); what follows is under the next key.

        :param requested: whether the other side has to answer with one of its own.
        """
        record = self.record(HANDSHAKE, b"\x18\0\0\1" + bytes([requested]))
        self._secret = self._expand(b"traffic upd", 48)
        self._key()
        return record

    def unrequested_key_update(self) -> bytes:
        """One that is not answered."""
        return self.key_update(False)

    def costly_nothing(self) -> bytes:
        """As many empty records as OpenSSL takes in a row, each as large as one may be, and a KeyUpdate."""
        return b"".join(self.record(APPLICATION_DATA, b"", 16_000) for _ in range(31)) + self.key_update(False)


class Writer12:
    """The client's side of a TLS 1.2 connection with one of :data:`TLS12_CIPHERS`."""

    def __init__(self, tls: SSL.Connection) -> None:
        assert str(tls.get_cipher_name()).endswith("AES256-GCM-SHA384")
        secret, ours, theirs = tls.master_key(), tls.client_random(), tls.server_random()
        assert secret is not None
        assert ours is not None
        assert theirs is not None
        keys = _expand12(
            secret, b"key expansion" + theirs + ours, 72
        )  # two keys of 32 bytes and two salts of 4, the client's first
        self._aead, self._salt, self._number = AESGCM(keys[:32]), keys[64:68], 1  # 0 was Finished

    def record(self, kind: int, data: bytes) -> bytes:
        """A record as it goes over the wire."""
        number = self._number.to_bytes(8, "big")
        self._number += 1
        head = bytes([kind, 3, 3])
        sealed = self._aead.encrypt(self._salt + number, data, number + head + len(data).to_bytes(2, "big"))
        return head + (8 + len(sealed)).to_bytes(2, "big") + number + sealed

    def renegotiation(self, size: int = 16384) -> bytes:
        """A ClientHello in records of so many bytes."""
        hello = client_hello()
        return b"".join(self.record(HANDSHAKE, hello[at : at + size]) for at in range(0, len(hello), size))


def _expand12(secret: bytes, seed: bytes, size: int) -> bytes:
    """P_hash of RFC 5246, section 5."""

    def mac(data: bytes) -> bytes:
        function = HMAC(secret, SHA384())
        function.update(data)
        return function.finalize()

    output, step = b"", seed
    while len(output) < size:
        step = mac(step)
        output += mac(step + seed)
    return output[:size]


def client_hello() -> bytes:
    """A ClientHello of OpenSSL's, the message without records."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    tls = SSL.Connection(context, None)
    tls.set_connect_state()
    try:
        tls.do_handshake()
    except SSL.WantReadError:
        pass
    return tls.bio_read(65536)[5:]
