"""What is done to the answers that clients get: the header fields of a decision, response rules, and who is told.

Law: nobody but the node says where an answer ends; who is told of it is told once, and cannot hold it up.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger

from edgenode.model.decision import After
from edgenode.model.errors import ClientError, OriginError
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.policy.responses import OF_THE_BODY, Responses
from edgenode.proxy.headers import ONE_HOP, header_lines, response_lines
from edgenode.proxy.streams import ResponseHead

_log = Logger()


def added_lines(headers: Headers) -> bytes:
    """The header fields of a decision as field lines, each with its line end.

    :param headers: names in lower case; those of one hop, or of the framing, are left out.
    """
    return header_lines([(name.title(), value) for name, value in headers if name not in ONE_HOP])


def origin_lines(rules: Responses, head: ResponseHead, exchange: Exchange, pseudonym: bytes) -> bytes:
    """The field lines of an origin's answer under response rules: see
    :func:`edgenode.proxy.headers.response_lines`."""
    changes, request = rules.changes(head.status), exchange.request
    assert request is not None
    lines = response_lines(head, pseudonym, changes.unwanted) + changes.for_origins(exchange)
    return lines + rules.hsts(request, head.fields)


def own_lines(rules: Responses, response: Response, exchange: Exchange) -> bytes:
    """Those that the rules add to an answer of the node's own."""
    request = exchange.request
    assert request is not None
    lines = rules.changes(response.status).for_own(response.headers, exchange)
    return lines + rules.hsts(request, dict(response.headers))


def replaced_lines(rules: Responses, head: ResponseHead, page: Response, exchange: Exchange, pseudonym: bytes) -> bytes:
    """Those of an origin's error that a page takes the place of: without what was about its body."""
    changes, request = rules.changes(head.status), exchange.request
    assert request is not None
    lines = response_lines(head, pseudonym, changes.unwanted | OF_THE_BODY) + added_lines(page.headers)
    return lines + changes.for_own(page.headers, exchange) + rules.hsts(request, head.fields)


def paged(
    rules: Responses, response: Response, error: ClientError | OriginError | None, exchange: Exchange
) -> Response:
    """An answer of the node's own that says no more than its status, or the page in its place.

    :param error: what it is about: clients are answered 400 for their certificates, and pages tell 495 and 496.
    """
    status = response.status
    page = rules.page((status,) if error is None else (error.status, status), exchange)
    if page is None:
        return response
    kept = [field for field in response.headers if field[0] not in OF_THE_BODY]
    return Response(status, (*kept, *page.headers), page.body)


def tell(after: Iterable[After], status: int, sent: int, origin_status: int) -> None:
    """Tell everybody what a request was answered: see :meth:`edgenode.model.decision.After.responded`."""
    for each in after:
        try:
            each.responded(status, sent, origin_status)
        except BaseException:  # the answer is the client's, whatever becomes of who counts it
            _log.failure("what a request was answered could not be counted")
