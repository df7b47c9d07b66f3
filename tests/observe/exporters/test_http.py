"""Receivers over HTTP: whatever they answer, the exporter knows what was taken; over TLS with a client certificate."""

from __future__ import annotations

import gzip
import pathlib
from collections.abc import Mapping

import pytest
from twisted.web.http_headers import Headers

from edgenode.model.settings import File, Secret, Word
from edgenode.observe.exporters.http import HTTPReceiver, SentHeader, retry_after
from edgenode.observe.exporters.receiver import TAKEN, Refused, Unavailable
from edgenode.observe.exporters.webhook import Webhook
from tests.observe.exporters.support import NOW, Received, configured, events, page, receiving
from tests.support.node import PKI
from tests.support.origins import Behaviour, Served, answering


async def sent(pki: PKI, receiver: HTTPReceiver, count: int = 1) -> tuple[Received, str]:
    """The request with which events are sent, and the subject of the certificate that was presented."""
    with receiving(pki, answering(page("200 OK")), receiver) as (origin, sender):
        assert await sender.send(events(count)) == TAKEN
        (request,) = origin.requests
        return Received.of(request), origin.peers[0]


async def test_a_request_has_the_identity_of_its_origin(pki: PKI) -> None:
    """It goes over TLS with the origin's client certificate, to its host, with the token and the fields that are
    written."""
    receiver = Webhook(path="/in?x=1", token=Secret("t0k"), headers=(SentHeader.from_text("X-Tenant: a"),))
    request, peer = await sent(pki, receiver)
    assert "edge as a client" in peer
    assert request.line == "POST /in?x=1 HTTP/1.1"
    assert request.headers["host"].startswith("origin.test:")
    assert request.headers["authorization"] == "Bearer t0k"
    assert request.headers["x-tenant"] == "a"
    assert request.headers["user-agent"] == "edgenode"


async def test_a_user_logs_in_with_the_token(pki: PKI) -> None:
    """As RFC 7617 says."""
    request, _ = await sent(pki, Webhook(user=Word("Aladdin"), token=Secret("open sesame")))
    assert request.headers["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


async def test_a_token_is_read_for_each_request(pki: PKI, tmp_path: pathlib.Path) -> None:
    """A new one in the file holds at once; without one nothing is sent, and the reason is told."""
    path = tmp_path / "token"
    path.write_text("one\n")
    with receiving(pki, answering(page("200 OK")), Webhook(token_file=File(path))) as (origin, sender):
        await sender.send(events(1))
        path.write_text("two\n")
        await sender.send(events(1))
        path.unlink()
        with pytest.raises(Unavailable, match="token cannot be read"):
            await sender.send(events(1))
        tokens = [Received.of(each).headers["authorization"] for each in origin.requests]
    assert tokens == ["Bearer one", "Bearer two"]


async def test_requests_may_be_compressed(pki: PKI) -> None:
    """With gzip, and a length of what is sent."""
    request, _ = await sent(pki, Webhook(gzip=True), 100)
    assert request.headers["content-encoding"] == "gzip"
    assert int(request.headers["content-length"]) == len(request.body)
    assert gzip.decompress(request.body).count(b"\n") == 100


@pytest.mark.parametrize("status", ["200 OK", "202 Accepted", "204 No Content"])
async def test_any_success_is_one(pki: PKI, status: str) -> None:
    """A webhook has taken everything."""
    answer = f"HTTP/1.1 {status}\r\n\r\n".encode() if status.startswith("204") else page(status, b"whatever")
    with receiving(pki, answering(answer), Webhook()) as (_, sender):
        assert await sender.send(events(2)) == TAKEN


@pytest.mark.parametrize("status", ["400 Bad Request", "413 Content Too Large", "422 Unprocessable Content"])
async def test_what_is_the_fault_of_the_events_is_a_refusal(pki: PKI, status: str) -> None:
    """The reason has the beginning of what the receiver says, and nothing that could steer a terminal."""
    with (
        receiving(pki, answering(page(status, b"no\x1b[2J\n such field")), Webhook()) as (_, sender),
        pytest.raises(Refused) as caught,
    ):
        await sender.send(events(1))
    assert str(caught.value) == rf"the receiver answers {status[:3]}: no\x1b[2J such field"


@pytest.mark.parametrize(
    "status",
    [
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "408 Request Timeout",
        "429 Too Many Requests",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "503 Service Unavailable",
        "507 Insufficient Storage",
    ],
)
async def test_what_is_not_their_fault_is_tried_again(pki: PKI, status: str) -> None:
    """Of an expired token no event may be lost; Retry-After is passed on."""
    with (
        receiving(pki, answering(page(status, b"", "Retry-After: 7")), Webhook()) as (_, sender),
        pytest.raises(Unavailable) as caught,
    ):
        await sender.send(events(1))
    assert caught.value.after == 7


async def test_redirects_are_not_followed(pki: PKI) -> None:
    """Not even to the same server."""
    answer = page("307 Temporary Redirect", b"", "Location: /elsewhere")
    with receiving(pki, answering(answer), Webhook()) as (origin, sender):
        with pytest.raises(Unavailable, match="redirects are not followed"):
            await sender.send(events(1))
        assert len(origin.requests) == 1


def _endless(served: Served) -> None:
    if served.request() is not None:
        served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while served.send(b"1000\r\n%b\r\n" % bytes(4096)):
            pass


def _silent(served: Served) -> None:
    served.request()
    served.stall()


def _dripping(served: Served) -> None:
    if served.request() is not None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        served.stall()


def _cut(served: Served) -> None:
    if served.request() is not None:
        served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def _resetting(served: Served) -> None:
    served.head()
    served.reset()


LIARS: Mapping[str, tuple[Behaviour, str]] = {
    "an endless body": (_endless, "the answer has more than 65536 bytes"),
    "a large body": (answering(page("200 OK", bytes(70_000))), "the answer has more than 65536 bytes"),
    "no answer": (_silent, "no answer within 0.5 s"),
    "an answer that does not end": (_dripping, "no answer within 0.5 s"),
    "an answer that is cut": (_cut, "the connection ended before the body"),
    "a reset": (_resetting, ""),
    "no HTTP": (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), ""),
    "two lengths": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"), ""),
    "a length that is none": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), ""),
    "an endless head": (answering(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000), ""),
}


@pytest.mark.parametrize("lie", LIARS)
async def test_a_liar_has_taken_nothing(pki: PKI, lie: str) -> None:
    """An answer that does not come to its end, or is none, is a failure with a reason; its connection is not kept."""
    behaviour, reason = LIARS[lie]
    with receiving(pki, behaviour, Webhook(), timeout=0.5 if "0.5" in reason else 10.0) as (_, sender):
        with pytest.raises(Unavailable) as caught:
            await sender.send(events(1))
        assert str(caught.value)
        assert reason in str(caught.value)


async def test_a_receiver_that_is_not_there_is_a_failure(pki: PKI) -> None:
    """Nothing listens."""
    with receiving(pki, answering(page("200 OK")), Webhook()) as (origin, sender):
        origin.close()
        with pytest.raises(Unavailable):
            await sender.send(events(1))
        origin.close = lambda: None  # type: ignore[method-assign]


async def test_a_receiver_of_another_name_gets_nothing(pki: PKI) -> None:
    """Its certificate is verified as that of any origin, and no byte of an event is sent."""
    with receiving(pki, answering(page("200 OK")), Webhook(), server_name=Word("other.test")) as (origin, sender):
        with pytest.raises(Unavailable):
            await sender.send(events(1))
        assert origin.requests == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("Wed, 01 Dec 2026 00:01:00 GMT", 60),
        ("Wed, 01 Dec 2020 00:00:00 GMT", 0),
        ("Wed, 99 Dec 2026 00:01:00 GMT", 0),
        ("9" * 400, 999_999_999),
        ("soon", 0),
        ("-1", 0),
        ("1e5", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read(text: str, seconds: float) -> None:
    """As a number or a date; what is none says nothing."""
    assert retry_after(Headers({"retry-after": [text]}), NOW + 28800) == seconds


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("path = x", "[exporter x] path: expected a path that begins with /"),
        ("token = a\ntoken-file = /etc/passwd", "[exporter x] token-file: there is one token"),
        ("user = a", "[exporter x] user: a user logs in with a password"),
        ("headers = X", "[exporter x] headers: expected the name of a header"),
        ("headers = X: \u00e9", "[exporter x] headers: expected a value of printable ASCII"),
        ("token-file = /dev/null", "[exporter x] token-file: cannot read /dev/null"),
        ("timeout = 0", "[exporter x] timeout: a timeout of 0"),
        ("backoff = 0", "[exporter x] backoff: without a pause"),
        ("max-backoff = 500ms", "[exporter x] max-backoff: it is shorter than backoff"),
        ("batch-bytes = 1", "[exporter x] batch-bytes: a size from 1k to 64m"),
        ("batch-size = 0", "[exporter x] batch-size: expected a number from 1 to 10000"),
    ],
)
def test_what_cannot_be_is_an_error(keys: str, problem: str) -> None:
    """With the key."""
    (found,) = configured(f"type = webhook\nsecret = s\n{keys}")
    assert found.startswith(problem)


def test_an_exporter_needs_a_journal() -> None:
    """It reads the events from there."""
    (found,) = configured("type = webhook\nsecret = s", journal=False)
    assert found == "[exporter x]: it reads events from the journal: [journal] folder is missing"


@pytest.mark.parametrize("key", ["token-file", "secret-file"])
def test_a_secret_that_others_can_read_is_reported(tmp_path: pathlib.Path, key: str) -> None:
    """Whatever key names its file."""
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    path.chmod(0o640)
    keys = f"type = webhook\n{key} = {path}" + ("" if key == "secret-file" else "\nsecret = s")
    assert configured(keys) == []
    path.chmod(0o644)
    (found,) = configured(keys)
    assert found.startswith(f"warning: [exporter x] {key}: {path} is open to others")


def test_a_token_that_cannot_be_sent_is_an_error_that_does_not_show_it() -> None:
    """It would end the line of its header field."""
    (found,) = configured("type = webhook\nsecret = s\ntoken = s3cr\u00e9t")
    assert found == "[exporter x] token: expected printable ASCII characters"
