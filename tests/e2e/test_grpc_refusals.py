"""What grpcio's client hears from the node in an origin's place: a status of gRPC, and why in words."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.grpc_origin import Caller
from tests.support.node import PKI, Changes, Node, in_thread, running

pytestmark = pytest.mark.lasting
RULES: Changes = {
    "path-map all": {"path": "^/shop"},
    "action text": {"type": "block", "body": "100 % verboten, für dich", "headers": "x-why: rule 7"},
    "action html": {"type": "block", "status": "451", "content-type": "text/html", "body": "<p>No.</p>"},
    "action limited": {"type": "block", "status": "429", "headers": "retry-after: 7", "body": "Slow down."},
    "action own": {"type": "block", "status": "200", "headers": "grpc-status: 9"},
    "action elsewhere": {"type": "redirect", "location": "https://example.com/"},
    "global-filter default": {"action": "block", "expression": 'edge.grpc.service eq "shop.Default"'},
    "global-filter method": {"action": "block", "expression": 'edge.grpc.method eq "Forbidden"'},
    "global-filter text": {"action": "text", "path": "^/shop.Text/"},
    "global-filter html": {"action": "html", "path": "^/shop.Html/"},
    "global-filter limited": {"action": "limited", "path": "^/shop.Limited/"},
    "global-filter own": {"action": "own", "path": "^/shop.Own/"},
    "global-filter elsewhere": {"action": "elsewhere", "path": "^/shop.Elsewhere/"},
    "global-filter closed": {"action": "close", "path": "^/shop.Closed/"},
    "global-filter asked": {"action": "challenge", "path": "^/shop.Asked/"},
    "server-group strict": {"mtls-refusal": "400"},
    "server-group twin": {"mtls-refusal": "403"},
}


@pytest.fixture(scope="module")
def node(pki: PKI) -> Iterator[Node]:
    """A node whose origin nobody should ask."""
    pki.client.write(pki.folder, "alice")
    pki.servers.issue("stranger").write(pki.folder, "stranger")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with running(pki, port, RULES) as node:
        yield node


async def refused(
    node: Node, method: str, name: str = "open.test", certificate: str = "", data: bytes = b"", **options: Any
) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """Call, and have the status, the words, the metadata, and the event."""

    def run() -> Any:
        with Caller.of(node.pki.folder, node.port, certificate, name) as caller:
            return caller.failing(data, method, **options)

    error = await in_thread(run)
    metadata = dict((*error.initial_metadata(), *error.trailing_metadata()))
    (event,) = await node.events.take()
    return error.code().name, error.details(), metadata, event


@pytest.mark.parametrize(
    ("method", "code", "details", "status"),
    [
        ("/shop.Default/Add", "PERMISSION_DENIED", "Forbidden.", 403),
        ("/shop.Cart/Forbidden", "PERMISSION_DENIED", "Forbidden.", 403),
        ("/shop.Text/Add", "PERMISSION_DENIED", "100 % verboten, für dich", 403),
        ("/shop.Html/Add", "PERMISSION_DENIED", "Unavailable For Legal Reasons", 451),
        ("/shop.Limited/Add", "RESOURCE_EXHAUSTED", "Slow down.", 429),
        ("/shop.Own/Add", "FAILED_PRECONDITION", "Forbidden.", 200),
        ("/shop.Elsewhere/Add", "PERMISSION_DENIED", "Found", 302),
        ("/shop.Asked/Add", "PERMISSION_DENIED", "A challenge has to be solved, by a browser.", 403),
        ("/nowhere/Add", "UNIMPLEMENTED", "404 Not Found", 404),
    ],
)
async def test_a_refusal_has_its_status(node: Node, method: str, code: str, details: str, status: int) -> None:
    """And its event the status of HTTP that it stands for."""
    told, words, metadata, event = await refused(node, method)
    assert (told, words) == (code, details)
    assert (event["status"], event["grpc_status"]) == (status, grpc.StatusCode[code].value[0])
    assert not {"location", "cache-control", "content-length"} & metadata.keys()
    assert metadata.get("x-why") == ("rule 7" if "Text" in method else None)


@pytest.mark.parametrize(
    ("method", "code", "status"),
    [
        ("/shop.Cart/%zz", "INTERNAL", 400),
        ("/shop.Cart/" + "x" * 9000, "RESOURCE_EXHAUSTED", 414),
    ],
)
async def test_a_head_that_cannot_be_read_has_a_status_too(node: Node, method: str, code: str, status: int) -> None:
    """It never was a request, so the event says no more than the error."""
    told, words, _, event = await refused(node, method)
    assert told == code
    assert words.startswith(f"{status} ")
    assert (event["request"], event["error"]["status"]) == (None, status)


async def test_an_action_that_closes_ends_the_call_without_an_answer(node: Node) -> None:
    """The stream is reset."""
    told, _, _, event = await refused(node, "/shop.Closed/Add")
    assert told == "CANCELLED"
    assert (event["status"], "grpc_status" in event) == (444, False)


@pytest.mark.parametrize(
    ("name", "words"), [("strict.test", "400 No required SSL certificate was sent"), ("twin.test", "403 Forbidden")]
)
async def test_a_missing_certificate_is_unauthenticated(node: Node, name: str, words: str) -> None:
    """Whatever status of HTTP the server group refuses with."""
    told, details, _, event = await refused(node, "/shop.Cart/Add", name)
    assert told == "UNAUTHENTICATED"
    assert details == words
    assert (event["error"]["status"], event["grpc_status"]) == (496, 16)


async def test_a_bad_certificate_is_unauthenticated(node: Node) -> None:
    """One of another authority."""
    told, _, _, event = await refused(node, "/shop.Cart/Add", "strict.test", "stranger")
    assert (told, event["error"]["status"], event["grpc_status"]) == ("UNAUTHENTICATED", 495, 16)


async def test_an_origin_that_is_not_there_is_unavailable(node: Node) -> None:
    """14, which clients may try again."""
    told, details, _, event = await refused(node, "/shop.Cart/Add")
    assert (told, details) == ("UNAVAILABLE", "502 Bad Gateway")
    assert (event["status"], event["error"]["fault"], event["grpc_status"]) == (502, "origin", 14)
