"""``type = webhook``: what is sent, and that its receiver can tell who has sent it."""

from __future__ import annotations

import hashlib
import hmac
import json
import pathlib

import pytest

from edgenode.model.settings import File, Secret
from edgenode.observe.exporters.webhook import Webhook, with_member
from tests.observe.exporters.support import Received, configured, events, receiving
from tests.support.node import PKI
from tests.support.origins import OK, answering


def verified(request: Received, secret: bytes) -> bool:
    """What the page tells receivers to do."""
    parts = dict(each.split("=", 1) for each in request.headers["x-edgenode-signature"].split(","))
    expected = hmac.new(secret, parts["t"].encode() + b"." + request.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"])


async def received(pki: PKI, receiver: Webhook, count: int = 2) -> Received:
    """The request with which some events come."""
    with receiving(pki, answering(OK), receiver) as (origin, sender):
        await sender.send(events(count))
        return Received.of(origin.requests[0])


async def test_events_are_lines(pki: PKI) -> None:
    """Each is an object with its key in front, and otherwise as the journal has it."""
    request = await received(pki, Webhook())
    assert request.headers["content-type"] == "application/x-ndjson"
    found = [json.loads(line) for line in request.body.splitlines()]
    assert [each.pop("_id") for each in found] == [each.key for each in events(2)]
    assert found == [each.event for each in events(2)]


async def test_events_are_an_array(pki: PKI) -> None:
    """If that is wanted."""
    request = await received(pki, Webhook(format="array"))
    assert request.headers["content-type"] == "application/json"
    assert [each["id"] for each in json.loads(request.body)] == ["00000000", "00000001"]


async def test_the_same_batch_has_the_same_key(pki: PKI) -> None:
    """A receiver can pass over what it has taken already."""
    one, two, other = [(await received(pki, Webhook(), count)).headers["idempotency-key"] for count in (2, 2, 3)]
    assert one == two != other


@pytest.mark.parametrize("gzip", [False, True])
async def test_the_signature_is_of_what_is_sent(pki: PKI, gzip: bool) -> None:
    """Of the time and the body, compressed if it is."""
    request = await received(pki, Webhook(secret=Secret("s3cret"), gzip=gzip))
    assert verified(request, b"s3cret")
    assert not verified(request, b"other")


async def test_the_secret_may_stand_in_a_file(pki: PKI, tmp_path: pathlib.Path) -> None:
    """Its first line."""
    (tmp_path / "secret").write_bytes(b"s3cret\n")
    assert verified(await received(pki, Webhook(secret_file=File(tmp_path / "secret"))), b"s3cret")


def test_a_member_is_put_in_front() -> None:
    """Of an empty object too."""
    assert with_member(b"{}", "_id", "a") == b'{"_id":"a"}'
    assert with_member(b'{"b":1}', "_id", "a") == b'{"_id":"a","b":1}'


def test_a_webhook_without_a_secret_is_doubtful() -> None:
    """There is a warning, and two secrets are an error."""
    (warning,) = configured("type = webhook")
    assert warning.startswith("warning: [exporter x] secret: without one")
    (error,) = configured("type = webhook\nsecret = a\nsecret-file = /etc/passwd")
    assert error.startswith("[exporter x] secret-file: there is one secret")
