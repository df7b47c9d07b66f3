"""How a connection ends: each side on its own, properly or not, and everybody is told once what it was."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.python.failure import Failure

from edgenode.net.errors import describe
from edgenode.net.plain import Plain
from edgenode.net.transport import Transport
from tests.support.transports import Ends, Loop, Told, certificate, talking

KINDS = pytest.mark.parametrize("kind", ["plain", "TLS"])


@KINDS
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_the_other_side_may_end_and_still_be_answered(kind: str, version: str) -> None:
    """Its last bytes come, then its end, once; nothing more is read; what is written arrives; the end comes last."""
    with talking(kind, version=version) as ends:
        left, right = ends.told
        ends.left.write(b"question")
        ends.left.half_close()
        ends.loop.until(lambda: "ended" in right.calls)
        ends.loop.settle()
        assert right.calls == ["handshaken", "received", "ended"]
        assert ends.registered(ends.right) == (False, False)
        ends.right.write(b"answer")
        ends.right.doRead()
        ends.right.pause()
        ends.right.resume()
        ends.right.doRead()
        ends.right.close()
        assert right.calls == ["handshaken", "received", "ended", "lost"]
        assert right.ends == [("", True)]
        ends.loop.until(lambda: left.ends)
        assert left.calls == ["handshaken", "received", "lost"], "who has ended itself is told the end of all at once"
        assert (left.data, left.ends) == (b"answer", [("", True)])


@KINDS
def test_a_large_answer_after_the_end_is_sent_whole(kind: str) -> None:
    """The receiver closes at once; what is queued is sent before the connection is over."""
    data = bytes(3_000_000)
    with talking(kind) as ends:
        left, right = ends.told

        def answer() -> None:
            ends.right.write(data)
            ends.right.close()
            assert right.ends == []

        right.then["ended"] = answer
        ends.left.half_close()
        ends.loop.until(lambda: left.ends)
        assert len(left.data) == len(data)
        assert (left.ends, right.ends) == ([("", True)], [("", True)])


def test_an_end_may_be_told_while_paused() -> None:
    """Bytes and end are read in one slice; a receiver that pauses for the bytes hears of the end all the same."""
    with talking() as ends:
        told = ends.told[1]
        told.then["received"] = ends.right.pause
        ends.right.pause()
        ends.left.write(b"a" * 16384)
        ends.left.half_close()
        ends.right.resume()
        ends.loop.settle()
        assert told.calls == ["handshaken", "received", "ended"]
        ends.right.resume()
        ends.loop.settle()
        assert ends.registered(ends.right) == (False, False)


@KINDS
def test_a_slice_delivers_before_it_tells_of_the_end(kind: str) -> None:
    """A full read, and the end behind it: bytes first."""
    with talking(kind) as ends:
        ends.right.pause()
        ends.left.write(b"a" * 20_000)
        ends.left.half_close()
        ends.loop.settle()
        ends.right.resume()
        ends.loop.settle()
        assert [call for call in ends.told[1].calls if call != "received"] == ["handshaken", "ended"]
        assert ends.told[1].calls[-1] == "ended"
        assert len(ends.told[1].data) == 20_000


@KINDS
def test_close_sends_what_is_queued_first(kind: str) -> None:
    """A closed transport sends its queue, then ends as its protocol ends, and takes nothing more."""
    data = bytes(3_000_000)
    with talking(kind) as ends:
        left, right = ends.told
        right.then["ended"] = ends.right.close
        ends.left.write(data)
        ends.left.close()
        ends.left.write(b"more")
        ends.left.close()
        assert left.ends == []
        ends.loop.until(lambda: right.ends)
        assert right.data == data
        assert right.ends == [("", True)]
        assert left.ends == [("", True)]
        assert left.calls == ["handshaken", "lost"], "nobody is drained who has closed"


@KINDS
def test_who_closes_hears_only_of_the_end_of_all(kind: str) -> None:
    """The other side ends while the queue of one that has closed is being sent: no ``ended``, and all is sent."""
    data = bytes(3_000_000)
    with talking(kind) as ends:
        left, right = ends.told
        ends.right.pause()
        ends.left.write(data)
        ends.left.close()
        ends.right.half_close()
        ends.loop.settle()
        assert left.calls == ["handshaken"]
        assert ends.registered(ends.left) == (False, True)
        ends.right.resume()
        ends.loop.until(lambda: left.ends)
        assert left.ends == [("", True)]
        ends.loop.until(lambda: right.ends)
        assert len(right.data) == len(data)


@KINDS
def test_half_close_goes_on_reading(kind: str) -> None:
    """After ``half_close`` the other side sees the end, and what it still sends is read."""
    with talking(kind) as ends:
        left, right = ends.told
        ends.left.half_close()
        ends.loop.until(lambda: "ended" in right.calls)
        for _ in range(2):
            ends.right.write(b"late")
            ends.loop.settle()
        assert left.data == b"latelate"
        assert not ends.left.lost


@KINDS
def test_what_is_half_closed_writes_no_more(kind: str) -> None:
    """Nor does it close again: what the other side still sends is read."""
    with talking(kind) as ends:
        left, right = ends.told
        watched = ends.watch(ends.left)
        ends.left.half_close()
        ends.left.write(b"too late")
        ends.left.close()
        ends.left.half_close()
        ends.right.write(b"late")
        ends.loop.settle()
        assert (watched.sends, watched.shutdowns) == ([], 1)
        assert right.data == b""
        assert (left.data, left.calls) == (b"late", ["handshaken", "received"])


def test_half_close_ends_the_sending_side_of_the_socket_too() -> None:
    """Who does not understand close_notify sees a FIN."""
    with talking() as ends:
        ends.right.pause()
        ends.left.half_close()
        ends.right.sock.setblocking(True)
        ends.right.sock.settimeout(5)
        received = list(iter(lambda: ends.right.sock.recv(1000), b""))
        assert received, "there was no close_notify before the FIN"


@KINDS
def test_half_close_after_the_other_side_ends_everything(kind: str) -> None:
    """There is nothing left to read."""
    with talking(kind) as ends:
        left, right = ends.told
        right.then["ended"] = ends.right.half_close
        ends.left.half_close()
        ends.loop.until(lambda: right.ends)
        assert right.ends == [("", True)]
        ends.loop.until(lambda: left.ends)


@KINDS
def test_nothing_touches_the_connection_after_the_end(kind: str) -> None:
    """The number of its descriptor may be another's by then: nothing is read, sent or shut down."""
    with talking(kind) as ends:
        watched = ends.watch(ends.left)
        ends.left.call_again()
        ends.left.pause()
        ends.left.abort()
        for call in ("resume", "doRead", "doWrite", "doAgain", "close", "half_close", "pause", "resume", "abort"):
            getattr(ends.left, call)()
            ends.left.write(b"more")
        ends.loop.settle()
        assert (watched.recvs, watched.sends, watched.shutdowns) == ([], [], 0)
        assert ends.registered(ends.left) == (False, False)


@KINDS
def test_half_close_sends_what_is_queued_first(kind: str) -> None:
    """And goes on reading then."""
    data = bytes(3_000_000)
    with talking(kind) as ends:
        left, right = ends.told
        ends.left.write(data)
        ends.left.half_close()
        ends.loop.until(lambda: "ended" in right.calls)
        assert right.data == data
        ends.right.write(b"late")
        ends.loop.until(lambda: left.data == b"late")


@KINDS
def test_abort_is_told_at_once(kind: str) -> None:
    """To its own receiver, once and with its reason; nothing follows, and nothing is left of it in the poller."""
    with talking(kind) as ends:
        left = ends.told[0]
        ends.right.pause()
        ends.left.write(bytes(3_000_000))
        ends.left.abort("enough")
        assert left.calls == ["handshaken", "lost"]
        ends.left.write(b"more")
        ends.left.abort("again")
        ends.left.close()
        ends.left.resume()
        ends.left.doRead()
        ends.left.doWrite()
        ends.left.doAgain()
        ends.loop.settle()
        assert left.ends == [("enough", False)]
        assert left.calls == ["handshaken", "lost"]
        assert (ends.left.queued, ends.left.lost, ends.left.sock.fileno()) == (0, True, -1)
        assert ends.registered(ends.left) == (False, False)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_abort_is_no_proper_end_in_tls(version: str) -> None:
    """The other side can tell: something may be missing. That is no ``ended``."""
    with talking("TLS", version=version) as ends:
        right = ends.told[1]
        ends.left.write(b"some of it")
        ends.left.abort()
        ends.loop.until(lambda: right.ends)
        assert right.calls == ["handshaken", "received", "lost"]
        assert right.ends == [("closed without close_notify", False)]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_bare_fin_is_an_end_if_the_receiver_says_so(version: str) -> None:
    """A client shuts down its sending side without a word of TLS; one that is asked to overlook that can answer it."""
    with talking("TLS", version=version) as ends:
        left, right = ends.told
        connection = ends.right.connection
        assert isinstance(connection, SSL.Connection)
        connection.set_options(SSL.OP_IGNORE_UNEXPECTED_EOF)
        ends.left.write(b"question")
        ends.left.sock.shutdown(socket.SHUT_WR)
        ends.loop.until(lambda: "ended" in right.calls)
        ends.right.write(b"answer")
        ends.right.close()
        assert right.calls == ["handshaken", "received", "ended", "lost"]
        ends.loop.until(lambda: "ended" in left.calls)
        assert left.data == b"answer"


@KINDS
def test_a_hang_up_is_no_clean_end(kind: str) -> None:
    """What the reactor, or a reset, says of a connection is a loss, whatever was read before."""
    with talking(kind) as ends:
        ends.left.connectionLost(Failure(ConnectionError("hung up")))
        assert ends.told[0].ends == [("hung up", False)]


def test_a_reset_is_no_clean_end() -> None:
    """A connection without TLS is reset: that is not the end that a FIN would be."""
    listening = socket.create_server(("127.0.0.1", 0))
    other = socket.create_connection(listening.getsockname())
    sock, _ = listening.accept()
    sock.setblocking(False)
    loop, told = Loop(), Told()
    transport = Transport(loop.poller, sock, Plain(sock), told)
    transport.start()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    loop.until(lambda: told.ends)
    assert told.ends == [("Connection reset by peer", False)]
    assert told.calls == ["handshaken", "lost"]
    listening.close()


def test_a_broken_record_is_no_clean_end() -> None:
    """What cannot be decrypted ends the connection, with OpenSSL's reason."""
    with talking() as ends:
        ends.left.sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        ends.loop.until(lambda: ends.told[1].ends)
        ((reason, clean),) = ends.told[1].ends
        assert "decryption" in reason or "bad record mac" in reason
        assert not clean


def test_a_receiver_may_be_replaced() -> None:
    """Whoever is the receiver when something happens is told; the one before hears nothing more."""
    with talking() as ends:
        other = Told()
        ends.right.receiver = other
        ends.left.write(b"a")
        ends.left.abort()
        ends.loop.settle()
        assert other.calls == ["received", "lost"]
        assert ends.told[1].calls == ["handshaken"]


def test_transport_and_receiver_go_without_the_garbage_collector() -> None:
    """After the end the transport holds its receiver no longer."""
    with talking() as ends:
        ends.right.abort()
        assert ends.right.receiver is not ends.told[1]
        receiver: Any = ends.right.receiver
        for call in (receiver.handshaken, receiver.drained, receiver.ended):
            call()
        receiver.received(b"")
        receiver.lost("", True)


def test_the_number_stays_after_the_end() -> None:
    """The reactor asks for it to forget the descriptor."""
    with talking() as ends:
        number = ends.right.fileno()
        assert number == ends.right.sock.fileno() > 2
        ends.right.abort()
        assert ends.right.fileno() == number
        assert ends.right.logPrefix() == "transport"


def test_close_before_the_handshake_is_an_end() -> None:
    """Nothing is queued: there is nothing to wait for."""
    ends = Ends(certificate())
    ends.left.start()
    ends.left.close()
    ends.right.abort()
    assert ends.told[0].calls == ["lost"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(104, "whatever"), "Connection reset by peer"),
        (OSError(), "Success"),
        (SSL.SysCallError(32, "EPIPE"), "Broken pipe"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "closed without close_notify"),
        (SSL.SysCallError(0, ""), "closed without close_notify"),
        (SSL.SysCallError(), "closed without close_notify"),
        (SSL.SysCallError("strange"), "closed without close_notify"),
        (SSL.SysCallError(9, "EBADF"), "too many handshake messages"),
        (SSL.Error([("SSL routines", "", "one"), ("SSL routines", "", "two"), ("x", "", "one")]), "one; two"),
        (SSL.Error([]), "the connection is broken"),
        (SSL.Error(), "the connection is broken"),
        (SSL.Error(["strange", ("short",)]), "the connection is broken"),
        (SSL.Error([("system library", "", "")]), "the connection is broken"),
        (SSL.ZeroReturnError(), "closed by the other side"),
        (SSL.Error([("SSL routines", "", "tlsv1 alert unknown ca")]), "alert unknown ca"),
        (SSL.Error([("SSL routines", "", "tlsv13 alert certificate required")]), "alert certificate required"),
        (SSL.Error([("SSL routines", "", "tls alert bad certificate")]), "alert bad certificate"),
        (SSL.Error([("SSL routines", "", "sslv3 alert bad certificate")]), "alert bad certificate"),
        (SSL.Error([("SSL routines", "", "ssl/tls alert bad certificate")]), "alert bad certificate"),
        (SSL.Error([("SSL routines", "", "tlsv1 unrecognized name")]), "alert unrecognized name"),
        (
            SSL.Error([("system library", "", ""), ("SSL routines", "", "tls alert no certificate")]),
            "alert no certificate",
        ),
        (SSL.Error([("SSL routines", "", "")]), "alert nameless"),
    ],
)
def test_errors_have_words(error: BaseException, words: str) -> None:
    """Each error of a socket or of OpenSSL is one sentence: its own words, or the system's; of an alert its name."""
    assert describe(error) == words


# -- refused once the handshake was taken for done --------------------------------------------------------------------


def refuse(ends: Ends) -> None:
    """The right end sends an alert and is gone, before the left end has read it."""
    ends.left.wary = True
    ends.left.sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
    ends.right.doRead()
    assert ends.told[1].calls[-1] == "lost"


def test_an_alert_is_read_before_anything_is_written() -> None:
    """For OpenSSL reads no more once a write has failed, and nobody would know why."""
    with talking("TLS") as ends:
        refuse(ends)
        ends.left.write(b"a request")
        ends.loop.settle()
        assert ends.told[0].ends == [("alert bad record mac", False)]


def test_an_alert_that_comes_with_the_reset_is_not_read_but_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It came between the look and the write."""
    with talking("TLS") as ends:
        refuse(ends)
        monkeypatch.setattr(Transport, "_heard", lambda _: False)
        ends.left.write(b"a request")
        ends.loop.settle()
        assert ends.told[0].ends == [("alert unread", False)]


def test_nothing_else_is_taken_for_an_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has only closed, or has sent data, has sent none."""
    monkeypatch.setattr(Transport, "_heard", lambda _: False)
    for data in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
        with talking("TLS") as ends:
            ends.left.wary = True
            ends.right.write(data)
            ends.right.abort()
            ends.left.write(b"a request")
            ends.loop.settle()
            assert ends.told[0].ends == [("Broken pipe", False)]


def test_a_wary_write_goes_out_if_nothing_has_come() -> None:
    """And what has come, and is no end, is read first."""
    with talking("TLS") as ends:
        ends.left.wary = True
        ends.left.write(b"one")
        assert ends.left.queued == 0
        ends.right.write(b"an answer")
        ends.left.write(b"two")
        assert (ends.left.queued, ends.told[0].data) == (3, b"")
        ends.loop.settle()
        assert (ends.told[0].data, ends.told[1].data) == (b"an answer", b"onetwo")


def test_a_failed_write_is_the_reason_whatever_the_receiver_does_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read behind it: OpenSSL would only say that the connection is broken."""
    with talking("TLS") as ends:
        refuse(ends)
        monkeypatch.setattr(Transport, "_heard", lambda _: False)
        ends.left.write(b"a request")
        ends.left.pause()
        ends.left.resume()
        ends.left.doRead()
        ends.loop.settle()
        assert ends.told[0].ends == [("alert unread", False)]


def test_without_tls_what_has_come_is_told_though_a_write_fails() -> None:
    """An answer to an upload that the other side did not want to read."""
    with talking("plain") as ends:
        ends.right.write(b"an answer")
        ends.right.abort()
        ends.left.write(b"an upload")
        ends.loop.settle()
        assert ends.told[0].data == b"an answer"
        assert ends.told[0].ends == [("Broken pipe", False)]


def test_who_is_wary_and_paused_writes_on() -> None:
    """What has come waits for the receiver, and that may wait for the other side, which waits for what is written."""
    with talking("TLS") as ends:
        ends.left.wary = True
        ends.left.pause()
        ends.right.write(b"an answer")
        ends.left.write(bytes(100_000))
        ends.loop.until(lambda: len(ends.told[1].data) == 100_000)
        assert ends.told[0].data == b""
        ends.left.resume()
        ends.loop.settle()
        assert ends.told[0].data == b"an answer"


def test_a_wary_upload_stops_at_an_answer() -> None:
    """Not a record more is written before it is read, neither at once nor from the queue."""
    with talking("TLS") as ends:
        ends.left.wary = True
        ends.right.pause()
        while not ends.left.queued:
            ends.left.write(bytes(1_000_000))
        ends.right.write(b"an answer")
        ends.right.resume()
        ends.right.doAgain()
        ends.right.doRead()
        watched = ends.watch(ends.left)
        ends.left.doWrite()
        assert watched.sends == []
        ends.loop.until(lambda: not ends.left.queued)
        assert ends.told[0].data == b"an answer"
