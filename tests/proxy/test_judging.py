"""Whose a request is, and what a client reads that is refused, by the fault and by how the server group refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgenode.model.decision import Respond
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Response
from edgenode.proxy.judging import JudgedRequest, refuse
from tests.support.strategies import CONNECTION


@pytest.mark.parametrize(
    ("error", "style", "status", "page"),
    [
        (400, "403", 400, b"400 Bad Request\n"),
        (404, "444", 404, b"404 Not Found\n"),
        (408, "handshake", 408, b"408 Request Timeout\n"),
        (413, "400", 413, b"413 Content Too Large\n"),
        (421, "400", 421, b"421 Misdirected Request\n"),
        (417, "400", 417, b"417 Expectation Failed\n"),
        (503, "400", 503, b"503 Service Unavailable\n"),
        (495, "400", 400, b"400 The SSL certificate error\n"),
        (496, "400", 400, b"400 No required SSL certificate was sent\n"),
        (495, "496", 400, b"400 The SSL certificate error\n"),
        (496, "495", 400, b"400 No required SSL certificate was sent\n"),
        (496, "handshake", 400, b"400 No required SSL certificate was sent\n"),
        (495, "403", 403, b"403 Forbidden\n"),
        (496, "421", 421, b"421 Misdirected Request\n"),
        (496, "401", 401, b"401 Refused\n"),
    ],
)
def test_a_refusal_says_its_status_and_no_reason(error: int, style: str, status: int, page: bytes) -> None:
    """The page is the status in words; a certificate is refused as the server group says, in nginx's words if 400."""
    assert refuse(ClientError(error, "a secret"), style) == Respond(Response(status, (), page))


@pytest.mark.parametrize("error", [495, 496])
def test_a_certificate_may_be_refused_without_a_word(error: int) -> None:
    """444 closes the connection."""
    assert refuse(ClientError(error, "a secret"), "444") is None


@pytest.mark.parametrize(("known", "client"), [(None, CONNECTION.peer.host), ("203.0.113.9", "203.0.113.9")])
def test_a_request_is_its_connection_s_unless_somebody_knows_better(known: str | None, client: str) -> None:
    """A recorded request is judged for the client that it was recorded of."""
    session: Any = SimpleNamespace(connection=CONNECTION, behind_proxy=False)
    head: Any = SimpleNamespace()
    judged = JudgedRequest()
    judged.arrive(session, head, 1.0, known)
    assert judged.exchange.client == client
