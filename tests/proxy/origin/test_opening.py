"""A connection to an origin being opened, in memory: resolved, connected, shaken hands, verified; or given up."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import Factory, define
from OpenSSL import SSL

from edgenode.model.errors import OriginError
from edgenode.model.settings import Seconds, Word
from edgenode.net.deadlines import Deadlines
from edgenode.proxy.http1.client import OriginConnection
from edgenode.proxy.origin import opening
from edgenode.proxy.origin.lending import Opening
from edgenode.proxy.origin.opening import TLSOpening
from edgenode.proxy.origin.origin import Origin
from edgenode.proxy.origin.pool import OriginPool
from edgenode.proxy.origin.server import Server
from edgenode.tls.hostnames import verify_origin
from edgenode.tls.policies import client_context
from tests.proxy.origin.pooled import Borrowing
from tests.support.certificates import SERVER, Issued, make_authority
from tests.support.handshakes import server, trusted
from tests.support.loop import Loop, pair


@define(eq=False)
class Connecting:
    """In place of a TCP connection being opened: the test says what comes of it.

    :ivar other: the server's end, once it is connected.
    """

    reactor: Loop
    address: str
    port: int
    connected: Callable[[socket.socket], None]
    failed: Callable[[str], None]
    cancelled: bool = False
    other: socket.socket | None = None

    def cancel(self) -> None:
        """Nobody wants it."""
        self.cancelled = True

    def connect(self) -> socket.socket:
        """It is there."""
        ours, self.other = pair()
        self.connected(ours)
        return self.other


@define(eq=False)
class Setting:
    """A pool, and the connections that it opens.

    :ivar authority: of the server's certificate.
    """

    loop: Loop
    authority: Issued
    attempts: list[Connecting] = Factory(list)
    addresses: list[str] = Factory(lambda: ["192.0.2.1"])
    pool: OriginPool = None  # type: ignore[assignment]
    opening: Opening | None = None

    def make(
        self, *, tls: bool = True, trust: Issued | None = None, settled: bool = True, **settings: Any
    ) -> Borrowing:
        """Make the pool, and borrow.

        :param settled: whether to wait until the name is resolved.
        """
        values = {"server_name": Word("origin.test"), "connect_timeout": Seconds(8), **settings}
        section = Origin(servers=(Server(tls, "a.test", 443),), **values)
        context = client_context(
            minimum_version="1.2", certificate=None, trust_store=trusted(trust or self.authority), verify=section.verify
        )
        deadlines = Deadlines(self.loop, self.loop.seconds)
        self.pool = OriginPool(
            "origin", section, context if tls else None, verify_origin if section.verify else None, self.loop,
            deadlines, TLSOpening,
        )  # fmt: skip
        borrowing = Borrowing()
        self.opening = self.pool.borrow(borrowing)
        if settled:
            self.loop.settle()
        return borrowing

    def connecting(self, *arguments: Any) -> Connecting:
        """In place of the class."""
        self.attempts.append(Connecting(*arguments))
        return self.attempts[-1]

    def shake(self, sock: socket.socket, name: str = "DNS:origin.test") -> SSL.Connection:
        """The server's part of a handshake; whatever becomes of it."""
        connection = SSL.Connection(server(self.authority.issue(eku=[SERVER], sans=[name])), sock)
        connection.set_accept_state()
        for _ in range(4):
            self.loop.settle()
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                continue
            except SSL.Error:
                break
        self.loop.settle()
        return connection

    def failed(self, borrowing: Borrowing) -> OriginError:
        """Why it came to nothing; nothing is left of it."""
        (error,) = borrowing.errors
        assert (borrowing.got, self.pool.open, error.sent) == ([], 0, False)
        assert not self.pool.deadlines._watched
        return error


@pytest.fixture(scope="module")
def authority() -> Issued:
    """Whom the pool believes."""
    return make_authority("Servers")


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch, authority: Issued) -> Iterator[Setting]:
    """Nothing is connected yet."""
    setting = Setting(Loop(), authority)

    def getaddrinfo(*_: object) -> list[Any]:
        return [(0, 0, 0, "", (address, 0)) for address in setting.addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(opening, "Connecting", setting.connecting)
    yield setting
    setting.pool.abort()
    for each in setting.attempts:
        if each.other is not None:
            each.other.close()


def test_a_connection_is_lent_once_it_is_verified(setting: Setting) -> None:
    """Not before; and then it is the pool's."""
    borrowing = setting.make()
    (attempt,) = setting.attempts
    assert (attempt.address, attempt.port) == ("192.0.2.1", 443)
    sock = attempt.connect()
    assert borrowing.got == []
    connection = setting.shake(sock)
    ((stream, reused),) = borrowing.got
    assert isinstance(stream, OriginConnection)
    assert not reused
    assert connection.get_servername() == b"origin.test"
    assert (setting.pool.open, setting.pool._opening) == (1, {})
    assert stream.transport.receiver is stream


def test_without_tls_nothing_is_verified(setting: Setting) -> None:
    """The connection is lent at once."""
    borrowing = setting.make(tls=False)
    setting.attempts[0].connect()
    assert len(borrowing.got) == 1


def test_an_address_is_no_server_name(setting: Setting) -> None:
    """SNI has names only (RFC 6066, section 3); the certificate has to have the address."""
    borrowing = setting.make(server_name=Word("192.0.2.1"))
    connection = setting.shake(setting.attempts[0].connect(), "IP:192.0.2.1")
    assert connection.get_servername() is None
    assert len(borrowing.got) == 1


def test_another_name_is_no_origin(setting: Setting) -> None:
    """Though its certificate is good."""
    borrowing = setting.make()
    setting.shake(setting.attempts[0].connect(), "DNS:other.test")
    error = setting.failed(borrowing)
    assert (error.status, error.kind) == (502, "certificate")


def test_a_name_that_nobody_verifies_is_taken(setting: Setting) -> None:
    """With verify off."""
    borrowing = setting.make(verify=False)
    setting.shake(setting.attempts[0].connect(), "DNS:other.test")
    assert len(borrowing.got) == 1


def test_an_authority_that_is_not_believed_is_no_origin(setting: Setting) -> None:
    """Its certificate is refused in the handshake, and the error says so."""
    borrowing = setting.make(trust=make_authority("Others"))
    setting.shake(setting.attempts[0].connect())
    error = setting.failed(borrowing)
    assert (error.status, error.kind) == (502, "certificate")
    assert "a.test:443" in error.reason


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_is_no_tls_is_no_origin(setting: Setting, data: bytes) -> None:
    """Or hangs up."""
    borrowing = setting.make()
    sock = setting.attempts[0].connect()
    if data:
        sock.send(data)
    else:
        sock.close()
    setting.loop.settle()
    error = setting.failed(borrowing)
    assert (error.status, error.kind) == (502, "handshake")


def test_all_addresses_are_tried_in_their_order(setting: Setting) -> None:
    """And the last one's reason is told."""
    setting.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    borrowing = setting.make()
    for number in range(3):
        assert [each.address for each in setting.attempts] == setting.addresses[: number + 1]
        setting.attempts[-1].failed(f"reason {number}")
    error = setting.failed(borrowing)
    assert (error.status, error.kind, "reason 2" in error.reason) == (502, "connect", True)


def test_each_address_has_its_part_of_the_time(setting: Setting) -> None:
    """A silent one leaves enough for the next; what an earlier one has not used is shared by the rest."""
    setting.addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]
    borrowing = setting.make()
    setting.attempts[0].failed("refused")  # at once: 8 seconds for three
    began: dict[int, float] = {}
    while not borrowing.errors and setting.loop.seconds() < 10:
        began.setdefault(len(setting.attempts), setting.loop.seconds())
        setting.loop.wait(0.1, 0.1)
    assert list(began) == [2, 3, 4]
    assert list(began.values()) == pytest.approx([0, 8 / 3, 16 / 3], abs=0.5)
    assert setting.loop.seconds() == pytest.approx(8, abs=0.5)
    assert all(each.cancelled for each in setting.attempts[1:])
    error = setting.failed(borrowing)
    assert (error.status, error.kind) == (504, "timeout")
    assert setting.attempts[-1].cancelled


def test_a_handshake_has_what_is_left_of_the_time(setting: Setting) -> None:
    """Silence in it is 504; no other address is tried, for this one has answered."""
    setting.addresses = ["192.0.2.1", "192.0.2.2"]
    borrowing = setting.make()
    setting.loop.wait(3, 0.1)
    setting.attempts[0].connect()
    setting.loop.wait(4.5, 0.1)
    assert borrowing.errors == []
    setting.loop.wait(1, 0.1)
    error = setting.failed(borrowing)
    assert (error.status, error.kind, len(setting.attempts)) == (504, "timeout", 1)


def test_no_address_is_502(setting: Setting) -> None:
    """A name with an empty answer."""
    setting.addresses = []
    error = setting.failed(setting.make())
    assert (error.status, error.kind) == (502, "connect")


@pytest.mark.parametrize("when", ["resolving", "connecting", "shaking hands"])
def test_what_nobody_wants_any_more_is_given_up(setting: Setting, when: str) -> None:
    """At any point, without a word to who has given it up."""
    borrowing = setting.make(settled=when != "resolving")
    if when == "shaking hands":
        setting.attempts[-1].connect()
    assert setting.opening is not None
    setting.opening.cancel()
    setting.loop.settle()
    assert (borrowing.got, borrowing.errors, setting.pool.open) == ([], [], 0)
    assert len(setting.attempts) == (when != "resolving")
    assert when != "connecting" or setting.attempts[0].cancelled


def test_a_name_that_cannot_be_sent_is_an_error(setting: Setting) -> None:
    """SNI is ASCII; the socket is closed."""
    borrowing = setting.make(server_name=Word("b\xfccher.test"))
    sock = setting.attempts[0].connect()
    error = setting.failed(borrowing)
    assert (error.status, error.kind) == (502, "handshake")
    assert sock.recv(10) == b""
