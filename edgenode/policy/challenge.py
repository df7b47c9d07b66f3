"""``[challenge]``, the action of that type, and the stage that tells who has solved one.

Law: a client is human to the node as long as it sends a solution that is good for this very request, and for no other
reason. Who is, meets a challenge as if it were monitoring: what else refuses a request refuses theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, ClassVar

from attrs import evolve, field, frozen

from edgenode.model.decision import FORWARD, NOTHING, Action, Decision, Outcome, Reason, Respond
from edgenode.model.errors import InvalidValue
from edgenode.model.exchange import Exchange, Headers, Request, Response
from edgenode.model.interfaces import Stage
from edgenode.model.settings import Between, File, Seconds, setting
from edgenode.policy import challenge_page
from edgenode.policy.challenge_tokens import Tokens
from edgenode.policy.tagging import BOT, COOKIE, HUMAN, MESSAGE
from edgenode.policy.templates import Fields, rendered
from edgenode.rules.views.grpc import is_call

STATUS = 403
"""What a challenged request is answered: a refusal that every client understands as one, and no cache keeps."""

_LEAST, _MOST = 60.0, 30 * 86400.0
_TRIED = 4
"""Cookies of the name that are judged; a browser sends one."""

_PAGES = frozenset((b"GET", b"HEAD", b"POST"))
_HTML = re.compile(rb"(?:^|,)[ \t]*text/html[ \t]*(;[^,]*)?(?:,|$)", re.IGNORECASE)
_NONE_OF_IT = re.compile(rb";[ \t]*q=0(?:\.0*)?[ \t]*(?:;|$)", re.IGNORECASE)
_PROBLEM = "urn:edgenode:problem:challenge"


@frozen
class ChallengeSection:
    """What an action of type ``challenge`` asks of clients; the section has no name and may be left out."""

    kind: ClassVar[str] = "challenge"

    difficulty: Annotated[int, Between(8, 26)] = setting(
        "How many bits of a hash have to be 0: a browser computes 2 to the power of it hashes on average, twice as "
        "many with each bit.",
        18,
    )
    lifetime: Seconds = setting(
        "How long a solution is good, from one minute to 30 days; then the client has to solve another.",
        Seconds(12 * 3600.0),
    )
    keys: tuple[File, ...] = setting(
        "Files of secrets, one a line of at least 32 bytes: the first of all signs, and what any of them has signed is "
        "accepted. Nodes that share them accept each other's. Without the key the node makes one up when it starts, "
        "and clients have to solve another challenge after that. The permissions should be those of a private key.",
        (),
    )

    def __attrs_post_init__(self) -> None:
        """:raises InvalidValue: if solutions are good for too short or too long a time."""
        if not _LEAST <= self.lifetime <= _MOST:
            raise InvalidValue("a solution is good for one minute at least, and for 30 days at most", which="lifetime")


@frozen
class Challenge(Action):
    """Answer with a page that has a browser work, unless the client has solved one.

    It does not skip the stages behind it: what they refuse is refused.

    :ivar headers: further header fields of the answer.
    :ivar tokens: issues the tokens.
    """

    default_priority: ClassVar[int] = 200

    headers: Fields = field(default=(), kw_only=True)
    tokens: Tokens | None = field(default=None, kw_only=True)

    @property
    def needs(self) -> frozenset[str]:
        """What its headers look at."""
        return frozenset[str]().union(*(value.needs for _, value in self.headers))

    def outcome(self, exchange: Exchange) -> Outcome:
        """The page for a browser, and for every other client what it lacks; a human's request is forwarded."""
        tokens, request = self.tokens, exchange.request
        if tokens is None:
            raise ValueError("a challenge without keys")
        # Where an operator alone has named the action, as for what is held in quarantine, no stage has looked.
        if HUMAN in exchange.tags or Challenges(tokens).decide(exchange) is _HUMAN:
            return FORWARD
        headers: Headers = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
        headers += rendered(self.headers, exchange)
        if request is not None and is_call(request):  # its message is a short text
            return Respond(Response(STATUS, ((b"content-type", b"text/plain; charset=utf-8"), *headers), _SHORT))
        if request is None or not _shows_pages(request):
            headers = ((b"content-type", b"application/problem+json"), *headers)
            return Respond(Response(STATUS, headers, _problem(tokens)))
        headers = ((b"content-type", b"text/html; charset=utf-8"), *headers)
        headers += ((b"content-security-policy", challenge_page.POLICY.encode()),)
        body = challenge_page.page(
            tokens.issue(exchange).decode(),
            tokens.COOKIE,
            tokens.difficulty,
            int(tokens.lifetime),
            repeated=request.method != b"POST",
            identifier=exchange.identifier.decode("latin-1"),
        )
        return Respond(Response(STATUS, headers, body))


_SHORT = b"A challenge has to be solved, by a browser.\n"


@frozen
class Passed(Action):
    """A challenge that the client has solved: as strong as monitoring, whatever its own priority, and like that."""

    default_priority: ClassVar[int] = 100

    def outcome(self, exchange: Exchange) -> Outcome:
        """Forwarding."""
        return FORWARD


PASSED = "passed, for the client has solved a challenge"
"""What the reason of such an action says."""


def for_humans(action: Action) -> Action:
    """What an action is to a request with the tag ``human``."""
    return Passed(action.name, tags=action.tags) if isinstance(action, Challenge) else action


def met(action: Action, exchange: Exchange) -> tuple[Action, tuple[Reason, ...]]:
    """What an action is to whoever sent a request, and why if it is another for them."""
    if HUMAN not in exchange.tags or not isinstance(action, Challenge):
        return action, ()
    return for_humans(action), (Reason(Challenges.name, "", PASSED, "", action.name),)


def armed(action: Action, tokens: Tokens) -> Action:
    """The same action, with what issues tokens if it needs that."""
    return evolve(action, tokens=tokens) if isinstance(action, Challenge) else action


def _shows_pages(request: Request) -> bool:
    """Whether the client would show a page: a browser that navigates, and not the script of one, nor a program."""
    fields = request.fields
    if request.method not in _PAGES or b"sec-websocket-key" in fields:
        return False
    if fields.get(b"sec-fetch-mode", (b"navigate",)) != (b"navigate",):
        return False
    found = _HTML.search(b",".join(fields.get(b"accept", ())))
    return found is not None and not _NONE_OF_IT.search(found[1] or b"")


def _problem(tokens: Tokens) -> bytes:
    """What a program lacks (RFC 9457)."""
    seconds = int(tokens.lifetime)
    problem = {
        "type": _PROBLEM,
        "title": "A challenge has to be solved first",
        "status": STATUS,
        "detail": f"The request needs the cookie {tokens.COOKIE}. A browser gets it that opens a page of this host and "
        f"solves the challenge there; it is good for {seconds} seconds, for the same host, network and User-Agent.",
        "cookie": tokens.COOKIE,
    }
    return json.dumps(problem).encode() + b"\n"


# -- who has solved one ------------------------------------------------------------------------------------------------


@frozen
class Challenges:
    """The stage that puts the tag ``human`` on a request with a good solution, and ``bot`` on every other one.

    :ivar tokens: judges solutions; ``None`` if nothing asks for challenges, and then no pipeline has the stage.
    """

    name: ClassVar[str] = "challenge"
    needs: ClassVar[frozenset[str]] = frozenset()

    tokens: Tokens | None

    def selected(self, selection: object) -> Stage | None:
        """Itself if there are challenges."""
        return None if self.tokens is None else self

    def decide(self, exchange: Exchange) -> Decision:
        """The tag; and if there is a solution that is none, why. What is known already stays: a message of a WebSocket
        is its handshake's."""
        request, tags = exchange.request, exchange.tags
        if HUMAN in tags or (BOT in tags and MESSAGE in tags):
            return NOTHING
        if request is None or COOKIE not in request.fields:
            return _BOT
        fault = ""
        for solution in _solutions(request.fields[COOKIE]):
            assert self.tokens is not None
            fault = self.tokens.fault(solution, exchange)
            if not fault:
                return _HUMAN
        return Decision(_BOT.tags, (Reason(self.name, "", f"cookie: {fault}"),)) if fault else _BOT


_HUMAN = Decision(frozenset((HUMAN,)))
_BOT = Decision(frozenset((BOT,)))
_NAME = Tokens.COOKIE.encode()


def _solutions(fields: tuple[bytes, ...]) -> Iterator[bytes]:
    """The values of the cookie, not more than are judged."""
    left = _TRIED
    for written in fields:
        if _NAME not in written:
            continue
        for part in written.split(b";"):
            name, _, value = part.partition(b"=")
            if name.strip(b" \t") == _NAME:
                yield value.strip(b" \t")
                left -= 1
                if not left:
                    return
