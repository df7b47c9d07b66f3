"""What a client gets in the end, as JSON has it.

Law: an answer of the node's own goes through what it goes through in a node: pages, response rules, gRPC.
"""

from __future__ import annotations

from typing import Any

from edgenode.model.decision import Decision, Forward, Outcome, Respond, Rewrite
from edgenode.model.errors import ClientError
from edgenode.model.exchange import Exchange, Headers, Response
from edgenode.policy.responses import Responses
from edgenode.proxy.answers import own_lines, paged
from edgenode.proxy.grpc import status_of, trailers_only
from edgenode.proxy.judging import refuse
from edgenode.rules.views.grpc import is_call

PLAIN = {"kind": "respond", "status": 400, "headers": [], "body": "400 The plain HTTP request was sent to HTTPS port"}
"""What the port says to a client that speaks no TLS."""


def redirect_told(redirect: Response) -> dict[str, Any]:
    """The answer of a port that serves nothing, but sends everybody to HTTPS."""
    return {"kind": "respond", "status": redirect.status, "headers": _fields(redirect.headers), "body": ""}


def outcome_told(outcome: Outcome, decision: Decision, rules: Responses | None, exchange: Exchange) -> dict[str, Any]:
    """What a request comes to that was judged.

    :param rules: the response rules for it, if there are any.
    """
    told: dict[str, Any] = {"mode": decision.mode, "left_out": sorted(decision.exempt)}
    if isinstance(outcome, Respond):
        told |= _answer(outcome.response, decision.headers, None, rules, exchange)
    elif isinstance(outcome, Forward):
        rewrite = decision.rewrite or Rewrite()
        own = frozenset(name for name, _ in outcome.headers)
        headers = (*(each for each in rewrite.headers if each[0] not in own), *outcome.headers)
        told |= {"kind": "forward", "headers": _fields(headers)}
        if rewrite.removed:
            told["removed"] = sorted(name.decode() for name in rewrite.removed)
        if rewrite.origin:
            told["origin"] = rewrite.origin
        if decision.action is not None and decision.mode != "block":
            told["would"] = decision.action.name
    else:
        told["kind"] = "close"
    return told


def refusal_told(
    error: ClientError,
    style: str,
    alert: str = "",
    rules: Responses | None = None,
    exchange: Exchange | None = None,
) -> dict[str, Any]:
    """A request that is refused before any rule, or for the size of its body.

    :param style: how the server group refuses clients for their certificates.
    :param alert: with which the handshake ends; empty for none.
    :param rules: the response rules for it, if there are any.
    :param exchange: the exchange, if it came so far.
    """
    outcome: dict[str, Any] = {"kind": "close"}
    if alert:
        outcome = {"kind": "alert", "alert": alert}
    elif (answer := refuse(error, style)) is not None:
        outcome = _answer(answer.response, (), error, rules, exchange)
    return {"refusal": {"status": error.status, "reason": error.reason}, "outcome": outcome}


def _answer(
    response: Response, added: Headers, error: ClientError | None, rules: Responses | None, exchange: Exchange | None
) -> dict[str, Any]:
    """An answer of the node's own.

    :param added: what a decision adds to it.
    """
    told: dict[str, Any] = {"kind": "respond", "status": response.status}
    request, lines = None if exchange is None else exchange.request, b""
    if request is not None and is_call(request):  # what a client of gRPC reads in place of the status
        told["grpc_status"] = trailers_only(response, 0 if error is None else status_of(error.status))[1]
    elif rules is not None and exchange is not None:
        response = paged(rules, response, error, exchange) if response.plain else response
        lines = own_lines(rules, response, exchange)
    of_rules = [line.split(": ", 1) for line in lines.decode("latin-1").splitlines()]
    told["headers"] = [*_fields(response.headers + added), *([name.lower(), value] for name, value in of_rules)]
    return told | {"body": response.body.decode("utf-8", "backslashreplace")}


def _fields(headers: Headers) -> list[list[str]]:
    return [[part.decode("latin-1") for part in pair] for pair in headers]
